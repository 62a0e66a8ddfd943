"""What an autoscaler's run comes to: how long tasks waited, what the servers cost, how often the decision changed."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

from faafo_lab.load.rows import human, percentile


@dataclass(frozen=True)
class Sample:
    """The application at one moment of a run. `at`: seconds since its start.

    `workers` serve, `wanted` is the last decision; `cpu`: of the workers, in % (their mean); `rate`: fractals finished
    per second since the sample before; `orders_per_second`: what is asked of the application.
    """

    at: float
    waiting: int
    oldest_waiting_seconds: float
    workers: int
    wanted: int
    cpu: float
    rate: float
    orders_per_second: float


@dataclass(frozen=True)
class Run:
    """All samples of a run, and what it comes to. `note`: what else to know, such as an early stop."""

    samples: Sequence[Sample] = field(repr=False)
    minimum: int
    maximum: int
    note: str = ""

    @property
    def worst_wait(self) -> float:
        """The age of the oldest task that waited at any moment, in seconds."""
        return max((sample.oldest_waiting_seconds for sample in self.samples), default=0.0)

    @property
    def p95_wait(self) -> float:
        """The age of the oldest waiting task that 95 % of the moments don't exceed, in seconds."""
        ages = sorted(sample.oldest_waiting_seconds for sample in self.samples)
        return percentile(ages, 95) if ages else 0.0

    @property
    def server_minutes(self) -> float:
        """Minutes of all workers together."""
        return sum(one.workers * (after.at - one.at) for one, after in itertools.pairwise(self.samples)) / 60

    @property
    def changes(self) -> int:
        """How often the decision changed."""
        return sum(one.wanted != after.wanted for one, after in itertools.pairwise(self.samples))

    @property
    def most_workers(self) -> int:
        """The most workers that served at a time."""
        return max((sample.workers for sample in self.samples), default=0)

    def __str__(self) -> str:
        if not self.samples:
            return self.note or "nothing was run"
        words = (
            f"oldest waiting task: worst {human(self.worst_wait)}, p95 {human(self.p95_wait)}; "
            f"{self.server_minutes:.2f} server-minutes of workers, at most {self.most_workers} at a time; "
            f"the number wanted changed {self.changes} time{'s' * (self.changes != 1)}"
        )
        return f"{words}. {self.note}" if self.note else words

    __repr__ = __str__
