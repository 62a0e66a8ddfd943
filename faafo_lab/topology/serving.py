"""Waiting until servers serve: every API is healthy, and the application has heard of every API and worker."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection, Sequence

from faafo_lab.cloud.errors import TimedOut
from faafo_lab.cloud.marks import ROLE_KEY
from faafo_lab.cloud.waiting import Look
from faafo_lab.topology.api import LOST, Node, healthy
from faafo_lab.topology.application import Application
from faafo_lab.topology.errors import NoAnswer, TopologyError
from faafo_lab.topology.roles import ROLES

CONSOLE_LINES = 8
CONSOLE_PAUSE_SECONDS = 5
FAILED_BOOT = re.compile(r"user data failed|scripts[-_]user.* failed|Failed to run module scripts", re.IGNORECASE)
SERVICE_START = re.compile(r"(Started|Failed to start) (faafo-[\w-]+)\.service")


def wait_serving(app: Application, names: Sequence[str], is_old: Callable[[Node], bool]) -> None:
    """Wait until these servers serve; what the application says of a node that `is_old` does not count.

    Raises TopologyError at the limit, and where a server's user data or a service on it failed.
    """
    waiting: list[str] = []
    consoles_due = time.monotonic() + CONSOLE_PAUSE_SECONDS

    def look() -> Look:
        nonlocal consoles_due
        waiting[:] = _not_serving(app, names, is_old)
        if waiting and time.monotonic() > consoles_due:
            consoles_due = time.monotonic() + CONSOLE_PAUSE_SECONDS
            _look_for_failed_boots(app, names)
        return Look(len(names) - len(waiting), len(names), ", ".join(waiting))

    try:
        app.cloud.wait_until(look, "the application to serve")
    except TimedOut as error:
        raise TopologyError(f"{error}{_consoles(app, waiting)}") from error


def _not_serving(app: Application, names: Sequence[str], is_old: Callable[[Node], bool]) -> list[str]:
    endpoints = app.endpoints
    missing = [name for name in names if name in endpoints and not healthy(endpoints[name])]
    if missing or not endpoints:
        return missing or ["an API server"]
    try:
        known = {(node["role"], node["name"]) for node in app.nodes() if node["state"] != LOST and not is_old(node)}
    except NoAnswer:
        return list(endpoints)
    return [
        name for name in names if any((node, app.servers[name].name) not in known for node in _listed_as(app, name))
    ]


def _listed_as(app: Application, name: str) -> Collection[str]:
    """As what the application lists this server."""
    role = app.servers[name].metadata[ROLE_KEY]
    return ROLES[role].nodes if role in ROLES else ()


def _look_for_failed_boots(app: Application, names: Sequence[str]) -> None:
    """Raise where a server's console log says that its user data or a service failed: waiting would not help."""
    for name in names:
        console = app.cloud.console(app.servers[name])
        if FAILED_BOOT.search(console):
            failed = f"The user data of {name} failed: does image {app.image.name!r} suit?"
        elif services := failed_services(console):
            failed = f"{' and '.join(services)} on {name} failed: its console log says why."
        else:
            continue
        raise TopologyError(f"{failed} Correct what its console log names, and deploy again.{_consoles(app, [name])}")


def failed_services(console: str) -> list[str]:
    """The application's services that a server could not start, by the last that its console log says of each."""
    last = {service: word for word, service in SERVICE_START.findall(console)}
    return [service for service, word in last.items() if word != "Started"]


def _consoles(app: Application, names: Sequence[str]) -> str:
    """The ends of these servers' console logs, to go with an error."""
    return "".join(
        f"\nThe end of {name}'s console log:\n{app.cloud.console(app.servers[name], CONSOLE_LINES)}"
        for name in names
        if name in app.servers
    )
