"""What an autoscaler's run comes to: how long tasks waited, what the servers cost, how often the decision changed."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

from faafo_lab.autoscale.samples import Sample
from faafo_lab.load.rows import human, percentile


@dataclass(frozen=True)
class Run:
    """All samples of a run, real or simulated, and what it comes to. `note`: what else to know, such as an early
    stop."""

    samples: Sequence[Sample] = field(repr=False)
    minimum: int
    maximum: int
    note: str = ""

    @property
    def waits(self) -> list[float]:
        """The age of the oldest waiting task at each moment at which the application answered, in seconds."""
        ages = (sample.oldest_waiting_seconds for sample in self.samples)
        return [age for age in ages if age is not None]

    @property
    def worst_wait(self) -> float:
        """The age of the oldest task that waited at any moment, in seconds."""
        return max(self.waits, default=0.0)

    @property
    def p95_wait(self) -> float:
        """The age of the oldest waiting task that 95 % of the moments don't exceed, in seconds."""
        ages = sorted(self.waits)
        return percentile(ages, 95) if ages else 0.0

    @property
    def server_minutes(self) -> float:
        """Minutes of all workers together, from their request on: a cloud counts a booting server, too."""
        return sum(one.requested * (after.at - one.at) for one, after in itertools.pairwise(self.samples)) / 60

    @property
    def changes(self) -> int:
        """How often the decision changed."""
        return len(self._steps)

    @property
    def flaps(self) -> int:
        """How often a change of the decision undid the direction of the change before: out, then in, or in, then
        out."""
        return sum(one * after < 0 for one, after in itertools.pairwise(self._steps))

    @property
    def most_workers(self) -> int:
        """The most workers that served at a time."""
        return max((sample.workers for sample in self.samples), default=0)

    @property
    def _steps(self) -> list[int]:
        """Each change of the decision: workers more (above 0) or less."""
        steps = (after.wanted - one.wanted for one, after in itertools.pairwise(self.samples))
        return [step for step in steps if step]

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
