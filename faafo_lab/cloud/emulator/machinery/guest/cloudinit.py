"""cloud-init: makes of an instance what its user data say, and tells the console and `cloud-init status` how it went.

Stage `init`, before the units: host name and boot commands (at every boot); files and keys (at the first). Stage
`modules:final`, after them: the scripts, in the order of their names, as cloud-init has it. What fails does not
keep the rest from being done.
"""

from __future__ import annotations

import asyncio
import json
import os
import string
import time
from collections.abc import Callable
from pathlib import Path

from faafo_lab.cloud.emulator.machinery.guest import cloudconfig, userdata
from faafo_lab.cloud.emulator.machinery.guest.children import Children, shutdown_code
from faafo_lab.cloud.emulator.machinery.guest.cloudconfig import CloudInitConfig, File
from faafo_lab.cloud.emulator.machinery.guest.console import Console
from faafo_lab.cloud.emulator.machinery.guest.initsocket import Reply
from faafo_lab.cloud.emulator.machinery.guest.userdata import BOOTHOOK, CONFIG, EVERY_BOOT, SCRIPT, SCRIPTS, Parts

VERSION = "faafo-lab"
DATASOURCE = "DataSourceOpenStack"
_PRIVATE = 0o700
_RECOVERABLE = 2


class CloudInit:
    """One boot's cloud-init."""

    def __init__(
        self,
        root: Path,
        environment: dict[str, str],
        children: Children,
        console: Console,
        rename: Callable[[str], None],
    ) -> None:
        """`environment` is that of all later programs; `rename` gives the instance another host name."""
        self._root = root
        self._state = root / "var/lib/cloud/instance"
        self._environment = environment
        self._children = children
        self._console = console
        self._rename = rename
        self._parts = Parts()
        self._config = CloudInitConfig()
        self._first = False
        self._errors: list[str] = []
        self._warnings: list[str] = []
        self._done = asyncio.Event()

    # Stages

    async def init(self, user_data: str | None, *, first_boot: bool) -> None:
        """What comes before the units. A first boot that was cut short is made good, whatever `first_boot` says."""
        finished = self._state / "boot-finished"
        self._first = first_boot or not finished.exists()
        if self._first:
            finished.unlink(missing_ok=True)
            self._stage("init")
        self._read(user_data)
        config = self._config
        if config.hostname is not None:
            try:
                self._rename(config.hostname)
            except OSError as error:
                self._fail("cc_set_hostname.py", f"hostname: the name cannot be set: {error}.")
        if config.boot_commands is not None:
            await self._run("cc_bootcmd.py", "bootcmd", "scripts/bootcmd", config.boot_commands)
        for part in self._parts.of(BOOTHOOK):
            hook = part.data.lstrip().removeprefix(b"#cloud-boothook").lstrip()
            await self._run("boot_hook.py", f"boothook {part.name}", f"boothooks/{part.name}", hook)
        if self._first:
            self._write_files(defer=False)
            self._add_keys()

    def broke(self, error: Exception) -> None:
        """Note that a stage ended by an error that nobody has foreseen."""
        self._fail("main.py", f"The stage 'init' ended unexpectedly: {error!r}.")

    async def final(self) -> None:
        """What comes after the units, and the end."""
        if self._first:
            self._stage("modules:final")
            self._write_files(defer=True)
        for type in SCRIPTS if self._first else (EVERY_BOOT,):
            scripts = {part.name: part.data for part in self._parts.of(type)}
            if type == SCRIPT and self._config.commands is not None:
                scripts["runcmd"] = self._config.commands
            for name in sorted(scripts):
                what = "The user data" if len(self._parts.found) == 1 and name != "runcmd" else name
                await self._run("cc_scripts_user.py", f"scripts-user ({name})", f"scripts/{name}", scripts[name], what)
        if self._first:
            self._say_finished()
        try:
            self._keep_result()
        except OSError as error:
            self._fail("util.py", f"The result cannot be written, so the next boot is a first one again: {error}.")
        self._done.set()

    def _keep_result(self) -> None:
        warned = {"WARNING": self._warnings} if self._warnings else {}
        result = {"v1": {"datasource": DATASOURCE, "errors": self._errors, "recoverable_errors": warned}}
        _write(self._root / "var/lib/cloud/data/result.json", json.dumps(result, indent=1).encode(), 0o644)
        _write(self._state / "boot-finished", f"{self._console.uptime:.2f}\n".encode(), 0o644)

    def _read(self, user_data: str | None) -> None:
        if not user_data:
            return
        try:
            self._parts = userdata.parts(user_data)
        except (userdata.UserDataError, LookupError, ValueError, RecursionError) as error:
            self._fail("user_data.py", str(error))
            return
        self._config = cloudconfig.read(self._parts.of(CONFIG))
        for problem in (*self._parts.problems, *self._config.errors):
            self._fail("user_data.py", problem)
        for warning in self._config.warnings:
            self._warn("schema.py", warning)

    # Words

    def _stage(self, name: str) -> None:
        self._console.line(
            f"Cloud-init v. {VERSION} running '{name}' at {_date()}. Up {self._console.uptime:.2f} seconds."
        )

    def _say_finished(self) -> None:
        up = f"{self._console.uptime:.2f}"
        text = f"Cloud-init v. {VERSION} finished at {_date()}. Datasource {DATASOURCE}. Up {up} seconds"
        if self._config.final_message is not None:
            words = {"version": VERSION, "timestamp": _date(), "datasource": DATASOURCE, "uptime": up}
            words |= {name.upper(): value for name, value in words.items()}
            text = string.Template(self._config.final_message).safe_substitute(words)
        for line in text.splitlines():
            self._console.line(line)

    def _fail(self, module: str, text: str) -> None:
        self._errors.append(text)
        self._log(module, "ERROR", text)

    def _warn(self, module: str, text: str) -> None:
        self._warnings.append(text)
        if self._first:
            self._log(module, "WARNING", text)

    def _log(self, module: str, level: str, text: str) -> None:
        moment = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime())
        self._console.line(f"cloud-init[1]: {moment} - {module}[{level}]: {text}")

    # Programs

    async def _run(self, module: str, name: str, place: str, script: bytes, what: str | None = None) -> None:
        """Run a program from its place in cloud-init's own directory, and tell of its failure."""
        what = what or name
        path = self._state / place
        try:
            _write(path, script, _PRIVATE)
            environment = {**self._environment, "INSTANCE_ID": self._state.resolve().name}
            home = Path(self._environment["HOME"])
            code = await self._children.run([str(path)], environment, home, self._console.raw)
            if code == 0:
                return
            why = f"{what} failed: {shutdown_code(code)}."
        except OSError as error:
            shebang = script.split(b"\n", 1)[0][:80].decode(errors="replace")
            why = f"{what} failed: its {shebang!r} cannot be run: {error.strerror}."
        self._fail(module, f"Failed to run module {name}: {why}")

    # Files and keys

    def _write_files(self, *, defer: bool) -> None:
        for file in self._config.files:
            if file.defer != defer:
                continue
            try:
                place = self._place(file)
                _write(place, file.content, file.permissions, append=file.append)
            except (OSError, userdata.UserDataError) as error:
                self._fail("cc_write_files.py", f"write_files: {file.path} is not written: {error}")
                continue
            owner = f"; its owner is ubuntu, not {file.owner}: there is one account" if file.owner else ""
            self._log("cc_write_files.py", "INFO", f"{file.path} is written, as $INSTANCE_ROOT{file.path}{owner}.")

    def _place(self, file: File) -> Path:
        """Where a file goes: below the instance's own disk, whatever links there are. Raises UserDataError."""
        place = Path(os.path.realpath(self._root / file.path.lstrip("/")))
        if not place.is_relative_to(self._root.resolve()) or place == self._root.resolve():
            raise userdata.UserDataError("it would be outside of the instance's disk.")
        return place

    def _add_keys(self) -> None:
        if not self._config.public_keys:
            return
        keys = "".join(f"{key}\n" for key in self._config.public_keys).encode()
        try:
            _write(Path(self._environment["HOME"]) / ".ssh/authorized_keys", keys, 0o600, append=True)
        except OSError as error:
            self._fail("cc_ssh.py", f"ssh_authorized_keys: the keys cannot be written: {error}.")

    # What others ask

    async def status(self, arguments: list[str]) -> Reply:
        """The command `cloud-init status [--wait] [--long]`: exit code 1 for errors, 2 for warnings only."""
        if arguments[:1] != ["status"] or not set(arguments[1:]) <= {"--wait", "-w", "--long", "-l"}:
            return Reply(1, error="cloud-init: only 'status', with --wait and --long, is known here.\n")
        if {"--wait", "-w"} & set(arguments):
            await self._done.wait()
        state, code = "done", _RECOVERABLE if self._warnings else 0
        if not self._done.is_set():
            state, code = "running", 0
        elif self._errors:
            state, code = "error", 1
        lines = [f"status: {state}"]
        if {"--long", "-l"} & set(arguments):
            degraded = "degraded " if self._warnings and state != "running" else ""
            warned = {"WARNING": self._warnings} if self._warnings else {}
            lines += [f"extended_status: {degraded}{state}", f"detail: {DATASOURCE}"]
            lines += [f"errors: {json.dumps(self._errors)}", f"recoverable_errors: {json.dumps(warned)}"]
        return Reply(code, "".join(f"{line}\n" for line in lines))


def _date() -> str:
    return time.strftime("%a, %d %b %Y %H:%M:%S +0000", time.gmtime())


def _write(place: Path, content: bytes, mode: int, *, append: bool = False) -> None:
    """Write a file, its directories too. Raises OSError."""
    place.parent.mkdir(parents=True, exist_ok=True)
    with place.open("ab" if append else "wb") as file:
        file.write(content)
    place.chmod(mode)
