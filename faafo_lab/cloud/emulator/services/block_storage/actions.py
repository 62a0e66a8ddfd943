"""Actions on volumes: extend, mark as read-only or bootable, back to a snapshot or an image, upload as an image."""

from __future__ import annotations

from faafo_lab.cloud.emulator.common.actions import Handlers, action, asked
from faafo_lab.cloud.emulator.common.forwarding import ask
from faafo_lab.cloud.emulator.common.numbers import whole
from faafo_lab.cloud.emulator.common.service import JSON, Answer, Fault, Request, route
from faafo_lab.cloud.emulator.services.block_storage import versions
from faafo_lab.cloud.emulator.services.block_storage.base import METADATA, TYPE, TYPE_ID, bounded, form
from faafo_lab.cloud.emulator.services.block_storage.rows import VolumeRow
from faafo_lab.cloud.emulator.services.block_storage.stock import Part, Stock
from faafo_lab.cloud.emulator.services.block_storage.volumes import GIGABYTES_MAX, Volumes
from faafo_lab.cloud.emulator.services.block_storage.words import check_available, check_own, forbidden, invalid, truth
from faafo_lab.cloud.emulator.services.image.schemas import DISK_FORMATS

ADMINISTRATORS = ("os-reset_status", "os-force_delete", "os-force_detach", "os-migrate_volume", "os-unmanage")
FIELDS = {  # of the actions whose bodies may have no other fields
    "os-extend": {"new_size"},
    "os-update_readonly_flag": {"readonly"},
    "os-set_bootable": {"bootable"},
    "os-retype": {"new_type", "migration_policy"},
    "os-reimage": {"image_id", "reimage_reserved"},
    "os-detach": {"attachment_id"},
    "os-volume_upload_image": {"image_name", "force", "disk_format", "container_format", "visibility", "protected"},
}
SET_IMAGE_METADATA = form("os-set_image_metadata", {"metadata": {**METADATA, "type": "object"}}, "metadata")


