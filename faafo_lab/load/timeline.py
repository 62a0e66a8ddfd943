"""What became of the orders: fractals that got done, by whom and when, on one clock with what you did meanwhile.

    timeline = Timeline(); timeline.mark("three workers")
    watch(app, done=40)                                # wait until so many are done; a moment at every look
    timeline.collect(app.endpoint)                     # ask the API what is done
    timeline.rate(start, end), timeline.makers(start, end)

`faafo_lab.load` has these names too.
"""

import time
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import datetime

from faafo_lab.cloud.waiting import Look
from faafo_lab.load.rows import Rows
from faafo_lab.topology import Api, Moment, NoAnswer, Topology
from faafo_lab.topology.moment import observe

ASK_LIMIT_SECONDS = 30


@dataclass(frozen=True)
class Done:
    """One finished fractal: when it was complete (seconds since 1970), which worker made it, in how many seconds."""

    uuid: str
    at: float
    worker: str
    duration: float


def watch(app: Topology, done: int, *, timeout_seconds: float | None = None) -> list[Moment]:
    """Watch the application until it has finished `done` fractals in all; a moment every look, the last one at the end.

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

    app.cloud.wait_until(look, f"{done} fractals to be done", timeout_seconds=timeout_seconds)
    return moments


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
        """Read from the API what has been finished; returns how many fractals it lists as finished."""
        finished = completions(endpoint)
        self.done.update({f"{item.uuid}@{item.at}": item for item in finished})
        return len(finished)

    def between(self, start: float, end: float) -> list[Done]:
        """The fractals that were finished in this time, in order."""
        return sorted((item for item in self.done.values() if start <= item.at <= end), key=lambda item: item.at)

    def rate(self, start: float, end: float) -> float:
        """Fractals per second between two times, measured from the first to the last one that was finished in it."""
        found = self.between(start, end)
        if len(found) < 2:
            return 0.0
        return (len(found) - 1) / (found[-1].at - found[0].at)

    def makers(self, start: float = 0.0, end: float = float("inf")) -> Counter[str]:
        """How many fractals each worker made in this time."""
        return Counter(item.worker for item in self.between(start, end))


def completions(endpoint: str) -> list[Done]:
    """The fractals that this API lists as finished. Raises NoAnswer."""
    return [
        Done(
            fractal["uuid"],
            datetime.fromisoformat(fractal["completed_at"]).timestamp(),
            fractal["generated_by"] or "",
            fractal["duration"] or 0.0,
        )
        for fractal in Api(lambda: [endpoint], timeout_seconds=ASK_LIMIT_SECONDS).fractals()
        if fractal["completed_at"]
    ]


def workers_of(rows: Rows, endpoint: str) -> Rows:
    """Fill in, row by row, which worker made the fractal that was ordered; "" where it isn't finished.

    Changes the rows and returns them. Raises NoAnswer where the API doesn't answer.
    """
    makers = {item.uuid: item.worker for item in completions(endpoint)}
    rows[:] = [replace(row, worker=makers.get(row.uuid, "")) if row.uuid else row for row in rows]
    return rows
