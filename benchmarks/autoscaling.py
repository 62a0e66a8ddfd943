"""Measure the autoscaler: how soon enough workers serve after a step of load.

autoscale_seconds           from a step from half a worker's worth of load to six workers' worth until six are ready,
                            with the policy QueueAge as it is; median of RUNS, on m1.tiny (a quarter of a core)
"""

import statistics
import time

from measure import Figures
from scaling import quiet_topology

from faafo_lab import load
from faafo_lab.autoscale import Autoscaler, QueueAge
from faafo_lab.topology import Topology
from faafo_lab.workbook import own_home

RUNS = 3
ENOUGH = 6
TASK_SECONDS, BEFORE_SECONDS, STEP_SECONDS = 0.25, 8.0, 30.0
BEFORE_WORKERS = 0.5


def figures() -> Figures:
    """All of it, by name."""
    with own_home(FAAFO_LAB_CLOUD="embedded"):
        app = quiet_topology().deploy(api=1, worker=1)
        work = load.calibrate(app)
        seconds = [step(app, work) for _ in range(RUNS)]
    print(f"a step to {ENOUGH} workers' worth: {', '.join(f'{each:.1f}' for each in seconds)} s", flush=True)
    return {"autoscale_seconds": (statistics.median(seconds), "s")}


def step(app: Topology, work: load.Work) -> float:
    """How long it takes from the step until enough workers are ready."""
    app.scale(worker=1)
    before, after = (number / TASK_SECONDS for number in (BEFORE_WORKERS, ENOUGH))
    calm = work.tasks(int(before * BEFORE_SECONDS), TASK_SECONDS)
    busy = work.tasks(int(after * STEP_SECONDS), TASK_SECONDS)
    with Autoscaler(app, QueueAge(), maximum=ENOUGH) as scaler:
        load.run(app.endpoints, loop="open", rate=before, seconds=BEFORE_SECONDS, tasks=calm, progress=False)
        sending = load.start(app.endpoints, loop="open", rate=after, seconds=STEP_SECONDS, tasks=busy)
        stepped = time.monotonic()
        app.cloud.wait_until(lambda: scaler.samples[-1].workers >= ENOUGH, "enough workers", progress=False)
        seconds = time.monotonic() - stepped
        sending.stop()
    app.cloud.wait_until(lambda: not app.stats()["waiting"] + app.stats()["working"], "the queue is empty")
    return seconds
