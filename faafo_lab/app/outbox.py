"""What is on its way, in the rows: the outbox, what is in the queue, and the leases.

A fractal that is to do is in one of three states, each found by an index: in the outbox (``published_at`` is NULL), in
the queue, or leased to a worker until ``lease_until``. What is tried again later waits in the outbox (``retry_at``).
"""

from collections.abc import Callable, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import bindparam

from faafo_lab.app import attempts, events, generations
from faafo_lab.app.attempts import Attempt
from faafo_lab.app.database import now, one_of, shifted
from faafo_lab.app.julia import Order, Task
from faafo_lab.app.listing import TASK_FIELDS
from faafo_lab.app.schema import fractals
from faafo_lab.app.settings import LEASE_SECONDS
from faafo_lab.app.transaction import Transaction
from faafo_lab.app.validation import Heartbeat, Lease

BATCH = 200
EMPTY_SECONDS = 4.0  # between a message's end in the queue and its worker's lease
DOUBLED_AT_MOST = 5  # times
OVERTAKEN_SECONDS = 10.0  # by which the order of two messages is beyond doubt
RETRY_SECONDS, RETRY_MAX_SECONDS = 1.0, 64.0  # until what failed is tried again: doubles with each attempt
SILENT_AT_ONCE = 3  # workers may fall silent over a task until its next try has to wait, too

NO_LEASE = {"leased_by": None, "lease_run": None, "lease_until": None}
NOT_STARTED = {**NO_LEASE, "started_at": None}

_these = one_of(fractals.c.number, bindparam("numbers"))
_to_do = sa.and_(fractals.c.completed_at.is_(None), fractals.c.failed_at.is_(None))
_free = sa.and_(_to_do, fractals.c.lease_until.is_(None))
_queued = sa.and_(_free, fractals.c.published_at.is_not(None))
_leased = fractals.c.lease_until.is_not(None)

_PUBLISHED = (
    sa.update(fractals)
    .where(_these, fractals.c.published_at.is_(None))
    .values(published_at=now(), publications=fractals.c.publications + 1)
)
_to_outbox = sa.update(fractals).where(_these, _to_do)
_TO_OUTBOX = _to_outbox.values(published_at=None, retry_at=None, **NOT_STARTED)


def after_attempts(attempts: sa.ColumnElement[int]) -> Any:
    """When what has been tried so often is tried again."""
    doubled = sa.func.power(2, sa.func.least(attempts, 60) - 1)
    return shifted(now(), sa.func.least(RETRY_SECONDS * doubled, RETRY_MAX_SECONDS))


_TO_OUTBOX_LATER = _to_outbox.values(
    published_at=None,
    retry_at=sa.case((fractals.c.attempts > SILENT_AT_ONCE, after_attempts(fractals.c.attempts - SILENT_AT_ONCE))),
    **NOT_STARTED,
)
_ALL_TO_OUTBOX = sa.update(fractals).where(_to_do).values(published_at=None, **NOT_STARTED)
_due = sa.or_(fractals.c.retry_at.is_(None), fractals.c.retry_at < now())
_new = sa.and_(fractals.c.publications == 0, fractals.c.attempts == 0)  # whoever accepted it will publish it
_overdue = fractals.c.created_at < shifted(now(), bindparam("seconds", type_=sa.Float))
_OUTBOX = (
    sa.select(*(fractals.c[name] for name in TASK_FIELDS), fractals.c.number, fractals.c.attempts)
    .where(_free, fractals.c.published_at.is_(None), sa.or_(sa.not_(_new), _overdue), _due)
    .order_by(fractals.c.number)
    .limit(BATCH)
    .with_for_update(skip_locked=True)
)
_EXPIRED = (
    sa.select(fractals.c.uuid, *attempts.COLUMNS)
    .where(fractals.c.lease_until < now())
    .limit(BATCH)
    .with_for_update(skip_locked=True)
)
waiting_since = sa.select(fractals.c.created_at).where(_free).order_by(fractals.c.number).limit(1).scalar_subquery()
_doubled = sa.func.power(2, sa.func.least(fractals.c.publications, DOUBLED_AT_MOST) - 1)
_patience = sa.and_(
    fractals.c.published_at < shifted(now(), -EMPTY_SECONDS),  # which an index finds
    fractals.c.published_at < shifted(now(), -EMPTY_SECONDS * _doubled),
)
_LOST = sa.select(fractals.c.number).where(_queued, _patience).with_for_update(skip_locked=True)
_QUEUED_ONCE = (
    sa.select(fractals.c.number).where(_queued, fractals.c.publications == 1).with_for_update(skip_locked=True)
)
_OVERTAKEN = _LOST.where(fractals.c.attempts == 0, fractals.c.published_at < bindparam("overtaker"))
_OVERTAKER = sa.select(shifted(sa.func.max(fractals.c.published_at), -OVERTAKEN_SECONDS)).where(
    _leased, fractals.c.attempts == 1
)
_LEASABLE = (
    sa.select(
        fractals.c.number,
        fractals.c.uuid,
        fractals.c.completed_at,
        fractals.c.lease_run,
        fractals.c.failed_at,
        # also for a heartbeat that was on its way when its worker gave up
        sa.and_(sa.func.coalesce(fractals.c.lease_until < now(), sa.true()), _due),
        *attempts.COLUMNS,
    )
    .where(one_of(fractals.c.uuid, bindparam("uuids")))
    .order_by(fractals.c.uuid)
    .with_for_update()
)
_renewed = fractals.c.lease_run == bindparam("run")
_LEASE = (
    sa.update(fractals)
    .where(_these)
    .values(
        leased_by=bindparam("name"),
        lease_run=bindparam("run"),
        lease_until=shifted(now(), bindparam("seconds", type_=sa.Float)),
        publications=0,
        attempts=fractals.c.attempts + sa.case((_renewed, 0), else_=1),
        started_at=sa.case((_renewed, fractals.c.started_at), else_=now()),
    )
)
_LEASED_BY = sa.select(*attempts.COLUMNS).where(_leased, fractals.c.lease_run == bindparam("run")).with_for_update()


