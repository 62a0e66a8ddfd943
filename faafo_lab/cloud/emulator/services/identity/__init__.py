"""Identity (Keystone v3): who asks, and for which project. Source: https://docs.openstack.org/api-ref/identity/v3/

api             the service, its words and versions
base            what its resources share: the rows, and words
directory       users and projects, by name and as an ordinary user may see them; the region and the domain
tokens          issued, shown and revoked
credentials     application credentials, and the access rules that bound them
"""
