"""Compute (Nova 2.1 to 2.60): servers. Source: https://docs.openstack.org/api-ref/compute/

api             the service, the sum of its operations; zones, extensions
base            what its operations share: words, microversions, pages, links
wanted          what a request for servers wants
servers         create, list, show, change, delete; server_filters, server_metadata
actions         start, stop, reboot, lock …; rebuilding: rebuild and resize; snapshots: a disk becomes an image
interfaces      a server's ports; attachments: its volumes
server_groups   groups and tags; instance_actions: what has been done with a server
user_keys       SSH key pairs (keypairs: their forms); flavors, flavor_views; quotas
network_proxies, image_proxies      old doors to other services
datasource      what an instance is told of itself at its metadata address
lifecycle       what becomes of a server after its request; transitions: more of it; history: what is remembered
"""
