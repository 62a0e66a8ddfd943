"""Subnets: addresses of a network.

An IPv6 subnet is kept and checked as Neutron does; its addresses are only names here, since instances are reached at
loopback addresses. Source: https://docs.openstack.org/api-ref/network/v2/#subnets
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from faafo_lab.cloud.emulator.common.schema import shown
from faafo_lab.cloud.emulator.common.service import JSON, Request
from faafo_lab.cloud.emulator.common.store import Row
from faafo_lab.cloud.emulator.services.network import checks
from faafo_lab.cloud.emulator.services.network.base import Collection
from faafo_lab.cloud.emulator.services.network.blocks import Block, all_but, check_gateway, check_pools
from faafo_lab.cloud.emulator.services.network.checks import NAMED, Attribute
from faafo_lab.cloud.emulator.services.network.words import invalid, refused

AUTOMATIC = ("slaac", "dhcpv6-stateless")  # modes in which hosts give themselves addresses
MODES = ("dhcpv6-stateful", *AUTOMATIC)
MAX_NAMESERVERS = 5
MAX_HOST_ROUTES = 20


def service_type(value: Any) -> str:
    """The owner of the ports that a subnet is for."""
    if not str(value).startswith(("network:", "compute:", "baremetal:")):
        raise ValueError(f"{shown(value)} is not a valid subnet service type.")
    return str(value)


class Subnets(Collection):
    """Subnets: addresses of a network."""

    name, plural, title = "subnet", "subnets", "Subnet"
    addressed = ("cidr", "gateway_ip", "allocation_pools", "host_routes", "dns_nameservers")
    passing = frozenset(("prefixlen", "use_default_subnetpool"))
    attributes: ClassVar[Mapping[str, Attribute]] = {
        **NAMED,
        "network_id": Attribute(checks.uuid, put=False),
        "ip_version": Attribute(checks.choice(4, 6), put=False),
        "cidr": Attribute(checks.optional(checks.cidr), None, put=False),
        "gateway_ip": Attribute(checks.optional(checks.address), ""),
        "allocation_pools": Attribute(checks.optional(checks.each(checks.mapping)), None),
        "enable_dhcp": Attribute(checks.boolean, True),
        "dns_nameservers": Attribute(checks.several(checks.address, MAX_NAMESERVERS), []),
        "host_routes": Attribute(checks.several(checks.static_route, MAX_HOST_ROUTES), []),
        "ipv6_ra_mode": Attribute(checks.optional(checks.choice(*MODES)), None, put=False),
        "ipv6_address_mode": Attribute(checks.optional(checks.choice(*MODES)), None, put=False),
        "subnetpool_id": Attribute(checks.optional(checks.uuid), None, put=False),
        "use_default_subnetpool": Attribute(checks.boolean, False, put=False),
        "prefixlen": Attribute(checks.optional(checks.integer(0, 128)), None, put=False),
        "service_types": Attribute(checks.each(service_type), []),
    }

    def creating(self, request: Request, row: Row) -> Row:
        """Fill in the block, the gateway and the pool; a network's subnets must not overlap."""
        network = self.network.networks.own(request, row["network_id"])
        row = self._with_block(request, row)
        block = ipaddress.ip_network(row["cidr"])
        if block.version != row["ip_version"]:
            raise refused("InvalidInput", f"cidr '{block}' does not match the ip_version '{row['ip_version']}'")
        if block.num_addresses < 4 or block.prefixlen == 0:
            raise invalid("cidr", f"'{block}' is not a valid IP subnet: a block of at least 4 addresses is.")
        _check_modes(row, block)
        for other in self.table.where(network_id=network["id"]):
            if block.overlaps(ipaddress.ip_network(other["cidr"])):
                where = f"Requested subnet with cidr: {block} for network: {network['id']}"
                raise refused("InvalidInput", f"{where} overlaps with another subnet")
        gateway = str(block[1]) if row["gateway_ip"] == "" else row["gateway_ip"]
        check_gateway(block, gateway)
        pools = row["allocation_pools"]
        pools = all_but(block, gateway) if pools is None else check_pools(block, gateway, pools)
        _check_versions(row, block)
        return {**row, "gateway_ip": gateway, "allocation_pools": pools}

    def _with_block(self, request: Request, row: Row) -> Row:
        """The new row with its block: the one that was given, or one from a subnet pool."""
        row = dict(row)
        length, default = row.pop("prefixlen"), row.pop("use_default_subnetpool")
        pool = self.network.subnet_pools.wanted(request, row["subnetpool_id"], row["ip_version"], default=default)
        if pool is None:
            if row["cidr"] is None:
                raise refused("BadRequest", "subnets", "a subnetpool must be specified in the absence of a cidr")
            if length is not None:
                raise refused("BadRequest", "subnets", "prefixlen can only be specified with a subnetpool")
            return row
        if row["cidr"] is not None and length is not None:
            raise refused("BadRequest", "subnets", "cidr and prefixlen must not be supplied together")
        block = self.network.subnet_pools.allocate(request, pool, row["cidr"], length)
        return {**row, "subnetpool_id": pool["id"], "cidr": str(block)}

    def updating(self, request: Request, row: Row, changes: JSON) -> JSON:
        """The gateway and the pools must lie in the subnet; a gateway that a router has stays."""
        block = ipaddress.ip_network(row["cidr"])
        gateway = changes.get("gateway_ip", row["gateway_ip"])
        check_gateway(block, gateway)
        if gateway != row["gateway_ip"] and row["gateway_ip"] in self._routers_addresses(row):
            raise refused("GatewayIpInUse", row["gateway_ip"])
        pools = changes.get("allocation_pools") or row["allocation_pools"]
        if {"allocation_pools", "gateway_ip"} & set(changes):
            changes["allocation_pools"] = check_pools(block, gateway, pools)
        _check_versions(changes, block)
        return changes

    def _routers_addresses(self, row: Row) -> set[str]:
        ports = self.network.ports.table.where(device_owner="network:router_interface")
        return {ip["ip_address"] for port in ports for ip in port["fixed_ips"] if ip["subnet_id"] == row["id"]}

    def deleting(self, row: Row) -> None:
        """Only a subnet that no port has an address of, but those that hosts give themselves."""
        for port in self.network.ports.table:
            left = [ip for ip in port["fixed_ips"] if ip["subnet_id"] != row["id"]]
            if len(left) == len(port["fixed_ips"]):
                continue
            if port["device_owner"] == "network:router_interface" or not self.automatic(row):
                raise refused("SubnetInUse", row["id"])
            self.network.ports.touch(port["id"], fixed_ips=left)

    def shared(self, row: Row, project: str) -> bool:
        """Its network's project shares it, too."""
        return self.network.networks.shared(self.network.networks.table[row["network_id"]], project)

    def usable(self, project: str, id: str) -> Row | None:
        """The subnet of a network that the project may see; or None."""
        row, networks = self.table.get(id), self.network.networks
        return row if row is not None and networks.visible(networks.table[row["network_id"]], project) else None

    def automatic(self, subnet: Row) -> bool:
        """Whether hosts give themselves addresses of this subnet."""
        return subnet["ipv6_address_mode"] in AUTOMATIC

    def free(self, subnet: Row) -> Iterator[str]:
        """The addresses of the subnet that nobody has, lowest first."""
        taken = self.network.taken(subnet["network_id"])
        for pool in subnet["allocation_pools"]:
            start, end = ipaddress.ip_address(pool["start"]), ipaddress.ip_address(pool["end"])
            for step in range(int(end) - int(start) + 1):
                candidate = str(start + step)
                if candidate not in taken:
                    yield candidate


