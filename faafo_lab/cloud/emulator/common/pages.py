"""Lists: filtered by tags, sorted, a page at a time, and only the fields that were asked for.

pager = Pager(most=1000, bad_number=…, no_marker=…, bad_sort=…)  # the limits and words of one service
rows = pager.sort(rows, pairs(request.one("sort"), "asc"))
rows, following = pager.cut(rows, request)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, TypeVar
from urllib.parse import urlencode

from faafo_lab.cloud.emulator.common import schema
from faafo_lab.cloud.emulator.common.service import JSON, Fault, Request

TAG_FILTERS = ("tags", "tags-any", "not-tags", "not-tags-any")
R = TypeVar("R", bound=Mapping[str, Any])
T = TypeVar("T")


def tagged(tags: Sequence[str], name: str, values: Sequence[str]) -> bool:
    """Whether something with these tags passes one of the `TAG_FILTERS`."""
    wanted = {tag for value in values for tag in value.split(",")}
    have = wanted & set(tags)
    fits = bool(have) if name.endswith("-any") else have == wanted
    return fits != name.startswith("not-")


def fields(view: JSON, request: Request) -> JSON:
    """A view with those attributes only that were asked for."""
    wanted = request.query.get("fields")
    return {name: value for name, value in view.items() if name in wanted} if wanted else view


def pairs(sort: str, direction: str) -> list[tuple[str, str]]:
    """The keys of `name:asc,size`, each with its direction; `direction` where it says none."""
    parts = [part.strip().partition(":") for part in sort.split(",")]
    return [(key, said or direction) for key, _, said in parts]


def nothing_first(value: Any) -> Any:
    """How a value ranks where None goes before all others."""
    return value is not None, value


@dataclass(frozen=True)
class Pager:
    """The limits and the words of one service's lists."""

    # The answer to a limit or offset, by its name, with this value, which is shown as in Python
    bad_number: Callable[[str, str], Fault]
    no_marker: Callable[[str], Fault]  # the answer to a marker that is none of the rows
    # The answer to a key and a direction by which rows are not sorted
    bad_sort: Callable[[str, str], Fault] = lambda key, direction: Fault(
        400, f"Nothing is sorted by {key}:{direction}."
    )
    most: int | None = None  # the rows of a page; None: any number, and a limit of 0 is none
    usual: int | None = None  # the rows of a page where the query has no limit; None: `most`
    keys: Sequence[str] | None = None  # what rows may be sorted by; None: any field
    # What a value is compared by; it raises TypeError for one that has no order
    rank: Callable[[Any], Any] = nothing_first
    reversible: bool = False  # whether `page_reverse` turns a list round
    full: bool = False  # whether a full page names a following one, even if that is empty

    def sort(self, rows: Iterable[R], by: Sequence[tuple[str, str]]) -> list[R]:
        """The rows sorted by these keys, the first one above all; a direction is asc or desc. Raises `bad_sort`."""
        rows = list(rows)
        for key, direction in reversed(by):
            if direction not in ("asc", "desc") or (self.keys is not None and key not in self.keys):
                raise self.bad_sort(key, direction)
            try:
                rows.sort(key=lambda row: self.rank(row.get(key)), reverse=direction == "desc")
            except TypeError:
                raise self.bad_sort(key, direction) from None
        return rows

    def number(self, request: Request, name: str) -> int | None:
        """A parameter of the query, or None. Raises `bad_number`."""
        try:
            return request.number(name)
        except ValueError:
            raise self.bad_number(name, schema.shown(request.one(name))) from None

    def cut(
        self, rows: Sequence[T], request: Request, offset: int = 0, key: Callable[[Any], str] = itemgetter("id")
    ) -> tuple[list[T], str]:
        """The rows after the marker, at most `limit`, and the query of the following page, "" where there is none.

        `offset` is how many rows are left out before a page, `key` what a marker says of a row. Raises `bad_number` or
        `no_marker`.
        """
        if self.reversible and (request.one("page_reverse") or "").lower() == "true":
            rows = rows[::-1]
        limit = self.number(request, "limit")
        if self.most is None:
            size = limit or len(rows)
        else:
            size = min(limit if limit is not None else self.usual or self.most, self.most)
        start = offset
        if marker := request.one("marker"):
            ids = [key(row) for row in rows]
            if marker not in ids:
                raise self.no_marker(marker)
            start += ids.index(marker) + 1
        page = list(rows[start : start + size])
        if not page or (len(page) < size if self.full else start + size >= len(rows)):
            return page, ""
        query = {name: values for name, values in request.query.items() if name != "offset"}
        return page, urlencode({**query, "marker": [key(page[-1])]}, doseq=True)

    def page(self, rows: Sequence[R], request: Request, url: str, plural: str, offset: int = 0) -> tuple[list[R], JSON]:
        """The rows of a page, and what an answer of the service at `url` has beside them: the link to the next one."""
        page, query = self.cut(rows, request, offset)
        href = f"{url}{request.path}?{query}"
        return page, {f"{plural}_links": [{"rel": "next", "href": href}]} if query else {}
