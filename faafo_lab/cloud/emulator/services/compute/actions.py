"""Actions on servers: where they arrive; reboot, lock, the console log.

A plain action is no more than its row in the table of `states`.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from faafo_lab.cloud.emulator.common.actions import Handlers, action, asked
from faafo_lab.cloud.emulator.common.numbers import whole
from faafo_lab.cloud.emulator.common.service import JSON, Answer, Fault, Request, route
from faafo_lab.cloud.emulator.services.compute import states, versions
from faafo_lab.cloud.emulator.services.compute.lifecycle import Lifecycle
from faafo_lab.cloud.emulator.services.compute.rows import ServerRow
from faafo_lab.cloud.emulator.services.compute.servers import Servers, has_host

CONSOLE_BYTES_MAX = 102_400
PLAIN = {
    "os-start": states.START,
    "os-stop": states.STOP,
    "pause": states.PAUSE,
    "unpause": states.UNPAUSE,
    "suspend": states.SUSPEND,
    "resume": states.RESUME,
    "revertResize": states.REVERT,
}


class Actions:
    """Takes each action to its handler."""

    def __init__(self, servers: Servers, life: Lifecycle, *parts: object) -> None:
        """The handlers of those that are not plain are methods of `parts`."""
        self._servers, self._life, self._handlers = servers, life, Handlers(*parts)

    @route("POST", "/v2.1/servers/{id}/action")
    async def act(self, request: Request, id: str) -> Answer | JSON:
        """Do something with a server; the body's only key says what."""
        row = self._servers.find(request, id)
        name, value = asked(request)
        if name not in PLAIN:
            return await self._handlers.do(request, row, name, value)
        self._life.do(request, row, PLAIN[name])
        return Answer(202)


class SmallActions:
    """Reboot, lock, and the console."""

    def __init__(self, servers: Servers, life: Lifecycle) -> None:
        self._servers, self._life = servers, life

    @action("reboot")
    def reboot(self, request: Request, row: ServerRow, value: Any) -> None:
        """Stop it and boot it again; a hard reboot may follow on a soft one that takes long."""
        kind = value.get("type") if isinstance(value, dict) else None
        if not isinstance(kind, str) or kind.upper() not in ("SOFT", "HARD"):
            raise Fault(400, "Invalid input for field/attribute type: it must be SOFT or HARD.")
        self._life.do(request, row, states.HARD_REBOOT if kind.upper() == "HARD" else states.REBOOT)

    @action("forceDelete")
    def force_delete(self, request: Request, row: ServerRow, value: Any) -> None:
        """Delete it."""
        self._servers.delete(request, row["id"])

    @action("lock")
    def lock(self, request: Request, row: ServerRow, value: Any) -> None:
        """Have most other actions refused."""
        self._servers.table.update(row["id"], locked=True)
        self._life.history.begin(request, row["id"], states.LOCK)

    @action("unlock")
    def unlock(self, request: Request, row: ServerRow, value: Any) -> None:
        """Allow them again."""
        self._servers.table.update(row["id"], locked=False)
        self._life.history.begin(request, row["id"], states.UNLOCK)

    # The console

    @action("os-getVNCConsole", versions=versions.SCREENS)
    @action("os-getSPICEConsole", versions=versions.SCREENS)
    @action("os-getSerialConsole", versions=versions.SCREENS)
    def no_screen(self, request: Request, row: ServerRow, value: Any) -> None:
        """An instance has a console log and SSH, but no screen to look at."""
        kind = value.get("type") if isinstance(value, dict) else None
        raise Fault(400, f"Unavailable console type {kind}.")

    @route("POST", "/v2.1/servers/{id}/remote-consoles", versions=versions.REMOTE_CONSOLES)
    def remote_console(self, request: Request, id: str) -> None:
        """An instance has a console log and SSH, but no screen to look at."""
        self.no_screen(request, self._servers.find(request, id), request.parse().get("remote_console"))

    @action("os-getConsoleOutput")
    def console(self, request: Request, row: ServerRow, value: Any) -> JSON:
        """The console log, or its last lines."""
        if not has_host(row):
            raise Fault(409, f"Instance {row['id']} is not ready")
        length = value.get("length") if isinstance(value, dict) else None
        number = whole(length, signed=True) if isinstance(length, str) else length
        if length is not None and (isinstance(number, bool) or not isinstance(number, int) or number < -1):
            raise Fault(
                400, f"Invalid input for field/attribute length. Value: {length}. It must be a number of lines."
            )
        lines = _tail(self._life.guests.directory(row["id"]) / "console.log")
        if number is not None and number >= 0:
            lines = lines[-number:] if number else []
        return {"output": "".join(lines)}


def _tail(path: Path) -> list[str]:
    """The console log's last part, in lines."""
    try:
        with path.open("rb") as file:
            file.seek(max(os.fstat(file.fileno()).st_size - CONSOLE_BYTES_MAX, 0))
            return file.read().decode(errors="replace").splitlines(keepends=True)
    except FileNotFoundError:
        return []
