"""Measure what the project promises, side by side in one run: a table, and build/bench.json.

scale_out_seconds           from the call to six servers serving, median of RUNS, through shade
scale_out_libcloud_seconds  the same through libcloud
stack_pss_mb                memory (PSS) of the embedded cloud and six servers, at its highest under load
one_worker_per_second, three_workers_per_second, three_workers_vs_one
                            throughput on m1.tiny (a quarter of a core), alternating in one run; median ratio
"""

import json
import os
import platform
import statistics
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic

import faafo_lab
from faafo_lab import load
from faafo_lab.cloud.emulator import control
from faafo_lab.paths import embedded_state_dir
from faafo_lab.topology import Topology
from faafo_lab.workbook import own_home

RUNS = 3
TASKS, WARM_UP_TASKS = 45, 8
SAMPLE_SECONDS = 0.5
BUILD = Path(__file__).resolve().parent.parent / "build"


def main() -> int:
    """Run every measurement; returns the exit status."""
    figures: dict[str, tuple[float, str]] = {}
    for backend, name in (("shade", "scale_out_seconds"), ("libcloud", "scale_out_libcloud_seconds")):
        times = []
        for _ in range(RUNS):
            with own_home(FAAFO_LAB_BACKEND=backend, FAAFO_LAB_CLOUD="embedded"):
                app = quiet_topology()
                started = monotonic()
                app.deploy(api=2, worker=3)
                times.append(monotonic() - started)
        figures[name] = (statistics.median(times), "s")
        print(f"scale-out through {backend}: {', '.join(f'{t:.1f}' for t in times)} s", flush=True)
    with own_home(FAAFO_LAB_CLOUD="embedded"):
        figures |= throughput_and_memory()
    from workbook import figures as of_workbook  # which uses this module's gauges

    figures |= of_workbook()
    show(figures)
    return 0


def throughput_and_memory() -> dict[str, tuple[float, str]]:
    """One worker against three, the same tasks, alternating; the whole stack's memory meanwhile."""
    app = quiet_topology().deploy(api=2, worker=3)
    running = control.status(embedded_state_dir(os.environ))
    assert running is not None
    rates: dict[int, list[float]] = {1: [], 3: []}
    done = 0
    with peak_memory(running.pid) as peak:
        for _ in range(RUNS):
            for workers in (1, 3):
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
    ratios = [three / one for one, three in zip(rates[1], rates[3], strict=True)]
    return {
        "one_worker_per_second": (statistics.median(rates[1]), "fractals/s"),
        "three_workers_per_second": (statistics.median(rates[3]), "fractals/s"),
        "three_workers_vs_one": (statistics.median(ratios), "ratio"),
        "takeover_seconds": (statistics.median(takeovers), "s"),
        "stack_pss_mb": (max(peak), "MB"),
    }


def takeover(app: Topology) -> float:
    """Delete the worker that has a large fractal in hand; how long until another has it (seconds)."""
    app.deploy(api=2, worker=3)
    [task] = load.same_tasks(1, width=3000, height=2000, iterations=2000, seed=int(monotonic() * 1000))
    load.create(app.endpoints, [task], progress=False)

    def at_work() -> set[str]:
        return {node["name"] for node in app.nodes() if node["state"] != "lost" and task["uuid"] in node["working_on"]}

    app.cloud.wait_until(lambda: bool(at_work()), "a worker to take the task", timeout_seconds=60)
    [victim] = at_work()
    app.cloud.delete_servers([victim])
    ended = monotonic()
    app.cloud.wait_until(lambda: bool(at_work() - {victim}), "another worker to take it", timeout_seconds=60)
    seconds = monotonic() - ended
    app.cloud.wait_until(lambda: not app.stats()["working"], "the task to be done", timeout_seconds=120)
    return seconds


def quiet_topology() -> Topology:
    """The application on this home's embedded cloud, without a word for each step."""
    return Topology(faafo_lab.connect(), say=lambda line: None)


@contextmanager
def peak_memory(root: int) -> Iterator[list[float]]:
    """Sample the memory of a process and all its descendants in the background; the list grows, in MB."""
    samples = [pss_mb(root)]
    stop = threading.Event()

    def run() -> None:
        while not stop.wait(SAMPLE_SECONDS):
            samples.append(pss_mb(root))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield samples
    finally:
        stop.set()
        thread.join()


def pss_mb(root: int) -> float:
    """Proportional set size of a process and its descendants, in MB (/proc/PID/smaps_rollup)."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
    family = {root}
    while True:
        more = {pid for pid, parent in parents.items() if parent in family} - family
        if not more:
            break
        family |= more
    total_kb = 0
    for pid in family:
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total_kb += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total_kb / 1000


def show(figures: dict[str, tuple[float, str]]) -> None:
    """Print the table and write build/bench.json."""
    cores = len(os.sched_getaffinity(0))
    print(f"\n{cores} cores, {platform.machine()}, Python {platform.python_version()}")
    for name, (value, unit) in figures.items():
        print(f"  {name:28} {value:10.2f} {unit}")
    BUILD.mkdir(exist_ok=True)
    target = BUILD / "bench.json"
    known = json.loads(target.read_text()) if target.exists() else {}
    known |= {name: {"value": round(value, 4), "unit": unit} for name, (value, unit) in figures.items()}
    known["cores"] = {"value": cores, "unit": "cores"}
    target.write_text(json.dumps(known, indent=2) + "\n")
    print(f"written: build/{target.name}")


if __name__ == "__main__":
    sys.exit(main())
