"""What the API tells about fractals: one, or a page of their list."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy import bindparam

from faafo_lab.app import attempts, numbers, pieces
from faafo_lab.app.database import iso
from faafo_lab.app.errors import BadRequest
from faafo_lab.app.julia import Task
from faafo_lab.app.numbers import CREATED, DELETED, DONE, counter
from faafo_lab.app.schema import fractals
from faafo_lab.app.transaction import Row, Transaction

TASK_FIELDS = ("uuid", "width", "height", "iterations", "xa", "xb", "ya", "yb")
MADE_FIELDS = ("duration", "size", "checksum", "generated_by", "attempts", "failures", "failure", "leased_by")
TIME_FIELDS = ("created_at", "published_at", "started_at", "completed_at", "failed_at")
ORDERS = ("oldest", "newest")
ALL = 2**62  # rows

_FIELDS = (*TASK_FIELDS, "generation", *MADE_FIELDS)
_COLUMN_NAMES = (*TASK_FIELDS, "number", *MADE_FIELDS, "c_re", "c_im", "lost", "image", *TIME_FIELDS)
COLUMNS = [fractals.c[name] for name in _COLUMN_NAMES]

_limit, _offset = (bindparam(name, type_=sa.BigInteger) for name in ("limit", "offset"))
_oldest = sa.select(*COLUMNS).order_by(fractals.c.number).limit(_limit)
_newest = sa.select(*COLUMNS).order_by(fractals.c.number.desc()).limit(_limit)
_counted = (counter(CREATED), counter(DELETED))

# Without gaps: the offset is the number
_OLDEST = _oldest.where(fractals.c.number > _offset).add_columns(*_counted)
_NEWEST = _newest.where(fractals.c.number <= counter(CREATED) - _offset).add_columns(*_counted)
_BEHIND = _oldest.where(fractals.c.number > bindparam("number", type_=sa.BigInteger)).offset(_offset)

# All, part by part: from one part's last number on
PART = 1000  # fractals
_last = bindparam("last", type_=sa.BigInteger)
_AFTER = _oldest.where(fractals.c.number > _last)
_BEFORE = _newest.where(fractals.c.number < _last)

_done = sa.select(*COLUMNS, counter(DONE)).where(fractals.c.completed_at.is_not(None)).limit(_limit).offset(_offset)
_DONE_OLDEST = _done.order_by(fractals.c.completed_at, fractals.c.number)
_DONE_NEWEST = _done.order_by(fractals.c.completed_at.desc(), fractals.c.number.desc())

FIND = sa.select(*COLUMNS).where(fractals.c.uuid == bindparam("uuid"))

FractalsPage = tuple[int, list[dict[str, Any]]]  # how many there are in all, and these


class PageQuery(NamedTuple):
    """A page that is asked for: so many fractals from ``offset`` (from 0) on, in one of ``ORDERS``."""

    offset: int
    limit: int
    order: str


def wanted(page: int, results_per_page: int | None, order: str) -> PageQuery:
    """The page with this number, from 1 (``results_per_page`` None: all); raises ``BadRequest``."""
    if order not in ORDERS:
        raise BadRequest(f"'order' must be one of {', '.join(ORDERS)}.")
    return PageQuery((page - 1) * (results_per_page or 0), ALL if results_per_page is None else results_per_page, order)


def pages_without_gaps(transaction: Transaction, pages: Sequence[PageQuery]) -> list[FractalsPage | None]:
    """Each page, None where it is not as simple as that: something was deleted, or there is nothing at the offset."""
    asked = [
        (_NEWEST if order == "newest" else _OLDEST, {"offset": offset, "limit": limit})
        for offset, limit, order in pages
    ]
    return [
        None if not rows or rows[0][-1] else (rows[0][-2], [shown(row) for row in rows])
        for rows in transaction.rows_for_each(asked)
    ]


def page(transaction: Transaction, count: int, wanted: PageQuery) -> list[dict[str, Any]]:
    """A page of ``count`` fractals, in a snapshot."""
    offset, limit, order = wanted
    if order == "newest":  # the same page, seen from the other end
        limit = max(min(limit, count - offset), 0)
        offset = count - offset - limit
    if limit <= 0 or offset >= count:
        return []
    number, within = numbers.place(transaction, offset)
    made = [shown(row) for row in transaction.rows(_BEHIND, number=number, offset=within, limit=limit)]
    return made[::-1] if order == "newest" else made


def page_of_done(transaction: Transaction, wanted: PageQuery) -> FractalsPage:
    """A page of the finished ones, in the order in which they were finished."""
    offset, limit, order = wanted
    rows = transaction.rows(_DONE_NEWEST if order == "newest" else _DONE_OLDEST, offset=offset, limit=limit)
    return rows[0][-1] if rows else numbers.totals(transaction).done, [shown(row) for row in rows]


def part(transaction: Transaction, order: str, last: int | None) -> tuple[list[dict[str, Any]], int | None]:
    """The next ``PART`` of all fractals, and its last number, to go on from (None: nothing comes after it)."""
    statement, first = (_BEFORE, ALL) if order == "newest" else (_AFTER, 0)
    rows = transaction.rows(statement, last=first if last is None else last, limit=PART)
    part = [shown(row) for row in rows]
    return part, part[-1]["generation"] if len(part) == PART else None


def shown(row: Row) -> dict[str, Any]:
    """What the API tells about a fractal, of a row of ``COLUMNS``."""
    fields: dict[str, Any] = dict(zip(_FIELDS, row, strict=False))
    c_re, c_im, lost, image, *moments = row[len(_FIELDS) : len(COLUMNS)]
    fields["c"] = None if c_re is None else [c_re, c_im]
    fields["lost"] = attempts.shown(lost)
    fields["image_at"] = None if image is None else pieces.place(image)
    return fields | dict(zip(TIME_FIELDS, map(iso, moments), strict=True))


def shown_new(task: Task, number: int, created_at: Any) -> dict[str, Any]:
    """What the API tells about a fractal that was just accepted."""
    asked: Sequence[Any] = [getattr(task, name) for name in TASK_FIELDS]
    made = (*[None] * 4, 0, 0, None, None)
    return shown((*asked, number, *made, None, None, None, None, created_at, None, None, None, None))
