"""Lists of images: filtered, sorted, a page at a time. Source: https://docs.openstack.org/api-ref/image/v2/#list-images"""

from __future__ import annotations

import operator
from collections.abc import Callable
from datetime import UTC, datetime

from faafo_lab.cloud.emulator.common import pages, schema
from faafo_lab.cloud.emulator.common.service import JSON, Fault, Request

PAGER = pages.Pager(
    bad_number=lambda name, value: Fault(400, f"{name} param must be an integer"),
    no_marker=lambda marker: Fault(400, f"Marker {marker} could not be found."),
    bad_sort=lambda key, direction: Fault(400, f"Invalid sort key or direction: {key}:{direction}"),
    usual=25,
    most=1000,
    keys=("name", "status", "container_format", "disk_format", "size", "id", "created_at", "updated_at"),
    rank=lambda value: (value is None, value),
)
_PAGING = frozenset(("limit", "marker", "sort", "sort_key", "sort_dir", "member_status"))
_OPERATORS: dict[str, Callable[[datetime, datetime], bool]] = {
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
    "eq": operator.eq,
    "neq": operator.ne,
}


def matches(view: JSON, request: Request) -> bool:
    """Whether an image fits the query: attributes, properties, tags, and bounds of its size."""
    for name, values in {"os_hidden": ["false"], **request.query}.items():
        text = values[-1]
        if name in _PAGING:
            continue
        if name == "tag":
            if not set(values) <= set(view["tags"]):
                return False
        elif name in ("size_min", "size_max"):
            try:
                bound = request.number(name) or 0
            except ValueError as error:
                raise Fault(400, f"{error}.") from None
            size = view["size"] or 0
            if (size < bound) if name == "size_min" else (size > bound):
                return False
        elif name == "visibility":
            if text not in ("public", "private", "shared", "community", "all"):
                raise Fault(400, f"Invalid visibility value: {text}")
            if text not in ("all", view["visibility"]):
                return False
        elif name in ("protected", "os_hidden"):
            if text.lower() not in ("true", "false"):
                raise Fault(400, f"Invalid value '{text}' for '{name}' filter. Valid values are case sensitive.")
            if view[name] != (text.lower() == "true"):
                return False
        elif name in ("created_at", "updated_at"):
            if not _compares(str(view[name]), text):
                return False
        else:
            wanted = text[3:].split(",") if text.startswith("in:") else [text]
            if str(view.get(name)) not in wanted:
                return False
    return True


def _compares(moment: str, text: str) -> bool:
    """Whether a moment fits `gt:2026-01-31T12:00:00Z` and its like; no operator is eq. Raises a 400 `Fault`."""
    name, _, wanted = text.partition(":") if text.partition(":")[0] in _OPERATORS else ("eq", ":", text)
    try:
        when = datetime.fromisoformat(wanted)
    except ValueError:
        raise Fault(400, f"Invalid time: {schema.shown(wanted)} is not like 2026-01-31T12:00:00Z.") from None
    return _OPERATORS[name](datetime.fromisoformat(moment), when if when.tzinfo else when.replace(tzinfo=UTC))


def ordered(views: list[JSON], request: Request) -> list[JSON]:
    """Sorted by `sort=name:asc,…` or by `sort_key` and `sort_dir`; the newest first where nothing is said."""
    views = views[::-1]  # the latest first, of those of one second too: a backup's rotation keeps the first ones
    if text := request.one("sort"):
        if "sort_key" in request.query or "sort_dir" in request.query:
            raise Fault(400, "Old and new sorting syntax cannot be combined")
        return PAGER.sort(views, pages.pairs(text, "desc"))
    keys = request.query.get("sort_key", ["created_at"])
    directions = request.query.get("sort_dir", ["desc"])
    if len(directions) not in (1, len(keys)):
        raise Fault(400, "Number of sort dirs does not match the number of sort keys")
    return PAGER.sort(views, list(zip(keys, directions + directions[-1:] * len(keys), strict=False)))
