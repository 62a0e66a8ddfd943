"""Compute (Nova 2.1 to 2.60): servers. Source: https://docs.openstack.org/api-ref/compute/

api             the service, which puts its parts together; zones, extensions
versions        the microversions, and which of them have what
states          the table of what a server is, what is done with it, and what becomes of it
rows, base      the fields of what is kept; links, pages and forms
wanted          what a request for servers wants
servers         create, list, show, change, delete; server_filters, server_metadata (and tags)
actions         where a server's actions arrive; rebuilding: rebuild and resize; snapshots: a disk becomes an image
interfaces      a server's ports; attachments: its volumes
server_groups   servers that belong together; instance_actions: what has been done with a server
keypairs        a user's key pairs; flavors; quotas
proxies         old doors to other services
lifecycle       what becomes of a server after its request; tasks: one after the other; history: what is remembered
guests          a server as it is booted; datasource: what it is told of itself at its metadata address
"""
