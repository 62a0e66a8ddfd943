"""Load balancing (Octavia v2): load balancers. Source: https://docs.openstack.org/api-ref/load-balancer/v2/

api             the service, its words, versions, providers and quotas
base            what its operations share: the parts of load balancers as they are kept and shown
parts           what clients do with them; changes: how they come and go; kinds: what their attributes may be
plan            what all of it means for the data path (the package `machinery/balancing`)
"""
