"""Compute (Nova 2.1 to 2.93): servers. Source: https://docs.openstack.org/api-ref/compute/

api             the service, which puts its parts together; zones, extensions
versions        the microversions, and which of them have what
states          the table of what a server is, what is done with it, and what becomes of it
rows, base      the fields of what is kept; links, pages and words that all use
forms           the forms of requests
wanted          what a request for servers wants; block_devices: the volumes that they boot with
servers         create, list, show, change, delete; server_filters, server_metadata (and tags)
actions         where a server's actions arrive, and the record of them; snapshots: its disk becomes an image
interfaces      a server's ports; attachments: its volumes
server_groups   servers that belong together
keypairs        a user's key pairs; flavors; quotas; usage
proxies         old doors to other services
lifecycle       what becomes of a server after its request; tasks: one after the other; history: what is remembered
guests          a server as it is booted, and what it is told of itself at its metadata address
"""
