"""Step scaling: a table."""

from dataclasses import dataclass

from faafo_lab.autoscale.samples import Decision, Samples, keep


@dataclass(frozen=True)
class Steps:
    """A table: from so many waiting tasks on, so many workers.

    `steps` has pairs (waiting tasks, workers), the smallest first; below the first pair nothing changes.

    Source: Amazon EC2 Auto Scaling, "Step and simple scaling policies", with the adjustment type ExactCapacity: each
    step has a lower bound of the metric, which belongs to it, and the next step's bound ends it.
    """

    steps: tuple[tuple[float, int], ...] = ((0, 1), (5, 2), (10, 4), (20, 6))

    def __call__(self, samples: Samples) -> Decision:
        """How many workers there should be, by the samples so far, the newest last."""
        now = samples[-1]
        if now.waiting is None:
            return keep(now, "the number of waiting tasks is unknown")
        reached = [(bound, workers) for bound, workers in self.steps if now.waiting >= bound]
        if not reached:
            return keep(now, f"{now.waiting} tasks wait: below the first step")
        bound, workers = reached[-1]
        return Decision(workers, f"{now.waiting} tasks wait: the step from {bound:g} on")
