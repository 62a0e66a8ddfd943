"""A part of a stream of events, and what has to be known at its beginning.

before = Before()
before.take(event)              # one after the other, in the order in which they became known
before.events(t)                # the whole scene at that time, and the last events of each task in flight
cut(events, start, end)         # the same for what is before `start`, and then all until `end`
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

from faafo_lab.living import events
from faafo_lab.living.events import Event, TaskEvent

OVER = ("done", "failed", "late", "deleted")  # a task that is no longer in flight


class Before:
    """What some events come to: the scene, and the last events of each task that is in flight."""

    def __init__(self) -> None:
        self.scene: dict[str, Any] = {}
        self._tasks: dict[str, list[TaskEvent]] = {}

    def take(self, event: Event) -> None:
        """The next event."""
        if event["k"] == "scene":
            self.scene = events.merge(self.scene, event["patch"])
        elif event["k"] == "task":
            earlier = self._tasks.pop(event["uuid"], [])  # so that they are in the order of their last events
            if event["what"] not in OVER:
                # Of a lease that was renewed, its beginning says who has it, and since when.
                leased = earlier[:1] if event["what"] == "renewed" else []
                self._tasks[event["uuid"]] = [*leased, event]

    def events(self, t: float) -> list[Event]:
        """The whole scene as the first patch, at this time, and the tasks in flight."""
        return [{"k": "scene", "t": t, "patch": self.scene}, *self.tasks()]

    def tasks(self) -> list[Event]:
        """The last events of the tasks in flight."""
        return list(itertools.chain.from_iterable(self._tasks.values()))


def cut(known: Iterable[Event], start: float, end: float) -> list[Event]:
    """The events from `start` to `end` (seconds since 1970), after the whole scene at `start` and the last events of
    the tasks that are in flight then. A request or a gap that lasts is there if a part of it is."""
    before = Before()
    inside: list[Event] = []
    for event in known:
        first, last = span(event)
        if last < start:
            before.take(event)
        elif first <= end:
            inside.append(event)
    return [*before.events(start), *inside]


def span(event: Event) -> tuple[float, float]:
    """When an event begins and ends."""
    if event["k"] == "request":
        return event["t"], event["end"]
    if event["k"] == "gap":
        return event["from"], event["t"]
    return event["t"], event["t"]
