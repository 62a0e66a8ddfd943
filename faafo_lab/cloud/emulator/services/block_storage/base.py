"""What Cinder's kinds of resources have in common: names, metadata, how they are found, listed and shown."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar, Generic, cast

from faafo_lab.cloud.emulator.common.names import id_of
from faafo_lab.cloud.emulator.common.service import ALL_VERSIONS, JSON, Fault, Request, Versions, new_id
from faafo_lab.cloud.emulator.common.store import R, Table
from faafo_lab.cloud.emulator.services.block_storage import query, versions
from faafo_lab.cloud.emulator.services.block_storage.rows import SnapshotRow, VolumeRow
from faafo_lab.cloud.emulator.services.block_storage.words import truth
from faafo_lab.cloud.emulator.site import Site

PREFIX = "/volume"
ZONE = "nova"
GONE = ("available", "error", "error_deleting", "error_restoring")  # what may be deleted
METADATA_ITEMS_MAX = 128
TYPE = "__DEFAULT__"  # as Cinder calls the one volume type where nobody has made another
TYPE_ID = str(uuid.UUID(id_of("volume_type", TYPE)))
SERVICE_ID = str(uuid.UUID(id_of("volume_service", ZONE)))
_SHOWN = ("id", "status", "size", "name", "description", "created_at", "updated_at")  # of a row, as they are
_QUOTA = (versions.CONSUMES_QUOTA, "consumes_quota", True)

_TEXT = {"type": ["string", "null"], "maxLength": 255}
NAMES: JSON = {"name": _TEXT, "display_name": _TEXT, "description": _TEXT, "display_description": _TEXT}
METADATA: JSON = {
    "type": ["object", "null"],
    "keys": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": r"^[a-zA-Z0-9-_:. ]{1,255}$"},
    "additionalProperties": {"type": "string", "maxLength": 255},
}


def form(name: str, fields: JSON, *required: str, strict: bool = False) -> JSON:
    """What a body with one key, an object with these fields, looks like; `strict`: with no others."""
    inner = {"type": "object", "required": required, "properties": fields, "additionalProperties": not strict}
    return {"type": "object", "required": [name], "properties": {name: inner}, "additionalProperties": not strict}


def moment() -> str:
    """The moment as Cinder writes it: 2026-01-31T12:00:00.123456."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")


def named(wanted: JSON) -> JSON:
    """The name and the description that a body has, under their old names too."""
    found = {}
    for field in ("name", "description"):
        for each in (f"display_{field}", field):
            if each in wanted:
                found[field] = wanted[each].strip() if wanted[each] else wanted[each]
    return found


def bounded(metadata: dict[str, str]) -> dict[str, str]:
    """Metadata, of which there may be so many. Raises a 413 `Fault`."""
    if len(metadata) > METADATA_ITEMS_MAX:
        raise Fault(413, f"Maximum number of metadata items exceeds {METADATA_ITEMS_MAX}")
    return metadata


class Collection(Generic[R]):
    """All volumes, or all of another kind of resource: a table, and how a row is shown and listed."""

    plural: ClassVar[str]  # in bodies
    kind: ClassVar[str]  # of the table
    paths: ClassVar[Mapping[str, Versions]]  # what paths call it, and in which versions
    filters: ClassVar[Mapping[str, Versions]]  # the fields that a list can be filtered by
    changeable: ClassVar[Versions] = ALL_VERSIONS  # when its name and description can be changed
    later: ClassVar[Sequence[tuple[Versions, str, Any]]] = ()  # fields that came later, and their value here

    def __init__(self, site: Site) -> None:
        self.table: Table[R] = site.store.table(self.kind)
        self.transaction = site.store.transaction
        self.singular = self.plural.removesuffix("s")
        self.title = self.singular.capitalize()
        self._directory, self._url = site.directory / self.plural, site.url + PREFIX
        self._pager = query.pager(self.title)

    def place(self, id: str) -> Path:
        """Where on disk the content of one of them is."""
        return self._directory / id

    def view(self, request: Request, row: R, *, whole: bool = False) -> JSON:
        """One of them as Cinder shows it; `whole`: where it is looked at, not where it is created or changed."""
        raise NotImplementedError

    def brief(self, request: Request, row: R) -> JSON:
        """One of them in a list without details."""
        return {"id": row["id"], "name": row["name"], "links": self.links(request, row["id"])}

    def added(self, request: Request) -> JSON:
        """What the request's microversion shows beside."""
        return {name: value for there, name, value in self.later if request.version in there}

    def rows(self, project: str) -> list[R]:
        """All of a project's."""
        return self.table.where(project_id=project)

    def find(self, request: Request, id: str | None) -> R:
        """The project's own. Raises a 404 `Fault`."""
        row = self.table.get(id)
        if row is None or row["project_id"] != request.project:
            raise Fault(404, f"{self.title} {id} could not be found.")
        return row

    def add(self, request: Request, wanted: JSON, **fields: Any) -> R:
        """A new one of the project's, with the body's name, description and metadata."""
        texts, created = named(wanted), moment()
        common = {
            "id": new_id(),
            "project_id": request.project,
            "name": texts.get("name"),
            "description": texts.get("description"),
            "status": "creating",
            "metadata": wanted.get("metadata") or {},
            "created_at": created,
            "updated_at": created,
        }
        return self.table.put(cast(R, common | fields))

    def update(self, id: str, **changes: Any) -> R:
        """Change these fields, and the date."""
        return self.table.update(id, **changes, updated_at=moment())

    def links(self, request: Request, id: str) -> list[JSON]:
        """Where one of them is."""
        place = f"{request.project}/{next(iter(self.paths))}/{id}"
        return [
            {"rel": "self", "href": f"{self._url}/v3/{place}"},
            {"rel": "bookmark", "href": f"{self._url}/{place}"},
        ]

    def page(self, request: Request) -> tuple[list[R], JSON]:
        """Those that fit the query, sorted, after marker and offset; the link to the next page, and how many fit."""
        fitting = query.fitting(request, self.rows(request.project), self.filters)
        rows = query.in_order(self._pager, request, fitting)
        offset = self._pager.number(request, "offset") or 0
        page, beside = self._pager.page(rows, request, self._url, self.plural, offset)
        if request.version in versions.COUNT and truth(request.one("with_count"), "with_count"):
            beside["count"] = len(rows)
        return page, beside


