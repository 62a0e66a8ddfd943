"""Images (Glance v2): what servers boot from. Source: https://docs.openstack.org/api-ref/image/v2/

api             the service, its words and versions; base_images: those there from the start
images          who may see and change them; list, show, create, change, delete; their data
query           lists, filtered and sorted; patch: changes
members         the projects that an image is shared with
schemas         what images look like, and what a client may set; rows: what the store keeps
"""
