"""Identity (Keystone v3): who asks, and for which project. Source: https://docs.openstack.org/api-ref/identity/v3/

api             the service: versions, projects, users
tokens          issued, shown and revoked
credentials     application credentials
"""
