"""Runs an instance's units: starts them, restarts those that crash, stops them in an orderly way.

Enabled units are links in `multi-user.target.wants`, as systemd has it. A unit's output goes to `var/log/NAME.log`.
A unit that ends again and again is given up, by systemd's own rule (StartLimitBurst starts in StartLimitIntervalSec);
the console shows the end of its log.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from faafo_lab.cloud.emulator.machinery.guest.children import Child, Children, shutdown_code
from faafo_lab.cloud.emulator.machinery.guest.console import Console
from faafo_lab.cloud.emulator.machinery.guest.units import Unit, UnitError, read_unit, unit_name
from faafo_lab.cloud.emulator.system import tree

LOG_BYTES_MAX = 8 << 20
_LOG_BYTES_KEPT = 1 << 20
_LOG_CHECK_SECONDS = 10.0
_LOG_END_BYTES = 16 * 1024
_CONSOLE_LINES = 4  # how much of its log the console shows when a unit is given up
_STRAGGLERS_POLL_SECONDS = 0.02
# Between two looks at a frozen unit: a stop while the governor holds a process is one with the governor's to the
# kernel, and ends with it
_FREEZE_SECONDS = 0.05
_INVOCATION = "INVOCATION_ID"
_WANTS = "multi-user.target.wants"
_CLEAN = (0, -signal.SIGTERM, -signal.SIGINT, -signal.SIGHUP, -signal.SIGPIPE)


@dataclass
class SupervisedUnit:
    """A unit's present life."""

    unit: Unit
    state: str = "inactive"  # inactive, active, activating (waits for its restart), deactivating or failed
    child: Child | None = None
    invocation: str = ""
    since: float = field(default_factory=time.time)
    last_code: int | None = None
    keeper: asyncio.Task[None] | None = None  # awaits its end, and restarts it
    freezer: asyncio.Task[None] | None = None  # keeps its processes stopped, while it is frozen

    def becomes(self, state: str) -> None:
        """Change state, and note when."""
        self.state, self.since = state, time.time()


