"""A duel of policies: the same traces for all, in the simulator; cost against the time that tasks wait.

    duel = autoscale.duel({"mine": decide, "HPA": HPA()}, [Trace.random(1), Trace.random(2)], maximum=6)
    duel                               # a table
    duel["mine"].cost, duel["mine"].p95_wait
    plots.duel(duel)

Beside the policies an oracle takes part, which knows the traces: several times, from one that lets nothing wait to one
that lets tasks wait for long. So each policy is compared with the cheapest oracle whose tasks wait no longer.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Unpack

import numpy as np

from faafo_lab.autoscale.oracle import oracle
from faafo_lab.autoscale.samples import Policy
from faafo_lab.autoscale.score import Run
from faafo_lab.autoscale.simulator import Setting, simulate
from faafo_lab.autoscale.traces import Trace
from faafo_lab.load import LoadError
from faafo_lab.load.rows import human, percentile

SPARE = (2, 1, 0)  # workers of the oracles that let nothing wait
TARGETS_SECONDS = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0)  # of the others


@dataclass(frozen=True)
class Score:
    """What a policy's runs come to: `cost` is server-minutes a trace, times are seconds, over all traces."""

    runs: tuple[Run, ...] = field(repr=False)

    @property
    def cost(self) -> float:
        """Server-minutes, the mean of the traces."""
        return sum(run.server_minutes for run in self.runs) / len(self.runs)

    @property
    def p95_wait(self) -> float:
        """The age of the oldest waiting task that 95 % of all moments don't exceed, in seconds."""
        return percentile(sorted(age for run in self.runs for age in run.waits), 95)

    @property
    def worst_wait(self) -> float:
        """The age of the oldest task that waited at any moment, in seconds."""
        return max(run.worst_wait for run in self.runs)

    @property
    def flaps(self) -> int:
        """Changes of direction, of all traces together."""
        return sum(run.flaps for run in self.runs)


@dataclass(frozen=True)
class Duel:
    """The scores by policy, and the oracles', the quickest first; `absent`: policies that are not written yet."""

    scores: Mapping[str, Score]
    oracles: tuple[Score, ...]
    absent: tuple[str, ...] = ()

    def __getitem__(self, name: str) -> Score:
        return self.scores[name]

    def times_oracle(self, name: str) -> float:
        """What a policy costs, in multiples of an oracle whose tasks wait as long (p95; between two, by proportion)."""
        waits, costs = zip(*((each.p95_wait, each.cost) for each in self.oracles), strict=True)
        return self[name].cost / float(np.interp(self[name].p95_wait, waits, costs))

    @property
    def rows(self) -> list[tuple[str, float, float, float, int, float]]:
        """Policy, server-minutes, p95 and worst wait (seconds), flaps, multiples of the oracle; the cheapest first."""
        rows = [
            (name, score.cost, score.p95_wait, score.worst_wait, score.flaps, self.times_oracle(name))
            for name, score in self.scores.items()
        ]
        return sorted(rows, key=lambda row: row[1])

    def __str__(self) -> str:
        from prettytable import PrettyTable

        table = PrettyTable(["policy", "server-minutes", "p95 wait", "worst wait", "flaps", "cost ÷ oracle's"])
        table.align = "r"
        table.align["policy"] = "l"
        for name, cost, p95, worst, flaps, times in self.rows:
            table.add_row([name, f"{cost:.2f}", human(p95), human(worst), flaps, f"{times:.2f}"])
        return "\n".join([str(table), *(f"{name} is not written yet: it took no part." for name in self.absent)])

    __repr__ = __str__


def duel(policies: Mapping[str, Policy], traces: Sequence[Trace], **setting: Unpack[Setting]) -> Duel:
    """Simulate each policy on each trace, and oracles that know them; `setting`: the keyword arguments of `simulate`.

    A policy that is not written yet takes no part. The same arguments always give the same duel. Raises as `simulate`
    does, and LoadError without a policy or a trace.
    """
    if not policies or not traces:
        raise LoadError(f"{len(policies)} policies and {len(traces)} traces make no duel: give one of each, or more.")
    scores = {
        name: Score(tuple(simulate(policy, trace, **setting) for trace in traces)) for name, policy in policies.items()
    }
    absent = tuple(name for name, score in scores.items() if not score.runs[0].samples)
    took_part = {name: score for name, score in scores.items() if name not in absent}
    return Duel(took_part, _oracles(traces, setting), absent)


def _oracles(traces: Sequence[Trace], setting: Setting) -> tuple[Score, ...]:
    """Their scores; none that waits longer than another and costs as much."""
    scores = []
    for spare, target in [*((spare, 0.0) for spare in SPARE), *((0, target) for target in TARGETS_SECONDS)]:
        ways = [oracle(trace, spare=spare, target_seconds=target, **setting) for trace in traces]
        scores.append(Score(tuple(simulate(way, trace, **setting) for way, trace in zip(ways, traces, strict=True))))
    best: list[Score] = []
    for score in sorted(scores, key=lambda score: (score.p95_wait, score.cost)):
        if not best or score.cost < best[-1].cost:
            best.append(score)
    return tuple(best)
