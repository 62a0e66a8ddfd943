"""What happened to fractals, in order: each change of where one is, noted in the transaction that makes it.

accepted   in the outbox
queued     its message was sent; that is noted just afterwards, so a quick worker may have it before
missing    the queue has lost its message: in the outbox again
leased     a worker has it
renewed    its worker goes on
lost       the lease is over, or the worker was stopped: in the outbox again
retry      its worker cannot make it: in the outbox again, for later
failed     it is tried no more
anew       somebody asked again for what had failed: in the outbox again
done       its first result, which is kept
late       another result, which was dropped
deleted

What changes together is one row, so that events cost a statement a transaction, whatever its number of fractals. The
latest ``KEPT`` rows are kept.

Rows are numbered as they are written and seen as they are committed, which may be another order. So a page ends before
a number that is missing, until it has been missing for ``GAP_SECONDS``: then its transaction was rolled back.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy import bindparam

from faafo_lab.app.database import iso, now, one_of, shifted
from faafo_lab.app.schema import events, fractals, withdrawn
from faafo_lab.app.transaction import Row, Transaction

KEPT = 100_000  # rows
PAGE = 500  # rows at most
ENOUGH = 1000  # fractals, after which a page ends, too
GAP_SECONDS = 5.0

ACCEPTED, QUEUED, MISSING, LEASED, RENEWED, LOST = "accepted", "queued", "missing", "leased", "renewed", "lost"
RETRY, FAILED, ANEW, DONE, LATE, DELETED = "retry", "failed", "anew", "done", "late", "deleted"
WHATS = (ACCEPTED, QUEUED, MISSING, LEASED, RENEWED, LOST, RETRY, FAILED, ANEW, DONE, LATE, DELETED)

_NOTE = sa.insert(events).values(
    at=now(), what=bindparam("new_what"), worker=bindparam("new_worker"), numbers=bindparam("new_numbers")
)
_LAST: sa.Select[Any] = sa.select(sa.func.coalesce(sa.func.max(events.c.id), 0), now())
_AFTER = (
    sa.select(*events.c, events.c.at < shifted(now(), -GAP_SECONDS))
    .where(events.c.id > bindparam("after", type_=sa.BigInteger))
    .order_by(events.c.id)
    .limit(PAGE)
)
_FORGET = sa.delete(events).where(events.c.id <= bindparam("last", type_=sa.BigInteger))
_UUIDS = [
    sa.select(table.c.number, table.c.uuid).where(one_of(table.c.number, bindparam("numbers")))
    for table in (fractals, withdrawn)
]


class Page(NamedTuple):
    """Events after a number, the oldest first. ``last`` is the number to go on from, ``more`` whether there are more
    already, ``forgotten`` whether some in between are no longer kept, ``now`` the database's time."""

    objects: list[dict[str, Any]]
    last: int
    more: bool
    forgotten: bool
    now: str | None


def note(transaction: Transaction, what: str, numbers: Sequence[int], worker: str | None = None) -> None:
    """Something happens to the fractals with these numbers, by this worker."""
    if numbers:
        transaction.run(_NOTE, new_what=what, new_worker=worker, new_numbers=",".join(map(str, numbers)))


def forget(transaction: Transaction) -> None:
    """Forget all but the latest."""
    [[newest, _]] = transaction.rows(_LAST)
    if newest > KEPT:
        transaction.run(_FORGET, last=newest - KEPT)


def page(transaction: Transaction, after: int | None) -> Page:
    """The events after the one with this number (0: all that are kept; None: none of those so far)."""
    [[newest, moment]] = transaction.rows(_LAST)
    if after is None:
        after = newest
    last = max(after if after <= newest else 0, newest - KEPT)  # a number that is too high is another database's
    forgotten = after != last
    rows: list[Row] = []
    count, more = 0, False
    found = transaction.rows(_AFTER, after=last)
    for id, *row, settled in found:
        if id != last + 1 and not settled:
            break
        if more := count >= ENOUGH:
            break
        rows.append((id, *row))
        last = id
        count += len(_numbers(row[-1]))
    else:
        more = len(found) == PAGE
    uuids = _uuids(transaction, {number for row in rows for number in _numbers(row[-1])})
    objects = [
        {"id": id, "at": iso(at), "what": what, "worker": worker, "uuid": uuids[number], "generation": number}
        for id, at, what, worker, numbers in rows
        for number in _numbers(numbers)
        if number in uuids  # else it was deleted long ago
    ]
    return Page(objects, last, more, forgotten, iso(moment))


def _numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",")]


def _uuids(transaction: Transaction, numbers: set[int]) -> dict[int, str]:
    """The uuids of these fractals, as far as they are there or were deleted lately."""
    found: dict[int, str] = {}
    for find in _UUIDS:
        if left := numbers - found.keys():  # of most there is nothing to find out among the deleted ones
            found |= dict(transaction.rows(find, numbers=list(left)))
    return found
