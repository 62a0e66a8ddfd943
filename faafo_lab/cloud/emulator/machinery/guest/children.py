"""The processes that an init starts, and all those that come back to it as orphans."""

from __future__ import annotations

import asyncio
import ctypes
import fcntl
import os
import signal
import subprocess
import termios
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from faafo_lab.cloud.emulator.system import tree

File = int | IO[Any] | None
_READ_BYTES = 1 << 16


class Child:
    """A process that the init has started, the leader of a session of its own."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self.pid = process.pid
        # Its exit code, -N where signal N ended it
        self.code: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def ended(self, code: int) -> None:
        """Note how it ended; it has been waited for already."""
        self._process.returncode = code
        if not self.code.done():
            self.code.set_result(code)


class Children:
    """Starts processes, and reaps whatever ends."""

    def __init__(self) -> None:
        self._children: dict[int, Child] = {}

    def watch(self) -> None:
        """Start to reap, in the running loop."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGCHLD, self._reap)
        _hear_ends_only()

    def spawn(
        self,
        argv: Sequence[str],
        environment: Mapping[str, str],
        directory: Path,
        *,
        stdin: File = subprocess.DEVNULL,
        stdout: File = subprocess.DEVNULL,
        stderr: File = subprocess.STDOUT,
        terminal: bool = False,
    ) -> Child:
        """Start a process in a session of its own; with `terminal`, stdin is its controlling terminal.

        Raises OSError when it cannot be started.
        """
        process = subprocess.Popen(
            argv,
            env=dict(environment),
            cwd=directory,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
            # One thread here, and one system call there.
            preexec_fn=(lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0)) if terminal else None,
        )
        child = Child(process)
        self._children[child.pid] = child
        return child

    async def run(
        self, argv: Sequence[str], environment: Mapping[str, str], directory: Path, write: Callable[[bytes], None]
    ) -> int:
        """Run a program to its end; its exit code, -N where signal N ended it. `write` gets its output, and that of
        what it leaves behind. Raises OSError where it cannot be started."""
        ours, theirs = os.pipe()
        try:
            child = self.spawn(argv, environment, directory, stdout=theirs)
        except OSError:
            os.close(ours)
            raise
        finally:
            os.close(theirs)
        os.set_blocking(ours, False)
        loop = asyncio.get_running_loop()
        ended = False

        def copy() -> None:
            """Copy what has been written so far; close at the end of it all."""
            nonlocal ended
            try:
                while data := os.read(ours, _READ_BYTES):
                    write(data)
            except BlockingIOError:
                return
            ended = True
            loop.remove_reader(ours)
            os.close(ours)

        loop.add_reader(ours, copy)
        code = await child.code
        if not ended:
            copy()
        return code

    def _reap(self) -> None:
        for pid, code in tree.reap().items():
            if child := self._children.pop(pid, None):
                child.ended(code)


class _SignalAction(ctypes.Structure):
    _fields_ = (
        ("handler", ctypes.c_void_p),
        ("mask", ctypes.c_byte * 128),
        ("flags", ctypes.c_int),
        ("restorer", ctypes.c_void_p),
    )


_NO_STOPPED_CHILDREN = 1  # SA_NOCLDSTOP


def _hear_ends_only() -> None:
    """Keep the governor's stops and continues, dozens a second, from waking this process."""
    libc = ctypes.CDLL(None, use_errno=True)
    action = _SignalAction()
    number = int(signal.SIGCHLD)
    if libc.sigaction(number, None, ctypes.byref(action)) == 0:
        action.flags |= _NO_STOPPED_CHILDREN
        libc.sigaction(number, ctypes.byref(action), None)


def shutdown_code(code: int) -> str:
    """How a process ended, for people."""
    if code < 0:
        try:
            return f"killed by {signal.Signals(-code).name}"
        except ValueError:
            return f"killed by signal {-code}"
    return f"exit status {code}"
