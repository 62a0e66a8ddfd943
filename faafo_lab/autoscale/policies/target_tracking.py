"""Target tracking on the backlog per worker."""

import math
from dataclasses import dataclass

from faafo_lab.autoscale.samples import Decision, Samples, keep


@dataclass(frozen=True)
class TargetTracking:
    """As many workers as share the backlog at `tasks_per_worker` each: wanted = ⌈backlog / tasks per worker⌉.

    The backlog is what waits and what is in work (as KEDA counts a queue by default: `scaleOnInFlight`), and what a
    worker may have of it is the latency that you accept, divided by the time that a task takes.

    Source: Amazon EC2 Auto Scaling, "Scaling policy based on Amazon SQS": 10 instances, 1500 messages of 0.1 s, an
    accepted latency of 10 s: 100 messages for each, so 15 instances. The default is that of KEDA's scalers for queues.
    """

    tasks_per_worker: float = 5.0

    def __call__(self, samples: Samples) -> Decision:
        """How many workers there should be, by the samples so far, the newest last."""
        now = samples[-1]
        if now.waiting is None or now.working is None:
            return keep(now, "the backlog is unknown")
        backlog = now.waiting + now.working
        return Decision(
            math.ceil(backlog / self.tasks_per_worker), f"a backlog of {backlog}, {self.tasks_per_worker:g} per worker"
        )
