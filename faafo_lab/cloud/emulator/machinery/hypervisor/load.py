"""An instance's own /proc: `loadavg`, `stat` and `uptime` in a directory, in /proc's formats.

To the programs in a capped instance the cap is the machine: an instance that uses all of its share is 100 % busy,
and its load average counts its own processes that run or want to, those that the governor holds included. All CPU
time is told as user time. An instance younger than a window of the load average averages over its life so far.
"""

from __future__ import annotations

import contextlib
import math
import os
from pathlib import Path

from faafo_lab.cloud.emulator.system.tree import TICK_NS

_WINDOWS_SECONDS = (60.0, 300.0, 900.0)
_FILE_BYTES = 192
_AGE_SECONDS_MIN = 5.0  # what an instance does in its first moments says little


class LoadAverages:
    """The gauges of one instance; `cores` is what it may use at most."""

    def __init__(self, directory: Path, cores: float, now_ns: int) -> None:
        self._cores = cores
        self._born = self._sampled = now_ns
        self._sums = [0.0] * len(_WINDOWS_SECONDS)
        self._busy_ns = self._idle_ns = 0
        self._wanting = 0
        self._threads = 0
        directory.mkdir(parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC
        self._files = {name: os.open(directory / name, flags, 0o644) for name in ("loadavg", "stat", "uptime")}

    def sample(self, now_ns: int, wanting: int, threads: int) -> None:
        """Note how many threads run or want to, of how many."""
        seconds = (now_ns - self._sampled) / 1e9
        self._sampled = now_ns
        self._wanting, self._threads = wanting, threads
        for number, window in enumerate(_WINDOWS_SECONDS):
            kept = math.exp(-seconds / window)
            self._sums[number] = self._sums[number] * kept + wanting * (1 - kept)

    @property
    def averages(self) -> tuple[float, ...]:
        """Load over 1, 5 and 15 minutes, or over the life so far."""
        age = max((self._sampled - self._born) / 1e9, _AGE_SECONDS_MIN)
        return tuple(
            total / (1 - math.exp(-age / window)) for total, window in zip(self._sums, _WINDOWS_SECONDS, strict=True)
        )

    def write(self, now_ns: int, spent_ns: int, last_pid: int) -> None:
        """Write the three files; `spent_ns` is the CPU time since boot."""
        up_ns = now_ns - self._born
        self._busy_ns = max(self._busy_ns, spent_ns)
        self._idle_ns = max(self._idle_ns, int(self._cores * up_ns) - self._busy_ns)
        busy, idle = self._busy_ns // TICK_NS, self._idle_ns // TICK_NS
        one, five, fifteen = self.averages
        cpu = f"{busy} 0 0 {idle} 0 0 0 0 0 0"
        self._replace("loadavg", f"{one:.2f} {five:.2f} {fifteen:.2f} {self._wanting}/{self._threads} {last_pid}\n")
        self._replace("stat", f"cpu  {cpu}\ncpu0 {cpu}\n")
        self._replace("uptime", f"{up_ns / 1e9:.2f} {self._idle_ns / 1e9:.2f}\n")

    def _replace(self, name: str, text: str) -> None:
        """In one write of one length, so that a reader sees the old text or the new one, and neither cut short.

        (Renaming a new file over the old one took 3 ms on ext4, which flushes it first.)
        """
        with contextlib.suppress(OSError):  # a full disk
            os.pwrite(self._files[name], text.encode().rstrip().ljust(_FILE_BYTES - 1) + b"\n", 0)

    def close(self) -> None:
        for fd in self._files.values():
            os.close(fd)
        self._files.clear()
