"""The machinery behind the APIs.

hypervisor   the instances' process trees, held to what their flavors have
guest        what runs in them
metadata     tells each instance of itself
switch       the only way into an instance
balancing    the load balancers' data path
"""
