"""The embedded OpenStack: its REST APIs, and the instances that it runs.

control         start, stop and find it
server          its process: one HTTP server for all services; addresses: those that it may have
service         what all services have in common; store: their state; schema: their requests' checks
identity        Keystone
volume          Cinder: cinder (what its operations share), volumes, volume_actions, snapshots, volume_life,
                volume_files, volume_mounts; attachments: Nova's part in it; calls: services ask one another
compute         Nova: nova (what its operations share), wanted, servers, actions, lifecycle, flavors, keypairs
network         Neutron: resources (what its resources share), networks, ports, routers, security, floating, plugs
image           Glance; base_images: the images that are there from the start
hypervisor      the instances' process trees; guest: what runs in them
switch          the only way into an instance
errors          what can go wrong with it as a program
"""
