"""Waiting until servers serve: every API is healthy, the application lists every API and worker, and every worker was
heard since the youngest API started: the answer told it where all APIs are."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection, Sequence

from faafo_lab.cloud import console_log
from faafo_lab.cloud.errors import TimedOut
from faafo_lab.cloud.marks import ROLE_KEY
from faafo_lab.cloud.waiting import Look
from faafo_lab.topology.api import LOST, Node, healthy, timestamp
from faafo_lab.topology.application import Application
from faafo_lab.topology.errors import NoAnswer, TopologyError
from faafo_lab.topology.roles import ROLES

CONSOLE_LINES = 12
CONSOLE_PAUSE_SECONDS = 5
FAILED_BOOT = re.compile(r"user data failed|scripts[-_]user.* failed|Failed to run module scripts", re.IGNORECASE)
SERVICE_START = re.compile(r"(Started|Failed to start) (faafo-[\w-]+)\.service")


def wait_serving(
    app: Application, names: Sequence[str], is_old: Callable[[Node], bool], timeout_seconds: float | None
) -> None:
    """Wait until these servers serve; the application's nodes that are `is_old` do not count.

    Raises TopologyError at the limit (None: the cloud's own), and if a server's user data or a service on it failed.
    """
    waiting: list[str] = []
    consoles_due = time.monotonic() + CONSOLE_PAUSE_SECONDS

    def look() -> Look:
        nonlocal consoles_due
        if any(server.name not in app.endpoints for server in app.apis):
            app.refresh()
        if not app.apis:
            raise TopologyError("There is no API server, so nothing can serve: deploy the application first.")
        if gone := [name for name in names if name not in app.servers]:
            raise TopologyError(f"{', '.join(gone)} was deleted before it served: deploy again.")
        waiting[:] = _not_serving(app, names, is_old)
        if waiting and time.monotonic() > consoles_due:
            _look_for_failed_boots(app, names)
            consoles_due = time.monotonic() + CONSOLE_PAUSE_SECONDS
        return Look(len(names) - len(waiting), len(names), ", ".join(waiting))

    try:
        app.cloud.wait_until(look, "servers serving", timeout_seconds)
    except TimedOut as error:
        ends = (_quoted(app, name) for name in waiting if name in app.servers)
        raise TopologyError(f"{error}{''.join(ends)}") from error


def _not_serving(app: Application, names: Sequence[str], is_old: Callable[[Node], bool]) -> list[str]:
    endpoints = app.endpoints
    homeless = [name for name in names if app.servers[name] in app.apis and app.servers[name].name not in endpoints]
    missing = homeless + [name for name in names if name in endpoints and not healthy(endpoints[name])]
    if missing or not endpoints:
        return missing or ["an API server"]
    try:
        nodes = [node for node in app.nodes() if node["state"] != LOST and not is_old(node)]
    except NoAnswer:
        return list(endpoints)
    youngest = max((timestamp(node["started_at"]) for node in nodes if node["role"] == "api"), default=0.0)
    known = {
        (node["role"], node["name"])
        for node in nodes
        if node["role"] == "api" or timestamp(node["last_heard"]) > youngest
    }
    return [
        name for name in names if any((node, app.servers[name].name) not in known for node in _listed_as(app, name))
    ]


def _listed_as(app: Application, name: str) -> Collection[str]:
    """The roles under which the application lists this server."""
    role = app.servers[name].metadata[ROLE_KEY]
    return ROLES[role].nodes if role in ROLES else ()


def _look_for_failed_boots(app: Application, names: Sequence[str]) -> None:
    """Raise TopologyError if a console log reports failed user data or a failed service: waiting would not help."""
    for name in names:
        log = app.cloud.console(app.servers[name])
        if boot := FAILED_BOOT.search(log):
            failed, end = (
                f"The user data of {name} failed: check that image {app.image.name!r} suits the lab.",
                boot.end(),
            )
        elif services := failed_services(log):
            failed = f"{' and '.join(services)} on {name} failed: its console log says why."
            end = max(services.values())
        else:
            continue
        raise TopologyError(
            f"{failed} Correct what its console log names, and deploy again.{_quoted(app, name, log, end)}"
        )


def failed_services(log: str) -> dict[str, int]:
    """The services that a server failed to start, judged by the last line on each in its console log, with the
    index of that line's end in the log."""
    last = {match[2]: match for match in SERVICE_START.finditer(log)}
    return {service: match.end() for service, match in last.items() if match[1] != "Started"}


def _quoted(app: Application, name: str, log: str | None = None, end: int | None = None) -> str:
    """The last informative lines of a server's console log (up to `end`), for an error message."""
    log = app.cloud.console(app.servers[name]) if log is None else log
    return f"\nFrom {name}'s console log:\n{console_log.tail(log, CONSOLE_LINES, end)}"
