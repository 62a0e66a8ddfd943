"""Volumes (empty, from an image, a snapshot, another volume) and snapshots: create and delete.

A volume's size is a promise that quotas count: the directory that it is may hold more.
"""

from __future__ import annotations

from typing import Any

from faafo_lab.cloud.emulator.common.service import JSON, Answer, Fault, Request, route
from faafo_lab.cloud.emulator.services.block_storage import query, versions
from faafo_lab.cloud.emulator.services.block_storage.base import GONE, METADATA, NAMES, TYPE, TYPE_ID, ZONE, form
from faafo_lab.cloud.emulator.services.block_storage.rows import VolumeRow
from faafo_lab.cloud.emulator.services.block_storage.stock import Part
from faafo_lab.cloud.emulator.services.block_storage.words import check_available, forbidden, invalid, truth

GIGABYTES_MAX = 2**31 - 1
INHERITED = ("size", "bootable", "image_metadata")  # what a copy has of its source

SIZE: JSON = {
    "anyOf": [
        {"type": "null"},
        {"type": "integer", "minimum": 1, "maximum": GIGABYTES_MAX},
        {"type": "string", "maxLength": 18, "pattern": r"^0*[1-9][0-9]{0,8}\Z"},
    ]
}
NULL: JSON = {"type": "null"}
_ID: JSON = {"type": ["string", "null"], "maxLength": 255}
CREATE: JSON = {
    **NAMES,
    "size": SIZE,
    "metadata": METADATA,
    **dict.fromkeys(("volume_type", "availability_zone", "snapshot_id", "source_volid", "imageRef", "image_id"), _ID),
    "consistencygroup_id": NULL,
    "group_id": NULL,
    "multiattach": {"type": ["boolean", "string", "null"]},
}
CREATE_SNAPSHOT = form(
    "snapshot",
    {
        **{name: NAMES[name] for name in ("name", "display_name", "description")},
        "volume_id": {"type": ["string", "null"], "maxLength": 255},
        "metadata": METADATA,
        "force": {"type": ["boolean", "string", "integer", "null"]},
    },
    "volume_id",
    strict=True,
)


