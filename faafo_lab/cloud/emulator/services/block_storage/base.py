"""What Cinder's volumes and snapshots have in common: names, metadata, lists and their pages."""

from __future__ import annotations

import ast
from datetime import UTC, datetime
from typing import Any, Generic, TypeAlias

from faafo_lab.cloud.emulator.common.pages import Pager, pairs
from faafo_lab.cloud.emulator.common.service import JSON, Fault, Request
from faafo_lab.cloud.emulator.common.store import R, Table
from faafo_lab.cloud.emulator.services.block_storage.rows import SnapshotRow, VolumeRow
from faafo_lab.cloud.emulator.site import Site

PREFIX = "/volume"
ZONE = "nova"
GONE = ("available", "error", "error_deleting")  # what may be deleted
METADATA_ITEMS_MAX = 128
SORT_KEYS = ("id", "name", "status", "size", "bootable", "created_at", "updated_at")


def _pager(title: str) -> Pager:
    def bad_sort(key: str, direction: str) -> Fault:
        what = f"{key}:{direction}" if key in SORT_KEYS else key
        return Fault(400, f"Invalid input received: there is no sort key {what[:60]!r}.")

    return Pager(
        bad_number=lambda name, value: Fault(
            400, f"Invalid input received: {name} must be a whole number, not {value}."
        ),
        no_marker=lambda marker: Fault(404, f"{title} {marker} could not be found."),
        bad_sort=bad_sort,
        most=1000,
        keys=SORT_KEYS,
        full=True,
    )


FILTER_CHARACTERS_MAX = 4096

_TEXT = {"type": ["string", "null"], "maxLength": 255}
NAMES: JSON = {"name": _TEXT, "display_name": _TEXT, "description": _TEXT, "display_description": _TEXT}
METADATA: JSON = {
    "type": ["object", "null"],
    "keys": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": r"^[a-zA-Z0-9-_:. ]{1,255}$"},
    "additionalProperties": {"type": "string", "maxLength": 255},
}


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
    """A boolean, in one of the ways in which Cinder's clients write it. Raises a 400 `Fault`."""
    text = str(value).lower()
    if text in ("true", "1", "t", "yes", "y", "on"):
        return True
    if text in ("false", "0", "f", "no", "n", "off"):
        return False
    raise Fault(400, f"Invalid input for field/attribute {name}. Value: {text[:120]}. It must be true or false.")


def forbidden(action: str) -> Fault:
    """What only an administrator may do: there is none."""
    return Fault(403, f"Policy doesn't allow {action} to be performed.")


class Collection(Generic[R]):
    """All volumes, or all snapshots."""

    def __init__(self, site: Site, name: str, filters: tuple[str, ...]) -> None:
        """`name` is volumes or snapshots; `filters` are the fields that a list can be filtered by."""
        self.name = name
        self.title = name.removesuffix("s").capitalize()
        self.table: Table[R] = site.store.table({"volumes": "volume", "snapshots": "volume_snapshot"}[name])
        self._url = site.url + PREFIX
        self._filters = filters
        self._pager = _pager(self.title)

    def find(self, request: Request, id: str | None) -> R:
        """The project's own. Raises a 404 `Fault`."""
        row = self.table.get(id)
        if row is None or row["project_id"] != request.project:
            raise Fault(404, f"{self.title} {id} could not be found.")
        return row

    def update(self, id: str, **changes: Any) -> R:
        """Change these fields, and the date."""
        return self.table.update(id, **changes, updated_at=moment())

    def links(self, request: Request, id: str) -> list[JSON]:
        """Where one of them is."""
        return [
            {"rel": "self", "href": f"{self._url}/v3/{request.project}/{self.name}/{id}"},
            {"rel": "bookmark", "href": f"{self._url}/{request.project}/{self.name}/{id}"},
        ]

    def page(self, request: Request) -> tuple[list[R], JSON]:
        """Those that fit the query, sorted, after marker and offset; where the page is full, the link to the next."""
        rows = self._sorted(request, self._fitting(request))
        return self._pager.page(rows, request, self._url, self.name, self._pager.number(request, "offset") or 0)

    def _fitting(self, request: Request) -> list[R]:
        """A filter that an ordinary user may not use counts for nothing."""
        wanted = {name: request.one(name) for name in self._filters if request.one(name) is not None}
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


AllVolumes: TypeAlias = Collection[VolumeRow]
AllSnapshots: TypeAlias = Collection[SnapshotRow]


def _mapping(text: str) -> dict[str, str] | None:
    """The metadata of a filter, as clients write it: JSON or Python. None where it is neither."""
    try:
        found = ast.literal_eval(text[:FILTER_CHARACTERS_MAX])
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None
    if not isinstance(found, dict):
        return None
    return {str(name): str(value) for name, value in found.items()}
