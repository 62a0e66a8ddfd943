"""Subnets: addresses of a network.

An IPv6 subnet is kept and checked as Neutron does; its addresses are only names here, since instances are reached at
loopback addresses. Source: https://docs.openstack.org/api-ref/network/v2/#subnets
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from faafo_lab.cloud.emulator.common.service import JSON, Fault, Request
from faafo_lab.cloud.emulator.common.store import Row
from faafo_lab.cloud.emulator.services.network.attributes import (
    Attribute,
    Check,
    address,
    boolean,
    choice,
    cidr,
    each,
    integer,
    mapping,
    optional,
    text,
    uuid,
)
from faafo_lab.cloud.emulator.services.network.base import Collection, invalid
from faafo_lab.cloud.emulator.services.network.blocks import Block, all_but, check_gateway, check_pools

AUTOMATIC = ("slaac", "dhcpv6-stateless")  # modes in which hosts give themselves addresses
MODES = ("dhcpv6-stateful", *AUTOMATIC)
MAX_NAMESERVERS = 5
MAX_HOST_ROUTES = 20


def nameservers(value: Any) -> list[str]:
    """A list of different addresses."""
    found: list[str] = each(address)(value or [])
    if len(set(found)) != len(found):
        raise ValueError(f"Duplicate items in the list: {', '.join(found)}.")
    if len(found) > MAX_NAMESERVERS:
        raise ValueError(f"At most {MAX_NAMESERVERS} nameservers are allowed.")
    return found


def route(value: Any) -> JSON:
    """A static route: where to, and by which neighbour."""
    if set(mapping(value)) != {"destination", "nexthop"}:
        raise ValueError(f"{sorted(value)} do not match the valid keys: destination, nexthop.")
    return {"destination": cidr(value["destination"]), "nexthop": address(value["nexthop"])}


def routes(most: int) -> Check:
    """A list of at most so many different routes."""

    def check(value: Any) -> list[JSON]:
        found: list[JSON] = each(route)(value or [])
        if len({tuple(each.values()) for each in found}) != len(found):
            raise ValueError("Duplicate items in the list of routes.")
        if len(found) > most:
            raise ValueError(f"At most {most} routes are allowed.")
        return found

    return check


class Subnets(Collection):
    """Subnets: addresses of a network."""

    name, plural, title = "subnet", "subnets", "Subnet"
    addressed = ("cidr", "gateway_ip", "allocation_pools", "host_routes", "dns_nameservers")
    passing = frozenset(("prefixlen", "use_default_subnetpool"))
    attributes: ClassVar[Mapping[str, Attribute]] = {
        "name": Attribute(text(), ""),
        "description": Attribute(text(), ""),
        "network_id": Attribute(uuid, put=False),
        "ip_version": Attribute(choice(4, 6), put=False),
        "cidr": Attribute(optional(cidr), None, put=False),
        "gateway_ip": Attribute(optional(address), ""),
        "allocation_pools": Attribute(optional(each(mapping)), None),
        "enable_dhcp": Attribute(boolean, True),
        "dns_nameservers": Attribute(nameservers, []),
        "host_routes": Attribute(routes(MAX_HOST_ROUTES), []),
        "ipv6_ra_mode": Attribute(optional(choice(*MODES)), None, put=False),
        "ipv6_address_mode": Attribute(optional(choice(*MODES)), None, put=False),
        "subnetpool_id": Attribute(optional(uuid), None, put=False),
        "use_default_subnetpool": Attribute(boolean, False, put=False),
        "prefixlen": Attribute(optional(integer(0, 128)), None, put=False),
        "service_types": Attribute(each(text()), []),
    }

    def creating(self, request: Request, row: Row) -> Row:
        """Fill in the block, the gateway and the pool; a network's subnets must not overlap."""
        network = self.network.networks.own(request, row["network_id"])
        row = self._with_block(request, row)
        block = ipaddress.ip_network(row["cidr"])
        if block.version != row["ip_version"]:
            raise _invalid(f"cidr '{block}' does not match the ip_version '{row['ip_version']}'")
        if block.num_addresses < 4 or block.prefixlen == 0:
            raise invalid("cidr", f"'{block}' is not a valid IP subnet: a block of at least 4 addresses is.")
        _check_modes(row, block)
        for other in self.table.where(network_id=network["id"]):
            if block.overlaps(ipaddress.ip_network(other["cidr"])):
                raise _invalid(
                    f"Requested subnet with cidr: {block} for network: {network['id']} overlaps with another subnet"
                )
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
                raise _bad("a subnetpool must be specified in the absence of a cidr")
            if length is not None:
                raise _bad("prefixlen can only be specified with a subnetpool")
            return row
        if row["cidr"] is not None and length is not None:
            raise _bad("cidr and prefixlen must not be supplied together")
        block = self.network.subnet_pools.allocate(request, pool, row["cidr"], length)
        return {**row, "subnetpool_id": pool["id"], "cidr": str(block)}

    def updating(self, request: Request, row: Row, changes: JSON) -> JSON:
        """The gateway and the pools must lie in the subnet; a gateway that a router has stays."""
        block = ipaddress.ip_network(row["cidr"])
        gateway = changes.get("gateway_ip", row["gateway_ip"])
        check_gateway(block, gateway)
        if gateway != row["gateway_ip"] and row["gateway_ip"] in self._routers_addresses(row):
            raise Fault(
                409,
                f"Current gateway ip {row['gateway_ip']} already in use by a router. Unable to update.",
                type="GatewayIpInUse",
            )
        pools = changes.get("allocation_pools") or row["allocation_pools"]
        if {"allocation_pools", "gateway_ip"} & set(changes):
            changes["allocation_pools"] = check_pools(block, gateway, pools)
        _check_versions(changes, block)
        return changes

    def _routers_addresses(self, row: Row) -> set[str]:
        ports = self.network.ports.table.where(device_owner="network:router_interface")
        return {ip["ip_address"] for port in ports for ip in port["fixed_ips"] if ip["subnet_id"] == row["id"]}

    def deleting(self, row: Row) -> None:
        """Only a subnet that no port has an address of."""
        if any(ip["subnet_id"] == row["id"] for port in self.network.ports.table for ip in port["fixed_ips"]):
            raise Fault(
                409,
                f"Unable to complete operation on subnet {row['id']}: One or more ports have an IP allocation from"
                " this subnet.",
                type="SubnetInUse",
            )

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


