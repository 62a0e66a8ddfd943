"""Nova's part in block storage: volumes attached to servers. `block_storage.mounts` says what an attachment is."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from faafo_lab.cloud.emulator.common.schema import UUID
from faafo_lab.cloud.emulator.common.service import JSON, Answer, Fault, Request, route
from faafo_lab.cloud.emulator.services.block_storage.mounts import ROOT
from faafo_lab.cloud.emulator.services.block_storage.rows import VolumeRow
from faafo_lab.cloud.emulator.services.compute import forms, states, versions
from faafo_lab.cloud.emulator.services.compute.base import denied, form, is_true, only
from faafo_lab.cloud.emulator.services.compute.servers import Part

ATTACH: JSON = {
    "volumeId": {"type": "string", "pattern": UUID},
    "device": {"type": ["string", "null"], "pattern": r"(^/dev/x{0,1}[a-z]{0,1}d{0,1})([a-z]+)[0-9]*$"},
}
DELETE: JSON = {"type": ["boolean", "string"], "pattern": "^(?i:1|0|true|false|on|off|yes|no)$"}
CHANGE = {"id": ATTACH["volumeId"], "serverId": ATTACH["volumeId"], "tag": forms.TAG, "delete_on_termination": DELETE}


class Attachments(Part):
    """The operations on servers' volumes."""

    @route("GET", "/v2.1/servers/{id}/os-volume_attachments")
    def list_attachments(self, request: Request, id: str) -> JSON:
        """A server's volumes."""
        self._servers.find(request, id)
        page, _ = self._links.page(request, self._volumes.mounts.of(id), lambda row: row["id"], "")
        return {"volumeAttachments": [self._view(request, row) for row in page]}

    def _view(self, request: Request, row: VolumeRow) -> JSON:
        """A server's volume, with what later microversions show of it."""
        attachment, version = row["attachment"], request.version
        view = attachment_view(row["id"], attachment)
        assert attachment is not None
        assert attachment["server_id"] is not None
        assert attachment["device"] is not None
        if version in versions.SHOWN_TAGS:
            view["tag"] = row["tag"]
        if version in versions.ATTACHED_DELETE:
            kept = self._servers.table[attachment["server_id"]].get("volumes", [])
            view["delete_on_termination"] = any(each["delete"] for each in kept if each["id"] == row["id"])
        if version in versions.ATTACHMENT_IDS and request.method == "GET":
            mapping = uuid.uuid5(uuid.UUID(attachment["attachment_id"]), attachment["device"])
            view |= {"attachment_id": attachment["attachment_id"], "bdm_uuid": str(mapping)}
            del view["id"]
        return view

    def _remember(self, server: str, row: VolumeRow, delete: bool) -> None:
        """Whether a volume goes with its server."""
        volumes = self._servers.table[server].get("volumes", [])
        root = row["attachment"] is not None and row["attachment"]["device"] == ROOT
        mine = {"id": row["id"], "root": root, "delete": delete, "tag": row["tag"]}
        self._servers.table.update(server, volumes=[*(each for each in volumes if each["id"] != row["id"]), mine])

    @route("POST", "/v2.1/servers/{id}/os-volume_attachments")
    def attach(self, request: Request, id: str) -> JSON:
        """Attach a volume to a server. As with Nova's libvirt driver, it gets the next device, whatever it asks for."""
        server = self._servers.find_unlocked(request, id)
        fields = {**ATTACH, **({"tag": forms.TAG} if request.version in versions.ATTACHED_TAGS else {})}
        fields |= {"delete_on_termination": DELETE} if request.version in versions.ATTACHED_DELETE else {}
        wanted = request.parse(form("volumeAttachment", only(fields, ["volumeId"])))["volumeAttachment"]
        volume = self._volumes.volume(request, wanted["volumeId"])
        states.ATTACH_VOLUME.check(server)
        if volume["status"] != "available":
            raise Fault(
                400,
                f"Invalid input received: Invalid volume: Volume {volume['id']} status must be available or "
                f"downloading to reserve, but the current status is {volume['status']}.",
            )
        row = self._volumes.mounts.attach(volume["id"], id, tag=wanted.get("tag"))
        if "delete_on_termination" in wanted:
            self._remember(id, row, is_true(wanted["delete_on_termination"]))
        self._life.history.done(request, id, states.ATTACH_VOLUME)
        return {"volumeAttachment": self._view(request, row)}

    def _attached(self, request: Request, id: str, volume: str) -> VolumeRow:
        self._servers.find(request, id)
        for row in self._volumes.mounts.of(id):
            if row["id"] == volume:
                return row
        raise Fault(404, f"Instance {id} is not attached to volume {volume}")

    @route("GET", "/v2.1/servers/{id}/os-volume_attachments/{volume}")
    def show_attachment(self, request: Request, id: str, volume: str) -> JSON:
        """One of a server's volumes."""
        return {"volumeAttachment": self._view(request, self._attached(request, id, volume))}

    @route("PUT", "/v2.1/servers/{id}/os-volume_attachments/{volume}")
    def change_attachment(self, request: Request, id: str, volume: str) -> Answer:
        """Since 2.85, say whether a volume goes with its server; put another in its place only Cinder may."""
        row = self._attached(request, id, volume)
        change = request.version in versions.CHANGED_DELETE
        fields = {**ATTACH, **(CHANGE if change else {})}
        wanted = request.parse(form("volumeAttachment", only(fields, ["volumeId"])))["volumeAttachment"]
        if not change or wanted["volumeId"] != volume:
            raise denied("os_compute_api:os-volumes-attachments:swap")
        is_now = {**attachment_view(volume, row["attachment"]), "tag": row["tag"]}
        for name in ("id", "serverId", "device", "tag"):
            if name in wanted and wanted[name] != is_now[name]:
                raise Fault(400, f"The {name} property is not mutable")
        if "delete_on_termination" in wanted:
            self._remember(id, row, is_true(wanted["delete_on_termination"]))
        return Answer(202)

    @route("DELETE", "/v2.1/servers/{id}/os-volume_attachments/{volume}")
    def detach(self, request: Request, id: str, volume: str) -> Answer:
        """Detach a volume from a server."""
        row, server = self._attached(request, id, volume), self._servers.find(request, id)
        states.DETACH_VOLUME.check(server)
        if row["attachment"] and row["attachment"]["device"] == ROOT:
            raise Fault(400, "Cannot detach a root device volume")
        left = [each for each in server.get("volumes", []) if each["id"] != volume]
        self._servers.table.update(id, volumes=left)
        self._volumes.mounts.detach(row["id"])
        self._life.history.done(request, id, states.DETACH_VOLUME)
        return Answer(202)


def attachment_view(volume: str, attachment: Mapping[str, Any] | None) -> JSON:
    """An attachment, as Nova shows it."""
    assert attachment is not None
    return {"id": volume, "volumeId": volume, "serverId": attachment["server_id"], "device": attachment["device"]}
