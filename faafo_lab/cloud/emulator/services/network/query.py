"""Lists of Neutron's resources: filtered, sorted, a page at a time, and only the fields that were asked for.

Source: https://docs.openstack.org/api-ref/network/v2/#filtering-and-column-selection
"""

from __future__ import annotations

from typing import Any

from faafo_lab.cloud.emulator.common import pages
from faafo_lab.cloud.emulator.common.service import JSON, Fault, Request


def _bad_sort(key: str, direction: str) -> Fault:
    reason = f"{key!r} cannot be sorted by"
    if direction not in ("asc", "desc"):
        reason = f"The value for sort_dir must be asc or desc, not {direction!r}"
    return Fault(400, reason, type="HTTPBadRequest")


def _rank(value: Any) -> Any:
    if isinstance(value, list | dict):
        raise TypeError
    return pages.nothing_first(value)


PAGER = pages.Pager(
    bad_number=lambda name, value: Fault(
        400, f"Limit must be an integer 0 or greater and not {value}", type="HTTPBadRequest"
    ),
    no_marker=lambda marker: Fault(404, f"The marker {marker} could not be found.", type="HTTPNotFound"),
    bad_sort=_bad_sort,
    rank=_rank,
    reversible=True,
)
_PAGING = frozenset(("limit", "marker", "page_reverse", "sort_key", "sort_dir", "fields"))


def matches(view: JSON, request: Request) -> bool:
    """Whether a resource passes the filters: any of the values given for each attribute, and its tags."""
    for name, values in request.query.items():
        if name in _PAGING:
            continue
        if name in pages.TAG_FILTERS:
            if not pages.tagged(view.get("tags", []), name, values):
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
    return PAGER.sort(views, list(zip(keys, directions or ["asc"] * len(keys), strict=True)))
