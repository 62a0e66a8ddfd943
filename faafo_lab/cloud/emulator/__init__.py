"""The embedded OpenStack: its REST APIs, and the instances that it runs.

control         start, stop and find it
server          its process; gateway: takes requests to their services; addresses: those that it may have
coverage        writes COVERAGE.md: what of OpenStack is implemented

Its services, a package each, all of one shape: `api` is the service, `base` what its operations share.
identity        Keystone
compute         Nova
network         Neutron
image           Glance
block_storage   Cinder
object_store    Swift
load_balancer   Octavia
service         what all of them have in common; store: their state; schema: their requests' checks;
                lists: tags and pages; names: what every cloud has; forwarding: how one service asks another;
                durable: files that outlast a power cut

What is behind them.
hypervisor      the instances' process trees, held to what their flavors have; guest: what runs in them
metadata        tells each instance of itself
switch          the only way into an instance
balancer        the load balancers' data path
tree, channel, sockets      processes, messages between them, and sockets
errors          what can go wrong with it as a program
"""
