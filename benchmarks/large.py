"""Measure the original's own load: ``faafo create --height 9999 --width 9999 --tasks 5`` on one worker without a cap.

seed_load_vs_kernel      kernel and PNG together, against the kernel alone, for the five pictures (sums, one process)
seed_load_peak_mb        memory of the worker at its highest (VmHWM), with a real API, PostgreSQL and Valkey
seed_load_api_peak_mb    the same of the API, through which the pictures go into the database
seed_load_seconds        from the command to the last picture
"""

import tempfile
from pathlib import Path
from time import monotonic, perf_counter, sleep

from measure import Figures

from faafo_lab.app import fractal
from faafo_lab.app.julia import Task
from tests.app.deployment import Deployment

SIZE, TASKS = 9999, 5
LIMIT_SECONDS = 900.0
FIELDS = ("uuid", "width", "height", "iterations", "xa", "xb", "ya", "yb")


def figures() -> Figures:
    """The figures of the large pictures, by name, with their unit."""
    tasks, measured = deployed()
    fractal.this_machine(False)
    alone = both = 0.0
    for task in tasks:
        started = perf_counter()
        for _ in fractal.strips(task):
            pass
        kernel = perf_counter() - started
        with tempfile.TemporaryFile() as file:
            started = perf_counter()
            fractal.write_png(task, file)
            together = perf_counter() - started
            size = file.tell()
        alone, both = alone + kernel, both + together
        print(
            f"{task.iterations} iterations, {size / 1e6:.1f} MB: kernel {kernel:.2f} s, with PNG {together:.2f} s",
            flush=True,
        )
    return {"seed_load_vs_kernel": (both / alone, "ratio")} | measured


def deployed() -> tuple[list[Task], Figures]:
    """Run the command against real servers: its tasks, and what they took."""
    machine = Deployment()
    try:
        machine.database()
        machine.messaging()
        client = machine.api()
        machine.worker("worker")
        started = monotonic()
        options = ["create", "--height", str(SIZE), "--width", str(SIZE), "--tasks", str(TASKS)]
        done = machine.run("cli", *options)
        if done.returncode:
            raise RuntimeError(done.stderr)
        while client.get("/v1/stats").json()["done"] < TASKS:
            if monotonic() - started > LIMIT_SECONDS:
                raise TimeoutError(f"{TASKS} pictures took more than {LIMIT_SECONDS:.0f} s:\n{machine.log('worker')}")
            sleep(0.2)
        seconds = monotonic() - started
        shown = client.get("/v1/fractal").json()["objects"]
        lost = [one["uuid"] for one in shown if one["attempts"] != 1]
        if lost:
            raise RuntimeError(f"a worker's lease ended while it was at work: {', '.join(lost)}")
        peaks = {name: peak_mb(machine.processes[name].pid) for name in ("worker", "api")}
    finally:
        machine.close()
    return [Task(**{name: one[name] for name in FIELDS}) for one in shown], {
        "seed_load_peak_mb": (peaks["worker"], "MB"),
        "seed_load_api_peak_mb": (peaks["api"], "MB"),
        "seed_load_seconds": (seconds, "s"),
    }


def peak_mb(pid: int) -> float:
    """The most memory that a process has had, in MB (VmHWM in proc(5))."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1000
