"""Start, stop and find an embedded cloud. This is its only interface that is not an OpenStack API.

    running = start(Path("~/lab").expanduser())
    running.auth_url, running.clouds_yaml
    stop(running.state_dir)

A lock on the state directory's file `lock` says whether an emulator runs there; it goes with the process.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import math
import os
import re
import select
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from faafo_lab.cloud.emulator.common.numbers import whole
from faafo_lab.cloud.emulator.errors import (
    AddressError,
    AlreadyRunning,
    EmulatorError,
    StartError,
    StateError,
    StopError,
    VersionError,
)
from faafo_lab.cloud.emulator.system import sockets, tree
from faafo_lab.interpreter import environment
from faafo_lab.paths import make_private

LOCK = "lock"
START_SECONDS = 30
STOP_SECONDS = 30  # after SIGTERM; then SIGKILL
KILL_SECONDS = 10
LOCK_SECONDS = 2
ANSWER_SECONDS = 5
LOG_BYTES_MAX = 1 << 20
LOG_LINES_SHOWN = 10
SHARES_MIN, SHARES_MAX = 0.1, 4.0

_ERRORS = {each.__name__: each for each in (EmulatorError, StateError, VersionError, AlreadyRunning, AddressError)}


@dataclass(frozen=True)
class Running:
    """An embedded cloud that runs."""

    pid: int
    auth_url: str
    clouds_yaml: Path
    state_dir: Path


def quota(text: str) -> tuple[str, int]:
    """NAME=N, as an option's value. Raises `argparse.ArgumentTypeError`."""
    name, _, written = text.partition("=")
    if not name or (number := whole(written, signed=True)) is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form NAME=N, such as instances=10")
    return name, number


