"""Ours: how long a task waits, or will wait, with a cooldown."""

import math
from dataclasses import dataclass

from faafo_lab.autoscale.policies.measured import arrivals_per_second, tasks_per_second
from faafo_lab.autoscale.samples import Decision, Samples, keep
from faafo_lab.load.errors import LoadError

ARRIVALS_SECONDS = 3.0  # over which arrivals are counted: short, as a step must be seen soon

AT_LEAST_SECONDS = 1.0  # in which what waits is worked off, however short the cooldown
SPARE = 0.2  # of the workers, below which none is removed


@dataclass(frozen=True)
class QueueAge:
    """Workers are added when a task waits for longer than `target_seconds`, or will by Little's law (waiting / rate).

    Then as many are wanted as the arrivals keep busy and as work off what waits within `cooldown_seconds`; what was
    requested counts, so a boot's delay asks for none twice. Workers are removed when nothing has waited for so long
    since the last change for `cooldown_seconds`, down to the most that were busy at once meanwhile, and only where a
    fifth or more of them is spare (the hysteresis). Raises LoadError for numbers that are no seconds.
    """

    target_seconds: float = 2.0
    cooldown_seconds: float = 30.0

    def __post_init__(self) -> None:
        for name in ("target_seconds", "cooldown_seconds"):
            if not 0 <= getattr(self, name) < math.inf:
                raise LoadError(f"{name}={getattr(self, name)!r}: give a number of seconds, 0 or more.")

    def __call__(self, samples: Samples) -> Decision:
        """How many workers there should be, by the samples so far, the newest last."""
        now = samples[-1]
        if now.waiting is None or now.oldest_waiting_seconds is None:
            return keep(now, "the age of the oldest task is unknown")
        speed = tasks_per_second(samples)
        ahead = now.waiting / (speed * max(1, now.requested)) if speed else 0.0
        age = max(now.oldest_waiting_seconds, ahead)
        why = f"the oldest task waits for {now.oldest_waiting_seconds:.1f} s, a new one would for {ahead:.1f} s"
        if age > self.target_seconds:
            if speed is None:  # nothing is finished yet
                return Decision(max(now.wanted, now.requested + (now.workers == now.requested)), why)
            soon = max(self.cooldown_seconds, AT_LEAST_SECONDS)
            needed = arrivals_per_second(samples, ARRIVALS_SECONDS) / speed + now.waiting / speed / soon
            return Decision(max(now.wanted, math.ceil(needed)), f"{why}: {needed:.1f} are needed")
        window = [sample for sample in samples if sample.at >= now.at - self.cooldown_seconds]
        if (
            now.at - samples[0].at < self.cooldown_seconds
            or any(sample.wanted != now.wanted for sample in window)
            or any((sample.oldest_waiting_seconds or 0.0) > self.target_seconds for sample in window)
        ):
            return keep(now, f"{why}: cooling down")
        busy = max(sample.working or 0 for sample in window)
        why = f"{why}; at most {busy} were busy within the cooldown"
        return Decision(max(1, busy), why) if busy <= now.wanted * (1 - SPARE) else keep(now, why)
