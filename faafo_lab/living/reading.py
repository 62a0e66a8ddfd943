"""What the application says of its tasks (GET /v1/event), from now on, on the clock of this process.

    reading = Reading(api.events)
    reading.read()       # the events that are new; a gap where nobody answered, or where some are forgotten

The first answer begins with the last events of the tasks that are in flight by then.

Events are numbered by their database. One that was restored, or another application's, has lower numbers: so after a
silence the last event is read again, to see whether it is still the same.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence

from faafo_lab.history.clocks import Clock
from faafo_lab.living.cutting import Before
from faafo_lab.living.events import Event, GapEvent, TaskEvent, rounded
from faafo_lab.topology import TopologyError
from faafo_lab.topology.api import Event as Said
from faafo_lab.topology.api import Events, timestamp

CLOCK_KEPT_SECONDS = 60.0  # clocks drift: the quickest answer of so long says how far the application's is ahead
GAP_SECONDS = 1.5  # a shorter silence is none: what it held back is not late
PAGES_AT_ONCE = 20
BEFORE = 1000  # the last changes before the first reading, which tell of the tasks that are in flight then

NOBODY = "no API answered"
FORGOTTEN = "more happened than the application keeps"
ANOTHER = "no API answered, and then another application, or its database of before"


class Reading:
    """Reads on where it has read to. `clock`: how far the application's is ahead; `read_until`: all that happened until
    then is read (seconds since 1970)."""

    def __init__(self, ask: Callable[[int], Events]) -> None:
        self.clock = Clock(CLOCK_KEPT_SECONDS)
        self.read_until = 0.0
        self._ask = ask
        self._heard = time.time()  # when it was answered last, or began
        self._after: int | None = None  # the number up to which it has read
        self._last: Said | None = None  # the last event
        self._doubt = False  # whether the next answer may be another database's
        self._newest = self._told_before = -math.inf  # by the application's clock: what happened until then is told

    def read(self) -> list[Event]:
        """What is new. Where no API answers nothing is, and the first answer after that begins with a gap."""
        asked = time.time()
        found: list[Event] = []
        try:
            self._begin(found)
            if self._read_on(found):
                self.read_until = asked
        except (TopologyError, LookupError, TypeError, ValueError):  # or another program answers there
            self._doubt = True
        return found

    def _begin(self, found: list[Event]) -> None:
        """At first, and after a silence: from where to read on."""
        if self._after is None:
            page = self._page(-1)
            found += self._in_flight(page["last"])
            self._after, self._newest = page["last"], timestamp(page["now"])
        elif not self._doubt:
            return
        elif self._is_another():
            self._start_over(found)
        if time.time() - self._heard > GAP_SECONDS:
            found.append(self._gap(NOBODY))
        self._heard, self._doubt = time.time(), False

    def _in_flight(self, last: int) -> list[Event]:
        """The last events of the tasks in flight after the change with this number, as far as BEFORE changes tell."""
        before, after = Before(), max(0, last - BEFORE)
        while after < last:
            page = self._page(after)
            for event in self._told([each for each in page["objects"] if each["id"] <= last]):
                before.take(event)
            if page["last"] <= after:
                break
            after = page["last"]
        return before.tasks()

    def _is_another(self) -> bool:
        """Whether the database that answers now is not the one that did."""
        assert self._after is not None
        last = self._last
        page = self._page(last["id"] - 1 if last else self._after)
        if page["forgotten"]:
            return page["last"] < self._after
        there = next((each for each in page["objects"] if last and each["id"] == last["id"]), last)
        return there is not None and last is not None and (there["at"], there["what"]) != (last["at"], last["what"])

    def _start_over(self, found: list[Event]) -> None:
        """It is another database: read all that has happened since the last event of the one before."""
        found.append(self._gap(ANOTHER))
        self._told_before, self._heard = self._newest, time.time()
        self._after, self._last = 0, None

    def _read_on(self, found: list[Event]) -> bool:
        """Read the next pages; whether that was all."""
        assert self._after is not None
        for _ in range(PAGES_AT_ONCE):
            page = self._page(self._after)
            if page["forgotten"] and page["last"] < self._after:
                self._start_over(found)
            elif page["forgotten"]:
                found.append(self._gap(FORGOTTEN))
            found += self._told(page["objects"])
            self._after, self._heard = page["last"], time.time()
            if not page["more"]:
                return True
        return False

    def _page(self, after: int) -> Events:
        return self.clock.ask(lambda: self._ask(after))

    def _gap(self, words: str) -> GapEvent:
        return {"k": "gap", "t": rounded(time.time()), "from": rounded(self._heard), "text": words}

    def _told(self, objects: Sequence[Said]) -> Iterator[Event]:
        for said in objects:
            self._last, at = said, timestamp(said["at"])
            self._newest = max(self._newest, at)
            event: TaskEvent = {
                "k": "task",
                "t": rounded(at - self.clock.ahead),
                "what": said["what"],
                "uuid": said["uuid"],
            }
            if said["worker"]:
                event["worker"] = said["worker"]
            if at > self._told_before:
                yield event
