"""The CPU that this machine has to spare: where that is little, a measurement says more of the machine than of the
application."""

import os
import time
from pathlib import Path

STAT = Path("/proc/stat")
CGROUP = Path("/sys/fs/cgroup")
IDLE_FIELDS = (3, 4)  # of a CPU's line, after its name: idle, and waiting for a disk


class IdleCpu:
    """How many cores have been idle since it was made, of those that this process may use."""

    def __init__(self) -> None:
        self._cpus = os.sched_getaffinity(0)
        self._started, self._idle, self._used = time.monotonic(), self._idle_seconds(), _group_seconds()

    @property
    def total(self) -> float:
        """Cores that there are for this process and its children: a container's limit counts."""
        limit = _group_limit()
        return float(len(self._cpus)) if limit is None else min(limit, float(len(self._cpus)))

    def cores(self) -> float:
        """Cores that were idle on average."""
        took = time.monotonic() - self._started
        if took <= 0:
            return 0.0
        idle = (self._idle_seconds() - self._idle) / took
        if _group_limit() is not None:
            idle = min(idle, self.total - (_group_seconds() - self._used) / took)
        return max(0.0, min(idle, self.total))

    def _idle_seconds(self) -> float:
        ticks = 0
        for line in STAT.read_text(encoding="ascii").splitlines():
            name, *fields = line.split()
            if name.removeprefix("cpu").isdecimal() and name.startswith("cpu") and int(name[3:]) in self._cpus:
                ticks += sum(int(fields[field]) for field in IDLE_FIELDS)
        return ticks / os.sysconf("SC_CLK_TCK")


def _group_limit() -> float | None:
    """The cores that this process's control group may use (version 2); None where there is no limit."""
    try:
        quota, period = (_group() / "cpu.max").read_text(encoding="ascii").split()
    except (OSError, ValueError):
        return None
    return None if quota == "max" else int(quota) / int(period)


def _group_seconds() -> float:
    """CPU seconds that its group has used."""
    try:
        fields = dict(line.split() for line in (_group() / "cpu.stat").read_text(encoding="ascii").splitlines())
    except (OSError, ValueError):
        return 0.0
    return int(fields.get("usage_usec", 0)) / 1e6


def _group() -> Path:
    lines = Path("/proc/self/cgroup").read_text(encoding="ascii").splitlines()
    own = next((line.removeprefix("0::/") for line in lines if line.startswith("0::/")), "")
    return CGROUP / own
