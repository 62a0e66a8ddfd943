"""Survival: waves of orders and faults by a seed, against what keeps your application alive.

result = gameday.survive(app, work, seed=7, waves=gameday.waves(7, 3), policy=autoscale.QueueAge())
print(result); print(gameday.post_mortem(result)); plots.survival(result)
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from faafo_lab import load
from faafo_lab.autoscale import Autoscaler, Policy
from faafo_lab.chaos.plans import Journal, plan
from faafo_lab.cloud import notes
from faafo_lab.cloud.errors import CloudError
from faafo_lab.cloud.marks import ROLE_KEY
from faafo_lab.gameday.budget import OVER, RAISED, Objective, Order, alerts
from faafo_lab.history import History, Verdict, recording
from faafo_lab.history import verdict as judged
from faafo_lab.topology import Topology, in_thread
from faafo_lab.topology.api import Fractal, timestamp

TASK_SECONDS = 0.3
WAVE_SECONDS = 20.0
COUNT_SECONDS = 1.0  # between two counts of servers
WORKERS_MAX = 6
SETTLE_SECONDS = 60.0  # how long orders may take after the last wave
LADDER = (("kill",), ("kill", "freeze", "latency"), ("kill", "stop", "freeze", "latency", "timeout", "delete"))


@dataclass(frozen=True)
class Wave:
    """One wave: its orders per second, and the kinds of its faults."""

    number: int
    seconds: float
    orders_per_second: float
    kinds: tuple[str, ...]
    seed: int


def waves(seed: int, number: int, seconds: float = WAVE_SECONDS, orders_per_second: float = 1.0) -> list[Wave]:
    """So many waves by a seed: each has more orders than the one before, and more kinds of faults."""
    chance = random.Random(seed)
    return [
        Wave(
            index + 1,
            seconds,
            round(orders_per_second * (1 + index / 2) * chance.uniform(0.8, 1.2), 2),
            LADDER[min(index, len(LADDER) - 1)],
            chance.randrange(1 << 30),
        )
        for index in range(number)
    ]


@dataclass(frozen=True)
class Survival:
    """What a run comes to. `budget_burnt` is in percent: 100 is all that the objective allows. `server_minutes` are
    those of all servers until the last wave is over."""

    seed: int
    objective: Objective
    orders: Sequence[Order] = field(repr=False)
    server_minutes: float
    journal: Journal = field(repr=False)
    history: History = field(default_factory=History, repr=False)

    @property
    def in_time(self) -> int:
        """The number of orders that were done in time."""
        return sum(map(self.objective.good, self.orders))

    @property
    def budget_burnt(self) -> float:
        """How much of the error budget is burnt, in percent."""
        return 100 * self.objective.burnt(self.orders)

    @property
    def verdict(self) -> Verdict:
        """Whether each order that was taken is made once: see `history.verdict`."""
        return judged(self.history)

    @property
    def score(self) -> float:
        """Orders done in time, less a point for each server-minute and for each percent of the budget that is burnt."""
        return self.in_time - self.server_minutes - self.budget_burnt

    def __str__(self) -> str:
        return (
            f"seed {self.seed}: {self.in_time} of {len(self.orders)} orders done within {self.objective.seconds:g} s, "
            f"{self.server_minutes:.1f} server-minutes, {self.budget_burnt:.0f} % of the error budget burnt: "
            f"score {self.score:.0f}. {self.verdict}"
        )

    __repr__ = __str__


def survive(
    app: Topology,
    work: load.Work,
    *,
    seed: int,
    waves: Iterable[Wave],
    objective: Objective | None = None,
    policy: Policy | None = None,
    maximum: int = WORKERS_MAX,
    say: Callable[[str], None] | None = None,
) -> Survival:
    """Let these waves come: orders that keep a worker busy for TASK_SECONDS each, and faults, each undone at its time.

    A wave lasts until its last fault is undone, which may be longer than planned: so `waves` may be an iterator that
    ends by the clock. With a policy, an autoscaler (of at most so many workers) runs meanwhile, and the journal has
    what it does. `say` gets each of the journal's lines as it comes. Returns when every order that was taken is done,
    or SETTLE_SECONDS after the last wave. Whatever happens, no fault of it is active at the end. Raises LoadError if
    there is no API to begin with, and what the policy raises.
    """
    objective, journal = objective or Objective(), Journal(f"survival, seed {seed}", say=say)
    rows: list[load.Request] = []
    with recording(app, timeout_seconds=SETTLE_SECONDS) as record:
        with _scaled(app, policy, maximum, journal), _counted(app) as counted:
            for wave in waves:
                rate = wave.orders_per_second
                begins = f"wave {wave.number}: {rate:g} orders per second; {', '.join(wave.kinds)}"
                journal.note(begins)
                notes.note(app.cloud.name, begins)
                tasks = work.tasks(int(wave.seconds * rate), TASK_SECONDS)
                faults = plan(wave.seed, app, wave.seconds, wave.kinds)
                started = time.monotonic()
                with load.steady(lambda: in_thread(app).refresh().endpoints, tasks, per_second=rate) as sent:
                    faults.run(in_thread(app), journal)
                    time.sleep(max(0.0, started + wave.seconds - time.monotonic()))  # a wave's length is its definition
                rows += sent
                journal.note(f"wave {wave.number} is over", ends=begins)
                notes.note(app.cloud.name, f"wave {wave.number} is over")
        record.add(rows)
    orders = outcomes(rows, {one["uuid"]: one for one in app.refresh().fractals()})
    for at, words in alerts(objective, orders):
        journal.note(words, at, ends=words.replace(OVER, RAISED) if words.startswith(OVER) else "")
    return Survival(seed, objective, orders, sum(counted) * COUNT_SECONDS / 60, journal, record.history)


def outcomes(rows: Sequence[load.Request], made: Mapping[str, Fractal]) -> list[Order]:
    """What became of the orders, by uuid: how long from the intended start until it was taken (by the client's clock),
    and from then until it was done (by the application's)."""
    first: dict[str, float] = {}
    taken: dict[str, float] = {}
    for row in rows:
        first[row.uuid] = min(row.intended, first.get(row.uuid, row.intended))
        if row.ok:
            taken.setdefault(row.uuid, row.intended + row.latency)
    orders = []
    for uuid, at in first.items():
        fractal, seconds = made.get(uuid), None
        if uuid in taken and fractal and fractal["completed_at"]:
            lasted = timestamp(fractal["completed_at"]) - timestamp(fractal["created_at"])
            seconds = taken[uuid] - at + lasted
        orders.append(Order(at, seconds))
    return orders


@contextmanager
def _scaled(app: Topology, policy: Policy | None, maximum: int, journal: Journal) -> Iterator[None]:
    """An autoscaler by this policy, if there is one, whose lines go into the journal."""
    if policy is None:
        yield
        return

    def say(line: str) -> None:
        journal.note(line.split(": ", 1)[-1])  # without its own clock

    with Autoscaler(app, policy, maximum=maximum, say=say):
        yield


@contextmanager
def _counted(app: Topology) -> Iterator[list[int]]:
    """The number of the application's servers, counted every COUNT_SECONDS in the background."""
    counts, stop, cloud = list[int](), threading.Event(), app.cloud.again()

    def count() -> None:
        while not stop.wait(COUNT_SECONDS):
            try:
                counts.append(sum(ROLE_KEY in server.metadata for server in cloud.servers()))
            except CloudError:
                counts.extend(counts[-1:])

    thread = threading.Thread(target=count, name="count servers", daemon=True)
    thread.start()
    try:
        yield counts
    finally:
        stop.set()
        thread.join()
