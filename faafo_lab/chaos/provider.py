"""The lab's verbs as a provider of Chaos Toolkit (https://chaostoolkit.org): actions and probes for experiments.

    chaos run faafo_lab/chaos/experiments/worker-killed.json

    {"type": "action", "name": "…", "provider": {"type": "python", "module": "faafo_lab.chaos.provider",
     "func": "stop", "arguments": {"server": "app-services", "service": "faafo-messaging"}}}

Actions are the verbs of `faafo_lab.chaos`, without the application: it is the one on the cloud of FAAFO_LAB_CLOUD and
FAAFO_LAB_BACKEND. Each returns what it broke, in words. `undo`, for rollbacks, ends all that the experiment has broken.
"""

from __future__ import annotations

import functools
import inspect
import time
from collections.abc import Callable
from itertools import islice
from typing import Any

import faafo_lab
from faafo_lab import chaos, load
from faafo_lab.cloud.waiting import Look
from faafo_lab.topology import NoAnswer, Topology, discover

__all__ = [
    "answers_within",
    "bandwidth",
    "close_gate",
    "delete",
    "fill_disk",
    "freeze",
    "kill",
    "latency",
    "limit_data",
    "loss",
    "makes_orders",
    "reset_peer",
    "servers",
    "serves",
    "slow_close",
    "stop",
    "takes_orders",
    "timeout",
    "undo",
]

SIZE_PIXELS = (64, 48)


@functools.cache
def _app() -> Topology:
    return discover(faafo_lab.connect(), say=lambda line: None)


# Actions


def _action(verb: Callable[..., chaos.Fault]) -> Callable[..., str]:
    """The verb as an action, whose signature Chaos Toolkit checks."""

    @functools.wraps(verb)
    def action(**arguments: Any) -> str:
        return verb(_app(), **arguments).what

    signature = inspect.signature(verb)
    arguments = [each for name, each in signature.parameters.items() if name != "app"]
    action.__signature__ = signature.replace(parameters=arguments)  # type: ignore[attr-defined]
    return action


kill = _action(chaos.kill)
stop = _action(chaos.stop)
freeze = _action(chaos.freeze)
delete = _action(chaos.delete)
fill_disk = _action(chaos.fill_disk)
close_gate = _action(chaos.close_gate)
latency = _action(chaos.latency)
bandwidth = _action(chaos.bandwidth)
loss = _action(chaos.loss)
slow_close = _action(chaos.slow_close)
timeout = _action(chaos.timeout)
reset_peer = _action(chaos.reset_peer)
limit_data = _action(chaos.limit_data)


def undo() -> list[str]:
    """Undo all faults of the experiment, the youngest first; returns what they were, in words."""
    words = [fault.what for fault in chaos.active()]
    chaos.undo_all()
    return words


# Probes


def serves() -> bool:
    """Whether an API says that it, its database and its queue are well."""
    return _app().api.healthy()


def servers(role: str) -> int:
    """The number of the application's ACTIVE servers of a role ("api", "worker", …)."""
    return sum(server.status == "ACTIVE" for server in _app().refresh().of_role(role))


def answers_within(seconds: float) -> bool:
    """Whether an API answers, and in less than so many seconds."""
    app = _app().refresh()
    begun = time.monotonic()
    try:
        app.stats()
    except NoAnswer:
        return False
    return time.monotonic() - begun < seconds


def takes_orders(orders: int = 1) -> bool:
    """Whether an API takes so many orders of small fractals (they are made later)."""
    app = _app().refresh()
    return all(row.ok for row in load.create(app.endpoints, _tasks(orders), progress=False))


def makes_orders(orders: int = 1, seconds: float = 60.0) -> bool:
    """Whether the application takes so many orders of small fractals, and has made them all within so many seconds."""
    app = _app().refresh()
    tasks = _tasks(orders)
    if not all(row.ok for row in load.create(app.endpoints, tasks, progress=False)):
        return False
    left = {task["uuid"] for task in tasks}
    deadline = time.monotonic() + seconds

    def look() -> Look | bool:
        try:
            left.difference_update(one["uuid"] for one in app.fractals() if one["completed_at"])
        except NoAnswer:
            return time.monotonic() > deadline
        return not left or time.monotonic() > deadline

    app.cloud.wait_until(look, "orders made", 2 * seconds, progress=False)
    return not left


def _tasks(orders: int) -> list[load.Task]:
    width, height = SIZE_PIXELS
    return list(islice(load.new_tasks(width=width, height=height), orders))
