"""A server's ports: list, attach, detach; and the floating IPs that Nova's old actions put on them.

Source: https://docs.openstack.org/api-ref/compute/#port-interfaces-servers-os-interface
"""

from __future__ import annotations

from typing import Any

from faafo_lab.cloud.emulator.common.schema import UUID
from faafo_lab.cloud.emulator.common.service import JSON, Answer, Fault, Request, now, route
from faafo_lab.cloud.emulator.common.store import Row
from faafo_lab.cloud.emulator.services.compute.actions import Actions, action

ATTACH: JSON = {
    "type": "object",
    "required": ["interfaceAttachment"],
    "additionalProperties": False,
    "properties": {
        "interfaceAttachment": {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                "net_id": {"type": "string", "pattern": UUID},
                "port_id": {"type": "string", "pattern": UUID},
                "fixed_ips": {
                    "type": "array",
                    "minItems": 1,
                    "maxItems": 1,
                    "items": {
                        "type": "object",
                        "required": ["ip_address"],
                        "additionalProperties": False,
                        "properties": {"ip_address": {"type": "string", "pattern": r"^[0-9.]{7,15}$"}},
                    },
                },
            },
        }
    },
}
STATES = ("active", "paused", "stopped")  # of servers whose ports may change


class Interfaces(Actions):
    """A server's ports, and its floating IPs."""

    @route("GET", "/v2.1/servers/{id}/os-interface")
    def interfaces(self, request: Request, id: str) -> JSON:
        """A server's ports."""
        self._find(request, id)
        return {"interfaceAttachments": [_view(port) for port in self.network.ports_of(id)]}

    @route("GET", "/v2.1/servers/{id}/os-interface/{port}")
    def interface(self, request: Request, id: str, port: str) -> JSON:
        """One of a server's ports."""
        self._find(request, id)
        return {"interfaceAttachment": _view(self._port(id, port))}

    @route("POST", "/v2.1/servers/{id}/os-interface")
    def attach_interface(self, request: Request, id: str) -> JSON:
        """Give a server a port: one that is there, or a new one on a network."""
        row = self._find(request, id)
        wanted = self.parse(request, ATTACH)["interfaceAttachment"]
        if "net_id" in wanted and "port_id" in wanted:
            raise Fault(400, "Must not input both network_id and port_id")
        if "fixed_ips" in wanted and "net_id" not in wanted:
            raise Fault(400, "Must input network_id when request IP address")
        self._in_state(row, "attach_interface", *STATES)
        if "port_id" in wanted:
            asked = {"port": wanted["port_id"]}
        elif "net_id" in wanted:
            asked = {"uuid": wanted["net_id"]}
            if "fixed_ips" in wanted:
                asked["fixed_ip"] = wanted["fixed_ips"][0]["ip_address"]
        else:
            asked = {}
        networks = self._wanted_networks(request, {"networks": [asked] if asked else []}, 1)
        if not networks:
            raise Fault(400, "No network to attach to: the project has none with a subnet.")
        try:
            with self.store.transaction():
                port = self.life.connect(row, networks[0])
                brought = networks if "port" in networks[0] else []
                self.servers.update(id, networks=[*row["networks"], *brought], updated=now())
                self.life.history.begin(request, id, "attach_interface")
        except Fault as fault:
            raise Fault(403 if fault.type == "OverQuota" else 400, fault.message) from None
        return {"interfaceAttachment": _view(port)}

    @route("DELETE", "/v2.1/servers/{id}/os-interface/{port}")
    def detach_interface(self, request: Request, id: str, port: str) -> Answer:
        """Take a port off a server; one that was made for it goes, one that it was given stays."""
        row = self._find(request, id)
        found = self._port(id, port)
        self._in_state(row, "detach_interface", *STATES)
        with self.store.transaction():
            self.life.disconnect(row, found)
            kept = [each for each in row["networks"] if each.get("port") != port]
            self.servers.update(id, networks=kept, updated=now())
            self.life.history.begin(request, id, "detach_interface")
        return Answer(202)

    def _port(self, server: str, id: str) -> Row:
        for row in self.network.ports_of(server):
            if row["id"] == id:
                return row
        raise Fault(404, f"Instance {server} does not have a port with id {id}")

    # Floating IPs, until 2.43

    def _floating(self, request: Request, value: Any) -> Row:
        address = value.get("address") if isinstance(value, dict) else None
        if not isinstance(address, str):
            raise Fault(400, "Invalid input for field/attribute address: an IPv4 address is required.")
        table = self.network.floating_ips.table
        found = table.where(project_id=request.project, floating_ip_address=address)
        if not found:
            raise Fault(404, "floating IP not found")
        return found[0]

    @action("addFloatingIp", until=43)
    def _add_floating_ip(self, request: Request, row: Row, value: Any) -> None:
        floating = self._floating(request, value)
        fixed = value.get("fixed_address")
        for port in self.network.ports_of(row["id"]):
            for ip in port["fixed_ips"]:
                if fixed in (None, ip["ip_address"]):
                    self._associate(request, floating, {"port_id": port["id"], "fixed_ip_address": ip["ip_address"]})
                    return
        if fixed is not None:
            raise Fault(400, "Specified fixed address not assigned to instance")
        raise Fault(400, "No fixed IPs associated to instance")

    @action("removeFloatingIp", until=43)
    def _remove_floating_ip(self, request: Request, row: Row, value: Any) -> None:
        floating = self._floating(request, value)
        if floating["port_id"] not in {port["id"] for port in self.network.ports_of(row["id"])}:
            raise Fault(
                409, f"Floating IP address {floating['floating_ip_address']} is not associated with the server."
            )
        self._associate(request, floating, {"port_id": None})

    def _associate(self, request: Request, floating: Row, changes: JSON) -> None:
        collection = self.network.floating_ips
        try:
            with self.store.transaction():
                collection.touch(floating["id"], **collection.updating(request, floating, changes))
        except Fault as fault:
            raise Fault(fault.status if fault.status in (403, 404) else 400, fault.message) from None


def _view(port: Row) -> JSON:
    return {
        "net_id": port["network_id"],
        "port_id": port["id"],
        "mac_addr": port["mac_address"],
        "port_state": port["status"],
        "fixed_ips": port["fixed_ips"],
    }
