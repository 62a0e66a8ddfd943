"""Object storage (Swift v1): accounts, containers and objects. Source: https://docs.openstack.org/api-ref/object-store/

api             the service, its words, and how it finds out who asks
base            what its operations share: the rows, each container's names in order, and who may do what
accounts, containers, objects, bulk     the operations
metadata        headers that are kept, and the limits of names
acl, tempurl    who may read and write beside the owner
files           the objects' data on disk
listing         which names a list has, and its forms
content         an object's bytes: whole, in ranges, under conditions
manifests       large objects, whose bytes are those of others
versions        what becomes of an object that is overwritten or deleted
expirer         deletes objects when their time has come
"""
