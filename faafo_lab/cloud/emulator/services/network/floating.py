"""Floating IPs: addresses of the external network that a project may put on its instances.

Source: https://docs.openstack.org/api-ref/network/v2/#floating-ips-floatingips
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import ClassVar

from faafo_lab.cloud.emulator.common.service import JSON, Request
from faafo_lab.cloud.emulator.common.store import Row
from faafo_lab.cloud.emulator.services.network import checks
from faafo_lab.cloud.emulator.services.network.base import Collection
from faafo_lab.cloud.emulator.services.network.checks import Attribute
from faafo_lab.cloud.emulator.services.network.words import refused

_OFF: JSON = {"port_id": None, "fixed_ip_address": None, "router_id": None, "status": "DOWN"}
_PORT_DETAILS = ("name", "network_id", "mac_address", "admin_state_up", "status", "device_id", "device_owner")


class FloatingIps(Collection):
    """Floating IPs."""

    name, plural, title = "floatingip", "floatingips", "FloatingIP"
    addressed = ("floating_ip_address", "fixed_ip_address")
    also = ("status", "router_id")
    passing = frozenset(("subnet_id",))
    attributes: ClassVar[Mapping[str, Attribute]] = {
        "floating_network_id": Attribute(checks.uuid, put=False),
        "floating_ip_address": Attribute(checks.optional(checks.address), None, put=False),
        "subnet_id": Attribute(checks.optional(checks.uuid), None, put=False),
        "port_id": Attribute(checks.optional(checks.uuid), None),
        "fixed_ip_address": Attribute(checks.optional(checks.address), None),
        "description": Attribute(checks.text(), ""),
    }

    def of_port(self, port: str) -> list[Row]:
        """The floating IPs of a port."""
        return self.table.where(port_id=port)

    def listed_by_nova(self, port: str) -> list[Row]:
        """Those of a port that Nova knows of by now: its cache is renewed some seconds after a change."""
        latest = datetime.now(UTC) - timedelta(seconds=self.network.site.address_lag_seconds)
        return [row for row in self.of_port(port) if datetime.fromisoformat(row["updated_at"]) <= latest]

    def addresses(self) -> set[str]:
        """All floating IPs."""
        return {row["floating_ip_address"] for row in self.table}

    def creating(self, request: Request, row: Row) -> Row:
        """Take the address asked for, or the first free one."""
        network = self.network.networks.find(request, row["floating_network_id"])
        if not network["router:external"]:
            raise refused("BadRequest", "floatingip", f"Network {network['id']} is not a valid external network")
        free = self.network.subnets.free(self.network.subnets.table.where(network_id=network["id"])[0])
        wanted = row["floating_ip_address"]
        if wanted is not None and wanted not in free:
            raise refused("IpAddressInUse", network["id"], wanted)
        found = wanted or next(free, None)
        if found is None:
            raise refused("IpAddressGenerationFailure", network["id"])
        row = {**row, "floating_ip_address": found, "router_id": None, "status": "DOWN"}
        return {**row, **self._association(request, row, row)} if row["port_id"] else row

    def updating(self, request: Request, row: Row, changes: JSON) -> JSON:
        """Put it on a port, or, with port_id null, take it off."""
        if "port_id" not in changes and "fixed_ip_address" not in changes:
            return changes
        port = changes.get("port_id", row["port_id"])
        return {**changes, **(_OFF if port is None else self._association(request, row, {**changes, "port_id": port}))}

    def _association(self, request: Request, row: Row, values: JSON) -> JSON:
        """The fields of a floating IP that is on a port. Raises a `Fault`."""
        port, external = self.network.ports.own(request, values["port_id"]), row["floating_network_id"]
        if not port["fixed_ips"]:
            raise refused("BadRequest", "floatingip", f"Port {port['id']} does not have fixed IP addresses")
        fixed = values.get("fixed_ip_address") or port["fixed_ips"][0]["ip_address"]
        subnet = next((ip["subnet_id"] for ip in port["fixed_ips"] if ip["ip_address"] == fixed), None)
        if subnet is None:
            raise refused("BadRequest", "floatingip", f"Port {port['id']} does not have fixed ip {fixed}")
        if any(other["id"] != row["id"] for other in self.table.where(port_id=port["id"], fixed_ip_address=fixed)):
            own = row["floating_ip_address"], row["id"]
            raise refused("FloatingIPPortAlreadyAssociated", *own, port["id"], fixed, external)
        router = self._router(subnet, external)
        if router is None:
            raise refused("ExternalGatewayForFloatingIPNotFound", external, subnet, port["id"])
        return {"port_id": port["id"], "fixed_ip_address": fixed, "router_id": router["id"], "status": "ACTIVE"}

    def _router(self, subnet: str, external: str) -> Row | None:
        """The router between a subnet and the external network."""
        for port in self.network.ports.table.where(device_owner="network:router_interface"):
            if any(ip["subnet_id"] == subnet for ip in port["fixed_ips"]):
                router = self.network.routers.table[port["device_id"]]
                if (router["external_gateway_info"] or {}).get("network_id") == external:
                    return router
        return None

    def release(self, port: str) -> None:
        """Take those of a port off it."""
        for row in self.of_port(port):
            self.touch(row["id"], **_OFF)

    def view(self, row: Row) -> JSON:
        """With a few words about its port."""
        port = self.network.ports.table.get(row["port_id"])
        return {**row, "port_details": {name: port[name] for name in _PORT_DETAILS} if port else None}
