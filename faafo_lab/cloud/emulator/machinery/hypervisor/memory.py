"""An instance's memory: what its processes use, and which one has to go when that is more than the flavor has.

An ordinary user cannot give a process tree a memory limit: RLIMIT_AS and RLIMIT_DATA count each process alone, and what
it reserves rather than what it uses; a cgroup needs to be delegated. So the hypervisor looks, ten times a second, and
does what a kernel does that is out of memory: it kills the largest process. An instance may be beyond its flavor
for so long as that takes.

What counts is what a kernel could not simply drop: anonymous and shared memory, shared pages in equal parts (PSS).
The init does not count, it is the cloud's. To learn that exactly takes some 0.1 ms a process, its resident size, which
is never less, some µs: so the exact figures are asked for only where the sizes could be too much.

Source: proc_pid_statm(5), proc_pid_smaps(5); Documentation/admin-guide/mm/concepts.rst (OOM killer).
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from faafo_lab.cloud.emulator.system import tree

BEAT_NS = 100_000_000  # how often an instance is looked at
# How often at least it is measured exactly while its sizes are beyond the limit: pages may cease to be shared
_EXACT_BEAT_NS = 1_000_000_000
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class Memory:
    """One instance's memory, with its limit in bytes."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self._shared_bytes = 0  # what of the sizes' sum did not count when it was last measured exactly
        self._exact_ns = 0

    def victim(self, pids: Sequence[int], now_ns: int) -> tuple[int, str] | None:
        """Which of the instance's processes (without its init) has to go, and a kernel's words for that; None while
        they keep to the limit."""
        resident = sum(_statm(pid)[1] for pid in pids)
        if resident <= self.limit_bytes:
            return None
        if resident - self._shared_bytes <= self.limit_bytes and now_ns < self._exact_ns + _EXACT_BEAT_NS:
            return None
        used = {pid: counted_bytes(pid) for pid in pids}
        total = sum(used.values())
        self._shared_bytes, self._exact_ns = resident - total, now_ns
        if total <= self.limit_bytes:
            return None
        largest = max(used, key=lambda pid: used[pid])
        name = tree.read(f"/proc/{largest}/comm").decode(errors="replace").strip()
        sizes = f"total-vm:{_statm(largest)[0] >> 10}kB, anon-rss:{used[largest] >> 10}kB"
        return largest, f"Killed process {largest} ({name}) {sizes}"


def counted_bytes(pid: int) -> int:
    """What counts of a process; 0 when it is gone."""
    sizes = {}
    for line in tree.read(f"/proc/{pid}/smaps_rollup").splitlines():
        name, _, rest = line.partition(b":")
        if rest.endswith(b" kB"):
            sizes[name] = int(rest.split()[0]) << 10
    if b"Pss_Anon" in sizes:
        return sizes[b"Pss_Anon"] + sizes[b"Pss_Shmem"]
    if b"Pss" in sizes:  # Linux before 5.9
        return sizes[b"Pss"]
    return _statm(pid)[1]


def _statm(pid: int) -> tuple[int, int]:
    """Address space and resident size in bytes; nothing of a process that is gone."""
    words = tree.read(f"/proc/{pid}/statm").split()
    return (int(words[0]) * _PAGE_BYTES, int(words[1]) * _PAGE_BYTES) if words else (0, 0)
