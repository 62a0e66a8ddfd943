"""Floating IPs: addresses of the external network that a project may put on its instances.

Source: https://docs.openstack.org/api-ref/network/v2/#floating-ips-floatingips
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import ClassVar

from faafo_lab.cloud.emulator.common.service import JSON, Fault, Request
from faafo_lab.cloud.emulator.common.store import Row
from faafo_lab.cloud.emulator.services.network.attributes import Attribute, address, optional, text, uuid
from faafo_lab.cloud.emulator.services.network.base import Collection


class FloatingIps(Collection):
    """Floating IPs."""

    name, plural, title = "floatingip", "floatingips", "FloatingIP"
    addressed = ("floating_ip_address", "fixed_ip_address")
    attributes: ClassVar[Mapping[str, Attribute]] = {
        "floating_network_id": Attribute(uuid, put=False),
        "floating_ip_address": Attribute(optional(address), None, put=False),
        "subnet_id": Attribute(optional(uuid), None, put=False),
        "port_id": Attribute(optional(uuid), None),
        "fixed_ip_address": Attribute(optional(address), None),
        "description": Attribute(text(), ""),
    }

    def missing(self, id: str) -> Fault:
        """The answer for an id that is not there."""
        return Fault(404, f"Floating IP {id} could not be found", type="FloatingIPNotFound")

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
            raise Fault(
                400,
                f"Bad floatingip request: Network {network['id']} is not a valid external network.",
                type="BadRequest",
            )
        subnet = self.network.subnets.table.where(network_id=network["id"])[0]
        row.pop("subnet_id")
        free = self.network.subnets.free(subnet)
        wanted = row["floating_ip_address"]
        if wanted is not None and wanted not in free:
            raise Fault(
                409,
                f"Unable to complete operation for network {network['id']}. The IP address {wanted} is in use"
                " or not in its allocation pool.",
                type="IpAddressInUse",
            )
        found = wanted or next(free, None)
        if found is None:
            raise Fault(
                409,
                f"No more IP addresses available on network {network['id']}.",
                type="IpAddressGenerationFailure",
            )
        row = {**row, "floating_ip_address": found, "router_id": None, "status": "DOWN"}
        return {**row, **self._association(request, row, row)} if row["port_id"] else row

    def updating(self, request: Request, row: Row, changes: JSON) -> JSON:
        """Put it on a port, or, with port_id null, take it off."""
        if "port_id" not in changes and "fixed_ip_address" not in changes:
            return changes
        port = changes.get("port_id", row["port_id"])
        if port is None:
            return {**changes, "port_id": None, "fixed_ip_address": None, "router_id": None, "status": "DOWN"}
        return {**changes, **self._association(request, row, {**changes, "port_id": port})}

    def _association(self, request: Request, row: Row, values: JSON) -> JSON:
        """The fields of a floating IP that is on a port. Raises a `Fault`."""
        port = self.network.ports.own(request, values["port_id"])
        if not port["fixed_ips"]:
            raise Fault(
                400,
                f"Bad floatingip request: Port {port['id']} does not have fixed IP addresses.",
                type="BadRequest",
            )
        fixed = values.get("fixed_ip_address") or port["fixed_ips"][0]["ip_address"]
        subnet = next((ip["subnet_id"] for ip in port["fixed_ips"] if ip["ip_address"] == fixed), None)
        if subnet is None:
            raise Fault(
                400,
                f"Bad floatingip request: Port {port['id']} does not have fixed ip {fixed}.",
                type="BadRequest",
            )
        for other in self.of_port(port["id"]):
            if other["id"] != row["id"] and other["fixed_ip_address"] == fixed:
                raise Fault(
                    409,
                    f"Cannot associate floating IP {row['floating_ip_address']} ({row['id']}) with port {port['id']}"
                    f" using fixed IP {fixed}, as that fixed IP already has a floating IP on external network"
                    f" {row['floating_network_id']}.",
                    type="FloatingIPPortAlreadyAssociated",
                )
        router = self._router(subnet, row["floating_network_id"])
        if router is None:
            raise Fault(
                404,
                f"External network {row['floating_network_id']} is not reachable from subnet {subnet}. "
                f" Therefore, cannot associate Port {port['id']} with a Floating IP.",
                type="ExternalGatewayForFloatingIPNotFound",
            )
        return {"port_id": port["id"], "fixed_ip_address": fixed, "router_id": router["id"], "status": "ACTIVE"}

    def _router(self, subnet: str, external: str) -> Row | None:
        """The router between a subnet and the external network."""
        for port in self.network.ports.table.where(device_owner="network:router_interface"):
            if any(ip["subnet_id"] == subnet for ip in port["fixed_ips"]):
                router = self.network.routers.table[port["device_id"]]
                if (router["external_gateway_info"] or {}).get("network_id") == external:
                    return router
        return None

    def disassociate(self, row: Row) -> Row:
        """Take it off its port."""
        return self.touch(row["id"], port_id=None, fixed_ip_address=None, router_id=None, status="DOWN")

    def view(self, row: Row) -> JSON:
        """With a few words about its port."""
        port = self.network.ports.table.get(row["port_id"])
        names = (
            "name",
            "network_id",
            "mac_address",
            "admin_state_up",
            "status",
            "device_id",
            "device_owner",
        )
        return {**row, "port_details": {name: port[name] for name in names} if port else None}
