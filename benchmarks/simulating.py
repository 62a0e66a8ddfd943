"""Scaling policies in the simulator: how often they change direction, and what they cost beside an oracle.

autoscale_flaps_POLICY           changes of direction on a load that swings between 1 and 3 workers' worth for two
                                 minutes of simulated time: the most of PERIODS_SECONDS and SEEDS
autoscale_cost_vs_oracle_POLICY  server-minutes beside an oracle's, which knows the load and whose tasks wait as long
                                 (p95), over random traces of four minutes
autoscale_p95_wait_POLICY        that wait, of the oldest task
simulated_run_ms                 of this machine's time, for a run of four minutes
"""

from time import process_time

from measure import Figures

from faafo_lab import autoscale
from faafo_lab.autoscale import POLICIES, Naive, Policy, Trace, simulate

MAXIMUM = 6
PERIODS_SECONDS = (20.0, 40.0, 60.0)
SEEDS = range(5)
RUNS = 20
# A worker computes one task at a time, so its load average never passes 1, which is the naive loop's default.
BUSY = 0.7


def figures() -> Figures:
    """All of it, by name."""
    policies: dict[str, Policy] = {name: policy() for name, policy in POLICIES.items()} | {"naive": Naive(BUSY)}
    waves = [Trace.wave(period_seconds=period, seconds=120, seed=seed) for period in PERIODS_SECONDS for seed in SEEDS]
    duel = autoscale.duel(policies, [Trace.random(seed) for seed in SEEDS], maximum=MAXIMUM)
    print(duel, flush=True)
    found: Figures = {}
    for name, policy in policies.items():
        flaps = max(simulate(policy, wave, maximum=MAXIMUM).flaps for wave in waves)
        found[f"autoscale_flaps_{name}"] = (flaps, "changes of direction")
        found[f"autoscale_cost_vs_oracle_{name}"] = (duel.times_oracle(name), "ratio")
        found[f"autoscale_p95_wait_{name}"] = (duel[name].p95_wait, "s")
    started = process_time()
    for seed in range(RUNS):
        simulate(policies["target-tracking"], Trace.random(seed), maximum=MAXIMUM)
    found["simulated_run_ms"] = ((process_time() - started) / RUNS * 1000, "ms")
    return found
