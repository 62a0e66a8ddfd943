"""A server as the hypervisor boots it, and what it is told of itself: OpenStack's own documents, and the EC2 form.

A node of what it is told is a directory (a dict) or a document (text, bytes, or an object that is served as JSON).
Documents are made anew for every request, so they follow the server's metadata, addresses and groups.

Source: https://docs.openstack.org/nova/latest/user/metadata.html
"""

from __future__ import annotations

import base64
import ipaddress
import os
import re
from operator import itemgetter
from pathlib import Path
from typing import Any

from faafo_lab.cloud.emulator.common.service import JSON
from faafo_lab.cloud.emulator.common.store import Row
from faafo_lab.cloud.emulator.machinery.hypervisor.client import Guest, Hypervisor
from faafo_lab.cloud.emulator.machinery.metadata.api import Document, Node
from faafo_lab.cloud.emulator.services.block_storage.mounts import RESCUED, Mounts
from faafo_lab.cloud.emulator.services.compute.flavors import FLAVORS
from faafo_lab.cloud.emulator.services.compute.rows import ServerRow
from faafo_lab.cloud.emulator.services.image.api import Image
from faafo_lab.cloud.emulator.services.network.api import Network
from faafo_lab.cloud.emulator.site import Site

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


def hostname(name: str) -> str:
    """A server's name as a hostname, as Nova makes it."""
    name = re.sub(r"[^a-z0-9.-]+", "", re.sub(r"[ _]", "-", name.lower())).strip(".-")[:63]
    return name or "server"


class Guests:
    """What instances are made of."""

    def __init__(self, site: Site, network: Network, images: Image, mounts: Mounts, hypervisor: Hypervisor) -> None:
        self._site, self._network, self._images, self._mounts = site, network, images, mounts
        self._hypervisor = hypervisor

    @property
    def directories(self) -> Path:
        """Where the servers' directories are."""
        return self._site.directory / "instances"

    def directory(self, id: str) -> Path:
        """A server's own directory: its disk and its console log."""
        return self.directories / id

    def saved(self, id: str) -> Path:
        """Where the disk of a server is while it is rescued."""
        return self.directory(id) / RESCUED

    def guest(self, row: ServerRow) -> Guest:
        """The server as the hypervisor boots it."""
        flavor = FLAVORS[row["flavor_id"]]
        rescue = row.get("rescue_image_id")
        image = row.get("shelved_image_id") or rescue or row["image_id"]
        new = rescue is not None and not (self.directory(row["id"]) / "disk").exists()
        return Guest(
            id=row["id"],
            name=row.get("hostname") or hostname(row["name"]),
            directory=str(self.directory(row["id"])),
            ports=str(self._hypervisor.ports_dir(row["id"])),
            image_path=str(self._images.file(image)),
            cores=flavor.scaled(self._site.shares).cores,
            memory_mb=flavor.ram_mb,
            public_keys=(row["public_key"],) if row["public_key"] else (),
            user_data=row["user_data"],
            metadata=self._metadata(row),
            metadata_url=self._site.metadata_url,
            first_boot=not row["booted"] or new,
        )

    def told(self, row: ServerRow) -> Node:
        """All that the server's metadata address tells it."""
        return _tree(row, self._metadata(row), self._network)

    def _metadata(self, row: ServerRow) -> JSON:
        """What the server is told of itself: meta_data.json, and its addresses."""
        keys = {row["key_name"]: row["public_key"]} if row["public_key"] else {}
        ports = self._network.ports_of(row["id"])
        return {
            "uuid": row["id"],
            "name": row["name"],
            "hostname": row.get("hostname") or hostname(row["name"]),
            "availability_zone": "nova",
            "launch_index": row["launch_index"],
            "project_id": row["project_id"],
            "meta": row["metadata"],
            "public_keys": keys,
            "keys": [{"name": name, "type": "ssh", "data": key} for name, key in keys.items()],
            "addresses": [ip["ip_address"] for port in ports for ip in port["fixed_ips"]],
            "devices": self._mounts.devices(row["id"]),
            "published_port_offset": self._site.port_offset,
        }


def _tree(server: ServerRow, told: JSON, network: Network) -> Node:
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
    meta_data = {name: value for name, value in told.items() if name != "devices"}
    if version < "2015-10-15":
        del meta_data["project_id"]
    if version >= "2013-04-04":
        meta_data["random_seed"] = base64.b64encode(os.urandom(_SEED_BYTES)).decode()
    if version >= "2016-06-30":  # those with a tag
        meta_data["devices"] = [*filter(itemgetter("tags"), told["devices"]), *_tagged_ports(server, network)]
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


def _tagged_ports(server: ServerRow, network: Network) -> list[JSON]:
    ports = [port for port in network.ports_of(server["id"]) if port.get("device_tag")]
    return [{"type": "nic", "bus": "pci", "mac": port["mac_address"], "tags": [port["device_tag"]]} for port in ports]


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