class VolumeActions(Part):
    """What a volume can be told to do."""

    def __init__(self, stock: Stock, made: Volumes) -> None:
        """`made` knows what a volume from an image has to be."""
        super().__init__(stock)
        self._made, self._handlers = made, Handlers(self)

    @route("POST", "/v3/{project}/volumes/{id}/action")
    async def act(self, request: Request, id: str) -> Answer | JSON:
        """Do something with a volume; the body's only key says what."""
        row = self._volumes.find(request, id)
        name, value = asked(request)
        if name in ADMINISTRATORS:
            raise forbidden(f"volume_extension:volume_admin_actions:{name.removeprefix('os-')}")
        value = value if isinstance(value, dict) else {}
        if strange := sorted(value.keys() - FIELDS.get(name, value.keys())):
            raise Fault(400, f"Additional properties are not allowed ('{strange[0][:40]}' was unexpected)")
        return await self._handlers.do(request, row, name, value)

    @action("os-extend")
    def _extend(self, request: Request, row: VolumeRow, value: JSON) -> None:
        size = value.get("new_size")
        size = whole(size) if isinstance(size, str) else size
        if isinstance(size, bool) or not isinstance(size, int) or not 0 < size <= GIGABYTES_MAX:
            raise Fault(400, "Invalid input for field/attribute new_size: it must be a number of gigabytes.")
        check_available(row, *(["in-use"] if request.version in versions.EXTEND_IN_USE else []))
        if size <= row["size"]:
            why = f"New size for extend must be greater than current size. (current: {row['size']}, extended: {size})."
            raise invalid(why)
        self._quotas.claim(request.project, {"per_volume_gigabytes": size, "gigabytes": size - row["size"]})
        self._volumes.update(row["id"], size=size)

    @action("os-update_readonly_flag")
    def _set_readonly(self, request: Request, row: VolumeRow, value: JSON) -> None:
        """Note that a volume is read-only, as its metadata then say. Nothing keeps the instance from writing."""
        readonly = _flag(value, "readonly")
        check_available(row)
        self._volumes.update(row["id"], readonly=str(readonly))

    @action("os-set_bootable")
    def _set_bootable(self, request: Request, row: VolumeRow, value: JSON) -> Answer:
        self._volumes.update(row["id"], bootable=str(_flag(value, "bootable")).lower())
        return Answer(200)

    @action("os-retype")
    def _retype(self, request: Request, row: VolumeRow, value: JSON) -> None:
        """Give a volume the type that it has: there is one alone."""
        check_available(row, "in-use")
        if value.get("migration_policy") not in (None, "never", "on-demand"):
            raise invalid(f"migration_policy is never or on-demand, not {str(value['migration_policy'])[:120]}.")
        if value.get("new_type") not in (TYPE, TYPE_ID):
            raise invalid(f"Invalid volume_type passed: {str(value.get('new_type'))[:120]}.")

    @action("revert", versions=versions.REVERT)
    def _revert(self, request: Request, row: VolumeRow, value: JSON) -> None:
        """Give a volume back the content of its latest snapshot: what was written since is gone."""
        snapshots = sorted(self._snapshots.table.where(volume_id=row["id"]), key=lambda each: str(each["created_at"]))
        if not snapshots:
            raise Fault(400, f"Volume {row['id']} doesn't have any snapshots.")
        latest, id = snapshots[-1], value.get("snapshot_id")
        if latest["id"] != id:
            raise Fault(400, f"Specified snapshot {id} is None or not the latest one of volume {row['id']}.")
        if latest["size"] != row["size"]:
            raise Fault(400, f"Can't revert volume {row['id']}: it has another size than snapshot {id}.")
        for kind, each in (("volume", row["status"]), ("snapshot", latest["status"])):
            if each != "available":
                raise Fault(409, f"Invalid {kind}: its status must be available, and it is {each}.")
        self._life.renew(row["id"], "reverting", snapshot_id=latest["id"])

    @action("os-reimage", versions=versions.REIMAGE)
    def _reimage(self, request: Request, row: VolumeRow, value: JSON) -> None:
        """Give a volume the content of an image: its own is gone."""
        reserved = truth(value.get("reimage_reserved"), "reimage_reserved")
        check_available(row, "error", *(["reserved"] if reserved else []))
        self._made.reimage(request, row, str(value.get("image_id")))

    @action("os-detach")
    def _detach(self, request: Request, row: VolumeRow, value: JSON) -> None:
        """Free a volume; Nova's attachments end in Nova."""
        check_own(row["attachment"])
        if row["attachment"]:
            self._volumes.update(row["id"], status="available", attachment=None)

    @action("os-show_image_metadata")
    def _show_image_metadata(self, request: Request, row: VolumeRow, value: JSON) -> JSON:
        return {"metadata": row["image_metadata"]}

    @action("os-set_image_metadata")
    def _set_image_metadata(self, request: Request, row: VolumeRow, value: JSON) -> JSON:
        wanted = request.parse(SET_IMAGE_METADATA)["os-set_image_metadata"]["metadata"]
        metadata = bounded({**row["image_metadata"], **wanted})
        self._volumes.update(row["id"], image_metadata=metadata)
        return {"metadata": metadata}

    @action("os-unset_image_metadata")
    def _unset_image_metadata(self, request: Request, row: VolumeRow, value: JSON) -> Answer:
        key = value.get("key")
        if not isinstance(key, str):
            raise Fault(400, "'key' is a required property, and a string")
        if key not in row["image_metadata"]:
            raise Fault(404, f"Metadata item {key[:120]} was not found.")
        kept = {name: text for name, text in row["image_metadata"].items() if name != key}
        self._volumes.update(row["id"], image_metadata=kept)
        return Answer(200)

    @action("os-volume_upload_image")
    async def _upload(self, request: Request, row: VolumeRow, value: JSON) -> Answer:
        """Make an image of a volume: a tar.gz of its files, whatever the format is called, which an instance boots."""
        name, disk_format = value.get("image_name"), value.get("disk_format") or "raw"
        container_format = value.get("container_format") or "bare"
        if not isinstance(name, str) or not 0 < len(name) <= 255:
            raise Fault(400, "Invalid input for field/attribute image_name: it must have 1 to 255 characters.")
        if disk_format not in DISK_FORMATS:
            raise Fault(400, f"Invalid input for field/attribute disk_format: it must be one of {list(DISK_FORMATS)}.")
        check_available(row)
        wanted = {"name": name, "disk_format": disk_format, "container_format": container_format}
        if request.version in versions.UPLOAD_VISIBILITY:
            wanted |= {field: value[field] for field in ("visibility", "protected") if field in value}
        image = await ask(self._images, request, "POST", "/v2/images", wanted)
        self._life.upload(request, row["id"], image["id"])
        view: JSON = {
            **{field: row[field] for field in ("id", "updated_at", "size")},
            **{field: wanted[field] for field in ("visibility", "protected") if field in wanted},
            "container_format": container_format,
            "disk_format": disk_format,
            "image_name": name,
            "status": "uploading",
            "display_description": row["description"],
            "volume_type": {"id": TYPE_ID, "name": TYPE},
            "image_id": image["id"],
        }
        return Answer(202, {"os-volume_upload_image": view})


def _flag(value: JSON, name: str) -> bool:
    if value.get(name) is None:
        raise Fault(400, f"'{name}' is a required property")
    return truth(value[name], name)
