"""Work measured out in seconds, so that a chapter looks the same on machines that are ten times apart.

    work = load.calibrate(app)                # one worker makes a few fractals; remembered for this cloud and flavor
    work.tasks(15, seconds=0.3)               # 15 new ones, each of which keeps one worker busy for about 0.3 s
    work.same_tasks(15, seconds=0.3)          # always the same ones

A fractal costs as many *steps* as its pixels take to escape, about PIXEL_STEPS more for each pixel's place in the PNG,
and TASK_STEPS for its way from the queue and to the API. How many steps a pixel takes on average depends on the
constant c, and so on the uuid: it is computed on a coarse grid, and the picture gets as many pixels as make up the
wanted cost. So any tasks of equal `seconds` cost the same.
"""

import json
import math
import uuid
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np

from faafo_lab.app import julia
from faafo_lab.cloud.config import EMBEDDED
from faafo_lab.cloud.marks import ROLE_KEY
from faafo_lab.load.errors import LoadError
from faafo_lab.load.fitting import fit
from faafo_lab.load.host import SHORT_OF, IdleCpu
from faafo_lab.load.tasks import BOX, ITERATIONS, SEED, Task
from faafo_lab.load.timeline import Done, finish
from faafo_lab.paths import make_home, write_whole
from faafo_lab.topology import ROLES, Topology
from faafo_lab.topology.api import LOST

SECONDS = 0.3  # of a task, unless told otherwise
PIXEL_STEPS = 19.0  # what a pixel costs besides its own steps, measured: compression, and the way to the API
TASK_STEPS = 6e6  # what a fractal costs besides its pixels, measured: a lease, a request, a row
GRID = (48, 32)  # of the pixels whose steps are counted: within 1 % of a fine grid's mean
ASPECT = 1.5  # width to height
SIDE_MAX_PIXELS = 10_000  # as the application accepts it
FIRST_GUESS = 2e7  # steps per second of a slow worker
PROBE_SECONDS = 0.2  # how long a fractal that measures takes
CONFIRMING, MEASURING = 5, 10  # how many of them each worker makes
ROUNDS_MAX = 6
OFF = 1.25  # a remembered value that is off by this factor is measured again


@dataclass(frozen=True)
class Work:
    """How much one worker of a cloud and flavor computes in a second of the wall clock."""

    steps_per_second: float

    def tasks(self, number: int, seconds: float = SECONDS) -> list[Task]:
        """So many new tasks, each of which keeps one worker busy for about this long. Raises LoadError."""
        return [self._task(uuid.uuid4(), seconds) for _ in range(self._checked(number, seconds))]

    def same_tasks(self, number: int, seconds: float = SECONDS, seed: int = SEED) -> list[Task]:
        """As `tasks`, and the same ones for the same number, seconds and seed. Raises LoadError."""
        space = uuid.uuid5(uuid.NAMESPACE_URL, f"faafo-lab/{seed}/{seconds!r}/{self.steps_per_second!r}")
        names = (uuid.uuid5(space, str(index)) for index in range(self._checked(number, seconds)))
        return [self._task(name, seconds) for name in names]

    def seconds(self, task: Task) -> float:
        """How long this task keeps one worker busy, by calculation."""
        pixels = int(task["width"]) * int(task["height"])
        return (TASK_STEPS + pixels * _steps_per_pixel(task)) / self.steps_per_second

    def corrected(self, took: float) -> "Work":
        """The corrected value after a task of PROBE_SECONDS took so many seconds."""
        return Work(self.steps_per_second * PROBE_SECONDS / took)

    def __str__(self) -> str:
        return f"a worker computes {self.steps_per_second / 1e6:,.0f} million steps per second"

    def _task(self, name: uuid.UUID, seconds: float) -> Task:
        task = {"uuid": str(name), "width": GRID[0], "height": GRID[1], "iterations": ITERATIONS, **BOX}
        pixels = max(0.0, seconds * self.steps_per_second - TASK_STEPS) / _steps_per_pixel(task)
        height = max(GRID[1], round(math.sqrt(pixels / ASPECT)))
        width = max(GRID[0], round(pixels / height))
        if width > SIDE_MAX_PIXELS:
            raise LoadError(f"A fractal of {seconds:g} s would be {width} pixels wide: give fewer seconds.")
        return {**task, "width": width, "height": height}

    @staticmethod
    def _checked(number: int, seconds: float) -> int:
        if isinstance(number, bool) or not isinstance(number, int) or number < 0:
            raise LoadError(f"number is {number!r}: give how many tasks you want, a whole number.")
        if not 0 < seconds < math.inf:
            raise LoadError(f"seconds is {seconds!r}: give how long a task takes, a number above 0.")
        return number


