"""Notes: what this process does to a cloud and to what runs on it, told as it is done to whoever listens.

    notes.listeners.append(print)
    cloud.delete_server("app-worker-1")     # Note(at=…, cloud="embedded", text="app-worker-1 was deleted", server=…)
    notes.note(cloud.name, "app-worker-1 was killed", "app-worker-1")
    with notes.quiet():                     # a larger deed, which says itself what it is: its steps say nothing
        ...
    notes.want(cloud.name, 4)               # so many workers an autoscaler wants now

What other processes do is not told. A listener is called in the thread that does it, and should only take it down.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from faafo_lab.cloud.model import Rule, SecurityGroup, Server


@dataclass(frozen=True)
class Note:
    """Something that was done: when (seconds since 1970), on which cloud ("": to an application, which knows of none),
    and to which server, if to one."""

    at: float
    cloud: str
    text: str
    server: str = ""


listeners: list[Callable[[Note], object]] = []

_quiet: ContextVar[bool] = ContextVar("quiet", default=False)
_wanted: dict[str, int] = {}  # workers that an autoscaler wants, by the cloud's name
_WORDS = {
    "create_server": "was requested",
    "delete_server": "was deleted",
    "reboot_server": "was rebooted",
    "stop_server": "was shut down",
    "start_server": "was started",
}


def note(cloud: str, text: str, server: str = "") -> None:
    """Something was done just now on this cloud, by its name, and to this server, by its name, if to one."""
    if listeners and not _quiet.get():
        made = Note(time.time(), cloud, text, server)
        for listener in tuple(listeners):
            listener(made)


@contextmanager
def quiet() -> Iterator[None]:
    """Make no notes in this thread during the block."""
    token = _quiet.set(True)
    try:
        yield
    finally:
        _quiet.reset(token)


def want(cloud: str, workers: int | None) -> None:
    """So many workers an autoscaler wants on this cloud from now on; None: there is no autoscaler any more."""
    if workers is None:
        _wanted.pop(cloud, None)
    else:
        _wanted[cloud] = workers


def wanted(cloud: str) -> int | None:
    """How many workers an autoscaler of this process wants on this cloud; None: there is none."""
    return _wanted.get(cloud)


def of_verb(cloud: str, verb: str, arguments: Sequence[Any], result: Any) -> None:
    """A verb of the interface succeeded: its arguments and its result."""
    if not listeners:
        return
    subject = next(iter(arguments), None)
    if words := _WORDS.get(verb):
        server = subject.name if isinstance(subject, Server) else str(subject)
        note(cloud, f"{server} {words}", server)
    elif verb == "add_rule" and isinstance(result, Rule):
        group = subject.name if isinstance(subject, SecurityGroup) else str(subject)
        note(cloud, f"a rule for {_ports(result)} was added to security group {group}")
    elif verb == "delete_rule" and isinstance(subject, Rule):
        note(cloud, f"a rule for {_ports(subject)} was removed")


def _ports(rule: Rule) -> str:
    if rule.port_min is None:
        return "all ports"
    if rule.port_max in (None, rule.port_min):
        return f"port {rule.port_min}"
    return f"ports {rule.port_min} to {rule.port_max}"
