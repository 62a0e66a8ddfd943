"""Measure scaling out: its duration, throughput and memory use, and the time until a lost task is taken over.

scale_out_seconds           from the call to six servers serving, median of RUNS, through shade
scale_out_libcloud_seconds, scale_out_openstacksdk_seconds
                            the same through the other backends
deploy_calls_BACKEND        the HTTP calls of it; a poll that is repeated counts once
deploy_client_seconds_BACKEND
                            the lab's own time on the client for it: this process's CPU, which no wait counts
stack_pss_mb                memory (PSS) of the embedded cloud and six servers, at its highest under load
one_worker_per_second, three_workers_per_second, three_workers_vs_one
                            throughput on m1.tiny (a quarter of a core), alternating in one run; median ratio
scaling_efficiency_3, scaling_efficiency_6
                            throughput of so many workers against as many times the throughput of one; six need 1.5
                            cores beside what the embedded cloud and the APIs need
takeover_seconds            from the deletion of a worker to another one that has its task
"""

import os
import statistics
from itertools import groupby
from time import monotonic, process_time

from measure import Figures, peak, pss_mb

import faafo_lab
from faafo_lab import load
from faafo_lab.cloud import BACKENDS
from faafo_lab.cloud.emulator import control
from faafo_lab.cloud.tape import MOST_CALLS_KEPT
from faafo_lab.paths import embedded_state_dir
from faafo_lab.topology import Topology
from faafo_lab.workbook import own_home

RUNS = 3
TASKS, WARM_UP_TASKS = 45, 8
WORKERS = (1, 3, 6)


def figures() -> Figures:
    """All of it, by name."""
    found: Figures = {}
    for backend in BACKENDS:
        seconds, calls, client = zip(*(deployment(backend) for _ in range(RUNS)), strict=True)
        name = "scale_out_seconds" if backend == "shade" else f"scale_out_{backend}_seconds"
        found[name] = (statistics.median(seconds), "s")
        found[f"deploy_calls_{backend}"] = (statistics.median(calls), "calls")
        found[f"deploy_client_seconds_{backend}"] = (statistics.median(client), "s")
        print(f"scale-out through {backend}: {', '.join(f'{t:.1f}' for t in seconds)} s", flush=True)
    with own_home(FAAFO_LAB_CLOUD="embedded"):
        return found | throughput_and_memory()


def deployment(backend: str) -> tuple[float, int, float]:
    """From the call to six servers serving: seconds, HTTP calls, seconds of CPU on the client."""
    with own_home(FAAFO_LAB_BACKEND=backend, FAAFO_LAB_CLOUD="embedded"):
        app = quiet_topology()
        started, worked = monotonic(), process_time()
        app.deploy(api=2, worker=3)
        seconds, client = monotonic() - started, process_time() - worked
        calls = app.cloud.tape(last=MOST_CALLS_KEPT).calls
        return seconds, sum(1 for _ in groupby((call.method, call.url) for call in calls)), client


def throughput_and_memory() -> Figures:
    """One worker against several, the same tasks, alternating; the whole stack's memory meanwhile."""
    app = quiet_topology().deploy(api=2, worker=3)
    running = control.status(embedded_state_dir(os.environ))
    assert running is not None
    rates: dict[int, list[float]] = {workers: [] for workers in WORKERS}
    done = 0
    with peak(lambda: pss_mb(running.pid)) as memory:
        for _ in range(RUNS):
            for workers in WORKERS:
                app.scale(worker=workers)
                # Fresh workers load what they need with their first task, and spend what is left of a launch credit.
                for number in (WARM_UP_TASKS * workers, TASKS):
                    timeline = load.Timeline()
                    start = timeline.mark("start")
                    load.create(app.endpoints, load.same_tasks(done + number)[done:], progress=False)
                    done += number
                    load.watch(app, done=done)
                timeline.collect(app.endpoint)
                rates[workers].append(timeline.rate(start, timeline.mark("end")))
                print(f"{workers} workers: {rates[workers][-1]:.2f} fractals/s", flush=True)
        takeovers = [takeover(app) for _ in range(RUNS)]
    print(f"a deleted worker's task taken over: {', '.join(f'{t:.1f}' for t in takeovers)} s", flush=True)
    ratios = {
        workers: statistics.median(several / one for one, several in zip(rates[1], rates[workers], strict=True))
        for workers in WORKERS
    }
    return {
        "one_worker_per_second": (statistics.median(rates[1]), "fractals/s"),
        "three_workers_per_second": (statistics.median(rates[3]), "fractals/s"),
        "three_workers_vs_one": (ratios[3], "ratio"),
        "scaling_efficiency_3": (ratios[3] / 3, "ratio"),
        "scaling_efficiency_6": (ratios[6] / 6, "ratio"),
        "takeover_seconds": (statistics.median(takeovers), "s"),
        "stack_pss_mb": (max(memory), "MB"),
    }


def takeover(app: Topology) -> float:
    """Delete the worker that works on a large fractal; how long until another one takes it over (seconds)."""
    app.deploy(api=2, worker=3)
    [task] = load.same_tasks(1, width=6000, height=4000, seed=int(monotonic() * 1000))
    load.create(app.endpoints, [task], progress=False)

    def at_work() -> set[str]:
        return {node["name"] for node in app.nodes() if node["state"] != "lost" and task["uuid"] in node["working_on"]}

    app.cloud.wait_until(lambda: bool(at_work()), "the task's first worker", timeout_seconds=60)
    [victim] = at_work()
    app.cloud.delete_servers([victim])
    ended = monotonic()
    app.cloud.wait_until(lambda: bool(at_work() - {victim}), "the task's second worker", timeout_seconds=60)
    seconds = monotonic() - ended
    app.cloud.wait_until(lambda: not app.stats()["working"], "the task's end", timeout_seconds=120)
    return seconds


def quiet_topology() -> Topology:
    """The application on this home's embedded cloud, without a word for each step."""
    return Topology(faafo_lab.connect(), say=lambda line: None)
