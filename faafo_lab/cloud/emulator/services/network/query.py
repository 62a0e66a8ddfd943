"""Lists of Neutron's resources: filtered, sorted, a page at a time, and only the fields that were asked for.

Source: https://docs.openstack.org/api-ref/network/v2/#filtering-and-column-selection
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Any

from faafo_lab.cloud.emulator.common import pages
from faafo_lab.cloud.emulator.common.service import JSON, Fault, Request
from faafo_lab.cloud.emulator.services.network.words import refused


def _bad_sort(key: str, direction: str) -> Fault:
    if direction not in ("asc", "desc"):
        return refused("HTTPBadRequest", f"The value for sort_dir must be asc or desc, not {direction!r}")
    return refused("HTTPBadRequest", f"{key!r} cannot be sorted by")


def _rank(value: Any) -> Any:
    if isinstance(value, list | dict):
        raise TypeError
    return pages.nothing_first(value)


PAGER = pages.Pager(
    bad_number=lambda name, value: refused("HTTPBadRequest", f"Limit must be an integer 0 or greater and not {value}"),
    no_marker=lambda marker: refused("HTTPNotFound", f"The marker {marker} could not be found."),
    bad_sort=_bad_sort,
    rank=_rank,
    reversible=True,
)
_PAGING = frozenset(("limit", "marker", "page_reverse", "sort_key", "sort_dir", "fields"))


def filter_by(request: Request, names: Collection[str]) -> Callable[[JSON], bool]:
    """Whether a resource has one of the values that a request gives for each of these names, and its tags.

    Raises a 400 `Fault` for what is none of the names.
    """
    wanted = {name: values for name, values in request.query.items() if name not in _PAGING}
    unknown = [name for name in wanted if name not in {*names, *pages.TAG_FILTERS, "changed_since"}]
    if unknown:
        raise refused("HTTPBadRequest", f"{unknown} is invalid attribute for filtering")
    return lambda view: all(_has(view, name, values) for name, values in wanted.items())


def _has(view: JSON, name: str, values: list[str]) -> bool:
    if name in pages.TAG_FILTERS:
        return pages.tagged(view.get("tags", []), name, values)
    if name == "changed_since":
        return bool(view.get("updated_at", "") >= max(values))
    return any(_equal(view.get(name), value) for value in values)


def _equal(value: Any, text: str) -> bool:
    """Whether a filter's text means this value.

    A list or an object fits where a part of it does: `ip_address=…`, or, of a text, `ip_address_substr=…`.
    """
    if isinstance(value, bool):
        return text.lower() in (("true", "1") if value else ("false", "0"))
    if isinstance(value, list):
        return any(_equal(item, text) for item in value)
    if isinstance(value, dict):
        key, _, rest = text.partition("=")
        if key.endswith("_substr"):
            return rest in str(value.get(key.removesuffix("_substr"), ""))
        return str(value.get(key)) == rest
    return str(value) == text if value is not None else text in ("", "None")


def in_order(views: Iterable[JSON], request: Request) -> list[JSON]:
    """The resources, sorted as asked. Raises a 400 `Fault`."""
    keys = request.query.get("sort_key", [])
    directions = request.query.get("sort_dir", [])
    if directions and len(keys) != len(directions):
        raise refused("HTTPBadRequest", "The number of sort_keys and sort_dirs must be same")
    return PAGER.sort(views, list(zip(keys, directions or ["asc"] * len(keys), strict=True)))
