"""The same loop on a simulated application, in simulated time: a run of minutes takes milliseconds.

    run = autoscale.simulate(policy, Trace.steps((60, 0.6), (60, 3.5), (60, 0.6)), maximum=6)
    run.p95_wait, run.server_minutes

What is simulated (by SimPy, a library of discrete events): orders, one queue, and workers that take a time to boot,
have one task at a time, and report by a heartbeat as the real ones do: so their CPU use is some seconds old, and a
worker learns with its next one that it has to drain. A worker's load average is damped over a minute as a kernel's, and
averages over its life while that is shorter, as on the embedded cloud. The loop samples, decides and acts as
`autoscale.run` does. Clients may lose patience: they order again, while their first order still waits (a retry storm).
What is not simulated: APIs, the database, the network, a machine that is short of CPU. How far off it is: on a step of
load, told how long a task and a boot take, within 30 % of the embedded cloud's server-minutes, and within half of its
worst wait or 2.5 s (tests/test_simulated_step.py).

All that is random follows from the trace's seed and `seed`, and orders are drawn before the first decision: so any two
policies meet the same orders.
"""

import math
import random
from collections import deque
from collections.abc import Callable, Generator, Sequence
from typing import Any, NamedTuple, Required, TypedDict

import simpy

from faafo_lab.app.settings import HEARTBEAT_SECONDS
from faafo_lab.autoscale.autoscaler import EVERY_SECONDS
from faafo_lab.autoscale.limits import Limits, bounded
from faafo_lab.autoscale.loop import NOT_WRITTEN, SAMPLE_SECONDS, TASK_SECONDS
from faafo_lab.autoscale.samples import Decision, Policy, Sample, Samples
from faafo_lab.autoscale.score import Run
from faafo_lab.autoscale.traces import Trace
from faafo_lab.load import LoadError

BOOT_SECONDS = 3.0
DAMPING_SECONDS = 60.0  # of the load average
AGE_SECONDS_MIN = 5.0  # a load average of a shorter life says little
TASK_SPREAD, BOOT_SPREAD = 0.1, 0.15  # how far a single one is off, at most
API_SECONDS = 0.01  # the API is not simulated: it always answers, after so long

Events = Generator[simpy.Event, Any, None]


class Setting(TypedDict, total=False):
    """The keyword arguments of `simulate`."""

    maximum: Required[int]
    minimum: int
    task_seconds: float
    boot_seconds: float
    every_seconds: float
    patience_seconds: float
    seed: int


def simulate(
    policy: Policy,
    trace: Trace,
    *,
    maximum: int,
    minimum: int = 1,
    task_seconds: float = TASK_SECONDS,
    boot_seconds: float = BOOT_SECONDS,
    every_seconds: float = EVERY_SECONDS,
    patience_seconds: float = math.inf,
    seed: int = 0,
) -> Run:
    """Let `policy` scale a simulated application under this load, until the trace has ended and nothing waits any more.

    So a policy that leaves work for later pays for it. Where clients lose patience there may be no such end: then the
    run is twice as long as the trace at most. It begins with `minimum` workers that serve. A task keeps one worker busy
    for `task_seconds`, a server boots for `boot_seconds` (both on average), the policy is asked every `every_seconds`,
    and its answer is kept between `minimum` and `maximum`. Who waits for longer than `patience_seconds` orders again,
    each time. The same arguments always give the same run.

    Where `policy` is not written yet (it returns nothing), nothing is run, as with `autoscale.run`. Raises LoadError
    for numbers that make no run, TypeError for an answer that is no number, and what `policy` raises.
    """
    limits = Limits(maximum, minimum)
    if not 0 <= boot_seconds < math.inf:
        raise LoadError(f"boot_seconds={boot_seconds!r}: give how long a server boots, a number of 0 or more.")
    if not SAMPLE_SECONDS <= every_seconds < math.inf:
        raise LoadError(f"every_seconds={every_seconds!r}: give {SAMPLE_SECONDS} or more.")
    if not patience_seconds > 0:
        raise LoadError(f"patience_seconds={patience_seconds!r}: give a number above 0.")
    chance = random.Random(f"faafo-lab tasks {seed}")
    orders = [
        (at, task_seconds * chance.uniform(1 - TASK_SPREAD, 1 + TASK_SPREAD)) for at in trace.arrivals(task_seconds)
    ]
    chance = random.Random(f"faafo-lab boots {seed}")
    application = _Application(
        orders, lambda: boot_seconds * chance.uniform(1 - BOOT_SPREAD, 1 + BOOT_SPREAD), patience_seconds, minimum
    )
    answer: object = policy((application.sample(None, minimum),))
    if answer in (None, ...):
        return Run((), minimum, maximum, NOT_WRITTEN)
    samples = application.run(bounded(policy, limits), trace.seconds, minimum, every_seconds)
    return Run(samples, minimum, maximum)


class _Order(NamedTuple):
    """When it came, how long its task takes, and the event of its end where somebody may lose patience."""

    at: float
    seconds: float
    finished: simpy.Event | None


class _Worker:
    """A simulated server, from the moment it was asked for."""

    wake: simpy.Event  # what an idle one waits for

    def __init__(self) -> None:
        self.ready = self.told = self.leaving = self.busy = False  # told: that it has to drain; leaving: it knows
        self.born = self.noted = self.beat = 0.0
        self.busy_seconds = self.damped = 0.0  # since the last heartbeat; over its life, damped
        self.cpu = self.load_average = 0.0

    def note(self, now: float, busy: bool) -> None:
        """It was as it was until now, and from here on it is busy, or is not."""
        passed, self.noted = now - self.noted, now
        kept = math.exp(-passed / DAMPING_SECONDS)
        self.damped = self.damped * kept + self.busy * (1 - kept)
        self.busy_seconds += self.busy * passed
        self.busy = busy

    def report(self, now: float) -> None:
        """A heartbeat: what the application knows of it, and what it knows of the application's wish."""
        self.note(now, self.busy)
        if now > self.beat:
            self.cpu = 100 * self.busy_seconds / (now - self.beat)
        age = max(now - self.born, AGE_SECONDS_MIN)
        self.load_average = self.damped / (1 - math.exp(-age / DAMPING_SECONDS))
        self.beat, self.busy_seconds, self.leaving = now, 0.0, self.told


