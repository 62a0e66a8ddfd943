"""The application's own events, read page by page: on one clock, none twice, and a gap wherever some may be missing."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

import pytest

from faafo_lab.history.clocks import Clock
from faafo_lab.living import reading
from faafo_lab.living.events import Event
from faafo_lab.living.reading import ANOTHER, FORGOTTEN, NOBODY, Reading
from faafo_lab.topology import NoAnswer

PAGE = 3


class Database:
    """What GET /v1/event answers: events of one database, whose clock is `ahead` seconds."""

    def __init__(self, ahead: float = 0.0) -> None:
        self.events: list[dict[str, Any]] = []
        self.ahead, self.away, self.forgot = ahead, False, 0

    def now(self) -> str:
        return datetime.fromtimestamp(time.time() + self.ahead, UTC).isoformat()

    def note(self, uuid: str, what: str, worker: str | None = None) -> None:
        self.events.append({"id": len(self.events) + 1, "at": self.now(), "what": what, "worker": worker, "uuid": uuid})

    def ask(self, after: int) -> Any:
        if self.away:
            raise NoAnswer("No API answers.")
        newest = len(self.events)
        after = newest if after < 0 else after
        last = max(after if after <= newest else 0, self.forgot)
        page = [event for event in self.events if event["id"] > last][:PAGE]
        end = page[-1]["id"] if page else last
        return {"objects": page, "last": end, "more": end < newest, "forgotten": last != after, "now": self.now()}


@pytest.fixture
def database() -> Database:
    return Database()


@pytest.fixture
def no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every silence is a gap."""
    monkeypatch.setattr(reading, "GAP_SECONDS", -1.0)


def told(found: list[Event]) -> list[str]:
    """In short: a task's uuid and what, or a gap's words."""
    return [f"{event['uuid']} {event['what']}" if event["k"] == "task" else str(event.get("text")) for event in found]


def test_it_begins_with_the_tasks_in_flight(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "BEFORE", 2 * PAGE + 1)
    for uuid, what in [
        ("too long ago", "accepted"), ("a", "accepted"), ("b", "accepted"), ("b", "leased"), ("b", "renewed"),
        ("c", "accepted"), ("c", "leased"), ("c", "done"),
    ]:  # fmt: skip
        database.note(uuid, what)
    read = Reading(database.ask)
    database.away = True
    assert read.read() == []
    database.away = False
    assert told(read.read()) == ["a accepted", "b leased", "b renewed"]
    assert read.read() == []
    database.note("a", "leased")
    assert told(read.read()) == ["a leased"]


def test_it_goes_on_with_what_happens_from_now_on(database: Database) -> None:
    database.note("a", "done", "app-worker-2")
    read = Reading(database.ask)
    assert read.read() == []
    database.note("a", "done", "app-worker-1")
    [event] = read.read()
    assert (event["k"], told([event]), event.get("worker")) == ("task", ["a done"], "app-worker-1")
    assert read.read() == []


def test_it_reads_page_after_page(database: Database) -> None:
    read = Reading(database.ask)
    read.read()
    for number in range(2 * PAGE + 1):
        database.note(str(number), "accepted")
    assert told(read.read()) == [f"{number} accepted" for number in range(2 * PAGE + 1)]


def test_times_are_on_the_clock_of_this_process() -> None:
    database = Database(ahead=3600.0)
    read = Reading(database.ask)
    read.read()
    before = time.time()
    database.note("a", "accepted")
    after = time.time()
    [event] = read.read()
    assert read.clock.ahead == pytest.approx(3600.0, abs=read.clock.within + 0.001)
    within = read.clock.within + 0.001
    assert before - within <= event["t"] <= after + within


def test_a_short_silence_is_none_and_nothing_is_missing(database: Database) -> None:
    read = Reading(database.ask)
    read.read()
    database.away = True
    assert read.read() == []
    database.note("a", "accepted")
    database.away = False
    assert told(read.read()) == ["a accepted"]


@pytest.mark.usefixtures("no_patience")
def test_after_a_silence_there_is_a_gap_and_then_what_happened_in_it(database: Database) -> None:
    read = Reading(database.ask)
    read.read()
    database.note("a", "accepted")
    read.read()
    database.away = True
    read.read()
    database.note("a", "done")
    database.away = False
    found = read.read()
    assert told(found) == [NOBODY, "a done"]
    assert found[0]["k"] == "gap"
    assert found[0]["from"] <= found[0]["t"]
    assert read.read() == []


@pytest.mark.usefixtures("no_patience")
def test_before_there_is_an_application_it_waits_for_one(database: Database) -> None:
    database.away = True
    read = Reading(database.ask)
    assert read.read() == []
    database.away = False
    assert told(read.read()) == [NOBODY]
    database.note("a", "accepted")
    assert told(read.read()) == ["a accepted"]


@pytest.mark.parametrize("more", [0, 5], ids=["with fewer events", "with more events"])
def test_another_application_after_a_silence_is_told_from_its_beginning(database: Database, more: int) -> None:
    read = Reading(database.ask)
    read.read()
    database.note("a", "accepted")
    database.note("a", "queued")
    read.read()
    database.away = True
    read.read()
    database.events = []
    database.note("b", "accepted")
    for _ in range(more):
        database.note("b", "renewed")
    database.away = False
    found = told(read.read())
    assert found == [ANOTHER, "b accepted", *more * ["b renewed"]]
    assert read.read() == []


def test_of_a_database_of_before_nothing_is_told_twice(database: Database) -> None:
    read = Reading(database.ask)
    read.read()
    for what in ("accepted", "queued", "leased"):
        database.note("a", what)
    read.read()
    del database.events[1:]  # restored; nobody noticed that it was away
    assert told(read.read()) == [ANOTHER]
    database.note("a", "queued")
    assert told(read.read()) == ["a queued"]


def test_what_is_forgotten_is_a_gap(database: Database) -> None:
    read = Reading(database.ask)
    read.read()
    for number in range(5):
        database.note(str(number), "accepted")
    database.forgot = 3
    assert told(read.read()) == [FORGOTTEN, "3 accepted", "4 accepted"]


def test_what_was_read_before_the_apis_went_away_is_kept(database: Database) -> None:
    read = Reading(database.ask)
    read.read()
    for number in range(PAGE + 1):
        database.note(str(number), "accepted")
    asked = 0

    def ask(after: int) -> Any:
        nonlocal asked
        asked += 1
        database.away = asked > 1
        return database.ask(after)

    read._ask = ask
    found = read.read()
    database.away, read._ask = False, database.ask
    assert told(found + read.read()) == [f"{number} accepted" for number in range(PAGE + 1)]


def test_it_says_until_when_all_is_read(database: Database) -> None:
    read = Reading(database.ask)
    assert read.read_until == 0.0
    before = time.time()
    read.read()
    assert before <= read.read_until <= time.time()
    database.away = True
    until = read.read_until
    read.read()
    assert read.read_until == until


def test_the_clock_is_known_as_well_as_the_quickest_answer_shows_it() -> None:
    clock = Clock(keep_seconds=10.0)
    clock.hear(0.0, 1.0, 5.5)
    assert (clock.ahead, clock.within) == (5.0, 0.5)
    clock.hear(2.0, 2.2, 7.3)
    assert (round(clock.ahead, 3), round(clock.within, 3)) == (5.2, 0.1)
    clock.hear(3.0, 4.0, 9.0)  # a slower one says less
    assert round(clock.within, 3) == 0.1
    clock.hear(13.0, 13.5, 18.5)  # and after so long, the quickest one is too old
    assert (clock.ahead, clock.within) == (5.25, 0.25)
