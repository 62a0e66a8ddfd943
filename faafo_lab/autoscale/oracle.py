"""An oracle: it knows the trace, so it asks for servers before they are needed, and for no more than that.

    policy = autoscale.oracle(trace, target_seconds=2, maximum=6)

No policy that sees only samples can know as much: what one costs more than the oracle, for tasks that wait as long, is
the price of not knowing.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Unpack

from faafo_lab.autoscale.autoscaler import EVERY_SECONDS
from faafo_lab.autoscale.limits import Limits
from faafo_lab.autoscale.loop import TASK_SECONDS
from faafo_lab.autoscale.samples import Decision, Samples
from faafo_lab.autoscale.simulator import BOOT_SECONDS, Setting
from faafo_lab.autoscale.traces import Trace


@dataclass(frozen=True)
class Oracle:
    """A policy that follows a plan: how many workers have to serve in each interval of `every_seconds`."""

    plan: Sequence[int] = field(repr=False)
    boot_seconds: float
    every_seconds: float

    def __call__(self, samples: Samples) -> Decision:
        """The most that are needed until a server that is asked for later could serve."""
        now = samples[-1].at
        first, last = (int(at / self.every_seconds) for at in (now, now + self.boot_seconds + self.every_seconds))
        wanted = max(self.plan[first : last + 1], default=self.plan[-1])
        return Decision(wanted, f"{wanted} are needed until {now + self.boot_seconds + self.every_seconds:.0f} s")


def oracle(trace: Trace, *, target_seconds: float = 1.0, spare: int = 0, **setting: Unpack[Setting]) -> Oracle:
    """The oracle for this trace and this application: the fewest workers with which tasks wait for `target_seconds`.

    What has arrived by the end of an interval is done within it and `target_seconds` more; so a longer target leaves
    more for later, and servers idle less. `spare` workers more serve all the time, for shorter waits than a target of
    0 gives. `setting`: the keyword arguments of `simulate`. Raises LoadError.
    """
    limits = Limits(setting["maximum"], setting.get("minimum", 1))
    task_seconds = setting.get("task_seconds", TASK_SECONDS)
    every_seconds = setting.get("every_seconds", EVERY_SECONDS)
    work = [0.0] * (int(trace.seconds / every_seconds) + 1)  # seconds of it that arrive in each interval
    for at in trace.arrivals(task_seconds):
        work[int(at / every_seconds)] += task_seconds
    plan, left = [], 0.0
    for more in work:
        plan.append(limits.clamped(math.ceil((left + more) / (every_seconds + target_seconds)) + spare))
        left = max(0.0, left + more - plan[-1] * every_seconds)
    return Oracle(tuple(plan), setting.get("boot_seconds", BOOT_SECONDS), every_seconds)
