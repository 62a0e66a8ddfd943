"""Actions on servers: start, stop, reboot, lock, pause, security groups, the console log.

    @action("os-start")
    def _start(self, request, row, value): …      # {"os-start": null}

An action's handler gets the request, the server's row and what the body has under the action's name; it returns a body,
an `Answer`, or nothing (202).
"""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from faafo_lab.cloud.emulator.common.service import JSON, Answer, Fault, Request, route
from faafo_lab.cloud.emulator.common.store import Row
from faafo_lab.cloud.emulator.services.compute.servers import Servers

F = TypeVar("F", bound=Callable[..., Any])

CONSOLE_BYTES_MAX = 102_400
PAUSED, SHUT_DOWN = 3, 4  # power states


def action(name: str, *, until: int | None = None) -> Callable[[F], F]:
    """Say which action a handler does, and which microversion 2.N was the last to have it."""

    def mark(function: F) -> F:
        actions = {**getattr(function, "actions", {}), name: until}
        function.actions = actions  # type: ignore[attr-defined]
        return function

    return mark


class Actions(Servers):
    """What a server can be told to do."""

    @cached_property
    def _actions(self) -> dict[str, tuple[str, int | None]]:
        """Each action's method, and the last microversion 2.N that has it."""
        return {
            name: (method, until)
            for method, function in inspect.getmembers(type(self), inspect.isfunction)
            for name, until in getattr(function, "actions", {}).items()
        }

    @route("POST", "/v2.1/servers/{id}/action")
    async def act(self, request: Request, id: str) -> Answer | JSON:
        """Do something with a server; the body's only key says what."""
        row = self._find(request, id)
        body = self.parse(request)
        if len(body) != 1:
            raise Fault(400, "There should be exactly one action in the request body.")
        name, value = next(iter(body.items()))
        if name not in self._actions:
            raise Fault(400, f"There is no such action: {name}")
        method, until = self._actions[name]
        self._until(request, until)
        done: Answer | JSON | None = getattr(self, method)(request, row, value)
        if inspect.isawaitable(done):
            done = await done
        return done or Answer(202)

    def _in_state(self, row: Row, action: str, *states: str) -> None:
        """Check that an action makes sense now. Raises a 409 `Fault`."""
        self._unlocked(row)
        if row["vm_state"] not in states:
            raise Fault(409, f"Cannot '{action}' instance {row['id']} while it is in vm_state {row['vm_state']}")
        if row["task_state"] is not None:
            raise Fault(409, f"Cannot '{action}' instance {row['id']} while it is in task_state {row['task_state']}")

    # Power

    @action("reboot")
    def _reboot(self, request: Request, row: Row, value: Any) -> None:
        kind = value.get("type") if isinstance(value, dict) else None
        if not isinstance(kind, str) or kind.upper() not in ("SOFT", "HARD"):
            raise Fault(400, "Invalid input for field/attribute type: it must be SOFT or HARD.")
        hard = kind.upper() == "HARD"
        states = ("active", "stopped", "paused", "suspended", "error") if hard else ("active",)
        if not (hard and row["task_state"] == "rebooting"):
            self._in_state(row, "reboot", *states)
        self._unlocked(row)
        self.life.history.begin(request, row["id"], "reboot")
        self.life.reboot(row["id"], hard=hard)

    @action("os-start")
    def _start(self, request: Request, row: Row, value: Any) -> None:
        self._in_state(row, "start", "stopped")
        self.life.history.begin(request, row["id"], "start")
        self.life.start(row["id"])

    @action("os-stop")
    def _stop(self, request: Request, row: Row, value: Any) -> None:
        self._in_state(row, "stop", "active", "error")
        self.life.history.begin(request, row["id"], "stop")
        self.life.stop(row["id"])

    @action("pause")
    def _pause(self, request: Request, row: Row, value: Any) -> None:
        self._in_state(row, "pause", "active")
        self.life.history.begin(request, row["id"], "pause")
        self.life.freeze(row["id"], "pausing", "paused", PAUSED)

    @action("unpause")
    def _unpause(self, request: Request, row: Row, value: Any) -> None:
        self._in_state(row, "unpause", "paused")
        self.life.history.begin(request, row["id"], "unpause")
        self.life.thaw(row["id"], "unpausing")

    @action("suspend")
    def _suspend(self, request: Request, row: Row, value: Any) -> None:
        self._in_state(row, "suspend", "active")
        self.life.history.begin(request, row["id"], "suspend")
        self.life.freeze(row["id"], "suspending", "suspended", SHUT_DOWN)

    @action("resume")
    def _resume(self, request: Request, row: Row, value: Any) -> None:
        self._in_state(row, "resume", "suspended")
        self.life.history.begin(request, row["id"], "resume")
        self.life.thaw(row["id"], "resuming")

    @action("forceDelete")
    def _force_delete(self, request: Request, row: Row, value: Any) -> None:
        self.delete(request, row["id"])

    # Lock

    @action("lock")
    def _lock(self, request: Request, row: Row, value: Any) -> None:
        self.servers.update(row["id"], locked=True)
        self.life.history.begin(request, row["id"], "lock")

    @action("unlock")
    def _unlock(self, request: Request, row: Row, value: Any) -> None:
        self.servers.update(row["id"], locked=False)
        self.life.history.begin(request, row["id"], "unlock")

    # Groups and the console

    def _named_group(self, request: Request, value: Any) -> Row:
        name = value.get("name") if isinstance(value, dict) else None
        if not isinstance(name, str) or not name.strip():
            raise Fault(400, "Missing parameter dict: the security group's name is required.")
        group = self._group(request.project, name)
        if group is None:
            raise Fault(404, f"Security group {name} not found for project {request.project}.")
        return group

    @action("addSecurityGroup")
    def _add_group(self, request: Request, row: Row, value: Any) -> None:
        group = self._named_group(request, value)
        ports = self.network.ports
        with self.store.transaction():
            for port in self.network.ports_of(row["id"]):
                ports.touch(port["id"], security_groups=list(dict.fromkeys([*port["security_groups"], group["id"]])))

    @action("removeSecurityGroup")
    def _remove_group(self, request: Request, row: Row, value: Any) -> None:
        group = self._named_group(request, value)
        ports = self.network.ports
        mine = [port for port in self.network.ports_of(row["id"]) if group["id"] in port["security_groups"]]
        if not mine:
            raise Fault(409, f"Security group {group['id']} not associated with the instance {row['id']}")
        with self.store.transaction():
            for port in mine:
                ports.touch(port["id"], security_groups=[id for id in port["security_groups"] if id != group["id"]])

    @action("os-getVNCConsole", until=5)
    @action("os-getSPICEConsole", until=5)
    @action("os-getSerialConsole", until=5)
    def _no_screen(self, request: Request, row: Row, value: Any) -> None:
        kind = value.get("type") if isinstance(value, dict) else None
        raise Fault(400, f"Unavailable console type {kind}.")

    @route("POST", "/v2.1/servers/{id}/remote-consoles")
    def remote_console(self, request: Request, id: str) -> JSON:
        """An instance has a console log and SSH, but no screen to look at."""
        self._since(request, 6)
        self._find(request, id)
        wanted = self.parse(request).get("remote_console")
        kind = wanted.get("type") if isinstance(wanted, dict) else None
        raise Fault(400, f"Unavailable console type {kind}.")

    @action("os-getConsoleOutput")
    def _console(self, request: Request, row: Row, value: Any) -> JSON:
        length = value.get("length") if isinstance(value, dict) else None
        if isinstance(length, str) and re.fullmatch(r"-?[0-9]{1,9}", length):
            length = int(length)
        if length is not None and (isinstance(length, bool) or not isinstance(length, int) or length < -1):
            raise Fault(
                400, f"Invalid input for field/attribute length. Value: {length}. It must be a number of lines."
            )
        lines = _tail(self.life.directory(row["id"]) / "console.log")
        if length is not None and length >= 0:
            lines = lines[-length:] if length else []
        return {"output": "".join(lines)}


def _tail(path: Path) -> list[str]:
    """The console log's last part, in lines."""
    try:
        with path.open("rb") as file:
            file.seek(max(os.fstat(file.fileno()).st_size - CONSOLE_BYTES_MAX, 0))
            return file.read().decode(errors="replace").splitlines(keepends=True)
    except FileNotFoundError:
        return []
