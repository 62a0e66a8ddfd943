"""Kubernetes' Horizontal Pod Autoscaler."""

import math
from dataclasses import dataclass
from typing import Literal

from faafo_lab.autoscale.samples import Decision, Sample, Samples, keep

PERIOD_SECONDS = 15.0  # within which it adds at most …
PERIOD_FACTOR, PERIOD_PODS = 2, 4  # … as many as there are, or four, whichever is more
IDLE_PERCENT = 0.0  # what a worker counts that is not ready


@dataclass(frozen=True)
class HPA:
    """wanted = ⌈workers × current / target⌉, unless current / target is within `tolerance` of 1.

    `metric` "cpu" is the workers' mean use in %, "waiting" the tasks that wait per worker. On the way out, workers that
    are not ready count as 0 % (where that turns the direction, nothing changes), and not more than twice as many, or
    four more, are wanted than 15 s ago. On the way in, the highest recommendation of the last `stabilization_seconds`
    counts. Without the metric nothing changes.

    Source: Kubernetes, "Horizontal Pod Autoscaling" (algorithm details; scaling policies; stabilization window), with
    its defaults: 80 %, tolerance 0.1, 300 s. Kubernetes decides every 15 s; here the loop says how often.
    """

    target: float = 80.0
    tolerance: float = 0.1
    stabilization_seconds: float = 300.0
    metric: Literal["cpu", "waiting"] = "cpu"

    def __call__(self, samples: Samples) -> Decision:
        """How many workers there should be, by the samples so far, the newest last."""
        now = samples[-1]
        if (raw := self._recommended(now)) is None:
            return keep(now, f"{self.metric} is unknown")
        why = f"{self.metric} {self._value(now):.0f}, target {self.target:g} per worker: {raw}"
        if raw > now.wanted:
            before = next(sample.wanted for sample in samples if sample.at >= now.at - PERIOD_SECONDS)
            limit = max(PERIOD_FACTOR * before, before + PERIOD_PODS)
            return Decision(max(now.wanted, min(raw, limit)), why + f"; at most {limit} within 15 s" * (raw > limit))
        window = [sample for sample in samples if sample.at >= now.at - self.stabilization_seconds]
        highest = max(number for each in window if (number := self._recommended(each)) is not None)
        stable = min(now.wanted, highest)
        return Decision(stable, why + f"; {highest} within {self.stabilization_seconds:g} s" * (stable > raw))

    def _value(self, sample: Sample) -> float:
        """The metric per worker."""
        value = sample.cpu if self.metric == "cpu" else (sample.waiting or 0) / max(1, sample.requested)
        return value or 0.0

    def _recommended(self, sample: Sample) -> int | None:
        """The algorithm's number for one moment; None where the metric is missing."""
        there = sample.requested
        if self.metric == "waiting":
            if sample.waiting is None:
                return None
            ratio = sample.waiting / (self.target * max(1, there))
            return there if abs(ratio - 1) <= self.tolerance else math.ceil(sample.waiting / self.target)
        if sample.cpu is None:
            return None
        ratio, ready = sample.cpu / self.target, sample.workers
        if ratio > 1 and there > ready:  # those that are not ready count, as idle
            ratio = (sample.cpu * ready + IDLE_PERCENT * (there - ready)) / there / self.target
            if ratio < 1:
                return there
            ready = there
        if abs(ratio - 1) <= self.tolerance:
            return there
        return math.ceil(ratio * ready)
