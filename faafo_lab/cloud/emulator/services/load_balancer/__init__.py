"""Load balancing (Octavia v2): load balancers. Source: https://docs.openstack.org/api-ref/load-balancer/v2/

api             the service
kinds           the parts of load balancers, and what their attributes may be
parts           how they are kept and shown; changes: how they come and go; members: a pool's, one by one or all at once
quotas          what a project may have
plan            what all of it means for the data path (the package `balancer`)
"""