class AllVolumes(Collection[VolumeRow]):
    """All volumes."""

    plural, kind = "volumes", "volume"
    paths: ClassVar[Mapping[str, Versions]] = {"volumes": ALL_VERSIONS}
    filters: ClassVar[Mapping[str, Versions]] = {
        **dict.fromkeys(("name", "status", "metadata", "bootable", "availability_zone", "size"), ALL_VERSIONS),
        **query.TIMES,
        "group_id": versions.GROUP_FILTER,
        "migration_status": ALL_VERSIONS,
        "consumes_quota": versions.CONSUMES_QUOTA,
    }
    later = (
        (versions.GROUPS, "group_id", None),
        (versions.SERVICE_FIELDS, "shared_targets", False),
        (versions.SERVICE_FIELDS, "service_uuid", SERVICE_ID),
        (versions.TYPE_ID, "volume_type_id", TYPE_ID),
        _QUOTA,
    )

    def view(self, request: Request, row: VolumeRow, *, whole: bool = False) -> JSON:
        """A volume as Cinder shows it."""
        attachment, readonly = row["attachment"], row["readonly"]
        shown = {}
        if attachment and attachment.get("status", "attached") == "attached":
            fields = ("attachment_id", "server_id", "host_name", "device", "attached_at")
            shown = {name: each for name, each in attachment.items() if name in fields}
        view = {
            **{name: row[name] for name in _SHOWN},  # type: ignore[literal-required]
            **{name: row[name] for name in ("availability_zone", "snapshot_id", "source_volid", "user_id", "bootable")},
            "attachments": [{**shown, "id": row["id"], "volume_id": row["id"]}] if shown else [],
            "consistencygroup_id": None,
            "encrypted": False,
            "links": self.links(request, row["id"]),
            "metadata": row["metadata"] | ({} if readonly is None else {"readonly": readonly}),
            "multiattach": False,
            "replication_status": None,
            "volume_type": TYPE,
            **self.added(request),
        }
        if whole:
            view["os-vol-tenant-attr:tenant_id"] = row["project_id"]
            if row["image_metadata"]:
                view["volume_image_metadata"] = row["image_metadata"]
        return view


class AllSnapshots(Collection[SnapshotRow]):
    """All snapshots."""

    plural, kind = "snapshots", "volume_snapshot"
    paths: ClassVar[Mapping[str, Versions]] = {"snapshots": ALL_VERSIONS}
    filters: ClassVar[Mapping[str, Versions]] = {
        **dict.fromkeys(("name", "status", "volume_id", "metadata"), ALL_VERSIONS),
        "consumes_quota": versions.CONSUMES_QUOTA,
    }
    later = ((versions.GROUP_SNAPSHOTS, "group_snapshot_id", None), _QUOTA)

    def brief(self, request: Request, row: SnapshotRow) -> JSON:
        """A snapshot in a list."""
        return self.view(request, row)

    def view(self, request: Request, row: SnapshotRow, *, whole: bool = False) -> JSON:
        """A snapshot as Cinder shows it."""
        view: JSON = {name: row[name] for name in (*_SHOWN, "volume_id", "metadata")}  # type: ignore[literal-required]
        view |= self.added(request)
        if request.version in versions.SNAPSHOT_USER:
            view["user_id"] = row.get("user_id")
        if whole:
            view["os-extended-snapshot-attributes:project_id"] = row["project_id"]
            view["os-extended-snapshot-attributes:progress"] = "100%" if row["status"] == "available" else "0%"
        return view
