"""`Fault`: something that was broken on purpose, and how to undo it.

    with chaos.stop(app, "app-services", service="faafo-messaging"):
        ...                                  # and at the end, also after an error or an interrupt, it is undone

A program may end before it has undone its faults, and be killed, too. So, while faults are active, another process
waits for this program's end, and then repairs the application (`repairing`).
"""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import faafo_lab
from faafo_lab.cloud import notes
from faafo_lab.cloud.errors import CloudError, NotFound
from faafo_lab.interpreter import environment
from faafo_lab.topology import Topology

# It loads nothing before it is needed: each program with a fault has one.
GUARD = """\
import collections, sys
active = collections.Counter()
for line in sys.stdin:
    count, cloud, backend = line.split()
    active[cloud, backend] += int(count)
for (cloud, backend), count in active.items():
    if count:
        from faafo_lab.chaos.repairing import repair_cloud
        repair_cloud(cloud, backend)
"""

_lock = threading.RLock()
_active: list[Fault] = []
_guard: subprocess.Popen[str] | None = None


class Fault:
    """A fault that is active until `undo()`; as a context manager it is undone at the block's end.

    `what` says in a few words what is broken ("faafo-worker on app-worker-1 is frozen"); `server`: on which server, if
    on one.
    """

    def __init__(self, app: Topology, what: str, undo: Callable[[], object], server: str = "") -> None:
        self.what, self.server = what, server
        self._name = app.cloud.name
        self._cloud = f"{self._name} {app.cloud.backend}"
        self._undo = undo
        self._undoing = threading.RLock()

    @property
    def active(self) -> bool:
        """Whether it has not been undone yet."""
        with _lock:
            return self in _active

    def undo(self) -> None:
        """Repair what it broke; nothing if that is done already, or if what it broke is gone.

        Raises CloudError if that is not possible now: the fault stays active, and `undo` may be called again.
        """
        with self._undoing:
            if self.active:
                with suppress(NotFound), notes.quiet():
                    self._undo()
                self._ends()
                notes.note(self._name, f"undone: {self.what}", self.server)

    def _begins(self) -> None:
        global _guard
        with _lock:
            if _guard is None:
                _guard = subprocess.Popen(
                    [sys.executable, "-c", GUARD],
                    cwd=Path(faafo_lab.__file__).parents[1],  # so that it finds the package as this process did
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    env=environment(),
                    start_new_session=True,  # an interrupt is this program's, not its
                    encoding="utf-8",
                )
            _active.append(self)
            self._tell("+1")

    def _ends(self) -> None:
        global _guard
        with _lock:
            _active.remove(self)
            self._tell("-1")
            if not _active and _guard is not None:
                _guard.communicate()
                _guard = None

    def _tell(self, count: str) -> None:
        if _guard is not None and _guard.stdin is not None:
            with suppress(OSError):  # somebody has killed it
                _guard.stdin.write(f"{count} {self._cloud}\n")
                _guard.stdin.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.undo()

    def __repr__(self) -> str:
        return f"<Fault: {self.what}{'' if self.active else ' (undone)'}>"


def inject(app: Topology, what: str, do: Callable[[], object], undo: Callable[[], object], server: str = "") -> Fault:
    """Break something by `do`, on `server` if on one. If that fails or is interrupted half way, it is undone before the
    exception goes on."""
    fault = Fault(app, what, undo, server)
    fault._begins()
    try:
        with notes.quiet():
            do()
        notes.note(app.cloud.name, what, server)
    except BaseException:
        try:
            fault.undo()
        except CloudError:  # as where nothing was broken
            fault._ends()
        raise
    return fault


def active() -> list[Fault]:
    """The faults of this program that are not undone yet, the oldest first."""
    with _lock:
        return list(_active)


def undo_all() -> None:
    """Undo all of this program's faults, the youngest first. Raises the first CloudError, after it tried them all."""
    errors = []
    for fault in reversed(active()):
        try:
            fault.undo()
        except CloudError as error:
            errors.append(error)
    if errors:
        raise errors[0]
