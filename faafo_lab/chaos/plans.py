"""Plans: faults by a seed, one after the other, and the journal of a run.

plan = chaos.plan(7, app, seconds=60)      # the same seed and the same servers: the same plan
journal = plan.run(app)                    # each fault is undone at its time, all of them at the end
print(journal)
"""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

from faafo_lab.chaos import disks, gates, network, servers
from faafo_lab.chaos.errors import ChaosError
from faafo_lab.chaos.fault import Fault
from faafo_lab.cloud.errors import CloudError
from faafo_lab.cloud.marks import ROLE_KEY
from faafo_lab.cloud.model import Server
from faafo_lab.topology import Topology
from faafo_lab.topology.errors import first_line

VERBS: Mapping[str, Callable[..., Fault]] = {
    verb.__name__: verb
    for verb in (
        *(servers.kill, servers.stop, servers.freeze, servers.delete, gates.close_gate, disks.fill_disk),
        *(network.latency, network.bandwidth, network.loss, network.slow_close, network.timeout, network.reset_peer),
        network.limit_data,
    )
}
PAUSE_SECONDS = (1.0, 4.0)  # between two faults
FAULT_SECONDS = (1.0, 6.0)  # how long one lasts
SERVICES_OF = {
    "api": ("faafo-api",),
    "worker": ("faafo-worker",),
    "services": ("faafo-database", "faafo-messaging"),
    "controller": ("faafo-api", "faafo-database", "faafo-messaging"),
    "all-in-one": ("faafo-api", "faafo-worker", "faafo-database", "faafo-messaging"),
}


@dataclass(frozen=True)
class Event:
    """A fault of a plan: when (seconds since the run's start), what (a verb and its arguments), and for how long."""

    at: float
    verb: str
    arguments: Mapping[str, Any] = field(hash=False)
    seconds: float

    def __str__(self) -> str:
        words = ", ".join(f"{name}={value!r}" for name, value in self.arguments.items())
        return f"{self.at:6.1f} s: {self.verb}({words}) for {self.seconds:.1f} s"


@dataclass(frozen=True)
class Entry:
    """A line of a journal: when (seconds since 1970), and what happened; `ends`: the words of the line that it ends."""

    at: float
    words: str
    ends: str = ""


class Journal:
    """What happened, in order. Others may `note` something, too: it is safe to use from several threads."""

    def __init__(self, title: str, started: float | None = None, say: Callable[[str], None] | None = None) -> None:
        """`say` gets each line as it is noted."""
        self.title, self._say = title, say
        self.started = time.time() if started is None else started
        self._entries: list[Entry] = []
        self._lock = threading.Lock()

    @property
    def entries(self) -> list[Entry]:
        """The lines, the oldest first."""
        with self._lock:
            return sorted(self._entries, key=lambda entry: entry.at)

    @property
    def spans(self) -> list[tuple[Entry, float | None]]:
        """Each line that ends no other one, and when another one ended it (None: none did), in order."""
        found: list[tuple[Entry, float | None]] = []
        for entry in self.entries:
            begun = [n for n, (each, end) in enumerate(found) if end is None and each.words == entry.ends]
            if entry.ends and begun:
                found[begun[-1]] = found[begun[-1]][0], entry.at
            else:
                found.append((entry, None))
        return found

    def note(self, words: str, at: float | None = None, ends: str = "") -> None:
        """Add a line, of now or of another time (seconds since 1970); `ends`: the words of an earlier line, whose end
        it tells."""
        with self._lock:
            entry = Entry(time.time() if at is None else at, words, ends)
            self._entries.append(entry)
        if self._say:
            self._say(self._line(entry))

    def _line(self, entry: Entry) -> str:
        return f"{entry.at - self.started:7.1f} s  {entry.words}"

    def save(self, path: str) -> None:
        """Write it as JSON."""
        with open(path, "w", encoding="utf-8") as file:
            rows = [asdict(entry) for entry in self.entries]
            json.dump({"title": self.title, "started": self.started, "entries": rows}, file, indent=1)

    @classmethod
    def load(cls, path: str) -> Journal:
        """Read what `save` wrote."""
        with open(path, encoding="utf-8") as file:
            data = json.load(file)
        journal = cls(data["title"], data["started"])
        journal._entries = [Entry(**row) for row in data["entries"]]
        return journal

    def __str__(self) -> str:
        return "\n".join([self.title, *map(self._line, self.entries)])

    __repr__ = __str__


