"""Identity (Keystone v3): who asks, and for which project. Source: https://docs.openstack.org/api-ref/identity/v3/

api             the service, its words and versions
base            what its resources share: the rows, users and projects by name
projects        and users, as an ordinary user may see them
tokens          issued, shown and revoked
credentials     application credentials, and the access rules that bound them
"""