class Volumes(Part):
    """Volumes and snapshots come and go."""

    @route("GET", "/v3/{project}/volumes/summary", versions=versions.SUMMARY)
    def summary(self, request: Request) -> JSON:
        """How many volumes there are, of how many GB, and the different values of their metadata."""
        all_of_them = self._volumes.rows(request.project)
        rows = query.fitting(request, all_of_them, self._volumes.filters, summary=True)
        found: JSON = {"total_count": len(rows), "total_size": sum(row["size"] for row in rows)}
        if request.version in versions.SUMMARY_METADATA:
            items = {item: None for row in rows for item in row["metadata"].items()}
            found["metadata"] = {key: [value for name, value in items if name == key] for key, _ in items}
        return {"volume-summary": found}

    # Create

    @route("POST", "/v3/{project}/volumes")
    def create(self, request: Request) -> Answer:
        """Create a volume; it is filled in the background."""
        fields = {**CREATE, "backup_id": _ID if request.version in versions.FROM_BACKUP else NULL}
        wanted_form = form("volume", fields, strict=request.version in versions.STRICT_FORMS)
        wanted_form["properties"]["OS-SCH-HNT:scheduler_hints"] = {"type": ["object", "null"]}
        wanted = request.parse({**wanted_form, "additionalProperties": False})["volume"]
        row = self.make(request, wanted)
        return Answer(202, {"volume": self._volumes.view(request, row)})

    def make(self, request: Request, wanted: JSON) -> VolumeRow:
        """A new volume, as a checked body wants it. Raises a `Fault`."""
        if truth(wanted.get("multiattach"), "multiattach"):
            raise invalid("this cloud attaches a volume to one server at a time.")
        if wanted.get("volume_type") not in (None, "", TYPE, TYPE_ID):
            raise Fault(404, f"Volume type with name {wanted['volume_type']} could not be found.")
        if wanted.get("availability_zone") not in (None, "", ZONE):
            raise Fault(400, f"Availability zone '{wanted['availability_zone']}' is invalid.")
        size = int(wanted["size"]) if wanted.get("size") is not None else None
        content = self._wanted_content(request, wanted, size)
        size = size or content.get("size")
        if size is None:
            raise invalid("'size' is a required property of an empty volume.")
        self._quotas.claim(request.project, {"per_volume_gigabytes": size, "volumes": 1, "gigabytes": size})
        row = self._volumes.add(
            request,
            wanted,
            user_id=request.token.user_id,
            size=size,
            readonly=None,
            bootable=content.get("bootable", "false"),
            availability_zone=ZONE,
            snapshot_id=content.get("snapshot_id"),
            source_volid=content.get("source_volid"),
            image_id=content.get("image_id"),
            image_metadata=content.get("image_metadata", {}),
            attachment=None,
            tag=None,
            uploading=None,
            renewal=None,
        )
        if "backup_id" in content:
            return self._life.restore(content["backup_id"], row["id"])
        self._life.fill(row["id"])
        return row

    def _wanted_content(self, request: Request, wanted: JSON, size: int | None) -> JSON:
        """The fields that say where a new volume's content comes from. Raises a 400 or 404 `Fault`."""
        image = wanted.get("image_id") or wanted.get("imageRef")
        others = ("snapshot_id", "source_volid", "backup_id")
        sources = {"imageRef": image, **{name: wanted.get(name) for name in others}}
        sources = {name: str(id) for name, id in sources.items() if id}
        if len(sources) > 1:
            raise invalid(f"give one of {', '.join(sorted(sources))}.")
        if image:
            return self.from_image(request, str(image), size)
        source: Any
        if "snapshot_id" in sources:
            source, kind = self._snapshots.find(request, sources["snapshot_id"]), "snapshot"
        elif "source_volid" in sources:
            source, kind = self._volumes.find(request, sources["source_volid"]), "volume"
        elif "backup_id" in sources:
            source, kind = self._backups.find(request, sources["backup_id"]), "backup"
        else:
            return {}
        if source["status"] != "available" and (kind, source["status"]) != ("volume", "in-use"):
            raise invalid(f"{kind} {source['id']} must be available, and it is {source['status']}.", kind)
        if size is not None and size < source["size"]:
            why = f"Volume size '{size}'GB cannot be smaller than the {kind} size {source['size']}GB."
            raise invalid(f"{why} They must be >= original {kind} size.")
        return {**{name: source[name] for name in INHERITED}, **sources}

    def from_image(self, request: Request, reference: str, size: int | None) -> JSON:
        """The fields of a volume of this size that an image fills. Raises a 400 `Fault`."""
        id = reference.rstrip("/").rsplit("/", 1)[-1]
        image = self._images.get(id)
        if image is None or not self._images.visible(image, request.project):
            raise Fault(400, "Invalid image identifier or unable to access requested image.")
        if image["status"] != "active":
            raise invalid(f"Image {id} is not active.")
        if size is None:
            raise invalid("a volume from an image needs a size.")
        if size < (least := image["min_disk"]):
            raise invalid(f"Volume size {size}GB cannot be smaller than the image minDisk size {least}GB.")
        if size << 30 < (image["virtual_size"] or image["size"] or 0):
            raise invalid(f"Size of specified image {id} is larger than volume size {size}GB.")
        told = ("checksum", "container_format", "disk_format", "min_disk", "min_ram", "size")
        metadata = {**image["properties"], **{name: each for name, each in image.items() if name in told}}
        metadata |= {"image_id": id, "image_name": image["name"] or ""}
        words = {name: str(value) for name, value in metadata.items()}
        return {"image_id": id, "bootable": "true", "image_metadata": words}

    def reimage(self, request: Request, row: VolumeRow, reference: str) -> None:
        """Begin to give a volume the content of an image. Raises a 400 `Fault`."""
        content = self.from_image(request, reference, row["size"])
        image = content.pop("image_id")
        self._volumes.update(row["id"], **content)
        self._life.renew(row["id"], "downloading", image_id=image)

    # Delete

    @route("DELETE", "/v3/{project}/volumes/{id}")
    def delete(self, request: Request, id: str) -> Answer:
        """Delete a volume, with `cascade` its snapshots too; it is gone when its content is."""
        row = self._volumes.find(request, id)
        if truth(request.one("force"), "force"):
            raise forbidden("volume:force_delete")
        cascade = truth(request.one("cascade"), "cascade")
        snapshots = self._snapshots.table.where(volume_id=id)
        others = [each for each in snapshots if each["project_id"] != request.project]  # since a transfer without them
        busy = [*others, *(each for each in snapshots if each["status"] not in GONE)]
        if row["status"] not in GONE or row["attachment"] or (snapshots and not cascade) or busy:
            raise invalid(
                "Volume status must be available or error or error_restoring or error_extending or error_managing and "
                "must not be migrating, attached, belong to a group, have snapshots, awaiting a transfer, or be "
                "disassociated from snapshots after volume transfer.",
                "volume",
            )
        for each in snapshots:
            self._life.delete(self._snapshots, each["id"])
        self._life.delete(self._volumes, id)
        return Answer(202)

    def discard(self, id: str) -> None:
        """Delete a volume that a server takes along; one that is attached, or has snapshots, stays."""
        row = self._volumes.table.get(id)
        if row and not row["attachment"] and not self._snapshots.table.where(volume_id=id):
            self._life.delete(self._volumes, id)

    # Snapshots: copies that stay as they are

    @route("POST", "/v3/{project}/snapshots")
    def create_snapshot(self, request: Request) -> Answer:
        """Take a snapshot, with `force` of an attached volume too: of its files as they are, open or not."""
        wanted = request.parse(CREATE_SNAPSHOT)["snapshot"]
        force = truth(wanted.get("force"), "force")
        if request.version in versions.SNAPSHOT_IN_USE:
            if "force" in wanted and not force:
                raise invalid("since microversion 3.66 there is no 'force' flag, and true counts for nothing.")
            force = True
        volume = self._volumes.find(request, wanted["volume_id"])
        check_available(volume, *(["in-use"] if force else []))
        self._quotas.claim(request.project, {"snapshots": 1, "gigabytes": volume["size"]})
        source = {name: volume[name] for name in INHERITED}  # type: ignore[literal-required]
        user = request.token.user_id
        row = self._snapshots.add(request, wanted, volume_id=volume["id"], user_id=user, **source)
        self._life.take(row["id"])
        return Answer(202, {"snapshot": self._snapshots.view(request, row)})

    @route("DELETE", "/v3/{project}/snapshots/{id}")
    def delete_snapshot(self, request: Request, id: str) -> Answer:
        """Delete a snapshot; volumes that were made from it stay."""
        if self._snapshots.find(request, id)["status"] not in GONE:
            raise invalid("Snapshot status must be available or error.", "snapshot")
        self._life.delete(self._snapshots, id)
        return Answer(202)

    @route("POST", "/v3/{project}/snapshots/{id}/action")
    def act_on_snapshot(self, request: Request, id: str) -> Answer:
        """What can be told to a snapshot, only an administrator may."""
        self._snapshots.find(request, id)
        name = next(iter(request.parse()), "")
        if name in ("os-reset_status", "os-force_delete", "os-update_snapshot_status", "os-unmanage"):
            raise forbidden(f"snapshot_extension:{name.removeprefix('os-')}")
        raise Fault(400, f"There is no such action: {name[:120]}")
