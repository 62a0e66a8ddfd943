"""Lists of Cinder's resources: filtered, sorted, a page at a time.

Source: https://docs.openstack.org/api-ref/block-storage/v3/#list-accessible-volumes-with-details
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from faafo_lab.cloud.emulator.common.pages import Pager, pairs
from faafo_lab.cloud.emulator.common.service import Fault, Request, Versions
from faafo_lab.cloud.emulator.common.store import R
from faafo_lab.cloud.emulator.services.block_storage import versions
from faafo_lab.cloud.emulator.services.block_storage.words import invalid, truth

FILTER_CHARACTERS_MAX = 4096
SORT_KEYS = ("id", "name", "status", "size", "bootable", "created_at", "updated_at")
TIMES = {"created_at": versions.TIME_FILTERS, "updated_at": versions.TIME_FILTERS}
_PAGING = frozenset(("limit", "marker", "offset", "sort", "sort_key", "sort_dir", "with_count", "all_tenants"))
_OPERATORS = {
    "gt": operator.gt,
    "gte": operator.ge,
    "eq": operator.eq,
    "neq": operator.ne,
    "lt": operator.lt,
    "lte": operator.le,
}


def pager(title: str) -> Pager:
    """The pages of resources that are called so."""
    return Pager(
        bad_number=lambda name, value: invalid(f"{name} must be a whole number, not {value}."),
        no_marker=lambda marker: Fault(404, f"{title} {marker} could not be found."),
        bad_sort=lambda key, way: invalid(f"there is no sort key {key[:60]!r}:{way}."),
        most=1000,
        keys=SORT_KEYS,
        full=True,
    )


def fitting(request: Request, rows: Iterable[R], filters: Mapping[str, Versions], *, summary: bool = False) -> list[R]:
    """The rows that pass the filters of a request. Raises a 400 `Fault`.

    What is no filter counts for nothing; since 3.31 it is refused, but for a summary.
    """
    names = {name for name, there in filters.items() if request.version in there}
    unknown = [name for name in request.query if name not in names | _PAGING]
    if request.version in versions.STRICT_FILTERS and not summary and unknown:
        raise Fault(400, f"Invalid filters {','.join(unknown)} are found in query options.")
    wanted = {name: request.one(name) or "" for name in request.query if name in names}
    if "name" in names - wanted.keys() and request.one("display_name") is not None:
        wanted["name"] = request.one("display_name") or ""
    if "bootable" in wanted and request.version in versions.STRICT_BOOTABLE:
        wanted["bootable"] = str(truth(wanted["bootable"], "bootable"))
    return [row for row in rows if all(_fits(row, name, text) for name, text in wanted.items())]


def _fits(row: Mapping[str, Any], name: str, text: str) -> bool:
    if name == "metadata":
        metadata = _mapping(text or "{}")
        return metadata is not None and metadata.items() <= row["metadata"].items()
    if name in TIMES:
        moment = datetime.fromisoformat(row[name]).replace(tzinfo=UTC)
        return all(_OPERATORS[how](moment, then) for how, then in _comparisons(name, text))
    if name == "consumes_quota":
        return truth(text, name)
    return str(row.get(name)).lower() == text.lower()


def _comparisons(name: str, text: str) -> list[tuple[str, datetime]]:
    """What a filter by time says: gt:2026-01-31T12:00:00,lt:… Raises a 400 `Fault`."""
    found = []
    for part in text.split(","):
        how, _, then = part.partition(":")
        if how not in _OPERATORS:
            raise Fault(400, f"Invalid {how[:40]} operator")
        try:
            moment = datetime.fromisoformat(then)
        except ValueError:
            raise Fault(400, f"Invalid {then[:40]} value") from None
        found.append((how, moment if moment.tzinfo else moment.replace(tzinfo=UTC)))
    return found


def _mapping(text: str) -> dict[str, str] | None:
    """The metadata of a filter, as clients write it: JSON or Python. None where it is neither."""
    try:
        found = ast.literal_eval(text[:FILTER_CHARACTERS_MAX])
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None
    if not isinstance(found, dict):
        return None
    return {str(name): str(value) for name, value in found.items()}


def in_order(pager: Pager, request: Request, rows: Sequence[R]) -> list[R]:
    """Sorted by `sort=name:asc,…` or by `sort_key` and `sort_dir`; the newest first where nothing is said."""
    text = request.one("sort")
    if text is not None and (request.one("sort_key") or request.one("sort_dir")):
        raise Fault(400, "The 'sort_key' and 'sort_dir' parameters are deprecated and cannot be used with 'sort'.")
    if text is None:
        text = f"{request.one('sort_key') or 'created_at'}:{request.one('sort_dir') or 'desc'}"
    by = [({"display_name": "name"}.get(key, key), way) for key, way in pairs(text, "desc")]
    return pager.sort(sorted(rows, key=lambda row: str(row["id"]), reverse=True), by)