def seconds(text: str) -> float:
    """A number of seconds, 0 or more, as an option's value. Raises `argparse.ArgumentTypeError`."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds, such as 2.5")
    return number


def shares(text: str) -> float:
    """A factor for the flavors' CPU shares, as an option's value. Raises `argparse.ArgumentTypeError`."""
    try:
        factor = float(text)
    except ValueError:
        factor = math.nan
    if not SHARES_MIN <= factor <= SHARES_MAX:
        raise argparse.ArgumentTypeError(f"{text!r} is not a factor from {SHARES_MIN:g} to {SHARES_MAX:g}, such as 0.5")
    return factor


def open_state_dir(state_dir: Path) -> Path:
    """Make the state directory (0700) where it is missing; returns it without links. Raises `StateError`."""
    try:
        directory = Path(state_dir).expanduser().resolve()
        make_private(directory)
        there = os.listdir(directory)
        if there and LOCK not in there:
            raise StateError(f"{directory} contains other files: choose a new or empty state directory.")
        if directory.stat().st_uid != os.getuid():
            raise StateError(f"{directory} belongs to another user: choose another state directory.")
        directory.chmod(0o700)
        (directory / LOCK).touch(mode=0o600)  # from now on it is a state directory
    except (FileExistsError, NotADirectoryError) as error:
        raise StateError(f"{state_dir} is not a directory: choose another state directory.") from error
    except OSError as error:
        raise StateError(
            f"The state directory {state_dir} cannot be created or used ({error.strerror}): choose another."
        ) from error
    if not os.access(directory, os.R_OK | os.W_OK | os.X_OK):
        raise StateError(f"{directory} is not writable: choose another state directory.")
    return directory


def status(state_dir: Path) -> Running | None:
    """The embedded cloud of a state directory, or None where none runs or it does not answer."""
    directory = Path(state_dir).expanduser().resolve()
    if not _locked(directory):
        return None
    try:
        [url, *_] = re.findall("auth_url: (.+)", (directory / "clouds.yaml").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    pid = _pid(directory)
    return Running(pid, url, directory / "clouds.yaml", directory) if pid and _answers(url) else None


def start(
    state_dir: Path,
    *,
    port: int | None = None,
    quotas: Mapping[str, int] | None = None,
    address_lag_seconds: float = 0.0,
    shares: float | None = None,
) -> Running:
    """Start the embedded cloud of a state directory; returns when its APIs answer.

    Where it runs already, it stays as it is. `port` is the APIs' port (default: the one of last time, 5000, or a free
    one), `quotas` the limits that differ from OpenStack's own, by name (`{"instances": 6}`),
    `address_lag_seconds` how long a server's listing takes to show a floating IP (on a real cloud, some seconds),
    `shares` the factor by which every flavor's CPU share is multiplied, kept for the next starts (default: that of last
    time, 1 at first). Raises `EmulatorError`.
    """
    directory = open_state_dir(state_dir)
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if running := status(directory):
            return running
        if not _locked(directory):
            try:
                return _launch(directory, port, quotas or {}, address_lag_seconds, shares, deadline)
            except AlreadyRunning:
                pass  # somebody else's start was first: that one is as good
        time.sleep(0.05)
    raise StartError(f"The emulator on {directory} does not answer within {START_SECONDS} s.{_log_end(directory)}")


def stop(state_dir: Path) -> bool:
    """Stop the embedded cloud of a state directory and all its instances; False where none runs. Raises `StopError`."""
    directory = Path(state_dir).expanduser().resolve()
    if not _locked(directory):
        _sweep(directory)
        return False
    for number, seconds in ((signal.SIGTERM, STOP_SECONDS), (signal.SIGKILL, KILL_SECONDS)):
        deadline = time.monotonic() + seconds
        signalled = 0
        while time.monotonic() < deadline:
            if not _locked(directory):
                _sweep(directory)
                return True
            pid = _pid(directory)
            if pid and pid != signalled:  # one that is still starting has no pid file yet
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
                signalled = pid
            time.sleep(0.02)
    raise StopError(f"The emulator on {directory} (pid {_pid(directory)}) does not end: kill it yourself.")


def _sweep(directory: Path) -> None:
    """End and remove what an emulator that was killed has left; seldom anything. Raises `StopError`."""
    with contextlib.ExitStack() as stack:
        try:
            lock = stack.enter_context((directory / LOCK).open("r+", encoding="utf-8"))
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # nobody starts here meanwhile
        except OSError:
            return  # there is none, or another one runs already
        if left := tree.end_leftovers(directory, KILL_SECONDS):
            raise StopError(f"Processes {left} of the instances in {directory} do not end: kill them yourself.")
        with contextlib.suppress(StateError, OSError):
            sockets.remove(sockets.sockets_dir(directory))


def _launch(
    directory: Path,
    port: int | None,
    quotas: Mapping[str, int],
    address_lag_seconds: float,
    shares: float | None,
    deadline: float,
) -> Running:
    """Start the process, and wait for its word."""
    options = ["--state-dir", str(directory)]
    options += [] if port is None else ["--port", str(port)]
    options += [f"--quota={name}={value}" for name, value in quotas.items()]
    options += [f"--address-lag={address_lag_seconds}"]
    options += [] if shares is None else [f"--shares={shares}"]
    ours, theirs = os.pipe()
    try:
        with _log(directory) as log:
            subprocess.Popen(
                [sys.executable, "-m", "faafo_lab.cloud.emulator", *options, "--report", str(theirs)],
                cwd=Path(__file__).parents[3],  # so that it finds the package as this process did
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[theirs],
                env=environment(),
                start_new_session=True,
            ).wait()  # only until it has gone to the background
        os.close(theirs)
        message = _read(ours, deadline)
    finally:
        os.close(ours)
    if not message:
        raise StartError(f"The emulator ended, or did not answer within {START_SECONDS} s.{_log_end(directory)}")
    found = json.loads(message)
    if "error" in found:
        raise _ERRORS.get(found["error"], EmulatorError)(found["message"])
    return Running(found["pid"], found["auth_url"], directory / "clouds.yaml", directory)


def _read(pipe: int, deadline: float) -> bytes:
    """All that comes through a pipe until it is closed; nothing where that takes too long."""
    text = b""
    while select.select([pipe], [], [], max(deadline - time.monotonic(), 0))[0]:
        piece = os.read(pipe, 4096)
        if not piece:
            return text
        text += piece
    return b""


def _locked(directory: Path) -> bool:
    """Whether a process holds the lock of a state directory."""
    try:
        with (directory / LOCK).open("r+", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _pid(directory: Path) -> int:
    """The pid that the emulator wrote, or, while it starts, 0."""
    try:
        return int((directory / "emulator.pid").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return 0


def _answers(auth_url: str) -> bool:
    try:
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with direct.open(f"{auth_url}/v3", timeout=ANSWER_SECONDS):
            return True
    except (OSError, ValueError):
        return False


def _log(directory: Path) -> BinaryIO:
    path = directory / "emulator.log"
    if path.exists() and path.stat().st_size > LOG_BYTES_MAX:
        path.replace(path.with_suffix(".log.old"))
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab")


def _log_end(directory: Path) -> str:
    """The end of the log, as a message's last part."""
    try:
        text = (directory / "emulator.log").read_text(errors="replace", encoding="utf-8")
    except OSError:
        return ""
    return f" The end of {directory / 'emulator.log'}:\n" + "\n".join(text.splitlines()[-LOG_LINES_SHOWN:])