def published(transaction: Transaction, numbers: Sequence[int]) -> None:
    """These are in the queue."""
    transaction.run(_PUBLISHED, numbers=list(numbers))
    events.note(transaction, events.QUEUED, numbers)


def put_back(transaction: Transaction, numbers: Sequence[int]) -> None:
    """Put these into the outbox, unless they are done."""
    if numbers:
        transaction.run(_TO_OUTBOX, numbers=list(numbers))


def put_all_back(transaction: Transaction) -> None:
    """Put all that is to do into the outbox: what the rows say of queue and workers is of another time."""
    transaction.run(_ALL_TO_OUTBOX)


def publish(transaction: Transaction, publish: Callable[[list[Order], bool], None], after_seconds: float) -> int:
    """Hand the oldest tasks of the outbox to ``publish``, new ones only after so many seconds; how many.

    ``publish(orders, again)`` is told whether they go to the queue ``again``: what a worker has had before, and what
    the original's workers, which do not serve that queue, cannot report (see ``generations``). Another API skips those
    that this one holds.
    """
    rows = transaction.rows(_OUTBOX, seconds=-after_seconds)
    if rows:
        anew = generations.withdrawn_of(transaction, {row[0] for row in rows})
        for again in (True, False):
            some = [row for row in rows if (row[-1] > 0 or row[0] in anew) is again]
            publish([Order(Task(*row[:-2]), row[-2]) for row in some], again)
        published(transaction, [row[-2] for row in rows])
    return len(rows)


def take_back_expired(transaction: Transaction) -> list[tuple[str, str]]:
    """Put tasks whose lease has expired back into the outbox; their uuids and who had them."""
    rows = transaction.rows(_EXPIRED)
    ended = [Attempt(*row[1:]) for row in rows]
    if ended:
        attempts.lose(transaction, ended)
        transaction.run(_TO_OUTBOX_LATER, numbers=[attempt.number for attempt in ended])
    return [(row[0], attempt.worker) for row, attempt in zip(rows, ended, strict=True)]


def refill(transaction: Transaction, queue_is_empty: bool) -> int:
    """Put what should be in the queue, and is not, into the outbox; how many.

    The queue is empty: what was published and nobody has taken. It is not: what was overtaken, for the queue is first
    in, first out. A worker that takes no lease, such as the original's, may have either; so the patience
    doubles each time.
    """
    if queue_is_empty:
        rows = transaction.rows(_LOST)
        if rows:  # what came shortly after it is lost, too
            rows = [*rows, *transaction.rows(_QUEUED_ONCE)]
    else:
        [[overtaker]] = transaction.rows(_OVERTAKER)
        rows = transaction.rows(_OVERTAKEN, overtaker=overtaker) if overtaker else []
    lost = {number for (number,) in rows}
    put_back(transaction, sorted(lost))
    events.note(transaction, events.MISSING, sorted(lost))
    return len(lost)


def lease(transaction: Transaction, beat: Heartbeat) -> dict[str, Lease]:
    """Take or renew the leases of what a worker works on: what became of each, by uuid."""
    answer = dict.fromkeys(beat.working_on, Lease.GONE)
    unsaid = generations.withdrawn_of(transaction, set(beat.working_on) - set(beat.generations))
    new, renewed, ended = list[int](), list[int](), list[Attempt]()
    for row in transaction.rows(_LEASABLE, uuids=list(beat.working_on)):
        number, uuid, completed_at, run, failed_at, free, *attempt = row
        if uuid in unsaid or beat.generations.get(uuid, number) != number:
            answer[uuid] = Lease.REPLACED
        elif completed_at or failed_at:
            answer[uuid] = Lease.DONE if completed_at else Lease.FAILED
        elif free or run == beat.run:
            answer[uuid] = Lease.YOURS
            (renewed if run == beat.run else new).append(number)
            if run not in (None, beat.run):  # its lease ran out
                ended.append(Attempt(*attempt))
        else:
            answer[uuid] = Lease.TAKEN
    attempts.lose(transaction, ended)
    if yours := new + renewed:
        transaction.run(_LEASE, numbers=yours, name=beat.name, run=beat.run, seconds=LEASE_SECONDS)
        events.note(transaction, events.LEASED, new, beat.name)
        events.note(transaction, events.RENEWED, renewed, beat.name)
    return answer


def hand_back(transaction: Transaction, run: str) -> None:
    """Put what a worker's run works on back into the outbox."""
    ended = [Attempt(*row) for row in transaction.rows(_LEASED_BY, run=run)]
    attempts.lose(transaction, ended)
    put_back(transaction, [attempt.number for attempt in ended])
