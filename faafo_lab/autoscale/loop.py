"""A run that is scored: a step of load, and an autoscaler that asks `decide` every other second.

Real orders and real servers, in the foreground: it watches twice a second, and raises at once what `decide` raises.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from types import EllipsisType

from faafo_lab import load
from faafo_lab.autoscale.autoscaler import EVERY_SECONDS, Autoscaler
from faafo_lab.autoscale.limits import Limits
from faafo_lab.autoscale.samples import Decision, Sample
from faafo_lab.autoscale.score import Run
from faafo_lab.cloud.progress import Progress
from faafo_lab.load import LoadError, Work
from faafo_lab.topology import Busy, Topology

TASK_SECONDS = 0.25  # of one worker
STEPS = (0.6, 3.5, 0.6)  # the load of the three thirds of a run, in workers' worth
SAMPLE_SECONDS = 0.5
SECONDS_MIN = 6.0
NOT_WRITTEN = "decide is not written yet: it returned nothing, so nothing was run"

Decide = Callable[[Sequence[Sample]], Decision | int | EllipsisType | None]


def run(app: Topology, decide: Decide, work: Work, *, seconds: float = 60.0, minimum: int = 1, maximum: int = 6) -> Run:
    """Put a step of load on the application for so long, and let `decide(samples) -> workers` scale it meanwhile.

    The load is STEPS workers' worth of tasks, a third of the time each. The run begins when nothing waits any more (it
    waits for that, and raises TimedOut at the cloud's own limit), with `minimum` workers. `decide`
    gets all samples so far that have an answer, the newest last, with a CPU of 0 where none is known; its answer is
    kept between `minimum` and `maximum`. Each change says so
    in a line. What `decide` raises ends the run and is raised; an interrupt ends it with what was seen so far. Tasks
    that still wait at the end are left to the workers that are there.

    Raises LoadError for numbers that make no run, and Busy where another autoscaler scales the application.
    """
    Limits(maximum, minimum)
    if not seconds >= SECONDS_MIN:
        raise LoadError(f"seconds={seconds!r}: give {SECONDS_MIN:g} or more.")
    if decide([_idle(minimum)]) in (None, ...):
        return Run((), minimum, maximum, NOT_WRITTEN)
    # What an earlier run left waiting is not what this one is scored on.
    app.cloud.wait_until(lambda: not app.stats()["waiting"] + app.stats()["working"], "the queue is empty")
    app.scale(worker=minimum)
    scaler = Autoscaler(app, lambda samples: decide(_plain(samples)), maximum=maximum, minimum=minimum)  # type: ignore[arg-type,return-value]
    try:
        if not scaler.leads():
            raise Busy(f"{scaler.holder} scales the application: stop it, and run this again.")
        note = _under_load(app, scaler, work, seconds)
    finally:
        scaler.close()
        app.refresh()
    return replace(scaler.run, note=note)


def _under_load(app: Topology, scaler: Autoscaler, work: Work, seconds: float) -> str:
    """Watch, decide and act until the time is up; returns a note where somebody interrupted."""
    third = seconds / len(STEPS)
    rates = [share / TASK_SECONDS for share in STEPS]
    orders = [work.tasks(max(1, int(rate * third)), TASK_SECONDS) for rate in rates]
    started = time.monotonic()
    sending: load.Run | None = None
    step, due = -1, 0.0
    try:
        with Progress("seconds of autoscaling", int(seconds)) as line:
            while (now := time.monotonic() - started) < seconds:
                if int(now / third) > step:
                    step = int(now / third)
                    if sending is not None:
                        sending.stop()
                    sending = load.start(
                        lambda: app.endpoints, loop="open", rate=rates[step], seconds=third, tasks=orders[step]
                    )
                sample = scaler.watch()
                scaler.samples[-1] = replace(sample, orders_per_second=rates[step])
                if now >= due:
                    due = now + EVERY_SECONDS
                    scaler.decide()
                scaler.act()
                line.update(int(now), f"{sample.waiting} tasks wait" if sample.waiting is not None else "")
                time.sleep(SAMPLE_SECONDS)
            line.update(int(seconds))
    except KeyboardInterrupt:
        return f"Stopped after {time.monotonic() - started:.0f} s."
    finally:
        if sending is not None:
            sending.stop()
    return ""


def _plain(samples: Sequence[Sample]) -> tuple[Sample, ...]:
    """The samples for a first `decide`, which compares numbers."""
    return tuple(replace(sample, cpu=sample.cpu or 0.0) for sample in samples)


def _idle(workers: int) -> Sample:
    """A sample of an application that has nothing to do."""
    return Sample(
        at=0.0, waiting=0, oldest_waiting_seconds=0.0, wanted=workers, requested=workers, workers=workers, cpu=0.0
    )
