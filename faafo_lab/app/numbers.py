"""How many fractals there are, and where a page of their list begins, without counting them.

A fractal's number is its place in the order of creation: 1, 2, 3 … without a gap, because the transaction that adds it
raises the counter. So the counter says how many were created, and the page at offset 99,990 begins behind number
99,990. Only what is deleted leaves a gap, and gaps are counted by block of ``BLOCK`` numbers. Then the offset leads to
a block, and within the block no more than ``BLOCK`` rows are passed over.
"""

from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy import bindparam

from faafo_lab.app.database import now
from faafo_lab.app.errors import DatabaseAway
from faafo_lab.app.schema import counters, gaps
from faafo_lab.app.transaction import Transaction

BLOCK = 1024

CREATED, DELETED, DONE, FAILED = "created", "deleted", "done", "failed"


class Totals(NamedTuple):
    """How many fractals were ever created, are deleted, are done, and have failed."""

    created: int
    deleted: int
    done: int
    failed: int

    @property
    def all(self) -> int:
        """How many there are."""
        return self.created - self.deleted

    @property
    def to_do(self) -> int:
        """How many are not made yet: in the outbox, in the queue, or leased."""
        return self.all - self.done - self.failed


def counter(name: str) -> sa.ScalarSelect[int]:
    """A counter's value, as a column of another statement."""
    return sa.select(counters.c.value).where(counters.c.name == name).scalar_subquery()


_TOTALS = sa.select(now(), *(counter(name).label(name) for name in Totals._fields))
_RAISE = (
    sa.update(counters)
    .where(counters.c.name == bindparam("counter"))
    .values(value=counters.c.value + bindparam("by", type_=sa.BigInteger))
)
_WIDEN = sa.update(gaps).where(gaps.c.block == bindparam("of")).values(deleted=gaps.c.deleted + 1)
_GAP = sa.select(gaps.c.block).where(gaps.c.block == bindparam("of")).with_for_update()
_OPEN = sa.insert(gaps).values(block=bindparam("of"), deleted=1)

_deleted_before = sa.func.sum(gaps.c.deleted).over(order_by=gaps.c.block) - gaps.c.deleted
_blocks = sa.select(gaps.c.block, gaps.c.deleted, _deleted_before.label("before")).subquery()
# The last block with gaps in front of which there are no more fractals than the offset
_LAST_GAP = (
    sa.select(_blocks.c.block, _blocks.c.deleted, _blocks.c.before)
    .where(
        _blocks.c.block * bindparam("size", type_=sa.BigInteger) - _blocks.c.before
        <= bindparam("offset", type_=sa.BigInteger)
    )
    .order_by(_blocks.c.block.desc())
    .limit(1)
)


def prepare(connection: sa.Connection) -> None:
    """Begin to count."""
    known = set(connection.scalars(sa.select(counters.c.name)))
    for name in Totals._fields:
        if name not in known:
            connection.execute(sa.insert(counters).values(name=name, value=0))


def totals(transaction: Transaction) -> Totals:
    """The counters; raises ``DatabaseAway`` where they are not there yet: they are the last that is created."""
    return totals_now(transaction)[0]


def totals_now(transaction: Transaction) -> tuple[Totals, Any]:
    """The counters, and the database's time; raises ``DatabaseAway``."""
    row = transaction.row(_TOTALS)
    if row is None or None in row:
        raise DatabaseAway("The database answers, but its tables are not there yet.")
    moment, *counted = row
    return Totals(*counted), moment


def count(transaction: Transaction, name: str, by: int) -> None:
    """Raise a counter. Others who do wait until this transaction ends, so do it last."""
    transaction.run(_RAISE, counter=name, by=by)


def forget(transaction: Transaction, number: int, done: bool, failed: bool) -> None:
    """A fractal has been deleted."""
    block = (number - 1) // BLOCK
    transaction.run(_WIDEN if transaction.row(_GAP, of=block) else _OPEN, of=block)
    count(transaction, DELETED, 1)
    if done:
        count(transaction, DONE, -1)
    if failed:
        count(transaction, FAILED, -1)


def place(transaction: Transaction, offset: int) -> tuple[int, int]:
    """Where the fractal at ``offset`` (from 0) is: behind which number, and how many to pass over there."""
    gap = transaction.row(_LAST_GAP, size=BLOCK, offset=offset)
    if gap is None:
        return offset, 0
    block, deleted, before = (int(value) for value in gap)
    within = offset - (block * BLOCK - before)
    left = BLOCK - deleted
    return (block * BLOCK, within) if within < left else ((block + 1) * BLOCK + within - left, 0)
