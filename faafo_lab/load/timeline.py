"""What became of the orders: fractals that got done, by whom and when, on one clock with what you did meanwhile.

    timeline = Timeline(); timeline.mark("three workers")
    watch(app, done=40)                                # wait until so many are done; a sample at every look
    timeline.collect(app.endpoint)                     # ask the API what is done
    timeline.rate(start, end), timeline.makers(start, end)

`faafo_lab.load` has these names too.
"""

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from faafo_lab.cloud import direct

if TYPE_CHECKING:
    from faafo_lab.topology import Topology

ASK_LIMIT_SECONDS = 30
WATCH_LIMIT_SECONDS = 300


@dataclass(frozen=True)
class Done:
    """One finished fractal: when it was complete (seconds since 1970), which worker made it, in how many seconds."""

    uuid: str
    at: float
    worker: str
    duration: float


@dataclass(frozen=True)
class Sample:
    """The application at one moment: tasks waiting, in work and done, and each node's load average and CPU use (%)."""

    at: float
    waiting: int
    working: int
    done: int
    load: Mapping[str, float]
    cpu: Mapping[str, float]


def watch(app: "Topology", done: int, *, timeout_seconds: float = WATCH_LIMIT_SECONDS) -> list[Sample]:
    """Watch the application until it has finished `done` fractals in all; a sample every look, the last one at the end.

    An API that is too busy to answer in time is asked again. Raises TimedOut at the limit.
    """
    from faafo_lab.cloud.waiting import Look
    from faafo_lab.topology import TopologyError

    samples: list[Sample] = []

    def look() -> Look:
        try:
            stats, nodes = app.stats(), [node for node in app.nodes() if node["state"] != "lost"]
        except TopologyError:
            return Look(samples[-1].done if samples else 0, done, "the API does not answer")
        samples.append(
            Sample(
                time.time(),
                stats["waiting"],
                stats["working"],
                stats["done"],
                {node["name"]: node["load_average"][0] for node in nodes},
                {node["name"]: node["cpu_percent"] or 0.0 for node in nodes},
            )
        )
        return Look(min(done, stats["done"]), done, f"{stats['waiting']} waiting, {stats['working']} in work")

    app.cloud.wait_until(look, f"{done} fractals to be done", timeout_seconds=timeout_seconds)
    return samples


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
    """The fractals that this API lists as finished."""
    answer = direct.get(f"{endpoint}/v1/fractal?results_per_page=-1", timeout=ASK_LIMIT_SECONDS)
    answer.raise_for_status()
    return [
        Done(
            item["uuid"],
            datetime.fromisoformat(item["completed_at"]).timestamp(),
            item["generated_by"],
            item["duration"],
        )
        for item in answer.json()["objects"]
        if item["completed_at"]
    ]
