"""Limits of any policy: a minimum, a maximum that nobody may leave out, cooldown, hysteresis, and no trust in silence.

    policy = autoscale.bounded(decide, Limits(maximum=6, in_cooldown_seconds=20))
    policy(samples)              # a Decision

The result is a policy again, so that the loop and the simulator use the same one.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from faafo_lab.autoscale.samples import Decision, Policy, Sample, Samples, keep
from faafo_lab.load.errors import LoadError


@dataclass(frozen=True)
class Limits:
    """What a policy may do. Raises LoadError for numbers that make no sense.

    After a change, no worker is added for `out_cooldown_seconds`, and none is removed for `in_cooldown_seconds`. Nor is
    one removed that the policy asked for at any time within the latter: that is the hysteresis.
    """

    maximum: int
    minimum: int = 1
    out_cooldown_seconds: float = 0.0
    in_cooldown_seconds: float = 0.0

    def __post_init__(self) -> None:
        if not 1 <= self.minimum <= self.maximum:
            raise LoadError(
                f"minimum={self.minimum} and maximum={self.maximum}: give 1 or more, and a maximum that is not smaller."
            )
        for name in ("out_cooldown_seconds", "in_cooldown_seconds"):
            if not 0 <= getattr(self, name) < math.inf:
                raise LoadError(f"{name}={getattr(self, name)!r}: give a number of seconds, 0 or more.")

    def clamped(self, wanted: int) -> int:
        """The nearest number within minimum and maximum."""
        return min(self.maximum, max(self.minimum, wanted))


def bounded(policy: Policy, limits: Limits) -> Callable[[Samples], Decision]:
    """The same policy within these limits. It raises TypeError where the policy returns no number.

    Where the newest sample has no answer of the application, everything stays as it is, and the policy is not asked.
    It sees those samples alone that have an answer.
    """

    def decide(samples: Samples) -> Decision:
        now = samples[-1]
        if now.waiting is None:
            return Decision(max(now.wanted, limits.minimum), "no API answers: nothing is removed")
        known = [sample for sample in samples if sample.waiting is not None]
        asked = decision(policy(known))
        wanted = limits.clamped(asked.wanted)
        why = asked.why
        if wanted != asked.wanted:
            bound = f"maximum {limits.maximum}" if wanted < asked.wanted else f"minimum {limits.minimum}"
            why = f"{why} (it asked for {asked.wanted}; {bound})".strip()
        if limits.clamped(now.wanted) != now.wanted:  # the limits are for all, at once
            return Decision(wanted, why)
        quiet = _quiet_seconds(samples)
        if wanted > now.wanted and quiet < limits.out_cooldown_seconds and _changed(samples):
            return keep(now, f"{why}; cooling down before more are added: {wanted} asked for")
        if wanted < now.wanted and limits.in_cooldown_seconds:
            if quiet < limits.in_cooldown_seconds:
                return keep(now, f"{why}; cooling down before any is removed: {wanted} asked for")
            highest = max(wanted, limits.clamped(_highest(policy, known, limits.in_cooldown_seconds, now)))
            if highest > wanted:
                wanted = min(highest, now.wanted)
                why = f"{why}; {wanted} were asked for within {limits.in_cooldown_seconds:g} s"
        return Decision(wanted, why)

    return decide


def decision(answer: object) -> Decision:
    """A policy's answer as a Decision. Raises TypeError if it is neither that nor a number."""
    if isinstance(answer, Decision):
        return answer
    if isinstance(answer, bool) or not isinstance(answer, int | float) or not math.isfinite(answer):
        raise TypeError(f"decide returns how many workers there should be, a number: it returned {answer!r}.")
    return Decision(round(answer), "")


def _changed(samples: Samples) -> bool:
    return any(sample.wanted != samples[-1].wanted for sample in samples)


def _quiet_seconds(samples: Samples) -> float:
    """How long the present number has been wanted, as far back as the samples reach.

    A change before the first sample is unknown: an autoscaler that starts again waits for a cooldown.
    """
    now = samples[-1]
    since = now.at
    for sample in reversed(samples):
        if sample.wanted != now.wanted:
            break
        since = sample.at
    return now.at - since


def _highest(policy: Policy, known: Samples, seconds: float, now: Sample) -> int:
    """The highest number that the policy asked for within the last seconds."""
    highest = 0
    for end in range(len(known) - 1, 0, -1):
        if known[end - 1].at < now.at - seconds or highest >= now.wanted:
            break
        highest = max(highest, decision(policy(known[:end])).wanted)
    return highest
