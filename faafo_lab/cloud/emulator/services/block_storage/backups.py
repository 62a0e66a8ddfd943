"""Backups of volumes, in the project's own object store: create, restore and delete.

Source: https://docs.openstack.org/api-ref/block-storage/v3/#backups-backups
"""

from __future__ import annotations

from faafo_lab.cloud.emulator.common.service import JSON, Answer, Request, route
from faafo_lab.cloud.emulator.services.block_storage import versions
from faafo_lab.cloud.emulator.services.block_storage.base import METADATA, NAMES, form, moment
from faafo_lab.cloud.emulator.services.block_storage.stock import Part, Stock
from faafo_lab.cloud.emulator.services.block_storage.volumes import INHERITED, Volumes
from faafo_lab.cloud.emulator.services.block_storage.words import check_available, forbidden, invalid, truth

CONTAINER = "volumebackups"  # where no other is asked for
_ID: JSON = {"type": ["string", "null"], "maxLength": 255}
_FLAG: JSON = {"type": ["boolean", "string", "integer", "null"]}
CREATE: JSON = {
    **{name: NAMES[name] for name in ("name", "description")},
    "volume_id": {"type": "string", "maxLength": 255},
    "container": {**_ID, "pattern": "^[^/]*$"},
    "snapshot_id": _ID,
    **dict.fromkeys(("incremental", "force"), _FLAG),
}
RESTORE = form("restore", {"name": NAMES["name"], "volume_id": _ID}, strict=True)


class Backups(Part):
    """Backups come, go, and become volumes again."""

    def __init__(self, stock: Stock, made: Volumes) -> None:
        """`made` makes the volumes of those that are restored to new ones."""
        super().__init__(stock)
        self._made = made

    @route("POST", "/v3/{project}/backups")
    def create(self, request: Request) -> Answer:
        """Back up a volume, or one of its snapshots; of an attached volume, with `force`, the files as they are."""
        fields = dict(CREATE)
        if request.version in versions.BACKUP_METADATA:
            fields["metadata"] = METADATA
        if request.version in versions.BACKUP_ZONE:
            fields["availability_zone"] = _ID
        wanted = request.parse(form("backup", fields, "volume_id", strict=True))["backup"]
        if truth(wanted.get("incremental"), "incremental"):
            raise invalid("this cloud makes full backups alone: leave out 'incremental'.", "backup")
        volume = self._volumes.find(request, wanted["volume_id"])
        source, taken = volume, None
        if wanted.get("snapshot_id"):
            snapshot = self._snapshots.find(request, wanted["snapshot_id"])
            if snapshot["volume_id"] != volume["id"]:
                raise invalid(f"Snapshot {snapshot['id']} is not of volume {volume['id']}.", "volume")
            if snapshot["status"] != "available":
                raise invalid(f"its status must be available, and it is {snapshot['status']}.", "snapshot")
            taken = snapshot["created_at"]
        else:
            check_available(source, *(["in-use"] if truth(wanted.get("force"), "force") else []))
        self._quotas.claim(request.project, {"backups": 1, "backup_gigabytes": volume["size"]})
        row = self._backups.add(
            request,
            wanted,
            **{name: volume[name] for name in INHERITED},  # type: ignore[literal-required]
            user_id=request.token.user_id,
            volume_id=volume["id"],
            snapshot_id=wanted.get("snapshot_id"),
            container=wanted.get("container") or CONTAINER,
            object_count=0,
            fail_reason=None,
            data_timestamp=taken or moment(),
        )
        self._life.back_up(row["id"])
        return Answer(202, {"backup": self._backups.brief(request, row)})

    @route("POST", "/v3/{project}/backups/{id}/restore")
    def restore(self, request: Request, id: str) -> Answer:
        """Give a volume the content of a backup: a new one, or one that is there, whose own content goes."""
        backup = self._backups.find(request, id)
        wanted = request.parse(RESTORE)["restore"]
        if backup["status"] != "available":
            raise invalid("Backup status must be available", "backup")
        if wanted.get("volume_id"):
            volume = self._volumes.find(request, wanted["volume_id"])
            check_available(volume)
            if backup["size"] > volume["size"]:
                sizes = f"volume size {volume['size']} is too small to restore backup of size {backup['size']}."
                raise invalid(sizes, "volume")
            self._life.restore(id, volume["id"])
        else:
            name = wanted.get("name") or f"restore_backup_{id}"
            description = "auto-created_from_restore_from_backup"
            volume = self._made.make(request, {"name": name, "description": description, "backup_id": id})
        restored = {"backup_id": id, "volume_id": volume["id"], "volume_name": volume["name"]}
        return Answer(202, {"restore": restored})

    @route("DELETE", "/v3/{project}/backups/{id}")
    def delete(self, request: Request, id: str) -> Answer:
        """Delete a backup and its objects; volumes that were restored from it stay."""
        if self._backups.find(request, id)["status"] not in ("available", "error"):
            raise invalid("Backup status must be available or error", "backup")
        self._life.delete(self._backups, id)
        return Answer(202)

    @route("POST", "/v3/{project}/backups/import_record")
    @route("GET", "/v3/{project}/backups/{id}/export_record")
    @route("POST", "/v3/{project}/backups/{id}/action")
    def administer(self, request: Request, id: str = "") -> Answer:
        """What only an administrator may: records of backups, and their status."""
        if id:
            self._backups.find(request, id)
        raise forbidden("backup:" + request.path.rsplit("/", 1)[-1])