def _check_modes(row: Row, block: Block) -> None:
    """Check what an IPv6 subnet says of its addresses. Raises a 400 `Fault`."""
    announced, mode = row["ipv6_ra_mode"], row["ipv6_address_mode"]
    if announced is None and mode is None:
        return
    if block.version == 4:
        raise refused("InvalidInput", "ipv6_ra_mode or ipv6_address_mode cannot be set when ip_version is not 6")
    if not row["enable_dhcp"]:
        raise refused(
            "InvalidInput", "ipv6_ra_mode or ipv6_address_mode cannot be set when enable_dhcp is set to False"
        )
    if announced and mode and announced != mode:
        different = f"ipv6_ra_mode set to '{announced}' with ipv6_address_mode set to '{mode}' is not valid"
        raise refused("InvalidInput", f"{different}. If both attributes are set, they must be the same value")
    if {announced, mode} & set(AUTOMATIC) and block.prefixlen != 64:
        raise refused("InvalidInput", f"Invalid CIDR {block} for IPv6 address mode. The prefix must be /64")


def _check_versions(values: JSON, block: Block) -> None:
    """Check that nameservers and routes are of the subnet's IP version. Raises a 400 `Fault`."""
    found = [("nexthop", route["nexthop"]) for route in values.get("host_routes", ())]
    found += [("destination", route["destination"].split("/")[0]) for route in values.get("host_routes", ())]
    for name, found_address in found:
        if ipaddress.ip_address(found_address).version != block.version:
            raise refused("InvalidInput", f"{name} '{found_address}' does not match the ip_version '{block.version}'")
