"""The governor: holds every instance to its flavor's CPU share, and knows how much it wants.

A token bucket an instance: every beat adds `cores` x elapsed time and takes what the tree's processes have used
since; when it is empty, those that run are stopped (SIGSTOP) until it is filled again. What an instance uses
beyond the bucket is owed, so the share holds on average, however coarse the beat. An instance that boots gets a
launch credit, as the burstable flavors of large clouds have it: starting programs is not held up. What is left of the
credit is lost as soon as the instance idles for the first time. Its init is never stopped, nor
is a process with a terminal: its shell would be told "Stopped" and take the terminal back.

The tree is kept up to date by looking at new process numbers only: the kernel says in /proc/loadavg which one it
gave last. CPU time of processes that nobody saw, or of the last moments of those that somebody did, is found in
their parents' account of ended children.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from faafo_lab.cloud.emulator.machinery.hypervisor.load import LoadAverages
from faafo_lab.cloud.emulator.system import tree

BEAT_NS = 10_000_000  # how often an instance that runs is looked at

LAUNCH_CREDIT_SECONDS = 2.0  # CPU time that an instance may use as fast as it can, …
LAUNCH_SECONDS = 5.0  # … within so long after it was switched on, …
LAUNCHED_AFTER_IDLE_SECONDS = 0.1  # … or until it has used (nearly) nothing for so long: it is up
_IDLE_SHARE = 0.05  # what of a core counts as nearly nothing
_BURST_SECONDS = 0.1  # what an instance may save up while it idles: its share of so long
_IDLE_BEAT_NS = 50_000_000
_HOLD_NS_MAX = 100_000_000  # the longest time between looks at an instance that is held
_ACCOUNT_BEAT_NS = 100_000_000
_SAMPLE_BEAT_NS = 500_000_000
_WRITE_BEAT_NS = 1_000_000_000
_SCAN_BEAT_NS = 2_000_000_000
# With more new process numbers than this in a beat, walk the trees instead of looking at each number
_NEW_PIDS_MAX = 256
_THREADS_MAX = 64
# CPU time of a process, all its threads, in ns. Raises OSError when it is gone (or is only a thread).
Clock = Callable[[int], int]


@dataclass(slots=True)
class Process:
    """A process of an instance, as last seen."""

    pid: int
    terminal: int
    cpu_ns: int = 0
    children_ns: int = 0
    threads: int = 1
    held: bool = False
    ran: bool = False  # used CPU time since it was last let go
    settled: bool = False  # used none since its account of children was last read: it cannot have awaited another
    wanting: int = 0  # threads that ran or wanted to when it was stopped


class Share:
    """An instance's share of the CPU and what became of it; times in ns."""

    def __init__(self, root: int, cores: float | None, load: LoadAverages, now_ns: int) -> None:
        self.root = root
        self.cores = cores
        self.load = load
        self.processes: dict[int, Process] = {}
        self.spent = 0
        self.burst = int((cores or 0) * _BURST_SECONDS * 1e9)
        self.balance = int(LAUNCH_CREDIT_SECONDS * 1e9)
        self.launched_ns = now_ns + int(LAUNCH_SECONDS * 1e9)
        self.busy_ns = now_ns  # when it last used more than nearly nothing
        self.holding = False
        self.prepaid = 0  # CPU time charged while its process lived, that will show up again in a parent's account
        self.last = now_ns
        self.due = now_ns  # when to look at it next

    def charge(self, used: int) -> None:
        """Take used CPU time out of the bucket."""
        self.spent += used
        self.balance -= used

    def refill(self, now_ns: int, used: int) -> None:
        """Put in what the time since the last refill is worth; `used` is the CPU time that went in it."""
        elapsed = now_ns - self.last
        self.last = now_ns
        if self.cores is None:
            return
        if used > _IDLE_SHARE * elapsed:
            self.busy_ns = now_ns
        elif now_ns - self.busy_ns > LAUNCHED_AFTER_IDLE_SECONDS * 1e9:
            self.launched_ns = min(self.launched_ns, now_ns)
        most = self.burst if now_ns >= self.launched_ns else max(self.burst, self.balance)
        self.balance = min(most, self.balance + int(self.cores * elapsed))


