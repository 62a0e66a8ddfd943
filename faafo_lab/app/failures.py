"""What a worker cannot make, in the rows: it is tried again, ever more rarely, and in the end it has failed.

A worker says whose fault it is. The task's: another try is due after 1, 2, 4 … seconds, and after ``FAILURES_MAX`` such
failures the fractal has failed. It stays, with the reason, and is tried anew when somebody asks for the same again
(``POST /v1/fractal``, ``faafo retry``). The worker's own, such as a full disk: the others may do better, so it is tried
for ever. Tasks whose workers fall silent, one after the other, are tried for ever, too: it may be they that end them.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy import bindparam

from faafo_lab.app import events, generations, numbers
from faafo_lab.app.database import now, one_of
from faafo_lab.app.errors import NotFound
from faafo_lab.app.outbox import NOT_STARTED, after_attempts
from faafo_lab.app.schema import fractals
from faafo_lab.app.transaction import Transaction
from faafo_lab.app.validation import Failure

FAILURES_MAX = 5

_LOCK = (
    sa.select(fractals.c.number, fractals.c.lease_run, fractals.c.leased_by, fractals.c.failures)
    .where(fractals.c.uuid == bindparam("uuid"))
    .with_for_update()
)
_this = sa.update(fractals).where(fractals.c.uuid == bindparam("of"))
_count = {"failure": bindparam("reason"), "failures": fractals.c.failures + bindparam("by", type_=sa.Integer)}
_LATER = _this.values(published_at=None, retry_at=after_attempts(fractals.c.attempts), **_count, **NOT_STARTED)
_FAIL = _this.values(failed_at=now(), **_count, **NOT_STARTED)
_FAILED = (
    sa.select(fractals.c.uuid, fractals.c.number)
    .where(one_of(fractals.c.uuid, bindparam("uuids")), fractals.c.failed_at.is_not(None))
    .order_by(fractals.c.uuid)
    .with_for_update()
)
_ANEW = (
    sa.update(fractals)
    .where(one_of(fractals.c.uuid, bindparam("uuids")))
    .values(failed_at=None, failure=None, failures=0, published_at=None, retry_at=None)
)


def note(transaction: Transaction, uuid: str, failure: Failure) -> bool:
    """A run of a worker cannot make what it has a lease of; whether the fractal has failed now.

    Nothing changes where the lease is not its own (any more), or another order's. Raises ``NotFound``.
    """
    row = transaction.row(_LOCK, uuid=uuid)
    if row is None:
        raise NotFound(f"There is no fractal {uuid}.")
    number, run, worker, failures = row
    if run != failure.run or not generations.meant(transaction, uuid, number, failure.generation):
        return False
    by = int(failure.fault == "task")
    failed = bool(failures + by >= FAILURES_MAX)
    transaction.run(_FAIL if failed else _LATER, of=uuid, reason=failure.reason, by=by)
    events.note(transaction, events.FAILED if failed else events.RETRY, [number], worker)
    if failed:
        numbers.count(transaction, numbers.FAILED, 1)
    return failed


def forget(transaction: Transaction, uuids: Sequence[str], waiting_max: int) -> bool:
    """Try those of these that have failed anew; False, and nothing changes, where too many would wait."""
    failed: dict[str, int] = dict(transaction.rows(_FAILED, uuids=list(uuids)))  # their numbers
    if not failed:
        return True
    numbers.count(transaction, numbers.FAILED, -len(failed))
    if numbers.totals(transaction).to_do > waiting_max:
        numbers.count(transaction, numbers.FAILED, len(failed))
        return False
    transaction.run(_ANEW, uuids=list(failed))
    events.note(transaction, events.ANEW, list(failed.values()))
    return True
