"""A server's ports: list, attach, detach; and the groups and floating IPs that Nova's own actions put on them.

Source: https://docs.openstack.org/api-ref/compute/#port-interfaces-servers-os-interface
"""

from __future__ import annotations

from typing import Any

from faafo_lab.cloud.emulator.common import schema
from faafo_lab.cloud.emulator.common.actions import action
from faafo_lab.cloud.emulator.common.schema import UUID
from faafo_lab.cloud.emulator.common.service import JSON, Answer, Fault, Request, now, route
from faafo_lab.cloud.emulator.common.store import Row
from faafo_lab.cloud.emulator.services.compute import forms, states, versions
from faafo_lab.cloud.emulator.services.compute.base import form, only
from faafo_lab.cloud.emulator.services.compute.rows import ServerRow
from faafo_lab.cloud.emulator.services.compute.servers import Part

FIXED_IP = only({"ip_address": {"type": "string", "pattern": r"^[0-9.]{7,15}$"}}, ["ip_address"])
ATTACH: JSON = {
    "net_id": {"type": "string", "pattern": UUID},
    "port_id": {"type": "string", "pattern": UUID},
    "fixed_ips": {"type": "array", "minItems": 1, "maxItems": 1, "items": FIXED_IP},
}
GROUP = only({"name": forms.TEXT}, ["name"])
FLOATING = only({"address": forms.IPV4, "fixed_address": forms.IPV4}, ["address"])


