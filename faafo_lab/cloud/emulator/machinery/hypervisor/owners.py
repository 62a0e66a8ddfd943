"""Which instance's process holds a socket open, if any's.

A search among some processes that finds nothing proves nothing: others may have started meanwhile. So the owner is
searched on the whole machine if need be, and its parents tell the instance. If no such process is visible (the socket
is on its way from one to another, or its process hides its files), the owner is unknown.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Iterator, Mapping

from faafo_lab.cloud.emulator.system import tree

NO_INSTANCE = ""
_LOOKS = 3  # how often to look: a socket may change hands meanwhile
_LATELY_MAX = 8


class Owners:
    """Finds owners, and remembers who they were: a client seldom connects only once."""

    def __init__(self) -> None:
        self._lately: dict[int, None] = {}

    def owner(self, inode: int, uid: int, inits: Mapping[int, str], likely: Iterable[int]) -> str | None:
        """The instance whose process has socket:[inode], a socket of user `uid`, open; `NO_INSTANCE` where it is a
        process of none, None where that is not known. `inits` has the instances by the process of their init; `likely`
        are processes to look at first.

        About 3 us an open file. Another user's processes cannot be looked at, but no instance is another user's.
        """
        wanted = f"socket:[{inode}]"
        foreign = os.getuid() not in (0, uid)
        for _ in range(_LOOKS):
            for pid in itertools.chain(self._lately, likely, _below(inits) if foreign else _everybody()):
                if _holds(pid, wanted):
                    self._lately = dict.fromkeys([pid, *self._lately][:_LATELY_MAX])
                    try:
                        return _instance(pid, inits)
                    except LookupError:
                        break
            else:
                if foreign:
                    return NO_INSTANCE
        return None


def _everybody() -> Iterator[int]:
    """All processes, the newest first."""
    yield from sorted((int(name) for name in os.listdir("/proc") if name.isdigit()), reverse=True)


def _below(inits: Iterable[int]) -> Iterator[int]:
    for init in inits:
        yield from tree.descendants(init)


def _holds(pid: int, wanted: str) -> bool:
    """Whether a process has this file open. Its newest files are looked at first: a connection that somebody asks
    about has just been made."""
    place = f"/proc/{pid}/fd/"
    try:
        files = os.listdir(place)
    except OSError:
        return False
    for file in reversed(files):
        try:
            if os.readlink(place + file) == wanted:
                return True
        except OSError:
            continue
    return False


def _instance(pid: int, inits: Mapping[int, str]) -> str:
    """Whose tree a process belongs to. Raises LookupError where its parents change meanwhile, or where they end
    here: it is an instance's whose init has just died."""
    child = tree.stat(pid)
    while pid not in inits:
        if child is None or pid == os.getpid():
            raise LookupError(pid)
        pid = child.parent
        if not pid:
            return NO_INSTANCE
        parent = tree.stat(pid)
        if parent is None and _is_somebody_elses(pid):
            return NO_INSTANCE
        if parent is not None and parent.started > child.started:
            raise LookupError(pid)  # another process with the number of the parent, which has ended
        child = parent
    return inits[pid]


def _is_somebody_elses(pid: int) -> bool:
    """Whether another user has this process, which /proc may hide (its option hidepid)."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except ProcessLookupError:
        pass
    return False
