"""Snapshots of volumes: create and delete. A snapshot is a copy, and stays as it is."""

from __future__ import annotations

from faafo_lab.cloud.emulator.common.quotas import Quotas
from faafo_lab.cloud.emulator.common.service import Answer, Fault, Request, new_id, route
from faafo_lab.cloud.emulator.services.block_storage.base import (
    GONE,
    METADATA,
    NAMES,
    AllSnapshots,
    AllVolumes,
    forbidden,
    form,
    moment,
    named,
    truth,
)
from faafo_lab.cloud.emulator.services.block_storage.life import VolumeLife

CREATE = form(
    "snapshot",
    {
        **NAMES,
        "volume_id": {"type": ["string", "null"], "maxLength": 255},
        "metadata": METADATA,
        "force": {"type": ["boolean", "string", "integer", "null"]},
    },
    "volume_id",
)


class Snapshots:
    """The operations on snapshots."""

    def __init__(self, volumes: AllVolumes, snapshots: AllSnapshots, life: VolumeLife, quotas: Quotas) -> None:
        self._volumes, self._snapshots, self._life, self._quotas = volumes, snapshots, life, quotas

    @route("POST", "/v3/{project}/snapshots")
    def create(self, request: Request) -> Answer:
        """Take a snapshot, with `force` of an attached volume too: of its files as they are, open or not."""
        wanted = request.parse(CREATE)["snapshot"]
        force = truth(wanted.get("force"), "force")
        volume = self._volumes.find(request, wanted["volume_id"])
        if volume["status"] != "available" and not (force and volume["status"] == "in-use"):
            raise Fault(
                400,
                f"Invalid volume: Volume {volume['id']} status must be available, but current status is: "
                f"{volume['status']}.",
            )
        self._quotas.claim(request.project, {"snapshots": 1, "gigabytes": volume["size"]})
        texts, created = named(wanted), moment()
        row = self._snapshots.table.put(
            {
                "id": new_id(),
                "project_id": request.project,
                "volume_id": volume["id"],
                "name": texts.get("name"),
                "description": texts.get("description"),
                "size": volume["size"],
                "status": "creating",
                "metadata": wanted.get("metadata") or {},
                "bootable": volume["bootable"],
                "image_metadata": volume["image_metadata"],
                "created_at": created,
                "updated_at": created,
            }
        )
        self._life.take(row["id"])
        return Answer(202, {"snapshot": self._snapshots.view(request, row)})

    @route("DELETE", "/v3/{project}/snapshots/{id}")
    def delete(self, request: Request, id: str) -> Answer:
        """Delete a snapshot; volumes that were made from it stay."""
        if self._snapshots.find(request, id)["status"] not in GONE:
            raise Fault(400, "Invalid snapshot: Snapshot status must be available or error.")
        self._life.delete(self._snapshots, id)
        return Answer(202)

    @route("POST", "/v3/{project}/snapshots/{id}/action")
    def action(self, request: Request, id: str) -> Answer:
        """What can be told to a snapshot, only an administrator may."""
        self._snapshots.find(request, id)
        name = next(iter(request.parse()), "")
        if name in ("os-reset_status", "os-force_delete", "os-update_snapshot_status", "os-unmanage"):
            raise forbidden(f"snapshot_extension:{name.removeprefix('os-')}")
        raise Fault(400, f"There is no such action: {name[:120]}")