@dataclass(frozen=True)
class Plan:
    """Faults in the order of their time, made from a seed."""

    seed: int
    events: tuple[Event, ...]

    def __str__(self) -> str:
        return "\n".join([f"plan of seed {self.seed}: {len(self.events)} faults", *map(str, self.events)])

    __repr__ = __str__

    def run(self, app: Topology, journal: Journal | None = None, stop: threading.Event | None = None) -> Journal:
        """Inject each fault at its time, or when the one before is over, and undo it at its end; returns the journal.

        A fault that is not possible at that moment is noted and left out; one that can't be undone at its time is noted
        and undone at the end. `stop`, set by another thread, ends it early. Whatever happens, every fault of it is
        undone at the end. Raises the CloudError of one that can't be undone then, either: it stays active.
        """
        journal = journal or Journal(f"faults of seed {self.seed}")
        stop = stop or threading.Event()
        started = time.monotonic()
        with ExitStack() as left:
            for event in self.events:
                if stop.wait(max(0.0, started + event.at - time.monotonic())):
                    break
                try:
                    fault = VERBS[event.verb](app, **event.arguments)
                except CloudError as error:
                    journal.note(f"not possible: {event.verb} ({first_line(error)})")
                    continue
                left.callback(_undo, fault, journal)
                journal.note(fault.what)
                stop.wait(event.seconds)
                try:
                    _undo(fault, journal)
                except CloudError as error:
                    journal.note(f"not undone yet: {fault.what} ({first_line(error)})")
        return journal

    @contextmanager
    def running(self, app: Topology) -> Iterator[Journal]:
        """Run it in the background during the block; at the block's end it stops, and its faults are undone."""
        journal, stop = Journal(f"faults of seed {self.seed}"), threading.Event()
        errors: list[BaseException] = []

        def work() -> None:
            try:
                self.run(app, journal, stop)
            except BaseException as error:
                errors.append(error)

        thread = threading.Thread(target=work, name="chaos")
        thread.start()
        try:
            yield journal
        finally:
            stop.set()
            thread.join()
        if errors:
            raise errors[0]


def _undo(fault: Fault, journal: Journal) -> None:
    """Undo a fault, unless it is undone, and note it."""
    if fault.active:
        fault.undo()
        journal.note(f"undone: {fault.what}", ends=fault.what)


def plan(
    seed: int, app: Topology, seconds: float, kinds: Sequence[str] = ("kill", "stop", "freeze", "latency", "timeout")
) -> Plan:
    """Faults for so many seconds, by a seed: of the application's present servers, and of these kinds (of `VERBS`).

    kill, stop and freeze are of services, so that a fault takes no longer than planned; `delete` spares the server with
    the database. Raises ChaosError if there is nothing to break, or no such kind.
    """
    there = list(app.refresh().servers.values())
    if unknown := [kind for kind in kinds if kind not in VERBS]:
        raise ChaosError(f"There is no fault {unknown[0]!r}: there are {', '.join(VERBS)}.")
    if not there or not kinds:
        raise ChaosError("There is nothing to break: deploy the application, and name kinds of faults.")
    chance, at = random.Random(seed), 0.0
    events: list[Event] = []
    while True:
        at += chance.uniform(*PAUSE_SECONDS)
        lasts = chance.uniform(*FAULT_SECONDS)
        if at + lasts > seconds:
            return Plan(seed, tuple(events))
        kind = chance.choice(list(kinds))
        if arguments := _arguments(kind, there, chance):
            events.append(Event(round(at, 1), kind, arguments, round(lasts, 1)))
            at += lasts


def _arguments(kind: str, there: Sequence[Server], chance: random.Random) -> dict[str, Any]:
    """A fault's arguments by chance; none if no server can have it."""
    if kind in ("kill", "stop", "freeze"):
        server = chance.choice(there)
        service = chance.choice(SERVICES_OF[server.metadata[ROLE_KEY]])
        return {"server": server.name, "service": service}
    if kind == "fill_disk":
        return {"server": chance.choice(there).name}
    if kind == "delete":
        names = [server.name for server in there if server.metadata[ROLE_KEY] in ("api", "worker")]
        return {"server": chance.choice(names)} if names else {}
    if kind == "close_gate":
        return {"group": "services", "port": 5432} if any(s.name == "app-services" for s in there) else {}
    target = chance.choice(there).name
    sources = [network.ANYWHERE, *(server.name for server in there if server.name != target)]
    sizes: dict[str, dict[str, Any]] = {
        "latency": {"milliseconds": chance.randrange(50, 1000, 50), "jitter": chance.randrange(0, 50, 10)},
        "bandwidth": {"kilobytes_per_second": chance.choice([5, 20, 100])},
        "loss": {"percent": chance.choice([1, 5, 20])},
        "slow_close": {"milliseconds": chance.randrange(100, 2000, 100)},
        "timeout": {"milliseconds": chance.choice([0, 500, 2000])},
        "reset_peer": {"milliseconds": chance.choice([0, 100, 1000])},
        "limit_data": {"kilobytes": chance.choice([0, 1, 10])},
    }
    return {"source": chance.choice(sources), "target": target, **sizes[kind]}