class Interfaces(Part):
    """A server's ports, with their security groups and floating IPs."""

    @route("GET", "/v2.1/servers/{id}/os-interface")
    def interfaces(self, request: Request, id: str) -> JSON:
        """A server's ports."""
        self._servers.find(request, id)
        return {"interfaceAttachments": [_view(request, port) for port in self._network.ports_of(id)]}

    @route("GET", "/v2.1/servers/{id}/os-interface/{port}")
    def interface(self, request: Request, id: str, port: str) -> JSON:
        """One of a server's ports."""
        self._servers.find(request, id)
        return {"interfaceAttachment": _view(request, self._port(id, port))}

    @route("POST", "/v2.1/servers/{id}/os-interface")
    def attach_interface(self, request: Request, id: str) -> JSON:
        """Give a server a port: one that is there, or a new one on a network."""
        row = self._servers.find(request, id)
        tag = {"tag": forms.TAG} if request.version in versions.ATTACHED_TAGS else {}
        wanted = request.parse(form("interfaceAttachment", only({**ATTACH, **tag})))["interfaceAttachment"]
        if "net_id" in wanted and "port_id" in wanted:
            raise Fault(400, "Must not input both network_id and port_id")
        if "fixed_ips" in wanted and "net_id" not in wanted:
            raise Fault(400, "Must input network_id when request IP address")
        states.ATTACH_PORT.check(row)
        names = {"port": "port_id", "uuid": "net_id", "tag": "tag"}
        asked = {theirs: wanted[ours] for theirs, ours in names.items() if ours in wanted}
        if "fixed_ips" in wanted:
            asked["fixed_ip"] = wanted["fixed_ips"][0]["ip_address"]
        networks = self._wanted.networks(request, {"networks": [asked] if asked else []}, 1)
        if not networks:
            raise Fault(400, "No network to attach to: the project has none with a subnet.")
        try:
            with self._network.store.transaction():
                port = self._life.connect(row, networks[0])
                brought = networks if "port" in networks[0] else []
                self._servers.table.update(id, networks=[*row["networks"], *brought], updated=now())
                self._life.history.done(request, id, states.ATTACH_PORT)
        except Fault as fault:
            raise Fault(403 if fault.type == "OverQuota" else 400, fault.message) from None
        return {"interfaceAttachment": _view(request, port)}

    @route("DELETE", "/v2.1/servers/{id}/os-interface/{port}")
    def detach_interface(self, request: Request, id: str, port: str) -> Answer:
        """Take a port off a server; one that was made for it goes, one that it was given stays."""
        row = self._servers.find(request, id)
        found = self._port(id, port)
        states.DETACH_PORT.check(row)
        with self._network.store.transaction():
            self._life.disconnect(row, found)
            kept = [each for each in row["networks"] if each.get("port") != port]
            self._servers.table.update(id, networks=kept, updated=now())
            self._life.history.done(request, id, states.DETACH_PORT)
        return Answer(202)

    def _port(self, server: str, id: str) -> Row:
        for row in self._network.ports_of(server):
            if row["id"] == id:
                return row
        raise Fault(404, f"Instance {server} does not have a port with id {id}")

    # Security groups

    def _named_group(self, request: Request, value: Any) -> Row:
        schema.check(value, GROUP)
        group = self._wanted.group(request.project, value["name"])
        if group is None:
            raise Fault(404, f"Security group {value['name']} not found for project {request.project}.")
        return group

    @action("addSecurityGroup")
    def add_group(self, request: Request, row: ServerRow, value: Any) -> None:
        """Put all its ports into a security group."""
        group = self._named_group(request, value)
        ports = self._network.ports
        with self._network.store.transaction():
            for port in self._network.ports_of(row["id"]):
                ports.touch(port["id"], security_groups=list(dict.fromkeys([*port["security_groups"], group["id"]])))

    @action("removeSecurityGroup")
    def remove_group(self, request: Request, row: ServerRow, value: Any) -> None:
        """Take all its ports out of a security group."""
        group = self._named_group(request, value)
        ports = self._network.ports
        mine = [port for port in self._network.ports_of(row["id"]) if group["id"] in port["security_groups"]]
        if not mine:
            raise Fault(409, f"Security group {group['id']} not associated with the instance {row['id']}")
        with self._network.store.transaction():
            for port in mine:
                ports.touch(port["id"], security_groups=[id for id in port["security_groups"] if id != group["id"]])

    # Floating IPs, until 2.43

    def _floating(self, request: Request, value: Any) -> Row:
        schema.check(value, FLOATING)
        table = self._network.floating_ips.table
        found = table.where(project_id=request.project, floating_ip_address=value["address"])
        if not found:
            raise Fault(404, "floating IP not found")
        return found[0]

    @action("addFloatingIp", versions=versions.FLOATING_ACTIONS)
    def add_floating_ip(self, request: Request, row: ServerRow, value: Any) -> None:
        """Put a floating IP on one of its addresses."""
        floating = self._floating(request, value)
        fixed = value.get("fixed_address")
        for port in self._network.ports_of(row["id"]):
            for ip in port["fixed_ips"]:
                if fixed in (None, ip["ip_address"]):
                    self._associate(request, floating, {"port_id": port["id"], "fixed_ip_address": ip["ip_address"]})
                    return
        if fixed is not None:
            raise Fault(400, "Specified fixed address not assigned to instance")
        raise Fault(400, "No fixed IPs associated to instance")

    @action("removeFloatingIp", versions=versions.FLOATING_ACTIONS)
    def remove_floating_ip(self, request: Request, row: ServerRow, value: Any) -> None:
        """Take a floating IP off."""
        floating = self._floating(request, value)
        if floating["port_id"] not in {port["id"] for port in self._network.ports_of(row["id"])}:
            raise Fault(
                409, f"Floating IP address {floating['floating_ip_address']} is not associated with the server."
            )
        self._associate(request, floating, {"port_id": None})

    def _associate(self, request: Request, floating: Row, changes: JSON) -> None:
        collection = self._network.floating_ips
        try:
            with self._network.store.transaction():
                collection.touch(floating["id"], **collection.updating(request, floating, changes))
        except Fault as fault:
            raise Fault(fault.status if fault.status in (403, 404) else 400, fault.message) from None


def _view(request: Request, port: Row) -> JSON:
    tag = {"tag": port.get("device_tag")} if request.version in versions.SHOWN_TAGS else {}
    return {
        **tag,
        "net_id": port["network_id"],
        "port_id": port["id"],
        "mac_addr": port["mac_address"],
        "port_state": port["status"],
        "fixed_ips": port["fixed_ips"],
    }
