"""Images (Glance v2): what servers boot from. Source: https://docs.openstack.org/api-ref/image/v2/

api             the service: list, show, create, upload, download, change, delete
attributes      what an image is: its attributes, versions and schemas
query           lists, filtered and sorted; patch: changes; members: who may see an image
base_images     those there from the start
"""