class Supervisor:
    """All units of an instance."""

    def __init__(self, disk: Path, environment: Mapping[str, str], children: Children, console: Console) -> None:
        self._directory = disk / "etc/systemd/system"
        self._logs = disk / "var/log"
        self._environment = environment
        self._children = children
        self._console = console
        self._services: dict[str, SupervisedUnit] = {}
        self._changing: dict[str, asyncio.Lock] = {}

    # What there is

    def names(self) -> list[str]:
        """All units that have a file or a process."""
        files = (path.name.removesuffix(".service") for path in self._directory.glob("*.service"))
        return sorted({*files, *self._services})

    def unit(self, name: str) -> Unit:
        """A unit as its file says now. Raises UnitError."""
        return read_unit(self._directory / f"{unit_name(name)}.service", self._environment)

    def service(self, name: str) -> SupervisedUnit:
        """A unit's present life. Raises UnitError for one without a file and a life."""
        short = unit_name(name)
        return self._services.get(short) or SupervisedUnit(self.unit(short))

    def log_path(self, name: str) -> Path:
        """Where a unit's output goes."""
        return self._logs / f"{name}.log"

    def log_end(self, name: str, lines: int) -> list[str]:
        """The last lines of a unit's output."""
        try:
            with self.log_path(name).open("rb") as log:
                log.seek(max(0, log.seek(0, os.SEEK_END) - _LOG_END_BYTES))
                return log.read().decode(errors="replace").splitlines()[-lines:]
        except OSError:
            return []

    def is_enabled(self, name: str) -> bool:
        """Whether a unit starts at boot."""
        return (self._directory / _WANTS / f"{unit_name(name)}.service").is_symlink()

    # Enable and disable

    def enable(self, name: str) -> None:
        """Start a unit at every boot. Raises UnitError."""
        unit = self.unit(name)
        if not unit.wanted_by:
            raise UnitError(f"Unit {unit.name}: it has no [Install] WantedBy=, so there is nothing to enable.")
        link = self._directory / _WANTS / f"{unit.name}.service"
        link.parent.mkdir(exist_ok=True)
        if not link.is_symlink():
            link.symlink_to(f"../{unit.path.name}")

    def disable(self, name: str) -> None:
        (self._directory / _WANTS / f"{unit_name(name)}.service").unlink(missing_ok=True)

    # Start and stop

    async def boot(self) -> None:
        """Start all enabled units; one that cannot be started is told on the console."""
        for link in sorted((self._directory / _WANTS).glob("*.service")):
            try:
                await self.start(link.name)
            except UnitError as error:
                self._console.line(f"systemd[1]: {error}")

    async def start(self, name: str) -> None:
        """Start a unit; nothing to do where it runs. Raises UnitError."""
        async with self._lock(name):
            await self._start(unit_name(name))

    async def stop(self, name: str) -> None:
        """Stop a unit, its whole tree; returns when it has ended. Raises UnitError for an unknown one."""
        async with self._lock(name):
            await self._stop(self.service(name))

    async def restart(self, name: str) -> None:
        """Stop a unit where it runs, then start it. Raises UnitError."""
        async with self._lock(name):
            unit = self.unit(name)
            await self._stop(self.service(name))
            await self._start(unit.name)

    async def stop_all(self) -> None:
        await asyncio.gather(*(self.stop(name) for name in list(self._services)), return_exceptions=True)

    def kill(self, name: str, number: int) -> None:
        """Send a signal to all of a unit's processes. Raises UnitError for one that does not run."""
        for pid in self._processes(self._running(name)):
            tree.send(pid, number)

    async def freeze(self, name: str) -> None:
        """Stop all of a unit's processes until `thaw`; returns when none runs. Raises UnitError as `kill` does."""
        service = self._running(name)
        if service.freezer is None:
            service.freezer = asyncio.create_task(self._keep_frozen(service))
        while service.freezer and any(tree.runs(pid) for pid in self._processes(service)):
            await asyncio.sleep(_STRAGGLERS_POLL_SECONDS)

    def thaw(self, name: str) -> None:
        """Let a frozen unit go on. Raises UnitError as `kill` does."""
        self._thaw(self._running(name))

    def _running(self, name: str) -> SupervisedUnit:
        service = self.service(name)
        if service.state != "active":
            raise UnitError(f"Unit {service.unit.name}.service is not active ({service.state}).")
        return service

    async def _keep_frozen(self, service: SupervisedUnit) -> None:
        while True:
            for pid in self._processes(service):
                tree.send(pid, signal.SIGSTOP)
            await asyncio.sleep(_FREEZE_SECONDS)

    def _thaw(self, service: SupervisedUnit) -> None:
        if service.freezer is not None:
            service.freezer.cancel()
            service.freezer = None
            for pid in self._processes(service):
                tree.send(pid, signal.SIGCONT)

    def _lock(self, name: str) -> asyncio.Lock:
        return self._changing.setdefault(unit_name(name), asyncio.Lock())

    async def _start(self, name: str) -> None:
        service = self._services.get(name)
        if service and service.state == "active":
            return
        unit = self.unit(name)
        if service:
            await self._stop(service)  # what is left of its former life
        self._services[name] = service = SupervisedUnit(unit)
        for key in unit.ignored:
            self._console.line(f"systemd[1]: {unit.name}.service: {key}= is not supported here: ignored.")
        self._launch(service)
        self._console.line(f"[  OK  ] Started {unit.name}.service - {unit.description}.")
        service.keeper = asyncio.create_task(self._keep(service))

    def _launch(self, service: SupervisedUnit) -> None:
        """Start a unit's process. Raises UnitError where that fails; then it is given up."""
        unit = service.unit
        service.invocation = uuid.uuid4().hex
        try:
            environment = {**self._environment, **unit.variables(), _INVOCATION: service.invocation}
            argv, directory = unit.argv(environment), Path(unit.directory or environment["HOME"])
            with self.log_path(unit.name).open("ab") as log:
                service.child = self._children.spawn(argv, environment, directory, stdout=log)
        except (OSError, ValueError) as error:
            self._give_up(service, str(error))
            raise UnitError(f"Failed to start {unit.name}.service: {error}") from error
        service.becomes("active")

    async def _keep(self, service: SupervisedUnit) -> None:
        """Await the unit's end, again and again, and restart it as its file says."""
        unit = service.unit
        starts: list[float] = []
        while service.child is not None:
            starts.append(time.monotonic())
            code = await self._end_of(service, service.child)
            service.becomes("deactivating")
            self._thaw(service)
            clean = code in _CLEAN or unit.may_fail
            await self._kill_rest(service)
            wanted = {"always", "on-success"} if clean else {"always", "on-failure"}
            if unit.restart not in wanted | ({"on-abnormal", "on-abort"} if code < 0 and not clean else set()):
                service.becomes("inactive" if clean else "failed")
                self._console.line(f"systemd[1]: {unit.name}.service: ended, {shutdown_code(code)}.")
                return
            now = time.monotonic() + unit.restart_seconds
            starts = [start for start in starts if now - start < unit.start_limit_seconds]
            ended = f"ended, {shutdown_code(code)}"
            if 0 < unit.start_limit_burst <= len(starts):
                self._give_up(service, f"it was started {len(starts)} times in {now - starts[0]:.0f} s and {ended}")
                return
            service.becomes("activating")
            self._console.line(f"systemd[1]: {unit.name}.service: {ended}; restart in {unit.restart_seconds:.1f} s.")
            await asyncio.sleep(unit.restart_seconds)
            try:
                self._launch(service)
            except UnitError:
                return
            self._console.line(f"systemd[1]: {unit.name}.service: started again.")

    def _give_up(self, service: SupervisedUnit, why: str) -> None:
        unit = service.unit
        service.becomes("failed")
        for line in self.log_end(unit.name, _CONSOLE_LINES):
            self._console.line(f"{unit.name}: {line}")
        self._console.line(f"[FAILED] Failed to start {unit.name}.service - {unit.description}: {why}")

    async def _end_of(self, service: SupervisedUnit, child: Child) -> int:
        while True:
            done, _ = await asyncio.wait([child.code], timeout=_LOG_CHECK_SECONDS)
            if done:
                service.last_code = child.code.result()
                return service.last_code
            self._cut_log(service.unit.name)

    def _cut_log(self, name: str) -> None:
        """Keep a log's end only, in place: its writers append."""
        path = self.log_path(name)
        with contextlib.suppress(OSError):
            if path.stat().st_size > LOG_BYTES_MAX:
                with path.open("r+b") as file:
                    file.seek(-_LOG_BYTES_KEPT, os.SEEK_END)
                    kept = file.read()
                    file.truncate(0)
                with path.open("ab") as file:
                    file.write(kept[kept.find(b"\n") + 1 :])

    async def _stop(self, service: SupervisedUnit) -> None:
        name = service.unit.name
        if service.keeper:
            service.keeper.cancel()  # whatever it is about to do
        if service.state == "activating":
            service.becomes("inactive")
        if service.state not in ("active", "deactivating") or service.child is None:
            return
        service.becomes("deactivating")
        self._thaw(service)
        child = service.child
        for pid in self._processes(service) if service.unit.kill_mode == "control-group" else [child.pid]:
            tree.send(pid, service.unit.kill_signal)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(service.unit.stop_seconds):
                await asyncio.shield(child.code)
                if service.unit.kill_mode == "control-group":
                    while self._processes(service):
                        await asyncio.sleep(_STRAGGLERS_POLL_SECONDS)
        if not child.code.done():
            self._console.line(
                f"systemd[1]: {name}.service: still there after {service.unit.stop_seconds:.0f} s: killed."
            )
        await self._kill_rest(service)
        service.last_code = await child.code
        service.becomes("inactive")
        self._console.line(f"[  OK  ] Stopped {name}.service - {service.unit.description}.")

    async def _kill_rest(self, service: SupervisedUnit) -> None:
        """Kill what is left of a unit's processes (unless it asked not to)."""
        if service.unit.kill_mode == "process" and service.child and service.child.code.done():
            return
        while left := self._processes(service):
            tree.kill(left)
            await asyncio.sleep(_STRAGGLERS_POLL_SECONDS)

    def _processes(self, service: SupervisedUnit) -> list[int]:
        """A unit's living processes: those below its main one, and whoever carries its invocation's mark."""
        mark = f"{_INVOCATION}={service.invocation}".encode()
        main = service.child.pid if service.child and not service.child.code.done() else 0
        found = dict.fromkeys([main, *tree.descendants(main)] if main else [])
        for pid in tree.descendants(os.getpid()):
            if pid not in found and mark in tree.read(f"/proc/{pid}/environ", 1 << 17).split(b"\0"):
                found[pid] = None
        return [pid for pid in found if (seen := tree.stat(pid)) and seen.state not in "ZX"]
