"""The load of the machine this runs on, from ``loadavg`` and ``stat`` (proc(5)).

On an instance of the embedded cloud ``PROCFS`` names a directory with the instance's own two files.
"""

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class MachineLoad:
    """``load_average`` over 1, 5 and 15 minutes; ``cpu_percent`` 0 to 100 of all ``cores`` together."""

    load_average: tuple[float, float, float]
    cpu_percent: float | None
    cores: int


class LoadMeter:
    """Reads the load; CPU use is that of the time between two readings."""

    def __init__(self) -> None:
        self._procfs = Path(os.environ.get("PROCFS") or "/proc")
        self._before: tuple[int, int] | None = None
        self._percent: float | None = None
        self.read()

    def read(self) -> MachineLoad:
        """The load now; ``cpu_percent`` is None until the clock has ticked between two readings."""
        one, five, fifteen = (float(word) for word in self._text("loadavg", "0 0 0").split()[:3])
        lines = self._text("stat", "cpu 0 0 0 0").splitlines()
        ticks = [int(word) for word in lines[0].split()[1:9]]
        idle = sum(ticks[3:5])  # idle and iowait
        now = (sum(ticks) - idle, sum(ticks))
        if self._before is None:
            self._before = now
        elif now[1] > self._before[1]:
            busy, total = now[0] - self._before[0], now[1] - self._before[1]
            self._percent = round(min(max(100.0 * busy / total, 0.0), 100.0), 1)
            self._before = now
        cores = sum(line.startswith("cpu") and "0" <= line[3:4] <= "9" for line in lines)
        return MachineLoad((one, five, fifteen), self._percent, cores or os.cpu_count() or 1)

    def _text(self, name: str, otherwise: str) -> str:
        try:
            return (self._procfs / name).read_text(encoding="utf-8").strip() or otherwise
        except OSError:  # an instance whose hypervisor has not written it yet
            return otherwise
