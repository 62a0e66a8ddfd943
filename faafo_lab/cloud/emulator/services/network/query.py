"""Lists of Neutron's resources: filtered, sorted, a page at a time, and only the fields that were asked for.

Source: https://docs.openstack.org/api-ref/network/v2/#filtering-and-column-selection
"""

from __future__ import annotations

from typing import Any

from faafo_lab.cloud.emulator.common import lists, schema
from faafo_lab.cloud.emulator.common.service import JSON, Fault, Request

_PAGING = frozenset(("limit", "marker", "page_reverse", "sort_key", "sort_dir", "fields"))


def matches(view: JSON, request: Request) -> bool:
    """Whether a resource passes the filters: any of the values given for each attribute, and its tags."""
    for name, values in request.query.items():
        if name in _PAGING:
            continue
        if name in lists.TAG_FILTERS:
            if not lists.tagged(view.get("tags", []), name, values):
                return False
        elif name in view and not any(_equal(view[name], value) for value in values):
            return False
    return True


def _equal(value: Any, text: str) -> bool:
    """Whether a filter's text means this value; a list or object fits where a part of it does (`ip_address=…`)."""
    if isinstance(value, bool):
        return text.lower() in (("true", "1") if value else ("false", "0"))
    if isinstance(value, list):
        return any(_equal(item, text) for item in value)
    if isinstance(value, dict):
        key, _, rest = text.partition("=")
        return str(value.get(key)) == rest
    return str(value) == text if value is not None else text in ("", "None")


def in_order(views: list[JSON], request: Request) -> list[JSON]:
    """The resources, sorted as asked, else by age. Raises a 400 `Fault`."""
    keys = request.query.get("sort_key", [])
    directions = request.query.get("sort_dir", [])
    if directions and len(keys) != len(directions):
        raise Fault(400, "The number of sort_keys and sort_dirs must be same", type="HTTPBadRequest")
    views = sorted(views, key=lambda view: (view.get("created_at", ""), view["id"]))
    for key, direction in reversed(list(zip(keys, directions or ["asc"] * len(keys), strict=True))):
        if direction not in ("asc", "desc"):
            raise Fault(400, f"The value for sort_dir must be asc or desc, not {direction!r}", type="HTTPBadRequest")
        if any(isinstance(view.get(key), list | dict) for view in views):
            raise Fault(400, f"{key!r} cannot be sorted by", type="HTTPBadRequest")
        views.sort(key=lambda view: (view.get(key) is not None, view.get(key)), reverse=direction == "desc")
    return views


def page(views: list[JSON], request: Request) -> tuple[list[JSON], bool]:
    """The page asked for, and whether there are more. Raises a 400 or 404 `Fault`."""
    if request.one("page_reverse") in ("True", "true"):
        views = views[::-1]
    try:
        limit = request.number("limit")
    except ValueError:
        wrong = schema.shown(request.one("limit"))
        raise Fault(400, f"Limit must be an integer 0 or greater and not {wrong}", type="HTTPBadRequest") from None
    try:
        return lists.page(views, request, limit or None)
    except KeyError as error:
        raise Fault(404, f"The marker {error.args[0]} could not be found.", type="HTTPNotFound") from None
