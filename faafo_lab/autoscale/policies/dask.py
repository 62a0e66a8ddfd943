"""Dask's adaptive scaling: the work that is left, divided by how long it may take; several votes before it closes."""

import math
from dataclasses import dataclass

from faafo_lab.autoscale.policies.measured import tasks_per_second
from faafo_lab.autoscale.samples import Decision, Samples, keep

UNKNOWN_SECONDS = 0.5  # of a task of which none was measured (Dask's distributed.scheduler.unknown-task-duration)


@dataclass(frozen=True)
class Dask:
    """As many workers as make all that is left within `target_seconds`, and not more than there are tasks.

    Workers are added at once. One is closed where `votes` samples in a row want to close it: so the highest number of
    the last `votes` counts.

    Source: Dask, `Scheduler.adaptive_target` (⌈occupancy / target duration⌉, 5 s) and `AdaptiveCore.recommendations`
    (wait_count = 3, interval 1 s). Which workers are closed is the loop's affair: first those that have not arrived.
    """

    votes: int = 3
    target_seconds: float = 5.0

    def __call__(self, samples: Samples) -> Decision:
        """How many workers there should be, by the samples so far, the newest last."""
        now = samples[-1]
        if (target := self._target(samples)) is None:
            return keep(now, "the work that is left is unknown")
        why = f"what is left, in {self.target_seconds:g} s: {target}"
        if target >= now.wanted:
            return Decision(target, why)
        votes = [self._target(samples[: len(samples) - back]) for back in range(min(self.votes, len(samples)))]
        if len(votes) < self.votes or None in votes:
            return keep(now, f"{why}; not {self.votes} votes yet")
        highest = max(vote for vote in votes if vote is not None)
        return Decision(min(now.wanted, highest), f"{why}; the highest of {self.votes} votes is {highest}")

    def _target(self, samples: Samples) -> int | None:
        """Dask's adaptive_target."""
        now = samples[-1]
        if now.waiting is None or now.working is None:
            return None
        tasks = now.waiting + now.working
        speed = tasks_per_second(samples)
        occupancy = tasks * (1 / speed if speed else UNKNOWN_SECONDS)
        return min(tasks, math.ceil(occupancy / self.target_seconds))
