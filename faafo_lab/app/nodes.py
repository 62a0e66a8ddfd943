"""The nodes: every API and worker, as they last reported.

A program that starts again, or another machine that was given the name, is another run, with a row of its own. A node
is what the latest run of its name says; an earlier one that is still there changes nothing about that.
"""

import json
from typing import Any

import sqlalchemy as sa
from sqlalchemy import bindparam

from faafo_lab.app.database import iso, now, shifted
from faafo_lab.app.errors import NotFound
from faafo_lab.app.schema import runs
from faafo_lab.app.settings import NODE_FORGOTTEN_SECONDS, NODE_LOST_SECONDS
from faafo_lab.app.transaction import Row, Transaction

REPORTED = ("state", "load_average", "cpu_percent", "cores", "working_on", "version", "endpoint")
SHOWN = ("name", "role", "state", "drain", "working_on", "load_average", "cpu_percent", "cores", "version")

_name = sa.and_(runs.c.name == bindparam("of_name"), runs.c.role == bindparam("of_role"))
_this = sa.and_(_name, runs.c.run == bindparam("of_run"))
_reported: dict[str, Any] = {name: bindparam(f"new_{name}") for name in REPORTED} | {"last_heard": now()}
_named: dict[str, Any] = {name: bindparam(f"of_{name}") for name in ("name", "role", "run")}

_KNOWN = sa.select(runs.c.drain, runs.c.started_at).where(_this).with_for_update()
_AGAIN = sa.update(runs).where(_this).values(**_reported)
_NEW = sa.insert(runs).values(**_named, **_reported)
_FORGET = sa.delete(runs).where(runs.c.last_heard < shifted(now(), -NODE_FORGOTTEN_SECONDS))
_LEAVE = sa.delete(runs).where(_name, runs.c.started_at <= bindparam("started_at"))
_WISH = sa.update(runs).where(_name).values(drain=bindparam("wish"))
_shown = sa.select(*(runs.c[name] for name in SHOWN), runs.c.started_at, runs.c.last_heard, now())
_SERVING = (
    sa.select(runs.c.endpoint)
    .where(runs.c.role == "api", runs.c.endpoint.is_not(None), runs.c.last_heard > shifted(now(), -NODE_LOST_SECONDS))
    .order_by(runs.c.name)
)
_LIST = _shown.order_by(runs.c.role, runs.c.name, runs.c.started_at)
_SHOW = _shown.where(_name).order_by(runs.c.started_at.desc()).limit(1)


def write(transaction: Transaction, role: str, name: str, run: str, **reported: Any) -> bool:
    """Insert or update a run's row; whether it has to drain."""
    this = {"of_name": name, "of_role": role, "of_run": run}
    for field in ("working_on", "load_average"):
        reported[field] = json.dumps(reported[field])
    known = transaction.row(_KNOWN, **this)
    transaction.run(_AGAIN if known else _NEW, **this, **{f"new_{field}": reported[field] for field in REPORTED})
    return bool(known and known[0])


def forget_silent(transaction: Transaction) -> None:
    """Delete the rows of runs that were silent for long."""
    transaction.run(_FORGET)


def leave(transaction: Transaction, name: str, run: str) -> None:
    """Delete the row of a worker's run that has ended, and those of earlier ones."""
    this = {"of_name": name, "of_role": "worker"}
    if known := transaction.row(_KNOWN, of_run=run, **this):
        transaction.run(_LEAVE, started_at=known[1], **this)


def serving(transaction: Transaction) -> list[str]:
    """Where workers reach the APIs that serve, as far as these say it."""
    return list(dict.fromkeys(endpoint for (endpoint,) in transaction.rows(_SERVING)))


def wish(transaction: Transaction, name: str, drain: bool) -> dict[str, Any]:
    """Ask a worker to take no more tasks, or to go on; the worker. Raises ``NotFound``."""
    this = {"of_name": name, "of_role": "worker"}
    transaction.run(_WISH, wish=drain, **this)
    row = transaction.row(_SHOW, **this)
    if row is None:
        raise NotFound(f"There is no worker '{name}': GET /v1/node lists them.")
    return _node(row)


def listed(transaction: Transaction) -> list[dict[str, Any]]:
    """All, by role and name."""
    latest = {(row[1], row[0]): row for row in transaction.rows(_LIST)}
    return [_node(row) for row in latest.values()]


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
