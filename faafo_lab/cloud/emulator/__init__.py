"""The embedded OpenStack: its REST APIs, and the instances that it runs.

control         start, stop and find it
server          its process: one HTTP server for all services; addresses: those that it may have
service         what all services have in common; store: their state; schema: their requests' checks
identity        Keystone: tokens, credentials (of applications), names (that every cloud has)
compute         Nova: nova (what its operations share), wanted, servers, actions, lifecycle, flavors, keypairs
network         Neutron: resources (what its resources share), initial (those there from the start), networks, subnets,
                subnetpools, blocks, ports, dhcp, routers, router_interfaces, security, floating, tags,
                extensions, plugs
image           Glance: image_query, image_patch, image_members, image_schema; base_images: those there from the start
hypervisor      the instances' process trees; guest: what runs in them
switch          the only way into an instance
coverage        writes COVERAGE.md: what of all this is implemented
errors          what can go wrong with it as a program
"""