class Governor:
    """All instances' shares. Call `beat` when it says so."""

    def __init__(self) -> None:
        self._clock = best_clock()
        self._shares: dict[str, Share] = {}
        self._home: dict[int, Share] = {}
        self._loadavg = os.open("/proc/loadavg", os.O_RDONLY | os.O_CLOEXEC)
        self._last_pid = 0
        self._forked = False  # some process was born since the parents' accounts were last read
        self._next: dict[str, int] = {}  # when what is done only now and then is due

    def add(self, id: str, root: int, cores: float | None, procfs: Path, now_ns: int) -> None:
        """Govern the tree whose root (an instance's init) is `root`; `cores` None: only watch."""
        share = Share(root, cores, LoadAverages(procfs, cores or float(os.cpu_count() or 1), now_ns), now_ns)
        self._shares[id] = share
        self._adopt(share, root, 0)
        share.load.write(now_ns, 0, root)

    def forgive(self, id: str) -> None:
        """Forget what an instance has used so far: its boot is on the house."""
        if share := self._shares.get(id):
            self._read_clocks(share)
            share.spent = share.prepaid = 0
            share.balance = int(LAUNCH_CREDIT_SECONDS * 1e9)

    def cap(self, id: str, cores: float | None) -> None:
        """Hold an instance to this share from now on; None: let it run freely."""
        if share := self._shares.get(id):
            share.cores = cores
            if cores is None:
                self._release(share)

    def remove(self, id: str) -> None:
        """Govern an instance no longer; nothing of it stays stopped by the governor."""
        if share := self._shares.pop(id, None):
            self._release(share)
            share.load.close()
            for pid in share.processes:
                self._home.pop(pid, None)

    def pids(self, id: str) -> list[int]:
        """An instance's processes, its init first; none for an unknown id."""
        share = self._shares.get(id)
        return [share.root, *tree.descendants(share.root)] if share else []

    def known(self, ids: Collection[str]) -> Iterable[tuple[str, list[int]]]:
        """The instances' processes as of the last beat, the newest first."""
        self._discover()
        for id in ids:
            if share := self._shares.get(id):
                yield id, list(reversed(share.processes))

    def beat(self, now_ns: int) -> int:
        """Look at the instances that are due: read clocks, stop and continue, sample the load. Returns when (ns, on
        the clock of `now_ns`) the next beat is due."""
        scan = self._is_due("scan", _SCAN_BEAT_NS, now_ns)
        if scan:
            for share in self._shares.values():
                self._walk(share)
        self._discover(now_ns)
        account = scan or (self._forked and self._is_due("account", _ACCOUNT_BEAT_NS, now_ns))
        if account:
            self._forked = False
        sample = self._is_due("sample", _SAMPLE_BEAT_NS, now_ns)
        write = self._is_due("write", _WRITE_BEAT_NS, now_ns)
        for share in self._shares.values():
            if account or sample or now_ns >= share.due:
                self._look(share, now_ns, account, scan)
            if sample:
                self._sample(share, now_ns)
            if write:
                share.load.write(now_ns, share.spent, self._last_pid)
        return min((share.due for share in self._shares.values()), default=now_ns + _IDLE_BEAT_NS)

    def _is_due(self, what: str, period_ns: int, now_ns: int) -> bool:
        if now_ns < self._next.get(what, 0):
            return False
        self._next[what] = now_ns + period_ns
        return True

    def _look(self, share: Share, now_ns: int, account: bool, thoroughly: bool) -> None:
        """Bring a share up to date, hold or release it, and say when to look again."""
        used = self._read_clocks(share)
        if account:
            self._read_accounts(share, thoroughly)
        share.refill(now_ns, used)
        if share.cores is not None and share.balance <= 0:
            self._hold(share)
            share.due = now_ns + min(_HOLD_NS_MAX, max(BEAT_NS, int(-share.balance / share.cores)))
            return
        if share.holding:
            self._release(share)
            used = 1
        share.due = now_ns + (BEAT_NS if used and share.cores is not None else _IDLE_BEAT_NS)

    # The tree

    def _adopt(self, share: Share, pid: int, terminal: int) -> None:
        share.processes[pid] = Process(pid, terminal)
        self._home[pid] = share

    def _discover(self, now_ns: int | None = None) -> None:
        """Find the new processes whose parents are known."""
        last = int(os.pread(self._loadavg, 128, 0).split()[-1])
        first, self._last_pid = self._last_pid + 1, last
        if last == first - 1:
            return
        self._forked = True
        if not 0 <= last - first < _NEW_PIDS_MAX:
            self._next["scan"] = 0
            return
        home = self._home
        for pid in range(first, last + 1):
            if pid not in home and (seen := tree.stat(pid)) and (share := home.get(seen.parent)):
                try:
                    self._clock(pid)  # a thread has none of its own
                except OSError:
                    continue
                self._adopt(share, pid, seen.terminal)
                if now_ns is not None:
                    share.due = min(share.due, now_ns)

    def _walk(self, share: Share) -> None:
        """The thorough way to the same end."""
        for pid in tree.descendants(share.root):
            if pid not in share.processes and (seen := tree.stat(pid)):
                self._adopt(share, pid, seen.terminal)

    # The clocks

    def _read_clocks(self, share: Share) -> int:
        """Charge what has been used since the last reading, and return it."""
        clock = self._clock
        gone: list[int] = []
        used = 0
        for process in share.processes.values():
            try:
                cpu_ns = clock(process.pid)
            except OSError:
                gone.append(process.pid)
                continue
            if cpu_ns > process.cpu_ns:
                used += cpu_ns - process.cpu_ns
                process.cpu_ns = cpu_ns
                process.ran = True
                process.settled = False
        for pid in gone:
            process = share.processes.pop(pid)
            self._home.pop(pid, None)
            share.prepaid += process.cpu_ns + process.children_ns
            self._forked = True
        share.charge(used)
        return used

    def _read_accounts(self, share: Share, thoroughly: bool) -> None:
        """Charge what ended children have used and nobody has charged yet."""
        ended = 0
        for process in share.processes.values():
            if (thoroughly or not process.settled) and (seen := tree.stat(process.pid)):
                ended += seen.children_ns - process.children_ns
                process.children_ns = seen.children_ns
                process.terminal = seen.terminal
                process.settled = True
        share.charge(max(0, ended - share.prepaid))
        # The accounts are in whole ticks: what is not in them yet will be.
        share.prepaid = min(max(0, share.prepaid - ended), tree.TICK_NS * len(share.processes))

    # Stop and continue

    def _hold(self, share: Share) -> None:
        share.holding = True
        for process in share.processes.values():
            if process.ran and not process.held and not process.terminal and process.pid != share.root:
                seen = tree.stat(process.pid)
                if seen is None or seen.state in "TtZX":
                    continue  # stopped by somebody else, whose business it is to continue it; or gone
                if seen.terminal:
                    process.terminal = seen.terminal
                    continue
                process.wanting = _wanting(process.pid, seen)
                process.held = tree.send(process.pid, signal.SIGSTOP)

    def _release(self, share: Share) -> None:
        share.holding = False
        for process in share.processes.values():
            process.ran = False
            if process.held:
                process.held = False
                tree.send(process.pid, signal.SIGCONT)

    # The load

    def _sample(self, share: Share, now_ns: int) -> None:
        wanting = threads = 0
        for process in share.processes.values():
            if process.held:
                wanting += process.wanting
                threads += process.threads
            elif seen := tree.stat(process.pid):
                wanting += _wanting(process.pid, seen)
                threads += seen.threads
                process.threads = seen.threads
        share.load.sample(now_ns, wanting, threads)


def _wanting(pid: int, seen: tree.Stat) -> int:
    """How many of a process' threads run or want to (or wait for a disk)."""
    if seen.threads == 1:
        return int(seen.state in "RD")
    try:
        threads = os.listdir(f"/proc/{pid}/task")[:_THREADS_MAX]
    except OSError:
        return 0
    states = (tree.read(f"/proc/{pid}/task/{thread}/stat") for thread in threads)
    return sum(line[line.rfind(b")") + 2 : line.rfind(b")") + 3] in (b"R", b"D") for line in states)


# How much CPU time a process has used, read as cheaply as the kernel lets us


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
