"""OpenStack's services, a package each, all of one shape: `api` is the service, `base` what its resources share.

identity        Keystone
compute         Nova
network         Neutron
image           Glance
block_storage   Cinder
object_store    Swift
load_balancer   Octavia
"""
