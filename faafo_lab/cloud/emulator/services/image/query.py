"""Lists of images: filtered, sorted, a page at a time. Source: https://docs.openstack.org/api-ref/image/v2/#list-images"""

from __future__ import annotations

import operator
from collections.abc import Callable
from datetime import UTC, datetime

from faafo_lab.cloud.emulator.common import lists, schema
from faafo_lab.cloud.emulator.common.service import JSON, Fault, Request

PAGE = 25
PAGE_MAX = 1000
SORT_KEYS = ("name", "status", "container_format", "disk_format", "size", "id", "created_at", "updated_at")
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
    for name, values in request.query.items():
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
    if text := request.one("sort"):
        pairs = [[*part.split(":"), "desc"][:2] for part in text.split(",")]
    else:
        keys = request.query.get("sort_key", ["created_at"])
        directions = request.query.get("sort_dir", ["desc"])
        pairs = [[key, directions[min(number, len(directions) - 1)]] for number, key in enumerate(keys)]
    views = sorted(views, key=lambda view: str(view["id"]))
    for key, direction in reversed(pairs):
        if key not in SORT_KEYS or direction not in ("asc", "desc"):
            raise Fault(400, f"Invalid sort key or direction: {key}:{direction}")
        views.sort(
            key=lambda view: (view[key] is None, 0 if view[key] is None else view[key]), reverse=direction == "desc"
        )
    return views


def cut(views: list[JSON], request: Request) -> tuple[list[JSON], bool]:
    """The images after the marker, at most `limit`, and whether there are more."""
    try:
        limit = request.number("limit")
    except ValueError:
        raise Fault(400, "limit param must be an integer") from None
    limit = min(PAGE if limit is None else limit, PAGE_MAX)
    try:
        page, more = lists.page(views, request, limit)
    except KeyError as error:
        raise Fault(400, f"Marker {error.args[0]} could not be found.") from None
    return page, limit > 0 and more
