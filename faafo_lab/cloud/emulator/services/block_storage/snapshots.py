"""Snapshots of volumes: create, list, show, change and delete. A snapshot is a copy, and stays as it is."""

from __future__ import annotations

from faafo_lab.cloud.emulator.common.service import JSON, Answer, Fault, Request, new_id, route
from faafo_lab.cloud.emulator.common.store import Row
from faafo_lab.cloud.emulator.services.block_storage.base import METADATA, NAMES, forbidden, moment, named, truth
from faafo_lab.cloud.emulator.services.block_storage.volumes import GONE, Volumes

FILTERS = ("name", "status", "volume_id", "metadata")

CREATE: JSON = {
    "type": "object",
    "required": ["snapshot"],
    "properties": {
        "snapshot": {
            "type": "object",
            "required": ["volume_id"],
            "properties": {
                **NAMES,
                "volume_id": {"type": ["string", "null"], "maxLength": 255},
                "metadata": METADATA,
                "force": {"type": ["boolean", "string", "integer", "null"]},
            },
        }
    },
}
UPDATE: JSON = {
    "type": "object",
    "required": ["snapshot"],
    "properties": {"snapshot": {"type": "object", "properties": NAMES}},
}


class Snapshots(Volumes):
    """The operations on snapshots."""

    @route("POST", "/v3/{project}/snapshots")
    def create_snapshot(self, request: Request) -> Answer:
        """Take a snapshot, with `force` of an attached volume too: of its files as they are, open or not."""
        wanted = self.parse(request, CREATE)["snapshot"]
        force = wanted.get("force") is not None and truth(wanted["force"], "force")
        volume = self.volume(request, wanted["volume_id"])
        if volume["status"] != "available" and not (force and volume["status"] == "in-use"):
            raise Fault(
                400,
                f"Invalid volume: Volume {volume['id']} status must be available, but current status is: "
                f"{volume['status']}.",
            )
        self.quotas.claim(request.project, {"snapshots": 1, "gigabytes": volume["size"]})
        created = moment()
        row = self.snapshots.put(
            {
                "id": new_id(),
                "project_id": request.project,
                "volume_id": volume["id"],
                "name": None,
                "description": None,
                **named(wanted),
                "size": volume["size"],
                "status": "creating",
                "metadata": wanted.get("metadata") or {},
                "bootable": volume["bootable"],
                "image_metadata": volume["image_metadata"],
                "created_at": created,
                "updated_at": created,
            }
        )
        self.life.take(row["id"])
        return Answer(202, {"snapshot": self._snapshot_view(row)})

    def _snapshot_view(self, row: Row, *, whole: bool = False) -> JSON:
        names = ("id", "volume_id", "status", "size", "metadata", "name", "description", "created_at", "updated_at")
        view = {name: row[name] for name in names}
        if whole:
            view["os-extended-snapshot-attributes:project_id"] = row["project_id"]
            view["os-extended-snapshot-attributes:progress"] = "100%" if row["status"] == "available" else "0%"
        return view

    def _snapshots(self, request: Request, whole: bool) -> JSON:
        rows = self._listed(request, self.snapshots.where(project_id=request.project), FILTERS)
        page, links = self._page(request, rows, "snapshots")
        return {"snapshots": [self._snapshot_view(row, whole=whole) for row in page], **links}

    @route("GET", "/v3/{project}/snapshots")
    def list_snapshots(self, request: Request) -> JSON:
        """List snapshots."""
        return self._snapshots(request, whole=False)

    @route("GET", "/v3/{project}/snapshots/detail")
    def detail_snapshots(self, request: Request) -> JSON:
        """List snapshots, with everything."""
        return self._snapshots(request, whole=True)

    @route("GET", "/v3/{project}/snapshots/{id}")
    def show_snapshot(self, request: Request, id: str) -> JSON:
        """Show a snapshot."""
        return {"snapshot": self._snapshot_view(self.snapshot(request, id), whole=True)}

    @route("PUT", "/v3/{project}/snapshots/{id}")
    def update_snapshot(self, request: Request, id: str) -> JSON:
        """Change a snapshot's name or description."""
        self.snapshot(request, id)
        wanted = self.parse(request, UPDATE)["snapshot"]
        return {"snapshot": self._snapshot_view(self.snapshots.update(id, **named(wanted), updated_at=moment()))}

    @route("DELETE", "/v3/{project}/snapshots/{id}")
    def delete_snapshot(self, request: Request, id: str) -> Answer:
        """Delete a snapshot; volumes that were made from it stay."""
        if self.snapshot(request, id)["status"] not in GONE:
            raise Fault(400, "Invalid snapshot: Snapshot status must be available or error.")
        self.life.delete_snapshot(id)
        return Answer(202)

    @route("POST", "/v3/{project}/snapshots/{id}/action")
    def snapshot_action(self, request: Request, id: str) -> Answer:
        """What can be told to a snapshot, only an administrator may."""
        self.snapshot(request, id)
        name = next(iter(self.parse(request)), "")
        if name in ("os-reset_status", "os-force_delete", "os-update_snapshot_status", "os-unmanage"):
            raise forbidden(f"snapshot_extension:{name.removeprefix('os-')}")
        raise Fault(400, f"There is no such action: {name[:120]}")
