"""Block storage (Cinder 3.0): the service. Actions, metadata, types, zones, limits and quotas are here.

`cinder` has what all operations share, `volumes` and `snapshots` the operations on these, `volume_life` what happens
to them, `volume_files` how, and `volume_mounts` where they are attached.
Source: https://docs.openstack.org/api-ref/block-storage/v3/
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from faafo_lab.cloud.emulator.cinder import METADATA, QUOTAS, ZONE, moment, truth
from faafo_lab.cloud.emulator.forwarding import ask
from faafo_lab.cloud.emulator.image_schema import DISK_FORMATS
from faafo_lab.cloud.emulator.service import JSON, Answer, Fault, Request, route
from faafo_lab.cloud.emulator.store import Row, Table
from faafo_lab.cloud.emulator.volume_snapshots import Snapshots
from faafo_lab.cloud.emulator.volumes import GIGABYTES_MAX, TYPE, TYPE_ID

ADMINISTRATORS = ("os-reset_status", "os-force_delete", "os-force_detach", "os-migrate_volume", "os-unmanage")
METADATA_ITEMS_MAX = 128
EXTENSIONS = {  # those that are here, by alias; hosts and services are an administrator's
    "os-availability-zone": "AvailabilityZones",
    "os-hosts": "Hosts",
    "os-quota-sets": "Quotas",
    "os-services": "Services",
    "os-types-manage": "TypesManage",
    "os-used-limits": "UsedLimits",
    "os-vol-tenant-attr": "VolumeTenantAttribute",
    "os-volume-actions": "VolumeActions",
    "os-extended-snapshot-attributes": "ExtendedSnapshotAttributes",
    "os-vol-image-meta": "VolumeImageMetadata",
}


class Volume(Snapshots):
    """The block storage service."""

    def setup(self) -> None:
        """Make the places of volumes and snapshots."""
        self.life.setup()

    # Actions

    @route("POST", "/v3/{project}/volumes/{id}/action")
    async def action(self, request: Request, id: str) -> Answer | JSON:
        """Do something with a volume; the body's only key says what."""
        row = self.volume(request, id)
        body = self.parse(request)
        if len(body) != 1:
            raise Fault(400, "There should be exactly one action in the request body.")
        name, value = next(iter(body.items()))
        if name in ADMINISTRATORS:
            raise self.forbidden(f"volume_extension:volume_admin_actions:{name.removeprefix('os-')}")
        if name == "os-volume_upload_image":
            return await self._upload(request, row, value if isinstance(value, dict) else {})
        actions: dict[str, Callable[[Request, Row, JSON], Answer | JSON]] = {
            "os-extend": self._extend,
            "os-update_readonly_flag": self._set_readonly,
            "os-set_bootable": self._set_bootable,
            "os-show_image_metadata": self._show_image_metadata,
        }
        if name not in actions:
            raise Fault(400, f"There is no such action: {name[:120]}")
        return actions[name](request, row, value if isinstance(value, dict) else {})

    def _is_available(self, row: Row, action: str) -> None:
        if row["status"] != "available":
            raise Fault(
                400,
                f"Invalid volume: Volume {row['id']} status must be available to {action}, but it is {row['status']}.",
            )

    def _extend(self, request: Request, row: Row, value: JSON) -> Answer:
        size = value.get("new_size")
        if isinstance(size, str) and size.isascii() and size.isdecimal() and len(size) < 11:
            size = int(size)
        if isinstance(size, bool) or not isinstance(size, int) or not 0 < size <= GIGABYTES_MAX:
            raise Fault(400, "Invalid input for field/attribute new_size: it must be a number of gigabytes.")
        self._is_available(row, "extend")
        if size <= row["size"]:
            why = f"New size for extend must be greater than current size. (current: {row['size']}, extended: {size})."
            raise Fault(400, f"Invalid input received: {why}")
        self._claim_size(size)
        self._claim(request.project, "", size - row["size"])
        self.volumes.update(row["id"], size=size, updated_at=moment())
        return Answer(202)

    def _set_readonly(self, request: Request, row: Row, value: JSON) -> Answer:
        """Note that a volume is read-only, as its metadata then say. Nothing keeps the instance from writing."""
        if "readonly" not in value:
            raise Fault(400, "'readonly' is a required property")
        readonly = truth(value["readonly"], "readonly")
        self._is_available(row, "change its flag")
        self.volumes.update(row["id"], readonly=str(readonly), updated_at=moment())
        return Answer(202)

    def _set_bootable(self, request: Request, row: Row, value: JSON) -> Answer:
        if "bootable" not in value:
            raise Fault(400, "'bootable' is a required property")
        self.volumes.update(row["id"], bootable=str(truth(value["bootable"], "bootable")).lower(), updated_at=moment())
        return Answer(200)

    def _show_image_metadata(self, request: Request, row: Row, value: JSON) -> JSON:
        return {"metadata": row["image_metadata"]}

    async def _upload(self, request: Request, row: Row, value: JSON) -> Answer:
        """Make an image of a volume: a tar.gz of its files, whatever the format is called, which an instance boots."""
        name, disk_format = value.get("image_name"), value.get("disk_format") or "raw"
        container_format = value.get("container_format") or "bare"
        if not isinstance(name, str) or not 0 < len(name) <= 255:
            raise Fault(400, "Invalid input for field/attribute image_name: it must have 1 to 255 characters.")
        if disk_format not in DISK_FORMATS:
            raise Fault(400, f"Invalid input for field/attribute disk_format: it must be one of {list(DISK_FORMATS)}.")
        self._is_available(row, "be uploaded")
        wanted = {"name": name, "disk_format": disk_format, "container_format": container_format}
        image = await ask(self.cloud.image, request, "POST", "/v2/images", wanted)
        self.life.upload(request, row["id"], image["id"])
        view = {
            "id": row["id"],
            "updated_at": row["updated_at"],
            "status": "uploading",
            "display_description": row["description"],
            "size": row["size"],
            "volume_type": {"id": TYPE_ID, "name": TYPE},
            "image_id": image["id"],
            "container_format": container_format,
            "disk_format": disk_format,
            "image_name": name,
        }
        return Answer(202, {"os-volume_upload_image": view})

    # Metadata, of volumes and of snapshots

    def _with_metadata(self, request: Request, kind: str, id: str) -> tuple[Table, Row]:
        if kind == "volumes":
            return self.volumes, self.volume(request, id)
        if kind == "snapshots":
            return self.snapshots, self.snapshot(request, id)
        raise Fault(404, "The resource could not be found.")

    def _keep(self, table: Table, id: str, metadata: JSON) -> JSON:
        if len(metadata) > METADATA_ITEMS_MAX:
            raise Fault(413, f"Maximum number of metadata items exceeds {METADATA_ITEMS_MAX}")
        table.update(id, metadata=metadata, updated_at=moment())
        return metadata

    @route("GET", "/v3/{project}/{kind}/{id}/metadata")
    def metadata(self, request: Request, kind: str, id: str) -> JSON:
        """A volume's or snapshot's metadata."""
        return {"metadata": self._with_metadata(request, kind, id)[1]["metadata"]}

    @route("POST", "/v3/{project}/{kind}/{id}/metadata")
    @route("PUT", "/v3/{project}/{kind}/{id}/metadata")
    def set_metadata(self, request: Request, kind: str, id: str) -> JSON:
        """Add to the metadata (POST), or replace all of it (PUT)."""
        table, row = self._with_metadata(request, kind, id)
        definition = {"type": "object", "required": ["metadata"], "properties": {"metadata": METADATA}}
        wanted = self.parse(request, definition)["metadata"] or {}
        return {
            "metadata": self._keep(table, id, {**row["metadata"], **wanted} if request.method == "POST" else wanted)
        }

    def _item(self, row: Row, key: str) -> JSON:
        if key not in row["metadata"]:
            raise Fault(404, f"Metadata item {key} was not found.")
        return {key: row["metadata"][key]}

    @route("GET", "/v3/{project}/{kind}/{id}/metadata/{key}")
    def metadata_item(self, request: Request, kind: str, id: str, key: str) -> JSON:
        """One item of the metadata."""
        return {"meta": self._item(self._with_metadata(request, kind, id)[1], key)}

    @route("PUT", "/v3/{project}/{kind}/{id}/metadata/{key}")
    def set_metadata_item(self, request: Request, kind: str, id: str, key: str) -> JSON:
        """Set one item of the metadata."""
        table, row = self._with_metadata(request, kind, id)
        one = {**METADATA, "type": "object", "minProperties": 1, "maxProperties": 1}
        wanted = self.parse(request, {"type": "object", "required": ["meta"], "properties": {"meta": one}})["meta"]
        if key not in wanted:
            raise Fault(400, "Request body and URI mismatch")
        self._keep(table, id, {**row["metadata"], **wanted})
        return {"meta": wanted}

    @route("DELETE", "/v3/{project}/{kind}/{id}/metadata/{key}")
    def delete_metadata_item(self, request: Request, kind: str, id: str, key: str) -> Answer:
        """Remove one item of the metadata."""
        table, row = self._with_metadata(request, kind, id)
        gone = self._item(row, key)
        self._keep(table, id, {name: value for name, value in row["metadata"].items() if name not in gone})
        return Answer(200)

    # Types, zones, extensions

    def _type(self) -> JSON:
        return {
            "id": TYPE_ID,
            "name": TYPE,
            "description": "A directory of the embedded cloud's state",
            "is_public": True,
            "os-volume-type-access:is_public": True,
            "extra_specs": {},
        }

    @route("GET", "/v3/{project}/types")
    def types(self, request: Request) -> JSON:
        """The one volume type."""
        return {"volume_types": [self._type()]}

    @route("GET", "/v3/{project}/types/{id}")
    def type_(self, request: Request, id: str) -> JSON:
        """Show the volume type, which is the default one, too."""
        if id not in (TYPE_ID, "default"):
            raise Fault(404, f"Volume type {id} could not be found.")
        return {"volume_type": self._type()}

    @route("GET", "/v3/{project}/os-availability-zone")
    def zones(self, request: Request) -> JSON:
        """The one availability zone."""
        return {"availabilityZoneInfo": [{"zoneName": ZONE, "zoneState": {"available": True}}]}

    @route("GET", "/v3/{project}/extensions")
    def extensions(self, request: Request) -> JSON:
        """Cinder's extensions are history: those that are here."""
        views = [
            {"alias": alias, "name": name, "description": name, "links": [], "updated": "2013-04-18T00:00:00+00:00"}
            for alias, name in EXTENSIONS.items()
        ]
        return {"extensions": views}

    @route("GET", "/v3/{project}/os-hosts")
    @route("GET", "/v3/{project}/os-services")
    def infrastructure(self, request: Request) -> JSON:
        """What only an administrator may see."""
        raise self.forbidden("volume_extension:" + request.path.rsplit("os-", 1)[-1])

    # Limits and quotas

    @route("GET", "/v3/{project}/limits")
    def limits(self, request: Request) -> JSON:
        """The project's limits, and what it uses of them."""
        used = self.used(request.project)
        absolute = {
            "totalSnapshotsUsed": used["snapshots"],
            "maxTotalBackups": self.limit("backups"),
            "maxTotalVolumeGigabytes": self.limit("gigabytes"),
            "maxTotalSnapshots": self.limit("snapshots"),
            "maxTotalBackupGigabytes": self.limit("backup_gigabytes"),
            "totalBackupGigabytesUsed": 0,
            "maxTotalVolumes": self.limit("volumes"),
            "totalVolumesUsed": used["volumes"],
            "totalBackupsUsed": 0,
            "totalGigabytesUsed": used["gigabytes"],
        }
        return {"limits": {"rate": [], "absolute": absolute}}

    @route("GET", "/v3/{project}/os-quota-sets/{id}")
    def quota(self, request: Request, id: str) -> JSON:
        """The project's limits, and with `usage` what it uses of them."""
        if id != request.project:
            raise self.forbidden("volume_extension:quotas:show")
        limits: dict[str, Any] = {name: self.limit(name) for name in QUOTAS}
        if request.one("usage") is not None and truth(request.one("usage"), "usage"):
            used = self.used(id)
            limits = {
                name: {"limit": limit, "in_use": used.get(name, 0), "reserved": 0} for name, limit in limits.items()
            }
        return {"quota_set": {"id": id, **limits}}

    @route("GET", "/v3/{project}/os-quota-sets/{id}/defaults")
    def default_quota(self, request: Request, id: str) -> JSON:
        """Every project's limits."""
        return {"quota_set": {"id": id, **{name: self.limit(name) for name in QUOTAS}}}

    @route("PUT", "/v3/{project}/os-quota-sets/{id}")
    @route("DELETE", "/v3/{project}/os-quota-sets/{id}")
    def change_quota(self, request: Request, id: str) -> JSON:
        """What only an administrator may change."""
        raise self.forbidden("volume_extension:quotas:update")
