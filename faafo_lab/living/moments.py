"""What is so at one moment of a stream of events: the scene, the tasks at work, and the throughput until then.

tasks_at(events, t)          # {uuid: worker}
scene_then(events, t)        # the scene, with the numbers of that moment
rates_at(events, t)          # of the last minute
busiest(events)              # when most was under way: what a still of a recording shows
"""

import itertools
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence

from faafo_lab.living import cutting
from faafo_lab.living.events import Event, Scene, scene_at
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


def scene_then(events: Sequence[Event], t: float) -> Scene:
    """The scene at this time, with the numbers of that moment: those of its reports are up to a second old, and they
    do not say how many requests an API server has."""
    scene = scene_at(events, t)
    known: dict[str, str] = {}
    reported = max((e["t"] for e in events if e["k"] == "scene" and "counts" in e["patch"] and e["t"] <= t), default=t)
    done = 0
    for event in _by_time(events):
        if event["k"] == "task" and event["t"] <= t:
            known[event["uuid"]] = event["what"]
            done += event["what"] == "done" and event["t"] > reported
    if known:
        counts = scene.get("counts", {})
        waiting = sum(what in WAITS for what in known.values())
        scene["counts"] = {**counts, "waiting": waiting, "working": len(tasks_at(events, t))}
        if "done" in counts:
            scene["counts"]["done"] = counts["done"] + done
    asked = Counter(e["to"] for e in events if e["k"] == "request" and e["t"] <= t < e["end"])
    for name, server in scene.get("servers", {}).items():
        if asked[name]:
            requests = f"{asked[name]} request{'s' * (asked[name] != 1)}"
            scene["servers"][name] = {**server, "words": f"{server.get('words', '')}, {requests}".removeprefix(", ")}
    return scene


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
    """When the most tasks waited or were at work, just before one of them ended; requests count where a recording has
    no tasks. 0.0 where nothing is known."""
    start, end = span(events)
    steps = _under_way(events)
    most = max((number for _, number in steps), default=0)
    last = max((at for at, (_, number) in enumerate(steps) if number == most), default=0)
    from_, to = [*(max(t, start) for t, _ in steps[last : last + 2]), end, end][:2]
    return (from_ + to) / 2


def _under_way(events: Sequence[Event]) -> list[tuple[float, int]]:
    """How many tasks, or else requests, were under way from these times on."""
    under_way: set[str] = set()
    steps = []
    for event in _by_time(events):
        if event["k"] != "task" or event["what"] == "late":
            continue
        (under_way.discard if event["what"] in ENDS else under_way.add)(event["uuid"])
        steps.append((event["t"], len(under_way)))
    if steps:
        return steps
    asked = [event for event in events if event["k"] == "request"]
    changes = sorted([*((event["t"], 1) for event in asked), *((event["end"], -1) for event in asked)])
    return list(zip((t for t, _ in changes), itertools.accumulate(change for _, change in changes), strict=True))


def _by_time(events: Iterable[Event]) -> list[Event]:
    """Events by their times; those of one time in the order in which they became known."""
    return sorted(events, key=_time)


def _time(event: Event) -> float:
    return event["t"]
