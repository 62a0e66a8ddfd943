"""Network (Neutron v2.0): what connects servers. Source: https://docs.openstack.org/api-ref/network/v2/

api             the service, with its kinds of resources
base            what all resources share; checks: of their attributes; query: lists; words: refusals
networks, subnets, subnetpools, ports, routers, security, floating, sharing     a kind of resource each, or several
tags, topologies, extensions, quotas     operations beside those
blocks          what a block of addresses allows; dhcp: what a port may say beside its addresses
initial         what is there from the start
plugs           what all of it means for the switch
"""
