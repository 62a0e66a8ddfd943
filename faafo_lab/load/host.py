"""The idle CPU of this machine: if there is little, a measurement shows the machine's limit, not the
application's."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

STAT = Path("/proc/stat")
OWN_GROUPS, GROUPS = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")
IDLE_FIELDS = (3, 4)  # of a CPU's line, after its name: idle, and waiting for a disk
SHORT_OF = 0.08  # of all cores: if fewer are idle, workers wait for the host


class IdleCpu:
    """The number of idle cores since its creation, of those that this process may use."""

    def __init__(self) -> None:
        self._cpus = os.sched_getaffinity(0)
        self._limits = limits()
        self._started, self._idle = time.monotonic(), self._idle_seconds()
        self._used = [limit.used_seconds() for limit in self._limits]

    @property
    def total(self) -> float:
        """The cores that this process and its children may use: a container's limit counts."""
        return min([float(len(self._cpus)), *(limit.cores for limit in self._limits)])

    def cores(self) -> float:
        """The average number of idle cores since the creation."""
        took = time.monotonic() - self._started
        if took <= 0:
            return 0.0
        left = [
            limit.cores - (limit.used_seconds() - before) / took
            for limit, before in zip(self._limits, self._used, strict=True)
        ]
        return max(0.0, min((self._idle_seconds() - self._idle) / took, *left, self.total))

    def _idle_seconds(self) -> float:
        ticks = 0
        for line in STAT.read_text(encoding="ascii").splitlines():
            name, *fields = line.split()
            if name.startswith("cpu") and name != "cpu" and int(name[3:]) in self._cpus:
                ticks += sum(int(fields[field]) for field in IDLE_FIELDS)
        return ticks / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Limit:
    """A control group's limit in `cores`, and the file with its CPU use."""

    cores: float
    usage: Path

    def used_seconds(self) -> float:
        """The group's CPU use so far, in seconds."""
        text = self.usage.read_text(encoding="ascii")
        if self.usage.name == "cpu.stat":
            return int(text.partition("usage_usec ")[2].split()[0]) / 1e6
        return int(text) / 1e9


def limits(own_groups: Path = OWN_GROUPS, groups: Path = GROUPS) -> list[Limit]:
    """The control groups that limit this process's CPU: its own and those above, of both versions (cgroups(7)).

    A group of version 1 counts if the same path has its CPU use.
    """
    lines = [line.split(":", 2) for line in _text(own_groups).splitlines()]
    own = {name: path for _, names, path in lines for name in names.split(",")}  # version 2 has no name
    found = []
    for path in _and_above(own.get("", "/")):
        quota = _text(groups / path / "cpu.max").split()
        if quota and quota[0] != "max":
            found.append(Limit(int(quota[0]) / int(quota[1]), groups / path / "cpu.stat"))
    for path in set(_and_above(own.get("cpu", "/"))) & set(_and_above(own.get("cpuacct", "/"))):
        quota = _text(groups / "cpu" / path / "cpu.cfs_quota_us").split()
        if quota and quota[0] != "-1":
            period = _text(groups / "cpu" / path / "cpu.cfs_period_us")
            found.append(Limit(int(quota[0]) / int(period), groups / "cpuacct" / path / "cpuacct.usage"))
    return [limit for limit in found if limit.usage.exists()]


def _and_above(path: str) -> list[str]:
    """A group's path, and those of the groups that it is in; a container sees its own group as the outermost one."""
    parts = Path(path).parts[1:]
    return ["/".join(parts[:number]) for number in range(len(parts), -1, -1)]


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except OSError:
        return ""
