"""The nodes' rows: every API and worker, as they last reported."""

import json
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import bindparam

from faafo_lab.app.database import now, shifted
from faafo_lab.app.schema import nodes
from faafo_lab.app.settings import NODE_FORGOTTEN_SECONDS, NODE_LOST_SECONDS
from faafo_lab.app.transaction import Row, Transaction

REPORTED = ("run", "state", "load_average", "cpu_percent", "cores", "working_on", "version")
SHOWN = ("name", "role", "state", "drain", "working_on", "load_average", "cpu_percent", "cores", "version")

_this = sa.and_(nodes.c.name == bindparam("of_name"), nodes.c.role == bindparam("of_role"))
_reported: dict[str, Any] = {name: bindparam(f"new_{name}") for name in REPORTED} | {"last_heard": now()}

_KNOWN = sa.select(nodes.c.run, nodes.c.drain).where(_this).with_for_update()
_AGAIN = sa.update(nodes).where(_this).values(**_reported)
_NEW_RUN = sa.update(nodes).where(_this).values(**_reported, drain=sa.false(), started_at=now())
_NEW = sa.insert(nodes).values(name=bindparam("of_name"), role=bindparam("of_role"), **_reported)
_FORGET = sa.delete(nodes).where(nodes.c.last_heard < shifted(now(), -NODE_FORGOTTEN_SECONDS))
_LEAVE = sa.delete(nodes).where(nodes.c.name == bindparam("of_name"), nodes.c.run == bindparam("of_run"))
_WISH = sa.update(nodes).where(_this).values(drain=bindparam("wish"))
_shown = sa.select(*(nodes.c[name] for name in SHOWN), nodes.c.started_at, nodes.c.last_heard, now())
_LIST = _shown.order_by(nodes.c.role, nodes.c.name)
_SHOW = _shown.where(_this)


def write(transaction: Transaction, role: str, name: str, **reported: Any) -> bool:
    """Insert or update a node's row; whether it shall drain (a new run of a program begins anew)."""
    this = {"of_name": name, "of_role": role}
    for field in ("working_on", "load_average"):
        reported[field] = json.dumps(reported[field])
    values = this | {f"new_{field}": reported[field] for field in REPORTED}
    known = transaction.row(_KNOWN, **this)
    if known is None:
        transaction.run(_NEW, **values)
        return False
    run, drain = known
    same = run == reported["run"]
    transaction.run(_AGAIN if same else _NEW_RUN, **values)
    return same and bool(drain)


def forget_silent(transaction: Transaction) -> None:
    """Delete the rows of nodes that were silent for long."""
    transaction.run(_FORGET)


def leave(transaction: Transaction, name: str, run: str) -> None:
    """Delete the row of a node that has ended."""
    transaction.run(_LEAVE, of_name=name, of_run=run)


def wish(transaction: Transaction, name: str, drain: bool) -> dict[str, Any] | None:
    """Note that a worker shall drain, or go on; the worker, None where there is none."""
    this = {"of_name": name, "of_role": "worker"}
    transaction.run(_WISH, wish=drain, **this)
    row = transaction.row(_SHOW, **this)
    return _node(row) if row else None


def listed(transaction: Transaction) -> list[dict[str, Any]]:
    """All, by role and name."""
    return [_node(row) for row in transaction.rows(_LIST)]


def iso(moment: datetime | None) -> str | None:
    """A moment as the API writes it: in UTC, to the microsecond."""
    return f"{moment.replace(tzinfo=None).isoformat(timespec='microseconds')}+00:00" if moment else None


def _node(row: Row) -> dict[str, Any]:
    """What the API tells about a node; one that is silent is "lost", whatever it said last."""
    *values, started_at, last_heard, this_moment = row
    shown = dict(zip(SHOWN, values, strict=True))
    silent = max((this_moment - last_heard).total_seconds(), 0.0)
    if silent > NODE_LOST_SECONDS:
        shown["state"] = "lost"
    return shown | {
        "drain": bool(shown["drain"]),
        "working_on": json.loads(shown["working_on"]),
        "load_average": json.loads(shown["load_average"]),
        "started_at": iso(started_at),
        "last_heard": iso(last_heard),
        "seconds_since_heard": round(silent, 3),
    }
