"""Networks and their subnets."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from faafo_lab.cloud.emulator.resources import (
    Attribute,
    Collection,
    address,
    boolean,
    choice,
    cidr,
    each,
    integer,
    invalid,
    mapping,
    optional,
    text,
    uuid,
)
from faafo_lab.cloud.emulator.service import JSON, Fault, Request
from faafo_lab.cloud.emulator.store import Row

MTU = 1450


class Networks(Collection):
    """Networks: who may see them, and what they are made of."""

    name, plural, title = "network", "networks", "Network"
    attributes: ClassVar[Mapping[str, Attribute]] = {
        "name": Attribute(text(), ""),
        "description": Attribute(text(), ""),
        "admin_state_up": Attribute(boolean, True),
        "port_security_enabled": Attribute(boolean, True),
        "mtu": Attribute(integer(68, 65535), MTU),
        "shared": Attribute(boolean, False),
        "router:external": Attribute(boolean, False),
        "availability_zone_hints": Attribute(each(text()), [], put=False),
    }

    def visible(self, row: Row, project: str) -> bool:
        """Its owner's, and everybody's where it is external."""
        return bool(row["project_id"] == project or row["router:external"])

    def _admin_only(self, values: JSON) -> None:
        for name in ("shared", "router:external"):
            if values.get(name):
                raise Fault(403, f"rule:create_network:{name} is disallowed by policy", type="PolicyNotAuthorized")

    def creating(self, request: Request, row: Row) -> Row:
        """Shared and external networks are an administrator's."""
        self._admin_only(row)
        return {**row, "status": "ACTIVE"}

    def updating(self, request: Request, row: Row, changes: JSON) -> JSON:
        """Shared and external networks are an administrator's."""
        self._admin_only(changes)
        return changes

    def deleting(self, row: Row) -> None:
        """Only a network without ports; its subnets go with it."""
        if self.network.ports.table.where(network_id=row["id"]):
            raise Fault(
                409,
                f"Unable to complete operation on network {row['id']}. "
                "There are one or more ports still in use on the network.",
                type="NetworkInUse",
            )
        for subnet in self.network.subnets.table.where(network_id=row["id"]):
            self.network.subnets.table.delete(subnet["id"])

    def view(self, row: Row) -> JSON:
        """With the ids of its subnets."""
        subnets = sorted(subnet["id"] for subnet in self.network.subnets.table.where(network_id=row["id"]))
        return {
            **row,
            "subnets": subnets,
            "availability_zones": ["nova"],
            "ipv4_address_scope": None,
            "ipv6_address_scope": None,
        }


class Subnets(Collection):
    """Subnets: addresses of a network."""

    name, plural, title = "subnet", "subnets", "Subnet"
    attributes: ClassVar[Mapping[str, Attribute]] = {
        "name": Attribute(text(), ""),
        "description": Attribute(text(), ""),
        "network_id": Attribute(uuid, put=False),
        "ip_version": Attribute(choice(4), put=False),
        "cidr": Attribute(cidr, put=False),
        "gateway_ip": Attribute(optional(address), ""),
        "allocation_pools": Attribute(optional(each(mapping)), None),
        "enable_dhcp": Attribute(boolean, True),
        "dns_nameservers": Attribute(optional(each(text())), []),
        "host_routes": Attribute(optional(each(mapping)), []),
        "ipv6_ra_mode": Attribute(optional(text()), None, put=False),
        "ipv6_address_mode": Attribute(optional(text()), None, put=False),
        "subnetpool_id": Attribute(optional(uuid), None, put=False),
        "service_types": Attribute(each(text()), []),
    }

    def creating(self, request: Request, row: Row) -> Row:
        """Fill in the gateway and the pool; a network's subnets must not overlap."""
        network = self.network.networks.own(request, row["network_id"])
        block = ipaddress.ip_network(row["cidr"])
        if block.version != 4 or block.num_addresses < 4:
            raise invalid("cidr", f"'{block}' is not a valid IP subnet: an IPv4 block of at least 4 addresses is.")
        for other in self.table.where(network_id=network["id"]):
            if block.overlaps(ipaddress.ip_network(other["cidr"])):
                raise Fault(
                    400,
                    f"Invalid input for operation: Requested subnet with cidr: {block} for network: "
                    f"{network['id']} overlaps with another subnet.",
                    type="InvalidInput",
                )
        gateway = str(block[1]) if row["gateway_ip"] == "" else row["gateway_ip"]
        if gateway is not None and ipaddress.ip_address(gateway) not in block:
            raise Fault(
                400, f"Invalid input for operation: Gateway is not valid on subnet {block}.", type="InvalidInput"
            )
        pools = self._pools(block, gateway, row["allocation_pools"])
        return {
            **row,
            "gateway_ip": gateway,
            "allocation_pools": pools,
            "dns_nameservers": row["dns_nameservers"] or [],
            "host_routes": row["host_routes"] or [],
        }

    def _pools(self, block: Any, gateway: str | None, pools: list[JSON] | None) -> list[JSON]:
        """The pools asked for, checked; or all the addresses but the first, the last and the gateway."""
        if pools is not None:
            for pool in pools:
                try:
                    start, end = ipaddress.ip_address(pool["start"]), ipaddress.ip_address(pool["end"])
                    fits = start in block and end in block and int(start) <= int(end)
                except (KeyError, ValueError, TypeError):
                    fits = False
                if not fits:
                    raise Fault(
                        400, f"The allocation pool {pool} is not valid on subnet {block}.", type="InvalidAllocationPool"
                    )
            return [{"start": pool["start"], "end": pool["end"]} for pool in pools]
        first, last = int(block[1]), int(block[-2])
        middle = int(ipaddress.ip_address(gateway)) if gateway else 0
        ranges = [(first, last)] if not first <= middle <= last else [(first, middle - 1), (middle + 1, last)]
        return [
            {"start": str(ipaddress.ip_address(a)), "end": str(ipaddress.ip_address(b))} for a, b in ranges if a <= b
        ]

    def updating(self, request: Request, row: Row, changes: JSON) -> JSON:
        """The gateway and the pools must lie in the subnet."""
        block = ipaddress.ip_network(row["cidr"])
        if changes.get("gateway_ip") and ipaddress.ip_address(changes["gateway_ip"]) not in block:
            raise Fault(
                400, f"Invalid input for operation: Gateway is not valid on subnet {block}.", type="InvalidInput"
            )
        if "allocation_pools" in changes:
            changes["allocation_pools"] = self._pools(block, row["gateway_ip"], changes["allocation_pools"] or [])
        for name in ("dns_nameservers", "host_routes"):
            if name in changes:
                changes[name] = changes[name] or []
        return changes

    def deleting(self, row: Row) -> None:
        """Only a subnet that no port has an address of."""
        if any(ip["subnet_id"] == row["id"] for port in self.network.ports.table for ip in port["fixed_ips"]):
            raise Fault(
                409,
                f"Unable to complete operation on subnet {row['id']}: One or more ports have an IP allocation from"
                " this subnet.",
                type="SubnetInUse",
            )

    def free(self, subnet: Row) -> Iterator[str]:
        """The addresses of the subnet that nobody has, lowest first."""
        taken = self.network.taken()
        for pool in subnet["allocation_pools"]:
            start, end = int(ipaddress.ip_address(pool["start"])), int(ipaddress.ip_address(pool["end"]))
            for number in range(start, end + 1):
                candidate = str(ipaddress.ip_address(number))
                if candidate not in taken:
                    yield candidate
