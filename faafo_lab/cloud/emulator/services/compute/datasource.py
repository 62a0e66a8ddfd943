"""What an instance is told of itself, as two trees of documents: OpenStack's own, and the EC2 form.

A node is a directory (a dict) or a document (text, bytes, or an object that is served as JSON). Documents are made anew
for every request, so they follow the server's metadata, addresses and groups.

Source: https://docs.openstack.org/nova/latest/user/metadata.html
"""

from __future__ import annotations

import base64
import ipaddress
import os
from typing import Any

from faafo_lab.cloud.emulator.common.service import JSON
from faafo_lab.cloud.emulator.common.store import Row
from faafo_lab.cloud.emulator.machinery.metadata.api import Document, Node
from faafo_lab.cloud.emulator.services.compute.flavors import FLAVORS
from faafo_lab.cloud.emulator.services.compute.rows import ServerRow
from faafo_lab.cloud.emulator.services.network.api import Network

OPENSTACK_VERSIONS = (
    "2012-08-10",
    "2013-04-04",  # + random_seed
    "2013-10-17",  # + vendor_data.json
    "2015-10-15",  # + network_data.json, project_id
    "2016-06-30",  # + devices
    "2016-10-06",  # + vendor_data2.json
    "2017-02-22",
    "2018-08-27",
)
EC2_VERSIONS = (
    *("1.0", "2007-01-19", "2007-03-01", "2007-08-29", "2007-10-10"),
    *("2007-12-15", "2008-02-01", "2008-09-01", "2009-04-04"),
)
LATEST = "latest"
_SEED_BYTES = 512


def tree(server: ServerRow, told: JSON, network: Network) -> Node:
    """All that a server is told, from the root of its metadata address; `told` is what its agent knows too."""
    user_data = base64.b64decode(server["user_data"]) if server["user_data"] else None
    openstack = {version: _openstack(server, told, network, user_data, version) for version in OPENSTACK_VERSIONS}
    ec2: dict[str, Any] = {"meta-data": _ec2(server, told, network)}
    if user_data is not None:
        ec2["user-data"] = user_data
    openstack[LATEST] = openstack[OPENSTACK_VERSIONS[-1]]
    return {**dict.fromkeys((*EC2_VERSIONS, LATEST), ec2), "openstack": openstack}


# OpenStack's own form


def _openstack(
    server: ServerRow, told: JSON, network: Network, user_data: bytes | None, version: str
) -> dict[str, Any]:
    """The documents of one version: a later one has all that an earlier one has."""
    meta_data = dict(told)
    if version < "2015-10-15":
        del meta_data["project_id"]
    if version >= "2013-04-04":
        meta_data["random_seed"] = base64.b64encode(os.urandom(_SEED_BYTES)).decode()
    if version >= "2016-06-30":
        meta_data["devices"] = []
    found: dict[str, Any] = {"meta_data.json": Document(meta_data)}
    if user_data is not None:
        found["user_data"] = user_data
    if version >= "2013-10-17":
        found["vendor_data.json"] = Document({})
    if version >= "2015-10-15":
        found["network_data.json"] = Document(_network_data(server, network))
    if version >= "2016-10-06":
        found["vendor_data2.json"] = Document({})
    return found


def _network_data(server: ServerRow, network: Network) -> JSON:
    """The server's ports as links, their addresses as networks, the name servers as services."""
    links: list[JSON] = []
    networks: list[JSON] = []
    services: list[JSON] = []
    for port in network.ports_of(server["id"]):
        link = f"tap{port['id'][:11]}"
        links.append(
            {
                "id": link,
                "vif_id": port["id"],
                "type": "ovs",
                "mtu": network.networks.table[port["network_id"]]["mtu"],
                "ethernet_mac_address": port["mac_address"],
            }
        )
        for ip in port["fixed_ips"]:
            subnet = network.subnets.table[ip["subnet_id"]]
            networks.append(_network_of(len(networks), link, ip["ip_address"], subnet))
            services += [{"type": "dns", "address": each} for each in subnet["dns_nameservers"]]
    return {"links": links, "networks": networks, "services": services}


def _network_of(number: int, link: str, address: str, subnet: Row) -> JSON:
    routes = [_route(each["destination"], each["nexthop"]) for each in subnet["host_routes"]]
    if subnet["gateway_ip"]:
        routes.insert(0, _route("0.0.0.0/0", subnet["gateway_ip"]))
    return {
        "id": f"network{number}",
        "type": "ipv4_dhcp" if subnet["enable_dhcp"] else "ipv4",
        "link": link,
        "ip_address": address,
        "netmask": str(ipaddress.ip_network(subnet["cidr"]).netmask),
        "routes": routes,
        "network_id": subnet["network_id"],
    }


def _route(destination: str, gateway: str) -> JSON:
    network = ipaddress.ip_network(destination, strict=False)
    return {"network": str(network.network_address), "netmask": str(network.netmask), "gateway": gateway}


# The EC2 form


def _ec2(server: ServerRow, told: JSON, network: Network) -> dict[str, Any]:
    """meta-data: short ids are made of the long ones."""
    ports = network.ports_of(server["id"])
    addresses = [each for items in network.addresses(ports).values() for each in items]
    local = [each["addr"] for each in addresses if each["OS-EXT-IPS:type"] == "fixed"]
    public = [each["addr"] for each in addresses if each["OS-EXT-IPS:type"] == "floating"]
    groups = network.groups.table
    names = [groups[id]["name"] for id in dict.fromkeys(id for port in ports for id in port["security_groups"])]
    flavor = FLAVORS.get(server["flavor_id"])
    found: dict[str, Any] = {
        "ami-id": f"ami-{(server['image_id'] or '0' * 8)[:8]}",
        "ami-launch-index": str(told["launch_index"]),
        "ami-manifest-path": "FIXME",  # the very word that Nova answers
        "block-device-mapping": {"ami": "vda", "root": "/dev/vda"},
        "hostname": told["hostname"],
        "instance-action": "none",
        "instance-id": f"i-{server['id'][:8]}",
        "instance-type": flavor.name if flavor else "",
        "local-hostname": told["hostname"],
        "local-ipv4": next(iter(local), ""),
        "placement": {"availability-zone": told["availability_zone"]},
        "public-hostname": told["hostname"],
        "public-ipv4": next(iter(public), ""),
        "reservation-id": server["reservation_id"],
        "security-groups": "\n".join(names),
    }
    if server["public_key"]:
        found["public-keys"] = {f"0={server['key_name']}": {"openssh-key": server["public_key"]}}
    return found
