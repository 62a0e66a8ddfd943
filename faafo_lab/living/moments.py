"""What is so at one moment of a stream of events, beside the scene: the tasks at work, and the throughput until then.

tasks_at(events, t)          # {uuid: worker}
rates_at(events, t)          # of the last minute
busiest(events)              # when most was under way: what a still of a recording shows
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence

from faafo_lab.living import cutting
from faafo_lab.living.events import Event
from faafo_lab.living.following import HISTORY_SECONDS, RATE_WINDOW_SECONDS

RATE_STEP_SECONDS = 1.0
WAITS = ("accepted", "queued", "missing", "lost", "retry", "anew")  # after these a task waits for a worker
ENDS = ("done", "failed", "deleted")  # after these it is over


def span(events: Sequence[Event]) -> tuple[float, float]:
    """When a stream of events starts, and when its last event ended: with the whole scene, which is the first that it
    says; what is told afterwards of earlier times (tasks in flight) is not shown."""
    start = events[0]["t"] if events else 0.0
    return start, max((cutting.span(event)[1] for event in events), default=start)


def tasks_at(events: Iterable[Event], t: float) -> dict[str, str]:
    """The tasks that workers had at this time: uuid → the worker's name."""
    tasks: dict[str, str] = {}
    for event in _by_time(events):
        if event["k"] != "task" or event["t"] > t:
            continue
        if event["what"] in ("leased", "renewed"):  # a recording that was cut may begin with either
            tasks[event["uuid"]] = event.get("worker", "")
        elif event["what"] in WAITS or event["what"] in ENDS:
            tasks.pop(event["uuid"], None)
    return tasks


def rates_at(events: Iterable[Event], t: float) -> list[tuple[float, float | None]]:
    """Fractals per second over the minute before this time: (seconds ago, rate), the oldest first.

    A rate is None where the stream has a gap, and before it began.
    """
    known = list(events)
    done = sorted(event["t"] for event in known if event["k"] == "task" and event["what"] == "done")
    gaps = [(event["from"], event["t"]) for event in known if event["k"] == "gap"]
    began = min((event["t"] for event in known), default=t)
    rates: list[tuple[float, float | None]] = []
    for number in range(int(HISTORY_SECONDS / RATE_STEP_SECONDS), -1, -1):
        end = t - number * RATE_STEP_SECONDS
        start = max(end - RATE_WINDOW_SECONDS, began)
        known_here = end - start >= RATE_STEP_SECONDS and not any(start < over and since < end for since, over in gaps)
        count = bisect_right(done, end) - bisect_right(done, start)
        rates.append((t - end, count / (end - start) if known_here else None))
    return rates


def busiest(events: Sequence[Event]) -> float:
    """When the most tasks waited or were at work, the first such moment; 0.0 where nothing is known."""
    under_way: set[str] = set()
    most, when = 0, max((event["t"] for event in events), default=0.0)
    start, _ = span(events)
    for event in _by_time(events):
        if event["k"] != "task":
            continue
        if event["what"] in ENDS:
            under_way.discard(event["uuid"])
        elif event["what"] != "late":
            under_way.add(event["uuid"])
        if len(under_way) > most:
            most, when = len(under_way), max(event["t"], start)
    return when


def _by_time(events: Iterable[Event]) -> list[Event]:
    """Events by their times; those of one time in the order in which they became known."""
    return sorted(events, key=_time)


def _time(event: Event) -> float:
    return event["t"]
