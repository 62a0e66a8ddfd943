"""Measure the worker's computing, side by side in one process: TASKS fractals of 952×382 pixels and 512 iterations.

kernel_vs_python    the plain Python loop's time against the kernel's
kernel_vs_c         the kernel's time against that of kernel.c: the same loops and pixels, gcc -O3 -march=native
png_vs_pillow       Pillow's time for an RGB PNG of the same pixels against ours, from rows to file
png_size_vs_pillow  our file's size against Pillow's
kernel_on_server    the time of the machine code that servers get, against that of llvmlite's for this very processor
kernel_start_cpu_seconds    loading llvmlite and making the machine code, in a fresh process
"""

import copy
import ctypes
import io
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from uuid import UUID

from measure import Figures
from PIL import Image

from faafo_lab.app import fractal, kernel, llvm, png
from faafo_lab.app.julia import COLOURS, Task, constant, pixels

TASKS = [Task(str(UUID(int=number)), 952, 382, 512, -1.5, 1.5, -1.0, 1.0) for number in range(7, 12)]
RUNS = 15  # of which the median counts; of the slow ones, which vary less, SLOW_RUNS
SLOW_RUNS = 3
SOURCE = Path(__file__).with_name("kernel.c")
# No fused multiply-add, which Python does not have: the pixels are to be the same.
COMPILER = ("gcc", "-O3", "-march=native", "-ffp-contract=off", "-shared", "-fPIC")
START = """
import time
started = time.process_time()
from faafo_lab.app import kernel
kernel.Compiled(False)
print(time.process_time() - started)
"""


def figures() -> Figures:
    """All of it, by name."""
    ours = fractal.this_machine(False)
    pairs = [(0.0, 0.0)] * SLOW_RUNS
    for task in TASKS:
        for run, (before, before_python) in enumerate(pairs):
            mine = statistics.median(rendered(ours, task) for _ in range(RUNS))
            pairs[run] = before + mine, before_python + seconds(lambda: pixels(task), 1)  # noqa: B023
    print(f"{len(TASKS)} fractals (kernel, Python): {', '.join(f'{k * 1e3:.1f}, {p * 1e3:.0f} ms' for k, p in pairs)}")
    starts = [float(subprocess.check_output([sys.executable, "-c", START])) for _ in range(SLOW_RUNS)]
    return {
        "kernel_vs_python": (statistics.median(python / mine for mine, python in pairs), "times"),
        **against_c(ours),
        **on_a_server(ours),
        **against_pillow(),
        "kernel_start_cpu_seconds": (statistics.median(starts), "s"),
    }


def against_c(ours: kernel.Compiled) -> Figures:
    """The kernel and its like in C, alternating; nothing where there is no compiler."""
    if not shutil.which(COMPILER[0]):
        print(f"kernel_vs_c: skipped, there is no {COMPILER[0]} here")
        return {}
    with tempfile.TemporaryDirectory() as place:
        library = Path(place) / "kernel.so"
        subprocess.run([*COMPILER, "-o", library, SOURCE], check=True)
        loaded = ctypes.CDLL(str(library))
        theirs = copy.copy(ours)
        theirs.columns, theirs.kernel = loaded.columns(), kernel.PROTOTYPE(("strip", loaded))
        pairs = [(0.0, 0.0)] * RUNS
        for task in TASKS:
            if shown(ours, task) != shown(theirs, task):
                raise RuntimeError(f"C computes other pixels: {task}")
            for run, (before, before_c) in enumerate(pairs):
                pairs[run] = before + rendered(ours, task), before_c + rendered(theirs, task)
    print(f"C: {statistics.median(c for _, c in pairs) * 1e3:.1f} ms")
    return {"kernel_vs_c": (statistics.median(mine / c for mine, c in pairs), "ratio")}


def on_a_server(ours: kernel.Compiled) -> Figures:
    """The kernel and the one of the lab's wheel, alternating."""
    with tempfile.TemporaryDirectory() as place:
        for name, code in llvm.files().items():
            Path(place, name).write_bytes(code)
        before, kernel.MACHINE_CODE = kernel.MACHINE_CODE, Path(place)
        theirs = kernel.Compiled(False)
        kernel.MACHINE_CODE = before
        if shown(ours, TASKS[0]) != shown(theirs, TASKS[0]):
            raise RuntimeError("the machine code for servers computes other pixels")
        pairs = [(rendered(ours, task), rendered(theirs, task)) for _ in range(RUNS) for task in TASKS]
    return {"kernel_on_server": (statistics.median(server / mine for mine, server in pairs), "ratio")}


def against_pillow() -> Figures:
    """The same pixels as PNG files, by us and by Pillow in RGB."""
    mine = pillow = 0.0
    sizes, pillow_sizes = 0, 0
    for task in TASKS:
        strips = [memoryview(bytes(strip)) for strip in fractal.strips(task)]
        image = Image.frombytes("RGB", (task.width, task.height), rgb(strips, task))
        ours, theirs = io.BytesIO(), io.BytesIO()
        png.write(ours, task.width, task.height, fractal.PALETTE, strips)
        image.save(theirs, "PNG")
        if Image.open(ours).convert("RGB").tobytes() != image.tobytes():
            raise RuntimeError(f"the PNG shows something else: {task}")
        sizes, pillow_sizes = sizes + ours.tell(), pillow_sizes + theirs.tell()
        mine += seconds(lambda: png.write(io.BytesIO(), task.width, task.height, fractal.PALETTE, strips))  # noqa: B023
        pillow += seconds(lambda: image.save(io.BytesIO(), "PNG"), SLOW_RUNS)  # noqa: B023
    print(f"PNG: {mine * 1e3:.1f} ms and {sizes} bytes, Pillow {pillow * 1e3:.0f} ms and {pillow_sizes} bytes")
    return {"png_vs_pillow": (pillow / mine, "times"), "png_size_vs_pillow": (sizes / pillow_sizes, "ratio")}


def rgb(strips: list[memoryview], task: Task) -> bytes:
    """The colours of a picture's rows, three bytes a pixel."""
    row_bytes = task.width + 1
    flat = b"".join(strips)
    indices = b"".join(flat[start + 1 : start + row_bytes] for start in range(0, len(flat), row_bytes))
    return b"".join(bytes(COLOURS[index]) for index in indices)


def rendered(machine: kernel.Compiled, task: Task) -> float:
    """Seconds that a machine needs for a picture's pixels; its c is drawn before, in Python for both."""
    constant(task)
    started = perf_counter()
    for _ in fractal.strips(task, machine):
        pass
    return perf_counter() - started


def shown(machine: kernel.Compiled, task: Task) -> bytes:
    """What a machine makes of it."""
    return b"".join(bytes(strip) for strip in fractal.strips(task, machine))


def seconds(work: Callable[[], object], runs: int = RUNS) -> float:
    """The median time of some runs, in seconds."""
    times = []
    for _ in range(runs):
        started = perf_counter()
        work()
        times.append(perf_counter() - started)
    return statistics.median(times)
