"""Attachments as Cinder's own API has them: a volume is reserved, connected, and noted as in use.

Nova attaches volumes by itself (see `mounts`), and its attachments are listed, too. Those that are made here are only
notes, as in Cinder: they bring a volume to no server.

    reserved ──► attaching ──► attached       what the volume is: reserved, attaching, in-use

Source: https://docs.openstack.org/api-ref/block-storage/v3/#attachments-attachments
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from faafo_lab.cloud.emulator.common.actions import asked
from faafo_lab.cloud.emulator.common.schema import UUID
from faafo_lab.cloud.emulator.common.service import JSON, Answer, Fault, Request, Versions, new_id, route
from faafo_lab.cloud.emulator.common.store import Row
from faafo_lab.cloud.emulator.services.block_storage import versions
from faafo_lab.cloud.emulator.services.block_storage.base import AllVolumes, Collection, form, moment
from faafo_lab.cloud.emulator.services.block_storage.rows import Attachment, VolumeRow
from faafo_lab.cloud.emulator.services.block_storage.stock import Part, Stock
from faafo_lab.cloud.emulator.services.block_storage.words import check_available, check_own, invalid
from faafo_lab.cloud.emulator.site import Site

_ID: JSON = {"type": "string", "pattern": UUID}
CREATE: JSON = {
    "volume_uuid": _ID,
    "instance_uuid": {**_ID, "type": ["string", "null"]},
    "connector": {"type": ["object", "null"]},
}
MODE: JSON = {"type": "string", "enum": ["rw", "ro"]}
UPDATE = form("attachment", {"connector": {"type": "object", "minProperties": 1}}, "connector", strict=True)


class AllAttachments(Collection[Row]):
    """The attachments of all volumes."""

    plural, kind = "attachments", "volume"
    paths: ClassVar[Mapping[str, Versions]] = {"attachments": versions.ATTACHMENTS}
    filters: ClassVar[Mapping[str, Versions]] = dict.fromkeys(
        ("volume_id", "status", "instance_id", "attach_status"), versions.ATTACHMENTS
    )

    def __init__(self, site: Site, volumes: AllVolumes) -> None:
        super().__init__(site)
        self._volumes = volumes

    def rows(self, project: str) -> list[Row]:
        """All of a project's."""
        return [self._row(row, attachment) for row in self._volumes.rows(project) if (attachment := row["attachment"])]

    def _row(self, volume: VolumeRow, attachment: Attachment) -> Row:
        status = attachment.get("status", "attached")
        return {
            "id": attachment["attachment_id"],
            "project_id": volume["project_id"],
            "volume_id": volume["id"],
            "instance_id": attachment["server_id"],
            "status": status,
            "attach_status": status,
            "attach_mode": attachment.get("mode", "rw"),
            "created_at": attachment["attached_at"],
        }

    def find(self, request: Request, id: str | None) -> Row:
        """The project's own. Raises a 404 `Fault`."""
        for row in self.rows(request.project):
            if row["id"] == id:
                return row
        raise Fault(404, f"Volume attachment could not be found with filter: attachment_id = {id}.")

    def brief(self, request: Request, row: Row) -> JSON:
        """An attachment in a list without details."""
        return {**{name: row[name] for name in ("id", "status", "volume_id")}, "instance": row["instance_id"]}

    def view(self, request: Request, row: Row, *, whole: bool = False) -> JSON:
        """An attachment as Cinder shows it."""
        place = {
            "driver_volume_type": "local",
            "device_path": str(self._volumes.place(row["volume_id"])),
            "access_mode": row["attach_mode"],
            "attachment_id": row["id"],
            "encrypted": False,
        }
        return {
            **self.brief(request, row),
            "attached_at": row["created_at"] if row["status"] == "attached" else "",
            "detached_at": "",
            "attach_mode": row["attach_mode"],
            "connection_info": {} if row["status"] == "reserved" else place,
        }


class Attachments(Part):
    """Attachments come, change and go."""

    def __init__(self, stock: Stock) -> None:
        super().__init__(stock)
        self.all = self._attachments = AllAttachments(stock.site, stock.volumes)

    def _set(self, request: Request, volume: str, becomes: str, **changes: Any) -> JSON:
        """Change a volume's attachment, and its status; what is shown of it."""
        attachment: Any = {**(self._volumes.table[volume]["attachment"] or {}), **changes, "attached_at": moment()}
        self._volumes.update(volume, status=becomes, attachment=attachment)
        id = attachment["attachment_id"]
        return {"attachment": self._attachments.view(request, self._attachments.find(request, id))}

    def _connect(self, request: Request, volume: str, connector: JSON) -> JSON:
        """Note who connects to a volume."""
        mode, host, device = (connector.get(name) for name in ("mode", "host", "mountpoint"))
        changes = {"host_name": host, "device": device, **({"mode": mode} if mode in ("rw", "ro") else {})}
        return self._set(request, volume, "attaching", status="attaching", **changes)

    @route("POST", "/v3/{project}/attachments", versions=versions.ATTACHMENTS)
    def create(self, request: Request) -> JSON:
        """Reserve a volume, and, with a connector, connect it."""
        fields = {**CREATE, "mode": MODE} if request.version in versions.ATTACHMENT_MODE else CREATE
        wanted = request.parse(form("attachment", fields, "volume_uuid", strict=True))["attachment"]
        volume = self._volumes.find(request, wanted["volume_uuid"])
        check_available(volume)
        made = self._set(
            request,
            volume["id"],
            "reserved",
            attachment_id=new_id(),
            server_id=wanted.get("instance_uuid"),
            host_name=None,
            device=None,
            status="reserved",
            mode="ro" if volume["readonly"] == "True" else wanted.get("mode", "null"),
        )
        return self._connect(request, volume["id"], wanted["connector"]) if wanted.get("connector") else made

    def _own(self, request: Request, id: str) -> Row:
        """An attachment that is not Nova's. Raises a 409 `Fault` for one that is."""
        row = self._attachments.find(request, id)
        check_own(self._volumes.table[row["volume_id"]]["attachment"])
        return row

    @route("PUT", "/v3/{project}/attachments/{id}", versions=versions.ATTACHMENTS)
    def update(self, request: Request, id: str) -> JSON:
        """Connect a volume that is reserved."""
        row, connector = self._own(request, id), request.parse(UPDATE)["attachment"]["connector"]
        return self._connect(request, row["volume_id"], connector)

    @route("POST", "/v3/{project}/attachments/{id}/action", versions=versions.COMPLETION)
    def act(self, request: Request, id: str) -> Answer:
        """Note that a volume is in use."""
        name, _ = asked(request)
        if name != "os-complete":
            raise Fault(400, f"There is no such action: {name[:120]}")
        row = self._own(request, id)
        if row["status"] == "reserved":
            raise invalid("it has no connector yet.", f"attachment {id}")
        self._set(request, row["volume_id"], "in-use", status="attached")
        return Answer(204)

    @route("DELETE", "/v3/{project}/attachments/{id}", versions=versions.ATTACHMENTS)
    def delete(self, request: Request, id: str) -> JSON:
        """Free a volume; Nova's attachments end in Nova."""
        self._volumes.update(self._own(request, id)["volume_id"], status="available", attachment=None)
        return {"attachments": []}
