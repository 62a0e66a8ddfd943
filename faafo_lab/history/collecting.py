"""Collects a history: what clients' rows say, what a reading afterwards finds, what the application says of itself."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any

from faafo_lab.cloud.errors import TimedOut
from faafo_lab.history.clocks import Clock
from faafo_lab.history.events import ABSENT, APPLICATION, FAILED, MADE, ORDER, UNREADABLE, WAITING, Event, History
from faafo_lab.load.rows import Request
from faafo_lab.load.timeline import rest
from faafo_lab.topology import Api, NoAnswer, Topology, TopologyError
from faafo_lab.topology.api import timestamp

REST_SECONDS = 120.0  # in which everything should be made
READERS = 4  # pictures at once


def collect(
    app: Topology, rows: Iterable[Request], *, after: int = 0, timeout_seconds: float | None = REST_SECONDS
) -> History:
    """The history of the orders among these rows: wait until the application is at rest, or for `timeout_seconds`;
    then read its list, every picture that it says is made, and what it says happened since the event `after`.

    What cannot be read, because no API answers, is missing in the history: the verdict is then unknown.
    """
    events = ordered(rows)
    with suppress(TimedOut):
        rest(app, timeout_seconds=timeout_seconds)
    api = app.api
    with suppress(NoAnswer):
        events += read(api, {event.order for event in events})
    history = History(events)
    with suppress(TopologyError):
        tell(history, api.events, after)
    return history


class Recording:
    """What clients did so far (`add`), and the `history`, once the block has ended."""

    def __init__(self) -> None:
        self.rows: list[Request] = []
        self.history = History()

    def add(self, rows: Iterable[Request]) -> None:
        """Note the orders among these rows."""
        self.rows += rows


@contextmanager
def recording(app: Topology, *, timeout_seconds: float | None = REST_SECONDS) -> Iterator[Recording]:
    """Record what clients do within the block, which gives their rows to `add`; at its end `collect` the history."""
    after = 0
    with suppress(TopologyError):
        after = app.api.events(-1)["last"]
    record = Recording()
    yield record
    record.history = collect(app, record.rows, after=after, timeout_seconds=timeout_seconds)


def ordered(rows: Iterable[Request]) -> list[Event]:
    """The tries of the orders among these rows."""
    return [
        Event(each.started, ORDER, row.uuid, each.started + each.seconds, each.api, each.status, note=each.error)
        for row in rows
        if row.uuid
        for each in row.tried
    ]


def read(api: Api, orders: Iterable[str]) -> list[Event]:
    """Read the application's list, and every picture that it says is made, for these orders. Raises NoAnswer."""
    began = time.time()
    there = {fractal["uuid"]: fractal for fractal in api.fractals()}
    ended = time.time()

    def look(order: str) -> Event | None:
        if order not in there:
            return Event(began, ABSENT, order, ended)
        try:
            whole = bool(there[order]["completed_at"]) and api.shows(there[order])
        except NoAnswer:
            return None  # nobody knows
        return seen(there[order], whole, began)

    with ThreadPoolExecutor(READERS, thread_name_prefix="reader") as pool:
        return [event for event in pool.map(look, orders) if event]


def seen(fractal: Mapping[str, Any], whole: bool, began: float) -> Event:
    """What a reading, which began then, has just found: a fractal of the list, and whether its picture is whole."""
    what, note = WAITING, ""
    if fractal["completed_at"]:
        what = MADE if whole else UNREADABLE
        note = f"by {fractal['generated_by']}, {fractal['completed_at']}"
    elif fractal["failed_at"]:
        what, note = FAILED, fractal["failure"] or ""
    return Event(began, what, fractal["uuid"], time.time(), generation=fractal["generation"], note=note)


def tell(history: History, ask: Callable[[int], Mapping[str, Any]], after: int = 0) -> None:
    """Add what the application says of the history's orders, page by page (`Api.events`), and how far its clock is
    ahead: as the quickest answer shows it."""
    orders, clock = set(history.orders), Clock()
    more = True
    while more:
        page = clock.ask(lambda after=after: ask(after))  # type: ignore[misc]
        history.ahead, history.within = clock.ahead, clock.within
        history.events += [said(event) for event in page["objects"] if event["uuid"] in orders]
        after, more = page["last"], page["more"]


def said(event: Mapping[str, Any]) -> Event:
    """What the application says of a fractal, of an event of GET /v1/event."""
    worker, at = event["worker"] or "", timestamp(event["at"])
    return Event(at, event["what"], event["uuid"], who=worker, generation=event["generation"], clock=APPLICATION)
