"""Process trees, as /proc shows them: who descends from whom, and how to end a whole tree.

A tree is frozen before it is killed: a stopped process cannot fork, so neither a fork bomb nor a daemon that
leaves its session outruns the kill. Orphans come back to the nearest subreaper above them, never to the
machine's init, so a tree cannot lose a branch either.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import os
import resource
import signal
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")  # nanoseconds a clock tick of /proc/PID/stat

INSTANCE_VARIABLE = "FAAFO_LAB_INSTANCE"
STATE_VARIABLE = "FAAFO_LAB_STATE"

_FREEZE_ROUNDS = 200
_SET_PDEATHSIG, _SET_CHILD_SUBREAPER = 1, 36
_ANY_CHILD = 0x40000000  # __WALL: children made by clone(2) without SIGCHLD, too


class Stat(NamedTuple):
    """A line of /proc/PID/stat, as far as it matters here; times in nanoseconds, ticks' precision."""

    state: str
    parent: int
    terminal: int
    cpu_ns: int
    children_ns: int
    threads: int
    started: int  # when, in clock ticks since the machine's boot


def read(path: str, limit: int = 4096) -> bytes:
    """The first `limit` bytes of a file of /proc; b'' where the process is gone or not ours to look at."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        return os.read(fd, limit)
    except OSError:
        return b""
    finally:
        os.close(fd)


def stat(pid: int) -> Stat | None:
    """What /proc says of a process (or thread), None when it is gone."""
    line = read(f"/proc/{pid}/stat")
    if not line:
        return None
    # The name, in parentheses, may hold anything, parentheses too.
    fields = line[line.rfind(b")") + 2 :].split()
    return Stat(
        state=fields[0].decode(),
        parent=int(fields[1]),
        terminal=int(fields[4]),
        cpu_ns=(int(fields[11]) + int(fields[12])) * TICK_NS,
        children_ns=(int(fields[13]) + int(fields[14])) * TICK_NS,
        threads=int(fields[17]),
        started=int(fields[19]),
    )


def runs(pid: int) -> bool:
    """Whether a process is neither stopped nor at its end."""
    seen = stat(pid)
    return seen is not None and seen.state not in "TtZX"


def children(pid: int) -> list[int]:
    """The children of all of a process' threads, zombies included."""
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return []
    return [int(child) for thread in threads for child in read(f"/proc/{pid}/task/{thread}/children", 1 << 20).split()]


def descendants(pid: int) -> list[int]:
    """All processes below `pid`, parents before their children."""
    below: Callable[[int], list[int]] = children
    if not _CHILDREN_FILES:  # a kernel without /proc/PID/task/TID/children: one pass over all processes
        known: dict[int, list[int]] = defaultdict(list)
        for entry in os.listdir("/proc"):
            if entry.isdigit() and (seen := stat(int(entry))):
                known[seen.parent].append(int(entry))
        below = known.__getitem__
    found: list[int] = []
    waiting = [pid]
    while waiting:
        here = below(waiting.pop())
        found += here
        waiting += here
    return found


_CHILDREN_FILES = os.path.exists(f"/proc/{os.getpid()}/task/{os.getpid()}/children")


def send(pid: int, number: int) -> bool:
    """Send a signal; False when there is nobody left to send it to."""
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def kill(roots: Iterable[int]) -> int:
    """Freeze the trees under `roots` (roots included) until no new process shows up, then SIGKILL them all.

    One round: what forks in the blink between being seen and being frozen shows up as somebody's orphan, so call
    it until there is none. Returns how many processes were sent the signal.
    """
    waiting = list(roots)
    frozen: dict[int, None] = {}
    for _ in range(_FREEZE_ROUNDS):
        for root in waiting:
            frozen[root] = None
            send(root, signal.SIGSTOP)
        found = [pid for root in waiting for pid in descendants(root) if pid not in frozen]
        if not found:
            # Once more from the top: a parent may have forked just before it froze.
            found = [pid for root in list(frozen) for pid in children(root) if pid not in frozen]
            if not found:
                break
        waiting = found
    for pid in frozen:
        send(pid, signal.SIGKILL)
    return len(frozen)


def reap() -> dict[int, int]:
    """Wait, without blocking, for all children that have ended: their exit codes (-N for signal N) by process."""
    ended: dict[int, int] = {}
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG | _ANY_CHILD)
            if not pid:
                break
            ended[pid] = os.waitstatus_to_exitcode(status)
    return ended


def kill_below_me(limit_seconds: float) -> bool:
    """End every process below the calling one (a subreaper), and reap them. False when some would not go."""
    deadline = time.monotonic() + limit_seconds
    empty = 0
    while time.monotonic() < deadline:
        below = children(os.getpid()) if _CHILDREN_FILES else descendants(os.getpid())
        empty = 0 if below else empty + 1
        if empty == 2:  # a child that ends may hide its neighbour from one reading of the list
            return True
        if below:
            kill(below)
            time.sleep(0.001)
        reap()
    return False


def end_leftovers(state_dir: Path, limit_seconds: float) -> list[int]:
    """End what a killed emulator has left of its instances, seldom anything; returns those that do not go."""
    deadline = time.monotonic() + limit_seconds
    while (left := leftovers(state_dir)) and time.monotonic() < deadline:
        kill(left)
        time.sleep(0.02)
    return left


def adopt_orphans() -> None:
    """Let orphans below the calling process become its children (PR_SET_CHILD_SUBREAPER)."""
    _prctl(_SET_CHILD_SUBREAPER, 1)


def signal_me_when_my_parent_dies(number: int) -> None:
    """PR_SET_PDEATHSIG. A change of credentials clears it: call it after the last one."""
    _prctl(_SET_PDEATHSIG, number)


def _prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0):
        raise OSError(ctypes.get_errno(), f"prctl({option}) failed")


def leftovers(state_dir: Path) -> list[int]:
    """The processes of this state directory's hypervisor and instances that are alive: those that `mark_me` has marked
    or that have `FAAFO_LAB_STATE` in their environment. The caller and what is above it never count.
    """
    limit = _mark(state_dir)
    variable = os.fsencode(f"{STATE_VARIABLE}={state_dir.resolve()}")
    mine, above = set(), os.getpid()
    while above > 0 and above not in mine:
        mine.add(above)
        seen = stat(above)
        above = seen.parent if seen else 0
    found = []
    for pid in {int(entry) for entry in os.listdir("/proc") if entry.isdigit()} - mine:
        if _limit(pid) == limit or variable in read(f"/proc/{pid}/environ", 1 << 17).split(b"\0"):
            seen = stat(pid)
            if seen and seen.state not in "ZX":
                found.append(pid)
    return sorted(found)


def mark_me(state_dir: Path) -> None:
    """Mark the calling process, and all that will ever descend from it, as this state directory's.

    The mark is a limit that limits nothing: so many microseconds, some 146,000 years, may a real-time process compute
    without a break. Unlike a variable, a session, a directory or an open file, a limit is kept by whatever a
    process does to itself, and an ordinary user cannot raise it again. Where a lower one is set already there is no
    mark; the variable has to do.
    """
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_RTTIME, (_mark(state_dir),) * 2)


def _mark(state_dir: Path) -> int:
    digest = hashlib.sha256(os.fsencode(state_dir.resolve())).digest()
    return 1 << 62 | int.from_bytes(digest[:7])


def _limit(pid: int) -> int | None:
    try:
        return resource.prlimit(pid, resource.RLIMIT_RTTIME)[1]
    except OSError:
        return None  # gone, or somebody else's
