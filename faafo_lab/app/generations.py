"""Which order is meant: a uuid that is deleted may be ordered anew, and what the earlier order set off comes late.

An order's generation is its row's number, which no other order ever gets. The message says it, and so do the lease, the
result and the failure that come of it; what says another number than the row is of an earlier order, and is dropped.
The original's worker cannot say it: what it makes is kept unless an order of this uuid was deleted, not long ago.
"""

from collections.abc import Collection

import sqlalchemy as sa
from sqlalchemy import bindparam

from faafo_lab.app.database import now, one_of, shifted
from faafo_lab.app.schema import withdrawn
from faafo_lab.app.transaction import Transaction

WITHDRAWN_SECONDS = 86_400.0  # after which nothing comes of a deleted order any more

_WITHDRAW = sa.insert(withdrawn).values(uuid=bindparam("of"), number=bindparam("of_number"), withdrawn_at=now())
_WITHDRAWN = sa.select(withdrawn.c.uuid).where(one_of(withdrawn.c.uuid, bindparam("uuids")))
_FORGET = sa.delete(withdrawn).where(withdrawn.c.withdrawn_at < shifted(now(), -WITHDRAWN_SECONDS))


def withdraw(transaction: Transaction, uuid: str, number: int) -> None:
    """An order has been deleted."""
    transaction.run(_WITHDRAW, of=uuid, of_number=number)


def forget(transaction: Transaction) -> None:
    """Forget the orders that were deleted long ago."""
    transaction.run(_FORGET)


def withdrawn_of(transaction: Transaction, uuids: Collection[str]) -> set[str]:
    """Those of these uuids of which an order was deleted."""
    return {uuid for (uuid,) in transaction.rows(_WITHDRAWN, uuids=list(uuids))} if uuids else set()


def meant(transaction: Transaction, uuid: str, number: int, generation: int | None) -> bool:
    """Whether what says ``generation`` (None: nothing) means the order with this number."""
    return not withdrawn_of(transaction, [uuid]) if generation is None else generation == number
