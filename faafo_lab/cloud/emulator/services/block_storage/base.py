"""What Cinder's volumes and snapshots have in common: names, metadata, lists and their pages."""

from __future__ import annotations

import ast
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar, Generic, cast

from faafo_lab.cloud.emulator.common.names import id_of
from faafo_lab.cloud.emulator.common.pages import Pager, pairs
from faafo_lab.cloud.emulator.common.service import JSON, Fault, Request, new_id
from faafo_lab.cloud.emulator.common.store import R, Table
from faafo_lab.cloud.emulator.services.block_storage.rows import SnapshotRow, VolumeRow
from faafo_lab.cloud.emulator.site import Site

PREFIX = "/volume"
ZONE = "nova"
GONE = ("available", "error", "error_deleting")  # what may be deleted
METADATA_ITEMS_MAX = 128
SORT_KEYS = ("id", "name", "status", "size", "bootable", "created_at", "updated_at")
FILTER_CHARACTERS_MAX = 4096
TYPE = "__DEFAULT__"  # as Cinder calls the one volume type where nobody has made another
TYPE_ID = str(uuid.UUID(id_of("volume_type", TYPE)))
_SHOWN = ("id", "status", "size", "name", "description", "created_at", "updated_at")  # of a row, as they are

_TEXT = {"type": ["string", "null"], "maxLength": 255}
NAMES: JSON = {"name": _TEXT, "display_name": _TEXT, "description": _TEXT, "display_description": _TEXT}
METADATA: JSON = {
    "type": ["object", "null"],
    "keys": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": r"^[a-zA-Z0-9-_:. ]{1,255}$"},
    "additionalProperties": {"type": "string", "maxLength": 255},
}


def form(name: str, fields: JSON, *required: str) -> JSON:
    """What a body with one key, an object with these fields, looks like."""
    inner = {"type": "object", "required": required, "properties": fields}
    return {"type": "object", "required": [name], "properties": {name: inner}}


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


def truth(value: object, name: str) -> bool:
    """A boolean, in one of the ways in which Cinder's clients write it; None is false. Raises a 400 `Fault`."""
    text = str(value).lower()
    if text in ("true", "1", "t", "yes", "y", "on"):
        return True
    if text in ("false", "0", "f", "no", "n", "off", "none"):
        return False
    raise Fault(400, f"Invalid input for field/attribute {name}. Value: {text[:120]}. It must be true or false.")


def bounded(metadata: dict[str, str]) -> dict[str, str]:
    """Metadata, of which there may be so many. Raises a 413 `Fault`."""
    if len(metadata) > METADATA_ITEMS_MAX:
        raise Fault(413, f"Maximum number of metadata items exceeds {METADATA_ITEMS_MAX}")
    return metadata


def invalid(why: str) -> Fault:
    """The answer to what makes no sense."""
    return Fault(400, f"Invalid input received: {why}")


def check_available(volume: VolumeRow) -> None:
    """Raises a 400 `Fault` for a volume that is in use, or busy."""
    if volume["status"] != "available":
        why = f"Volume {volume['id']} status must be available, but current status is: {volume['status']}."
        raise Fault(400, f"Invalid volume: {why}")


def forbidden(action: str) -> Fault:
    """What only an administrator may do: there is none."""
    return Fault(403, f"Policy doesn't allow {action} to be performed.")


