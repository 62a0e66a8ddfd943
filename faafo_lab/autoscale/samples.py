"""What an autoscaler sees, a `Sample`, and what a policy makes of it, a `Decision`.

A policy is a pure function of the samples so far, the newest last. It keeps no state of its own, so it decides the same
in a simulation, and goes on where an autoscaler before it has stopped.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Sample:
    """The application at one moment, `at` seconds after the run began.

    What the application tells is None where no API answered: `waiting is None` says so. A measured value is None, too,
    where no worker measures its machine. `wanted`, `requested` and `workers` are always known, if need be from before.
    """

    at: float
    waiting: int | None  # tasks that no worker has
    oldest_waiting_seconds: float | None  # the age of the oldest of them; 0 where none waits
    wanted: int  # workers by the last decision, …
    requested: int  # … those that the cloud was asked for, booting ones included, …
    workers: int  # … and those that are ready: they take tasks
    working: int | None = 0  # tasks that a worker has
    rate: float | None = 0.0  # fractals that were finished per second, since the sample before
    orders_per_second: float | None = 0.0  # orders that were accepted per second, since the sample before
    cpu: float | None = None  # % of what the flavor has, mean of the workers
    load_average: float | None = None  # over a minute, mean of the workers
    latency_seconds: float | None = None  # of an API's answer


@dataclass(frozen=True)
class Decision:
    """How many workers there should be, and why, in a few words."""

    wanted: int
    why: str


Samples = Sequence[Sample]
Policy = Callable[[Samples], Decision | int]


def keep(now: Sample, why: str) -> Decision:
    """The decision that changes nothing."""
    return Decision(now.wanted, why)
