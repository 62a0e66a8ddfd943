"""Actions on servers: where they arrive; reboot, lock, the console log.

A plain action is no more than its row in the table of `states`.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from faafo_lab.cloud.emulator.common import schema
from faafo_lab.cloud.emulator.common.actions import Handlers, action, asked
from faafo_lab.cloud.emulator.common.service import JSON, Answer, Fault, Request, route
from faafo_lab.cloud.emulator.services.compute import states, versions
from faafo_lab.cloud.emulator.services.compute.base import only
from faafo_lab.cloud.emulator.services.compute.rows import ServerRow
from faafo_lab.cloud.emulator.services.compute.servers import Part, Servers, has_host

CONSOLE_BYTES_MAX = 102_400
REBOOT = only({"type": {"type": "string", "pattern": "(?i)^(soft|hard)$"}}, ["type"])
LENGTH: JSON = {
    "type": "object",
    "properties": {
        "length": {
            "anyOf": [
                {"type": "integer", "minimum": -1},
                {"type": "string", "pattern": "^(-1|[0-9]{1,18})$"},
                {"type": "null"},
            ]
        }
    },
}
PLAIN = {
    "os-start": states.START,
    "os-stop": states.STOP,
    "pause": states.PAUSE,
    "unpause": states.UNPAUSE,
    "suspend": states.SUSPEND,
    "resume": states.RESUME,
    "revertResize": states.REVERT,
}


class Actions(Part):
    """Takes each action to its handler."""

    def __init__(self, servers: Servers, *parts: object) -> None:
        """The handlers of those that are not plain are methods of `parts`."""
        super().__init__(servers)
        self._handlers = Handlers(*parts)

    @route("POST", "/v2.1/servers/{id}/action")
    async def act(self, request: Request, id: str) -> Answer | JSON:
        """Do something with a server; the body's only key says what."""
        row = self._servers.find(request, id)
        name, value = asked(request)
        if name not in PLAIN:
            return await self._handlers.do(request, row, name, value)
        self._life.do(request, row, PLAIN[name])
        return Answer(202)


class SmallActions(Part):
    """Reboot, lock, and the console."""

    @action("reboot")
    def reboot(self, request: Request, row: ServerRow, value: Any) -> None:
        """Stop it and boot it again; a hard reboot may follow on a soft one that takes long."""
        schema.check(value, REBOOT)
        self._life.do(request, row, states.HARD_REBOOT if value["type"].upper() == "HARD" else states.REBOOT)

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
        schema.check(value, LENGTH)
        lines = _tail(self._life.guests.directory(row["id"]) / "console.log").split("\n")
        length = len(lines) if value.get("length") in (None, -1, "-1") else int(value["length"])
        return {"output": "\n".join(lines[-length:] if length else [])}  # what follows the last line end counts, too


def _tail(path: Path) -> str:
    """The console log's last part."""
    try:
        with path.open("rb") as file:
            file.seek(max(os.fstat(file.fileno()).st_size - CONSOLE_BYTES_MAX, 0))
            return file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""