class Collection(Generic[R]):
    """All volumes, or all of another kind of resource: a table, and how a row is shown and listed."""

    plural: ClassVar[str]  # in paths and bodies
    kind: ClassVar[str]  # of the table
    filters: ClassVar[tuple[str, ...]]  # the fields that a list can be filtered by

    def __init__(self, site: Site) -> None:
        self.table: Table[R] = site.store.table(self.kind)
        self.singular = self.plural.removesuffix("s")
        self.title = self.singular.capitalize()
        self._directory, self._url = site.directory / self.plural, site.url + PREFIX
        self._pager = Pager(
            bad_number=lambda name, value: invalid(f"{name} must be a whole number, not {value}."),
            no_marker=lambda marker: Fault(404, f"{self.title} {marker} could not be found."),
            bad_sort=lambda key, way: invalid(f"there is no sort key {key[:60]!r}:{way}."),
            most=1000,
            keys=SORT_KEYS,
            full=True,
        )

    def place(self, id: str) -> Path:
        """Where on disk the content of one of them is."""
        return self._directory / id

    def view(self, request: Request, row: R, *, whole: bool = False) -> JSON:
        """One of them as Cinder shows it; `whole`: where it is looked at, not where it is created or changed."""
        raise NotImplementedError

    def brief(self, request: Request, row: R) -> JSON:
        """One of them in a list without details."""
        return {"id": row["id"], "name": row["name"], "links": self.links(request, row["id"])}

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
        place = f"{request.project}/{self.plural}/{id}"
        return [
            {"rel": "self", "href": f"{self._url}/v3/{place}"},
            {"rel": "bookmark", "href": f"{self._url}/{place}"},
        ]

    def page(self, request: Request) -> tuple[list[R], JSON]:
        """Those that fit the query, sorted, after marker and offset; where the page is full, the link to the next."""
        rows = self._sorted(request, self._fitting(request))
        return self._pager.page(rows, request, self._url, self.plural, self._pager.number(request, "offset") or 0)

    def _fitting(self, request: Request) -> list[R]:
        """A filter that an ordinary user may not use counts for nothing."""
        wanted = {name: request.one(name) for name in self.filters if request.one(name) is not None}
        if "name" not in wanted and request.one("display_name") is not None:
            wanted["name"] = request.one("display_name")
        metadata = _mapping(wanted.pop("metadata", None) or "{}")
        if metadata is None:
            return []
        return [
            row
            for row in self.table.where(project_id=request.project)
            if all(str(row[name]).lower() == str(value).lower() for name, value in wanted.items())
            and metadata.items() <= row["metadata"].items()
        ]

    def _sorted(self, request: Request, rows: list[R]) -> list[R]:
        """Sorted by `sort=name:asc,…` or by `sort_key` and `sort_dir`; the newest first where nothing is said."""
        text = request.one("sort")
        if text is not None and (request.one("sort_key") or request.one("sort_dir")):
            raise Fault(400, "The 'sort_key' and 'sort_dir' parameters are deprecated and cannot be used with 'sort'.")
        if text is None:
            text = f"{request.one('sort_key') or 'created_at'}:{request.one('sort_dir') or 'desc'}"
        rows = sorted(rows, key=lambda row: str(row["id"]), reverse=True)
        by = [({"display_name": "name"}.get(key, key), way) for key, way in pairs(text, "desc")]
        return self._pager.sort(rows, by)


class AllVolumes(Collection[VolumeRow]):
    """All volumes."""

    plural, kind = "volumes", "volume"
    filters = ("name", "status", "metadata", "bootable", "availability_zone", "size")

    def view(self, request: Request, row: VolumeRow, *, whole: bool = False) -> JSON:
        """A volume as Cinder 3.0 shows it."""
        attachment, readonly = row["attachment"], row["readonly"]
        view = {
            **{name: row[name] for name in _SHOWN},  # type: ignore[literal-required]
            **{name: row[name] for name in ("availability_zone", "snapshot_id", "source_volid", "user_id", "bootable")},
            "attachments": [{**attachment, "id": row["id"], "volume_id": row["id"]}] if attachment else [],
            "consistencygroup_id": None,
            "encrypted": False,
            "links": self.links(request, row["id"]),
            "metadata": row["metadata"] | ({} if readonly is None else {"readonly": readonly}),
            "multiattach": False,
            "replication_status": None,
            "volume_type": TYPE,
        }
        if whole:
            view["os-vol-tenant-attr:tenant_id"] = row["project_id"]
            if row["image_metadata"]:
                view["volume_image_metadata"] = row["image_metadata"]
        return view


class AllSnapshots(Collection[SnapshotRow]):
    """All snapshots."""

    plural, kind = "snapshots", "volume_snapshot"
    filters = ("name", "status", "volume_id", "metadata")

    def brief(self, request: Request, row: SnapshotRow) -> JSON:
        """A snapshot in a list."""
        return self.view(request, row)

    def view(self, request: Request, row: SnapshotRow, *, whole: bool = False) -> JSON:
        """A snapshot as Cinder 3.0 shows it."""
        view: JSON = {name: row[name] for name in (*_SHOWN, "volume_id", "metadata")}  # type: ignore[literal-required]
        if whole:
            view["os-extended-snapshot-attributes:project_id"] = row["project_id"]
            view["os-extended-snapshot-attributes:progress"] = "100%" if row["status"] == "available" else "0%"
        return view


def _mapping(text: str) -> dict[str, str] | None:
    """The metadata of a filter, as clients write it: JSON or Python. None where it is neither."""
    try:
        found = ast.literal_eval(text[:FILTER_CHARACTERS_MAX])
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None
    if not isinstance(found, dict):
        return None
    return {str(name): str(value) for name, value in found.items()}
