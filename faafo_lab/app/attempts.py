"""The attempts that were lost: a worker had the lease of a fractal, and neither made it nor said why not.

They are in the fractal's own row, as the JSON that the API tells. An attempt that goes on or has succeeded writes none.
"""

import json
from collections.abc import Iterable
from datetime import datetime
from itertools import groupby
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy import bindparam

from faafo_lab.app import events
from faafo_lab.app.database import iso, now
from faafo_lab.app.schema import fractals
from faafo_lab.app.transaction import Transaction

KEPT = 50  # of each fractal, the latest

COLUMNS = [fractals.c.number, fractals.c.leased_by, fractals.c.started_at, fractals.c.lost, now()]  # of an `Attempt`

_NOTE = sa.update(fractals).where(fractals.c.number == bindparam("of")).values(lost=bindparam("new_lost"))


class Attempt(NamedTuple):
    """A row of ``COLUMNS``: whose attempt it is, the JSON of those that were lost before, the database's time."""

    number: int
    worker: str
    started_at: datetime
    lost: str | None
    moment: datetime


def lose(transaction: Transaction, attempts: Iterable[Attempt]) -> None:
    """Note that these end now."""
    attempts = sorted(attempts, key=lambda attempt: attempt.worker)
    for worker, some in groupby(attempts, key=lambda attempt: attempt.worker):
        events.note(transaction, events.LOST, [attempt.number for attempt in some], worker)
    rows = [
        {
            "of": number,
            "new_lost": json.dumps(
                [*shown(lost), {"worker": worker, "started_at": iso(started_at), "lost_at": iso(moment)}][-KEPT:]
            ),
        }
        for number, worker, started_at, lost, moment in attempts
    ]
    if rows:
        transaction.run_many(_NOTE, rows)


def shown(lost: str | None) -> list[dict[str, Any]]:
    """What the API tells about the lost attempts, the oldest first."""
    return list(json.loads(lost)) if lost else []
