"""What the benchmarks share: memory gauges, the table and build/bench.json."""

import json
import os
import platform
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

Figures = dict[str, tuple[float, str]]  # name: (value, unit)

SAMPLE_SECONDS = 0.5
TARGET = Path(__file__).resolve().parent.parent / "build" / "bench.json"


@contextmanager
def peak(gauge: Callable[[], float]) -> Iterator[list[float]]:
    """Read a gauge every SAMPLE_SECONDS in the background; the list grows, and has at least one value."""
    samples = [gauge()]
    stop = Event()

    def sample() -> None:
        while not stop.wait(SAMPLE_SECONDS):
            samples.append(gauge())

    thread = Thread(target=sample, daemon=True)
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


def keep(figures: Mapping[str, tuple[float, str]]) -> None:
    """Print the figures as a table and write them into build/bench.json, beside those of other runs."""
    cores = len(os.sched_getaffinity(0))
    print(f"\n{cores} cores, {platform.machine()}, Python {platform.python_version()}")
    for name, (value, unit) in figures.items():
        print(f"  {name:28} {value:10.2f} {unit}")
    TARGET.parent.mkdir(exist_ok=True)
    known = json.loads(TARGET.read_text()) if TARGET.exists() else {}
    known |= {name: {"value": round(value, 4), "unit": unit} for name, (value, unit) in figures.items()}
    known["cores"] = {"value": cores, "unit": "cores"}
    TARGET.write_text(json.dumps(known, indent=2) + "\n")
    print(f"written: {TARGET.parent.name}/{TARGET.name}\n", flush=True)
