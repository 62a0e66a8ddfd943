"""Actions on servers: start, stop, reboot, security groups, the console log."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from faafo_lab.cloud.emulator.servers import Servers
from faafo_lab.cloud.emulator.service import JSON, Answer, Fault, Request, route
from faafo_lab.cloud.emulator.store import Row

CONSOLE_BYTES_MAX = 102_400


class Actions(Servers):
    """What a server can be told to do."""

    @route("POST", "/v2.1/servers/{id}/action")
    def action(self, request: Request, id: str) -> Answer | JSON:
        """Do something with a server; the body's only key says what."""
        row = self._find(request, id)
        body = self.parse(request)
        actions = {
            "reboot": self._reboot,
            "os-start": self._start,
            "os-stop": self._stop,
            "addSecurityGroup": self._add_group,
            "removeSecurityGroup": self._remove_group,
            "os-getConsoleOutput": self._console,
        }
        if len(body) != 1:
            raise Fault(400, "There should be exactly one action in the request body.")
        name, value = next(iter(body.items()))
        if name not in actions:
            raise Fault(400, f"There is no such action: {name}")
        return actions[name](request, row, value) or Answer(202)

    def _in_state(self, row: Row, action: str, *states: str) -> None:
        """Check that an action makes sense now. Raises a 409 `Fault`."""
        if row["vm_state"] not in states:
            raise Fault(409, f"Cannot '{action}' instance {row['id']} while it is in vm_state {row['vm_state']}")
        if row["task_state"] is not None:
            raise Fault(409, f"Cannot '{action}' instance {row['id']} while it is in task_state {row['task_state']}")

    def _reboot(self, request: Request, row: Row, value: Any) -> None:
        kind = value.get("type") if isinstance(value, dict) else None
        if not isinstance(kind, str) or kind.upper() not in ("SOFT", "HARD"):
            raise Fault(400, "Invalid input for field/attribute type: it must be SOFT or HARD.")
        hard = kind.upper() == "HARD"
        states = ("active", "stopped", "error") if hard else ("active",)
        if not (hard and row["task_state"] == "rebooting"):
            self._in_state(row, "reboot", *states)
        self.life.reboot(row["id"], hard=hard)

    def _start(self, request: Request, row: Row, value: Any) -> None:
        self._in_state(row, "start", "stopped")
        self.life.start(row["id"])

    def _stop(self, request: Request, row: Row, value: Any) -> None:
        self._in_state(row, "stop", "active", "error")
        self.life.stop(row["id"])

    def _named_group(self, request: Request, value: Any) -> Row:
        name = value.get("name") if isinstance(value, dict) else None
        if not isinstance(name, str) or not name.strip():
            raise Fault(400, "Missing parameter dict: the security group's name is required.")
        group = self._group(request.project, name)
        if group is None:
            raise Fault(404, f"Security group {name} not found for project {request.project}.")
        return group

    def _add_group(self, request: Request, row: Row, value: Any) -> None:
        group = self._named_group(request, value)
        ports = self.cloud.network.ports
        with self.store.transaction():
            for port in self.cloud.network.ports_of(row["id"]):
                ports.touch(port["id"], security_groups=list(dict.fromkeys([*port["security_groups"], group["id"]])))

    def _remove_group(self, request: Request, row: Row, value: Any) -> None:
        group = self._named_group(request, value)
        ports = self.cloud.network.ports
        mine = [port for port in self.cloud.network.ports_of(row["id"]) if group["id"] in port["security_groups"]]
        if not mine:
            raise Fault(409, f"Security group {group['id']} not associated with the instance {row['id']}")
        with self.store.transaction():
            for port in mine:
                ports.touch(port["id"], security_groups=[id for id in port["security_groups"] if id != group["id"]])

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
