"""Networks: who may see them, and what they are made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from faafo_lab.cloud.emulator.common.service import JSON, Request
from faafo_lab.cloud.emulator.common.store import Row
from faafo_lab.cloud.emulator.services.network import checks
from faafo_lab.cloud.emulator.services.network.base import Collection
from faafo_lab.cloud.emulator.services.network.checks import NAMED, Attribute
from faafo_lab.cloud.emulator.services.network.words import refused

MTU = 1450


class Networks(Collection):
    """Networks: who may see them, and what they are made of."""

    name, plural, title = "network", "networks", "Network"
    also = ("status", "is_default", "provider:network_type", "provider:physical_network", "provider:segmentation_id")
    attributes: ClassVar[Mapping[str, Attribute]] = {
        **NAMED,
        "admin_state_up": Attribute(checks.boolean, True),
        "port_security_enabled": Attribute(checks.boolean, True),
        "mtu": Attribute(checks.integer(68, 65535), MTU),
        "shared": Attribute(checks.boolean, False, operators=True),
        "router:external": Attribute(checks.boolean, False, operators=True),
        "availability_zone_hints": Attribute(checks.each(checks.text()), [], put=False),
    }

    def visible(self, row: Row, project: str) -> bool:
        """Everybody's, too, where it is external."""
        return super().visible(row, project) or bool(row["router:external"])

    def creating(self, request: Request, row: Row) -> Row:
        """It is there at once."""
        return {**row, "status": "ACTIVE"}

    def deleting(self, row: Row) -> None:
        """Only a network without ports; its subnets go with it."""
        if self.network.ports.table.where(network_id=row["id"]):
            raise refused("NetworkInUse", row["id"])
        for subnet in self.network.subnets.table.where(network_id=row["id"]):
            self.network.subnets.table.delete(subnet["id"])

    def view(self, row: Row) -> JSON:
        """With the ids of its subnets, and the address scopes of the pools that they are from."""
        subnets = self.network.subnets.table.where(network_id=row["id"])
        pools = [self.network.subnet_pools.table.get(subnet["subnetpool_id"]) for subnet in subnets]
        scopes = {pool["ip_version"]: pool["address_scope_id"] for pool in pools if pool is not None}
        return {
            **row,
            "subnets": sorted(subnet["id"] for subnet in subnets),
            "availability_zones": ["nova"],
            "ipv4_address_scope": scopes.get(4),
            "ipv6_address_scope": scopes.get(6),
        }
