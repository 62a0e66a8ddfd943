"""The simulation against the embedded cloud: the same policy, the same step of load, and how far it is off."""

from itertools import pairwise
from statistics import median

import pytest

import faafo_lab
from faafo_lab import autoscale, load
from faafo_lab.autoscale import QueueAge, Run, Trace, simulate
from faafo_lab.autoscale.loop import STEPS, TASK_SECONDS
from faafo_lab.topology import Topology
from faafo_lab.workbook import own_home

SECONDS, MAXIMUM = 45.0, 4
# How far off it may be. Measured three times, on two cores that much else kept busy: server-minutes by 6, 7 and 20 %,
# the worst wait by 0.5 s (of 4.2), 2.1 s (of 3.6) and 3.4 s (of 10.4), and always as many workers.
COST_OFF, WAIT_OFF, WAIT_OFF_SECONDS = 0.3, 0.5, 2.5
BUSY = 5  # waiting tasks at least, where workers are known to be busy all the time


def task_seconds(run: Run) -> float:
    """How long a task kept a worker busy, while all of them were."""
    pairs = [
        (one.workers * (after.at - one.at), (after.rate or 0.0) * (after.at - one.at))
        for one, after in pairwise(run.samples)
        if min(one.waiting or 0, after.waiting or 0) >= BUSY and one.workers == after.workers
    ]
    return sum(worked for worked, _ in pairs) / sum(done for _, done in pairs)


def boot_seconds(run: Run) -> float:
    """From a decision for more workers until all of them are ready, the median."""
    took = []
    for one, after in pairwise(run.samples):
        if after.wanted > one.wanted:
            ready = (sample.at for sample in run.samples if sample.at > one.at and sample.workers >= after.wanted)
            took += [at - one.at for at in ready][:1]
    return median(took)


@pytest.mark.alone
def test_the_simulation_of_a_step_is_near_to_the_cloud() -> None:
    with own_home(FAAFO_LAB_CLOUD="embedded"):
        app = Topology(faafo_lab.connect(), say=lambda line: None).deploy(api=1, worker=1)
        real = autoscale.run(app, QueueAge(), load.calibrate(app), seconds=SECONDS, maximum=MAXIMUM)
    task, boot = task_seconds(real), boot_seconds(real)
    # What this machine takes for a task and for a boot is told to the simulation; all else is its own.
    loads = [(SECONDS / len(STEPS), share * task / TASK_SECONDS) for share in STEPS]
    simulated = simulate(
        QueueAge(), Trace.steps(*loads, even=True), maximum=MAXIMUM, task_seconds=task, boot_seconds=boot
    )
    print(f"a task {task:.2f} s, a boot {boot:.1f} s\ncloud:      {real}\nsimulation: {simulated}")
    assert simulated.server_minutes == pytest.approx(real.server_minutes, rel=COST_OFF)
    assert simulated.worst_wait == pytest.approx(real.worst_wait, rel=WAIT_OFF, abs=WAIT_OFF_SECONDS)
    assert abs(simulated.most_workers - real.most_workers) <= 1
    assert abs(simulated.changes - real.changes) <= 2
