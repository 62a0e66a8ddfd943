"""Load balancing (Octavia v2): load balancers. Source: https://docs.openstack.org/api-ref/load-balancer/v2/

api             the service, its words, versions and providers
base            what its operations share: the parts of load balancers as they are kept and shown
parts           all kinds but members; members: a pool's, one by one or all at once
changes         how they come and go; vips: their addresses; kinds: what their attributes may be
quotas          what a project may have
plan            what all of it means for the data path (the package `machinery/balancing`)
"""
