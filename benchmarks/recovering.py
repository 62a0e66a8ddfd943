"""How long until the application is well again after a part of it was killed, with two busy workers and one API.

recovery_seconds_worker, recovery_seconds_api, recovery_seconds_broker, recovery_seconds_database
                         from the kill (SIGKILL of the service's processes) until every order that was in work or
                         waiting is made, and one more that is placed from the kill on: the median of SEEDS seeds
recovery_seconds_…_worst the longest of them

The time of the fractals counts, too: each takes a worker WORKER_TASK_SECONDS where one is killed (it must have the
order when it dies: else that kill does not count), and TASK_SECONDS otherwise.
"""

import random
import statistics
from collections.abc import Sequence
from time import monotonic, sleep

from measure import Figures
from servers import until

import faafo_lab
from faafo_lab import chaos, load
from faafo_lab.topology import NoAnswer, Topology
from faafo_lab.workbook import own_home

SEEDS = 10
WORKERS = 2
TASK_SECONDS = 2.0
WORKER_TASK_SECONDS = 6.0
LIMIT_SECONDS = 120.0
RETRY_SECONDS = 0.05
PARTS = {
    "worker": ("app-worker-1", "faafo-worker"),
    "api": ("app-api-1", "faafo-api"),
    "broker": ("app-services", "faafo-messaging"),
    "database": ("app-services", "faafo-database"),
}


def figures() -> Figures:
    """All of it, by name."""
    found: dict[str, list[float]] = {part: [] for part in PARTS}
    with own_home(FAAFO_LAB_CLOUD="embedded"):
        app = Topology(faafo_lab.connect(), say=lambda line: None).deploy(api=1, worker=WORKERS)
        work = load.calibrate(app)
        for seed in range(SEEDS):
            for part in PARTS:  # in turn: a supervisor gives up a service that dies five times in a minute
                found[part].append(recovery(app, work, part, random.Random(f"{seed}/{part}")))
        app.destroy()
    for part, seconds in found.items():
        print(f"{part} killed, well again: {', '.join(f'{t:.1f}' for t in sorted(seconds))} s", flush=True)
    medians = {f"recovery_seconds_{part}": (statistics.median(times), "s") for part, times in found.items()}
    return medians | {f"recovery_seconds_{part}_worst": (max(times), "s") for part, times in found.items()}


def recovery(app: Topology, work: load.Work, part: str, chance: random.Random) -> float:
    """Kill this part at a moment by chance; returns the seconds until all is well again."""
    app.wait_serving()
    server, service = PARTS[part]
    orders = work.tasks(WORKERS + 1, WORKER_TASK_SECONDS if part == "worker" else TASK_SECONDS)
    load.create(app.endpoints, orders[:-1], progress=False)
    until("a worker at work", lambda: at_work(app, orders))
    sleep(chance.uniform(0, TASK_SECONDS / 2))
    if part == "worker":
        server = next(iter(at_work(app, orders)), server)
    with chaos.kill(app, server, service=service):
        begun = monotonic()
        while not all(row.ok for row in load.create(app.endpoints, orders[-1:], progress=False)):
            sleep(RETRY_SECONDS)
        left = {order["uuid"] for order in orders}

        def made() -> bool:
            try:
                left.difference_update(one["uuid"] for one in app.api.newest(len(orders)))
            except NoAnswer:
                return False
            return not left

        while not made():
            if monotonic() - begun > LIMIT_SECONDS:
                raise RuntimeError(f"{service} on {server} was killed, and {len(left)} orders were not made")
            sleep(RETRY_SECONDS)
        seconds = monotonic() - begun
    uuids = {order["uuid"] for order in orders}
    if part == "worker" and not any(one["lost"] for one in app.fractals() if one["uuid"] in uuids):
        return recovery(app, work, part, chance)
    return seconds


def at_work(app: Topology, orders: Sequence[load.Task]) -> list[str]:
    """The names of the workers that have one of these orders."""
    uuids = {order["uuid"] for order in orders}
    return [one["leased_by"] for one in app.fractals() if one["uuid"] in uuids and one["leased_by"]]
