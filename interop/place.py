"""Where a suite runs: an environment, an embedded cloud and a home of its own, which are gone when it ends."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from faafo_lab.cloud.emulator import control

BUILD = Path(__file__).resolve().parent.parent / "build"
OUT = BUILD / "interop"
COMMAND_SECONDS = 300
INSTALL_SECONDS = 600
GRACE_SECONDS = 20
SHOWN_LINES = 5
# Settings of the user's that would reach a suite
FOREIGN = ("OS_", "XDG_", "OPENSTACK", "ANSIBLE_", "PACKER_", "PKR_", "RCLONE_", "RESTIC_")


class CommandFailed(OSError):
    """A command of a suite's ended with an error, or not in time. The message has its last lines."""


@dataclass(frozen=True)
class Place:
    """What a suite is given.

    `bin` has the programs of its environment; `out` is empty at first and is kept; `home` and `temporary` are removed;
    `clouds_yaml` is that of the embedded cloud.
    """

    bin: Path
    out: Path
    home: Path
    temporary: Path
    clouds_yaml: Path

    def environment(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        """The variables of a suite's processes: the user's without settings of OpenStack's, a home of its own."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
        own = {"HOME": str(self.home), "TMPDIR": str(self.temporary), "PATH": f"{self.bin}:{os.environ['PATH']}"}
        return {**kept, **own, **(more or {})}

    @contextlib.contextmanager
    def started(
        self, command: Sequence[str | Path], more: Mapping[str, str] | None = None, **settings: Any
    ) -> Iterator[subprocess.Popen[str]]:
        """A process in `out` that leads a group; the group is ended at the end. Raises `OSError`."""
        settings = {"cwd": self.out, "text": True, **settings}
        process = subprocess.Popen(command, env=self.environment(more), start_new_session=True, **settings)
        try:
            yield process
        finally:
            _end(process)

    def run(
        self,
        command: Sequence[str | Path],
        more: Mapping[str, str] | None = None,
        seconds: float = COMMAND_SECONDS,
        **settings: Any,
    ) -> str:
        """Run a command to its end; returns what it printed. Both of its outputs are kept in commands.txt.

        Raises `CommandFailed` where it fails, or has not ended after `seconds`.
        """
        words = " ".join(str(word) for word in command)
        with (self.out / "commands.txt").open("a") as log:
            log.write(f"$ {words}\n")
            log.flush()
            pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
            with self.started(command, more, **pipes, **settings) as process:
                try:
                    output, errors = process.communicate(timeout=seconds)
                except subprocess.TimeoutExpired as error:
                    raise CommandFailed(f"{words}: has not ended within {seconds:.0f} s.") from error
            log.write(f"{output}{errors}[exit {process.returncode}]\n\n")
        if process.returncode:
            last = "\n".join((errors.strip() or output.strip()).splitlines()[-SHOWN_LINES:])
            raise CommandFailed(f"{words}: exit {process.returncode}\n{last}")
        return output


@contextlib.contextmanager
def place(name: str, requirements: Path) -> Iterator[Place]:
    """The place for a suite's run. Raises `OSError` and `EmulatorError`. The cloud's log is kept in `out`."""
    direct = ",".join(filter(None, [os.environ.get("no_proxy") or os.environ.get("NO_PROXY"), "127.0.0.0/8"]))
    os.environ.update(no_proxy=direct, NO_PROXY=direct)  # proxies are for what is installed
    out = OUT / "logs" / name
    shutil.rmtree(out, ignore_errors=True)  # what a killed run left of locked accounts would keep this one waiting
    out.mkdir(parents=True)
    programs = installed(name, requirements) if requirements.exists() else Path(sys.executable).parent
    directory = Path(tempfile.mkdtemp(prefix="interop-"))  # short: Unix sockets are in it
    try:
        for each in ("home", "tmp"):
            (directory / each).mkdir()
        clouds_yaml = control.start(directory / "cloud").clouds_yaml
        yield Place(programs, out, directory / "home", directory / "tmp", clouds_yaml)
    finally:
        control.stop(directory / "cloud")
        log = directory / "cloud" / "emulator.log"
        if log.exists():
            shutil.copy(log, out / "emulator.log")
        shutil.rmtree(directory, ignore_errors=True)


def installed(name: str, requirements: Path) -> Path:
    """Set up a suite's environment, where that is not done; returns its programs' directory. Raises `OSError`."""
    directory = OUT / "environments" / name
    stamp = directory / "installed"
    wanted = hashlib.sha256(requirements.read_bytes() + sys.version.encode()).hexdigest()
    if stamp.exists() and stamp.read_text() == wanted:
        return directory / "bin"
    print(f"Setting up {directory.relative_to(BUILD.parent)} …", flush=True)
    uv = [sys.executable, "-m", "uv"]
    python = directory / "bin" / "python"
    for command in (
        [*uv, "venv", "--quiet", "--clear", "--python", sys.executable, directory],
        [*uv, "pip", "install", "--quiet", "--python", python, "--require-hashes", "-r", requirements],
    ):
        try:
            subprocess.run(command, check=True, timeout=INSTALL_SECONDS)
        except subprocess.SubprocessError as error:
            raise OSError(f"The environment of {name} could not be set up: see above.") from error
    stamp.write_text(wanted)
    return directory / "bin"


def _end(process: subprocess.Popen[Any]) -> None:
    """End a process that leads a group, and its children."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_SECONDS)
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe:
            pipe.close()