def _invalid(reason: str) -> Fault:
    return Fault(400, f"Invalid input for operation: {reason}.", type="InvalidInput")


def _bad(reason: str) -> Fault:
    return Fault(400, f"Bad subnets request: {reason}.", type="BadRequest")


def _check_modes(row: Row, block: Block) -> None:
    """Check what an IPv6 subnet says of its addresses. Raises a 400 `Fault`."""
    announced, mode = row["ipv6_ra_mode"], row["ipv6_address_mode"]
    if announced is None and mode is None:
        return
    if block.version == 4:
        raise _invalid("ipv6_ra_mode or ipv6_address_mode cannot be set when ip_version is not 6")
    if not row["enable_dhcp"]:
        raise _invalid("ipv6_ra_mode or ipv6_address_mode cannot be set when enable_dhcp is set to False")
    if announced and mode and announced != mode:
        raise _invalid(
            f"ipv6_ra_mode set to '{announced}' with ipv6_address_mode set to '{mode}' is not valid. "
            "If both attributes are set, they must be the same value"
        )
    if {announced, mode} & set(AUTOMATIC) and block.prefixlen != 64:
        raise _invalid(f"Invalid CIDR {block} for IPv6 address mode. The prefix must be /64")


def _check_versions(values: JSON, block: Block) -> None:
    """Check that nameservers and routes are of the subnet's IP version. Raises a 400 `Fault`."""
    found = [("nexthop", route["nexthop"]) for route in values.get("host_routes", ())]
    found += [("destination", route["destination"].split("/")[0]) for route in values.get("host_routes", ())]
    for name, found_address in found:
        if ipaddress.ip_address(found_address).version != block.version:
            raise _invalid(f"{name} '{found_address}' does not match the ip_version '{block.version}'")
