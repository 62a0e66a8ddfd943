"""Nova's part in block storage: volumes attached to servers. `block_storage.mounts` says what an attachment is."""

from __future__ import annotations

from faafo_lab.cloud.emulator.common.schema import UUID
from faafo_lab.cloud.emulator.common.service import JSON, Answer, Fault, Request, route
from faafo_lab.cloud.emulator.common.store import Row
from faafo_lab.cloud.emulator.services.compute.actions import Actions

STATES = ("active", "paused", "suspended", "stopped", "resized", "shelved", "shelved_offloaded")
TAGS = (2, 49)  # the first version with a tag

ATTACH: JSON = {
    "volumeId": {"type": "string", "pattern": UUID},
    "device": {"type": ["string", "null"], "pattern": r"(^/dev/x{0,1}[a-z]{0,1}d{0,1})([a-z]+)[0-9]*$"},
}


class Attachments(Actions):
    """The operations on servers' volumes."""

    def _attachment_view(self, row: Row) -> JSON:
        attachment = row["attachment"]
        id, server, device = row["id"], attachment["server_id"], attachment["device"]
        return {"id": id, "volumeId": id, "serverId": server, "device": device}

    @route("GET", "/v2.1/servers/{id}/os-volume_attachments")
    def list_attachments(self, request: Request, id: str) -> JSON:
        """A server's volumes."""
        self._find(request, id)
        page, _ = self._page(self.volumes.mounts.of(id), request)
        return {"volumeAttachments": [self._attachment_view(row) for row in page]}

    @route("POST", "/v2.1/servers/{id}/os-volume_attachments")
    def attach(self, request: Request, id: str) -> JSON:
        """Attach a volume to a server. As with Nova's libvirt driver, it gets the next device, whatever it asks for."""
        server = self._find(request, id)
        self._unlocked(server)
        fields = dict(ATTACH)
        if request.version >= TAGS:
            fields["tag"] = {"type": "string", "minLength": 1, "maxLength": 60, "pattern": "^[^,/]*$"}
        one = {"type": "object", "required": ["volumeId"], "additionalProperties": False, "properties": fields}
        definition = {"type": "object", "required": ["volumeAttachment"], "properties": {"volumeAttachment": one}}
        wanted = self.parse(request, definition)["volumeAttachment"]
        volume = self.volumes.volume(request, wanted["volumeId"])
        self._in_state(server, "attach_volume", *STATES)
        if volume["status"] != "available":
            raise Fault(
                400,
                f"Invalid input received: Invalid volume: Volume {volume['id']} status must be available or "
                f"downloading to reserve, but the current status is {volume['status']}.",
            )
        row = self.volumes.mounts.attach(volume["id"], id, tag=wanted.get("tag"))
        return {"volumeAttachment": self._attachment_view(row)}

    def _attached(self, request: Request, id: str, volume: str) -> Row:
        self._find(request, id)
        for row in self.volumes.mounts.of(id):
            if row["id"] == volume:
                return row
        raise Fault(404, f"Instance {id} is not attached to volume {volume}")

    @route("GET", "/v2.1/servers/{id}/os-volume_attachments/{volume}")
    def show_attachment(self, request: Request, id: str, volume: str) -> JSON:
        """One of a server's volumes."""
        return {"volumeAttachment": self._attachment_view(self._attached(request, id, volume))}

    @route("PUT", "/v2.1/servers/{id}/os-volume_attachments/{volume}")
    def swap(self, request: Request, id: str, volume: str) -> JSON:
        """Put another volume in one's place, which only an administrator may."""
        self._attached(request, id, volume)
        raise Fault(403, "Policy doesn't allow os_compute_api:os-volumes-attachments:swap to be performed.")

    @route("DELETE", "/v2.1/servers/{id}/os-volume_attachments/{volume}")
    def detach(self, request: Request, id: str, volume: str) -> Answer:
        """Detach a volume from a server."""
        row = self._attached(request, id, volume)
        server = self._find(request, id)
        self._unlocked(server)
        self._in_state(server, "detach_volume", *STATES)
        self.volumes.mounts.detach(row["id"])
        return Answer(202)
