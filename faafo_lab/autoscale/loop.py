"""The loop: it looks at the application twice a second, asks `decide` every other second, and scales in the background.

Real orders and real servers: wanted and serving are two numbers, since a server takes time to boot, and a worker that
is removed finishes its task first. One change at a time: while one is under way the next decision waits for it.
"""

import threading
import time
from collections.abc import Callable, Sequence
from types import EllipsisType

from faafo_lab import load
from faafo_lab.autoscale.samples import Sample
from faafo_lab.autoscale.score import Run
from faafo_lab.cloud.errors import CloudError
from faafo_lab.cloud.progress import Progress
from faafo_lab.load import LoadError, Work
from faafo_lab.topology import NoAnswer, Topology, in_thread
from faafo_lab.topology.api import LOST

TASK_SECONDS = 0.25  # of one worker
STEPS = (0.6, 3.5, 0.6)  # the load of the three thirds of a run, in workers' worth
DECIDE_SECONDS, SAMPLE_SECONDS = 2.0, 0.5
SCALING_LIMIT_SECONDS = 300.0
SECONDS_MIN = 6.0
NOT_WRITTEN = "decide is not written yet: it returned nothing, so nothing was run"

Decide = Callable[[Sequence[Sample]], int | EllipsisType | None]


def run(app: Topology, decide: Decide, work: Work, *, seconds: float = 60.0, minimum: int = 1, maximum: int = 6) -> Run:
    """Put a step of load on the application for so long, and let `decide(samples) -> workers` scale it meanwhile.

    The load is STEPS workers' worth of tasks, a third of the time each. The run begins when nothing waits any more (it
    waits for that, and raises TimedOut at the cloud's own limit), with `minimum` workers. `decide`
    gets all samples so far, the newest last; its answer is kept between `minimum` and `maximum`. Each change says so
    in a line. What `decide` raises ends the run and is raised; an interrupt ends it with what was seen so far. Tasks
    that still wait at the end are left to the workers that are there.

    Raises LoadError for numbers that make no run.
    """
    if not 1 <= minimum <= maximum:
        raise LoadError(f"minimum={minimum} and maximum={maximum}: give 1 or more, and a maximum that is not smaller.")
    if not seconds >= SECONDS_MIN:
        raise LoadError(f"seconds={seconds!r}: give {SECONDS_MIN:g} or more.")
    if decide([_first(minimum)]) in (None, ...):
        return Run((), minimum, maximum, NOT_WRITTEN)
    # What an earlier run left waiting is not what this one is scored on.
    app.cloud.wait_until(lambda: not app.stats()["waiting"] + app.stats()["working"], "the queue is empty")
    app.scale(worker=minimum)
    return _Loop(app, decide, work, seconds, minimum, maximum).run()


class _Loop:
    def __init__(self, app: Topology, decide: Decide, work: Work, seconds: float, minimum: int, maximum: int) -> None:
        self.app, self.decide, self.work, self.seconds = app, decide, work, seconds
        self.minimum, self.maximum = minimum, maximum
        self.samples: list[Sample] = []
        self.wanted = minimum
        self._scaling: threading.Thread | None = None
        self._failed: list[Exception] = []
        self._done: tuple[float, int] | None = None

    def run(self) -> Run:
        """Until the time is up, `decide` fails, or somebody interrupts."""
        note = ""
        third = self.seconds / len(STEPS)
        rates = [share / TASK_SECONDS for share in STEPS]
        orders = [self.work.tasks(max(1, int(rate * third)), TASK_SECONDS) for rate in rates]
        started = decided = time.monotonic()
        sending: load.Run | None = None
        step = -1
        try:
            with Progress("seconds of autoscaling", int(self.seconds)) as line:
                while (now := time.monotonic() - started) < self.seconds:
                    if int(now / third) > step:
                        step = int(now / third)
                        if sending is not None:
                            sending.stop()
                        sending = load.start(
                            lambda: self.app.endpoints, loop="open", rate=rates[step], seconds=third, tasks=orders[step]
                        )
                    if (sample := self._sample(now, rates[step])) is not None:
                        self.samples.append(sample)
                        if time.monotonic() - decided >= DECIDE_SECONDS or len(self.samples) == 1:
                            decided = time.monotonic()
                            self._heed(self.decide(tuple(self.samples)), now)
                    line.update(int(now), f"{self.samples[-1].waiting} tasks wait" if self.samples else "")
                    time.sleep(SAMPLE_SECONDS)
                line.update(int(self.seconds))
        except KeyboardInterrupt:
            note = f"Stopped after {time.monotonic() - started:.0f} s."
        finally:
            if sending is not None:
                sending.stop()
            if self._scaling is not None:
                self._scaling.join(SCALING_LIMIT_SECONDS)
        self.app.refresh()
        if self._failed:
            note = f"{note} Scaling failed: {str(self._failed[-1]).splitlines()[0]}".strip()
        return Run(tuple(self.samples), self.minimum, self.maximum, note)

    def _sample(self, now: float, orders_per_second: float) -> Sample | None:
        """What the application says now; None where it does not answer."""
        try:
            stats, nodes = self.app.stats(), self.app.nodes()
        except NoAnswer:
            return None
        serving = [node for node in nodes if node["role"] == "worker" and node["state"] not in (LOST, "drained")]
        busy = [node["cpu_percent"] for node in serving if node["cpu_percent"] is not None]
        return Sample(
            at=now,
            waiting=stats["waiting"],
            oldest_waiting_seconds=stats["oldest_waiting_seconds"],
            working=stats["working"],
            workers=len(serving),
            wanted=self.wanted,
            requested=max(self.wanted, len(serving)),
            cpu=sum(busy) / len(busy) if busy else 0.0,
            rate=self._rate(time.monotonic(), stats["done"]),
            orders_per_second=orders_per_second,
        )

    def _rate(self, at: float, done: int) -> float:
        before, self._done = self._done, (at, done)
        if before is None or at <= before[0]:
            return 0.0
        return max(0.0, (done - before[1]) / (at - before[0]))

    def _heed(self, answer: object, now: float) -> None:
        """Scale to what was decided, unless a change is still under way."""
        if isinstance(answer, bool) or not isinstance(answer, int | float):
            raise TypeError(f"decide returns how many workers there should be, a number: it returned {answer!r}.")
        wanted = min(self.maximum, max(self.minimum, round(answer)))
        if self._scaling is not None and self._scaling.is_alive():
            return
        if wanted == self.wanted:
            return
        clamped = f" (decide said {answer:g})" if wanted != answer else ""
        self.app.say(f"{now:5.1f} s: {self.wanted} → {wanted} workers{clamped}")
        self.wanted = wanted
        self._scaling = threading.Thread(target=self._scale, args=(wanted,), name="autoscaling", daemon=True)
        self._scaling.start()

    def _scale(self, wanted: int) -> None:
        try:
            in_thread(self.app).refresh().scale(worker=wanted)
        except CloudError as error:
            self._failed.append(error)


def _first(workers: int) -> Sample:
    """A sample of an application that has nothing to do."""
    return Sample(
        at=0.0, waiting=0, oldest_waiting_seconds=0.0, wanted=workers, requested=workers, workers=workers, cpu=0.0
    )
