"""The embedded OpenStack: its REST APIs, and the instances that it runs.

control         start, stop and find it
server          its process: one HTTP server for all services; addresses: those that it may have
service         what all services have in common; store: their state; schema: their requests' checks
identity        Keystone
compute         Nova: nova (what its operations share), wanted, servers, actions, lifecycle, flavors, keypairs
network         Neutron: resources (what its resources share), networks, ports, routers, security, floating, plugs
image           Glance; base_images: the images that are there from the start
loadbalancer    Octavia: lb_kinds, lb_parts, lb_changes, lb_members, lb_plan
balancer        its data path: listeners, pools, http_balancer, health
hypervisor      the instances' process trees; guest: what runs in them
switch          the only way into an instance
errors          what can go wrong with it as a program
"""
