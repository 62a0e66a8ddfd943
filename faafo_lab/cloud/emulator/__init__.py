"""The embedded OpenStack: its REST APIs, and the instances that it runs.

control         start, stop and find it
server          its process: one HTTP server for all services; addresses: those that it may have
service         what all services have in common; store: their state; schema: their requests' checks
identity        Keystone: tokens, credentials (of applications), names (that every cloud has)
compute         Nova: nova (what its operations share), wanted, servers, server_filters, server_metadata, actions,
                rebuilding, interfaces, snapshots, server_groups, instance_actions, user_keys, quotas, attachments,
                flavors, keypairs; proxies and image_proxies: its old doors to other services;
                lifecycle, transitions and history: what becomes of a server
volume          Cinder: cinder (what its operations share), volumes, volume_actions, volume_snapshots, volume_life,
                volume_files, volume_mounts
network         Neutron: resources (what its resources share), initial (those there from the start), networks, subnets,
                subnetpools, blocks, ports, dhcp, routers, router_interfaces, security, floating, tags,
                extensions, plugs
image           Glance: image_query, image_patch, image_members, image_schema; base_images: those there from the start
swift           the object store
loadbalancer    Octavia: lb_kinds, lb_parts, lb_changes, lb_members, lb_plan
balancer        its data path: listeners, pools, http_balancer, health
forwarding      how one service asks another
hypervisor      the instances' process trees (freezer: paused ones); guest: what runs in them
governor        holds them to their share of the CPU; memory: to their memory; load: what they are told of it
metadata        tells each instance of itself; datasource: what it tells
switch          the only way into an instance
coverage        writes COVERAGE.md: what of all this is implemented
errors          what can go wrong with it as a program
"""
