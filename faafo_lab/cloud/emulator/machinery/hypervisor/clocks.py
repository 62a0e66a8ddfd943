"""How much CPU time a process has used, in nanoseconds, read as cheaply as the kernel lets us."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from faafo_lab.cloud.emulator.system import tree

Clock = Callable[[int], int]
"""CPU time of a process, all its threads, in ns. Raises OSError when it is gone (or is only a thread)."""


def posix_clock(pid: int) -> int:
    """The kernel's CPU clock of any process: clock_getcpuclockid(3) without the call. About 1 us."""
    return time.clock_gettime_ns((~pid << 3) | 2)


def tick_clock(pid: int) -> int:
    """/proc/PID/stat, in ticks (10 ms)."""
    seen = tree.stat(pid)
    if seen is None:
        raise ProcessLookupError(pid)
    return seen.cpu_ns


def best_clock() -> Clock:
    """The first of the two that works here for other processes than the caller."""
    try:
        return posix_clock if posix_clock(os.getppid() or os.getpid()) > 0 else tick_clock
    except OSError:
        return tick_clock
