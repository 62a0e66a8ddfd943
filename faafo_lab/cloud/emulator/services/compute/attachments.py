"""Nova's part in block storage: volumes attached to servers. `block_storage.mounts` says what an attachment is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from faafo_lab.cloud.emulator.common.schema import UUID
from faafo_lab.cloud.emulator.common.service import JSON, Answer, Fault, Request, route
from faafo_lab.cloud.emulator.services.block_storage.mounts import ROOT
from faafo_lab.cloud.emulator.services.block_storage.rows import VolumeRow
from faafo_lab.cloud.emulator.services.compute import states, versions
from faafo_lab.cloud.emulator.services.compute.base import form, only
from faafo_lab.cloud.emulator.services.compute.servers import Part
from faafo_lab.cloud.emulator.services.compute.wanted import TAG

ATTACH: JSON = {
    "volumeId": {"type": "string", "pattern": UUID},
    "device": {"type": ["string", "null"], "pattern": r"(^/dev/x{0,1}[a-z]{0,1}d{0,1})([a-z]+)[0-9]*$"},
}


class Attachments(Part):
    """The operations on servers' volumes."""

    @route("GET", "/v2.1/servers/{id}/os-volume_attachments")
    def list_attachments(self, request: Request, id: str) -> JSON:
        """A server's volumes."""
        self._servers.find(request, id)
        page, _ = self._links.page(request, self._volumes.mounts.of(id), lambda row: row["id"], "")
        return {"volumeAttachments": [attachment_view(row["id"], row["attachment"]) for row in page]}

    @route("POST", "/v2.1/servers/{id}/os-volume_attachments")
    def attach(self, request: Request, id: str) -> JSON:
        """Attach a volume to a server. As with Nova's libvirt driver, it gets the next device, whatever it asks for."""
        server = self._servers.find_unlocked(request, id)
        fields = {**ATTACH, "tag": TAG} if request.version in versions.VOLUME_TAGS else ATTACH
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
        self._life.history.done(request, id, states.ATTACH_VOLUME)
        return {"volumeAttachment": attachment_view(row["id"], row["attachment"])}

    def _attached(self, request: Request, id: str, volume: str) -> VolumeRow:
        self._servers.find(request, id)
        for row in self._volumes.mounts.of(id):
            if row["id"] == volume:
                return row
        raise Fault(404, f"Instance {id} is not attached to volume {volume}")

    @route("GET", "/v2.1/servers/{id}/os-volume_attachments/{volume}")
    def show_attachment(self, request: Request, id: str, volume: str) -> JSON:
        """One of a server's volumes."""
        return {"volumeAttachment": attachment_view(volume, self._attached(request, id, volume)["attachment"])}

    @route("PUT", "/v2.1/servers/{id}/os-volume_attachments/{volume}")
    def swap(self, request: Request, id: str, volume: str) -> JSON:
        """Put another volume in one's place, which only an administrator may."""
        self._attached(request, id, volume)
        raise Fault(403, "Policy doesn't allow os_compute_api:os-volumes-attachments:swap to be performed.")

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
