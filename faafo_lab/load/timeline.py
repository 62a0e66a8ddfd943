"""The orders' outcome: finished fractals, their workers and times, on one clock with your own events.

    timeline = Timeline(); timeline.mark("three workers")
    watch(app, done=40)                                # wait until so many are done; a moment at every look
    timeline.collect(app.endpoint)                     # ask the API what is done
    timeline.rate(start, end), timeline.makers(start, end)

`faafo_lab.load` has these names too.
"""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from faafo_lab.cloud.model import Server
from faafo_lab.cloud.waiting import Look
from faafo_lab.load.errors import LoadError
from faafo_lab.load.rows import Rows
from faafo_lab.load.runner import Endpoints
from faafo_lab.load.sending import create
from faafo_lab.load.tasks import Task
from faafo_lab.topology import Api, Moment, NoAnswer, Topology
from faafo_lab.topology.api import timestamp
from faafo_lab.topology.moment import observe

ASK_LIMIT_SECONDS = 30


@dataclass(frozen=True)
class Lost:
    """A lost attempt: the worker that had the task, its start, and the end of its lease (seconds since 1970)."""

    worker: str
    started: float
    ended: float


@dataclass(frozen=True)
class Done:
    """One finished fractal: its completion (seconds since 1970), its worker, its computing time in seconds, and
    the attempts that were lost before."""

    uuid: str
    at: float
    worker: str
    duration: float
    lost: tuple[Lost, ...] = ()


def watch(app: Topology, done: int, *, timeout_seconds: float | None = None) -> list[Moment]:
    """Watch the application until it has finished `done` fractals in all; returns a moment for each look.

    An API that is too busy to answer in time is asked again. Raises TimedOut at the limit (None: the cloud's own).
    """
    moments: list[Moment] = []

    def look() -> Look:
        try:
            moment = observe(app.servers.values(), app.api)
        except NoAnswer:
            return Look(moments[-1].done or 0 if moments else 0, done, "the API does not answer")
        moments.append(moment)
        return Look(min(done, moment.done or 0), done, f"{moment.waiting} waiting, {moment.working} in work")

    app.cloud.wait_until(look, "fractals finished in all", timeout_seconds=timeout_seconds)
    return moments


def rest(app: Topology, *, timeout_seconds: float | None = None) -> None:
    """Wait until the application says that no fractal waits or is in work. Raises TimedOut at the limit (None: the
    cloud's own)."""

    def look() -> Look:
        try:
            stats = app.stats()
        except NoAnswer:
            return Look(0, 1, "no API answers")
        return Look(int(not stats["waiting"] + stats["working"]), 1, f"{stats['waiting'] + stats['working']} to go")

    app.cloud.wait_until(look, "queue empty", timeout_seconds=timeout_seconds)


def finish(app: Topology, tasks: Sequence[Task], endpoints: Endpoints | None = None) -> list[Done]:
    """Order these tasks from the APIs (default: all in turn), wait until each is finished, whatever else is in the
    queue; the finished fractals in the order of their completion.

    Raises LoadError where an order is refused, and as `watch` does.
    """
    rows = create(endpoints or app.endpoints, tasks, progress=False)
    if not all(row.ok for row in rows):
        raise LoadError(f"Not every order was accepted: {rows.summary()}.")
    names, stats = {task["uuid"] for task in tasks}, app.stats()
    target = stats["done"] + stats["waiting"] + stats["working"]
    while True:
        watch(app, done=target)
        own = [item for item in completions(app.endpoint) if item.uuid in names]
        if len(own) == len(names):
            return sorted(own, key=lambda item: item.at)
        target = app.stats()["done"] + len(names) - len(own)  # orders that others placed later were faster


@dataclass
class Timeline:
    """What happened, on one clock: fractals finished, and events that you marked."""

    done: dict[str, Done] = field(default_factory=dict)
    events: list[tuple[float, str]] = field(default_factory=list)

    def mark(self, label: str) -> float:
        """Note an event; returns its time (seconds since 1970)."""
        now = time.time()
        self.events.append((now, label))
        return now

    def collect(self, endpoint: str) -> int:
        """Read the finished fractals from the API; returns their number."""
        finished = completions(endpoint)
        self.done.update({f"{item.uuid}@{item.at}": item for item in finished})
        return len(finished)

    def between(self, start: float, end: float) -> list[Done]:
        """The fractals that were finished in this time, in order."""
        return sorted((item for item in self.done.values() if start <= item.at <= end), key=lambda item: item.at)

    def interval(self, start: float, end: float) -> tuple[float, float]:
        """From the first to the last fractal that was finished between two times: what `rate` averages over."""
        found = self.between(start, end)
        return (found[0].at, found[-1].at) if found else (start, start)

    def rate(self, start: float, end: float) -> float:
        """Fractals per second between two times, over `interval`: those that were finished after its beginning."""
        first, last = self.interval(start, end)
        return (len(self.between(start, end)) - 1) / (last - first) if last > first else 0.0

    def makers(self, start: float = 0.0, end: float = float("inf")) -> Counter[str]:
        """The number of fractals that each worker finished in this time."""
        return Counter(item.worker for item in self.between(start, end))


def completions(endpoint: str) -> list[Done]:
    """The fractals that this API lists as finished. Raises NoAnswer."""
    return [
        Done(
            fractal["uuid"],
            timestamp(fractal["completed_at"]),
            fractal["generated_by"] or "",
            fractal["duration"] or 0.0,
            tuple(
                Lost(each["worker"], timestamp(each["started_at"]), timestamp(each["lost_at"]))
                for each in fractal["lost"]
            ),
        )
        for fractal in Api(lambda: [endpoint], timeout_seconds=ASK_LIMIT_SECONDS).fractals()
        if fractal["completed_at"]
    ]


def busy_worker(app: Topology, rows: Rows) -> tuple[Server, str]:
    """Wait until a worker has begun one of these orders; the worker's server and the task's uuid. Raises TimedOut."""
    found, ordered = list[tuple[Server, str]](), {row.uuid for row in rows}

    def look() -> bool:
        workers = observe(app.servers.values(), app.api).of_role("worker")
        begun = [(each.name, task) for each in workers for task in each.working_on or () if task in ordered]
        found.extend((app.servers[name], task) for name, task in begun)
        return bool(found)

    app.cloud.wait_until(look, "a worker has begun one of these orders")
    return found[0]


def workers_of(rows: Rows, endpoint: str) -> Rows:
    """Fill in, row by row, which worker made the fractal that was ordered; "" where it isn't finished.

    Changes the rows and returns them. Raises NoAnswer where the API doesn't answer.
    """
    makers = {item.uuid: item.worker for item in completions(endpoint)}
    rows[:] = [replace(row, worker=makers.get(row.uuid, "")) if row.uuid else row for row in rows]
    return rows
