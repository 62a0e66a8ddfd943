"""Networks: who may see them, and what they are made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from faafo_lab.cloud.emulator.common.service import JSON, Fault, Request
from faafo_lab.cloud.emulator.common.store import Row
from faafo_lab.cloud.emulator.services.network.attributes import Attribute, boolean, each, integer, text
from faafo_lab.cloud.emulator.services.network.base import Collection

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