class _Application:
    """Orders (when, and how long the task takes), a queue, and workers."""

    def __init__(
        self, orders: Sequence[tuple[float, float]], boot: Callable[[], float], patience: float, workers: int
    ) -> None:
        self.env = simpy.Environment()
        self.orders, self.boot, self.patience = orders, boot, patience
        self.queue: deque[_Order] = deque()
        self.workers: list[_Worker] = []  # those that were asked for and are not gone, the oldest first
        self.idle: deque[_Worker] = deque()
        self.ordered = self.done = 0  # since the last sample
        for _ in range(workers):
            self.workers.append(_Worker())
            self.serve(self.workers[-1])
        self.env.process(self._arrive())

    def run(
        self, decide: Callable[[Samples], Decision], seconds: float, wanted: int, every_seconds: float
    ) -> tuple[Sample, ...]:
        """What was seen until all is done, after these seconds."""
        samples: list[Sample] = []
        due = 0.0
        limit = math.inf if self.patience == math.inf else 2 * seconds
        now = 0.0
        while True:
            samples.append(self.sample(samples[-1] if samples else None, wanted))
            if now >= limit or (now >= seconds and not samples[-1].waiting and not samples[-1].working):
                return tuple(samples)
            if now >= due:
                due = now + every_seconds
                wanted = decide(samples).wanted
            self.scale(wanted)
            now += SAMPLE_SECONDS
            self.env.run(until=now)

    def sample(self, before: Sample | None, wanted: int) -> Sample:
        """What the application says now."""
        now = self.env.now
        stay = [worker for worker in self.workers if not worker.told]
        ready = [worker for worker in stay if worker.ready]
        passed = now - before.at if before else math.inf
        ordered, done, self.ordered, self.done = self.ordered, self.done, 0, 0
        return Sample(
            at=now,
            waiting=len(self.queue),
            working=sum(worker.busy for worker in self.workers),
            oldest_waiting_seconds=now - self.queue[0].at if self.queue else 0.0,
            rate=done / passed,
            orders_per_second=ordered / passed,
            wanted=wanted,
            requested=len(stay),
            workers=len(ready),
            cpu=_mean([worker.cpu for worker in ready]),
            load_average=_mean([worker.load_average for worker in ready]),
            latency_seconds=API_SECONDS,
        )

    def scale(self, wanted: int) -> None:
        """Let so many workers stay or come. As `fleet.changes` has it: drains end first, then servers are asked for;
        those that have not arrived are cancelled before any worker drains; the youngest go first."""
        more = wanted - sum(not worker.told for worker in self.workers)
        for worker in self.workers:
            if more > 0 and worker.told:
                worker.told, more = False, more - 1
        for _ in range(more):
            self.workers.append(_Worker())
            self.env.process(self._boot(self.workers[-1]))
        surplus = sorted((worker for worker in reversed(self.workers) if not worker.told), key=lambda each: each.ready)
        for worker in surplus[: max(0, -more)]:
            worker.told = True
            if not worker.ready:
                self.workers.remove(worker)

    def serve(self, worker: _Worker) -> None:
        """A worker begins."""
        worker.ready = True
        worker.born = worker.noted = worker.beat = self.env.now
        self.env.process(self._work(worker))
        self.env.process(self._beat(worker))

    def order(self, seconds: float, finished: simpy.Event | None = None) -> None:
        """An order arrives, of a task that takes so long; `finished`: of somebody who has ordered it before."""
        self.ordered += 1
        if self.patience < math.inf and finished is None:
            finished = self.env.event()
            self.env.process(self._lose_patience(seconds, finished))
        self.queue.append(_Order(self.env.now, seconds, finished))
        if self.idle:
            self.idle.popleft().wake.succeed()

    # -- what happens by itself, each a process of SimPy's ---------------------------------------------------------

    def _arrive(self) -> Events:
        for at, seconds in self.orders:
            yield self.env.timeout(max(0.0, at - self.env.now))
            self.order(seconds)

    def _lose_patience(self, seconds: float, finished: simpy.Event) -> Events:
        """Somebody waits, and orders once more each time that it takes too long, until one of the orders is made."""
        while True:
            yield finished | self.env.timeout(self.patience)
            if finished.triggered:
                break
            self.order(seconds, finished)

    def _boot(self, worker: _Worker) -> Events:
        yield self.env.timeout(self.boot())
        if worker in self.workers:  # else it was cancelled
            self.serve(worker)

    def _work(self, worker: _Worker) -> Events:
        while not worker.leaving:
            if self.queue:
                order = self.queue.popleft()
                worker.note(self.env.now, busy=True)
                yield self.env.timeout(order.seconds)
                worker.note(self.env.now, busy=False)
                self.done += 1
                if order.finished is not None and not order.finished.triggered:
                    order.finished.succeed()
            else:
                worker.wake = self.env.event()
                self.idle.append(worker)
                yield worker.wake
        self.workers.remove(worker)

    def _beat(self, worker: _Worker) -> Events:
        while worker in self.workers:
            worker.report(self.env.now)
            if worker.leaving and worker in self.idle:
                self.idle.remove(worker)
                worker.wake.succeed()
            yield self.env.timeout(HEARTBEAT_SECONDS)


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