def calibrate(app: Topology, *, again: bool = False) -> Work:
    """Measure what one worker of this application computes in a second; say so in a line.

    On an embedded cloud it also says, in a sentence each, where the servers' shares do not fit this machine (`fit`),
    and where the host was short of CPU meanwhile, so that the value is too low.

    The value is remembered in the lab's home for this cloud, flavor and (of an embedded cloud) processor: then a few
    fractals confirm and refine it, and it is measured anew only where they take a very different time, or with
    `again`. The fractals that measure are deleted. Raises LoadError where no worker takes tasks, and as `load.watch`
    does.
    """
    if (found := fit(app)) and not found.fits:
        app.say(str(found))
    idle = IdleCpu()
    work, words = _calibrated(app, again)
    app.say(f"calibrated: {work}{words}")
    if app.cloud.name == EMBEDDED and (left := idle.cores()) < SHORT_OF * idle.total:
        app.say(
            f"The host was short of CPU meanwhile ({left:.2f} of {idle.total:g} cores idle): end what else runs here, "
            f"then load.calibrate(app, again=True)."
        )
    return work


def _calibrated(app: Topology, again: bool) -> tuple[Work, str]:
    """What a worker computes, and words about where that is known from."""
    workers, key, values = number_of_workers(app), _key(app), _remembered()
    known = values.get(key)
    if known and not again:
        took = _seconds_each(app, Work(known).tasks(CONFIRMING * workers, PROBE_SECONDS))
        if 1 / OFF < took / PROBE_SECONDS < OFF:  # the mean of both: a busy moment then does not stay in the value
            work = Work(math.sqrt(known * Work(known).corrected(took).steps_per_second))
            _remember({**values, key: work.steps_per_second})
            return work, " (measured before, and confirmed)"
        app.say(f"a fractal took {took:.2f} s instead of {PROBE_SECONDS} s: calibrating again")
    work, took = Work(known or FIRST_GUESS), 0.0
    for _ in range(ROUNDS_MAX):  # a task far too short can't be measured well: approach step by step
        took = _seconds_each(app, work.tasks(CONFIRMING * workers, PROBE_SECONDS))
        if 1 / OFF < took / PROBE_SECONDS < OFF:
            break
        work = work.corrected(took)
    work = work.corrected(_seconds_each(app, work.tasks(MEASURING * workers, PROBE_SECONDS)))
    _remember({**values, key: work.steps_per_second})
    return work, ""


def number_of_workers(app: Topology) -> int:
    """The number of the application's running servers with a worker. Raises LoadError if none takes tasks now."""
    servers = [server for server in app.refresh().servers.values() if server.status == "ACTIVE"]
    found = [server.name for server in servers if "worker" in ROLES[server.metadata[ROLE_KEY]].nodes]
    if not found:
        raise LoadError("No worker runs that could be measured: start one, or add one with app.ensure_workers(1).")
    if all(node["drain"] or node["state"] == LOST for node in app.nodes() if node["role"] == "worker"):
        raise LoadError(
            f"No worker takes tasks ({', '.join(found)}: stopped, drained or not booted yet): start one, or wait "
            f"for it with app.wait_serving()."
        )
    return len(found)


def _seconds_each(app: Topology, tasks: Sequence[Task]) -> float:
    """How long a worker was busy with each of these tasks: from its first completion to its last where it made several,
    else the computing time that it reports. The tasks are deleted afterwards."""
    made = defaultdict[str, list[Done]](list)
    for item in finish(app, tasks):
        made[item.worker].append(item)
    app.api.delete(str(task["uuid"]) for task in tasks)
    spans = [(items[-1].at - items[0].at) / (len(items) - 1) for items in made.values() if len(items) > 1]
    return median(spans or [item.duration for items in made.values() for item in items])


def _steps_per_pixel(task: Task) -> float:
    """The mean cost of a pixel in steps, PIXEL_STEPS included."""
    width, height = GRID
    coarse = julia.Task(str(task["uuid"]), width, height, ITERATIONS, **BOX)
    real, imaginary = julia.constant(coarse)
    c = complex(real, imaginary)
    x = np.linspace(BOX["xa"], BOX["xb"], width)
    y = np.linspace(BOX["ya"], BOX["yb"], height)
    z = (x[None, :] + 1j * y[:, None]).ravel()
    steps = 0
    for _ in range(ITERATIONS):
        z = z[z.real**2 + z.imag**2 <= 4.0]
        if not z.size:
            break
        steps += z.size
        z = z * z + c
    return PIXEL_STEPS + steps / (width * height)


def _key(app: Topology) -> str:
    """A calibration's key: a cloud, a flavor with its share and, if the cloud is on this machine, the processor."""
    flavor = app.flavor.name + ("" if app.flavor.cores is None else f" {app.flavor.cores:g}")
    return " | ".join((app.cloud.name, flavor, _processor() if app.cloud.name == EMBEDDED else ""))


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def _file() -> Path:
    return make_home() / "calibration.json"


def _remembered() -> dict[str, float]:
    """Steps per second by key; empty if the file is missing or malformed."""
    try:
        values = json.loads(_file().read_text(encoding="utf-8"))
        return {str(key): float(value) for key, value in values.items() if 0 < float(value) < math.inf}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _remember(values: dict[str, float]) -> None:
    write_whole(_file(), json.dumps(values, indent=1))
