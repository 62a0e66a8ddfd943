"""The embedded OpenStack: its REST APIs, and the instances that it runs.

control         start, stop and find it
server          its process: one HTTP server for all services; addresses: those that it may have
service         what all services have in common; store: their state; schema: their requests' checks
identity        Keystone
compute         Nova: nova (what its operations share), wanted, servers, server_filters, server_metadata, actions,
                rebuilding, interfaces, snapshots, server_groups, instance_actions, user_keys, quotas, flavors,
                keypairs;
                proxies and image_proxies: its old doors to other services (forwarding asks them);
                lifecycle, transitions and history: what becomes of a server
network         Neutron: resources (what its resources share), networks, ports, routers, security, floating, plugs
image           Glance; base_images: the images that are there from the start
hypervisor      the instances' process trees (freezer: paused ones); guest: what runs in them
switch          the only way into an instance
errors          what can go wrong with it as a program
"""
