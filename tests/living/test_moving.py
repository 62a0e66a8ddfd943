"""The widget of the moving picture, without a page: what it sends when, and what it makes of what it hears."""

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from faafo_lab.living.events import Event
from faafo_lab.widgets.moving import Listener, Moving
from tests.living.pages import Page
from tests.waiting import wait_for

READY = {"type": "ready"}
NOTE: Event = {"k": "note", "t": 1.0, "text": "app-worker-1 was killed"}
LATER: Event = {"k": "note", "t": 2.0, "text": "app-worker-2 was killed"}
LAST: Event = {"k": "note", "t": 3.0, "text": "app-worker-3 was killed"}


class Source:
    """A stream of which the test says when it tells what."""

    def __init__(self, *known: Event) -> None:
        self.known = list(known)
        self.callbacks: list[Listener] = []
        self.while_listening: Callable[[], object] = list

    def listen(self, callback: Listener) -> list[Event]:
        self.callbacks.append(callback)
        self.while_listening()
        return list(self.known)

    def unlisten(self, callback: Listener) -> None:
        self.callbacks.remove(callback)

    def now(self) -> list[Event]:
        return self.known[:1]

    def tell(self, *events: Event) -> None:
        self.known += events
        for callback in tuple(self.callbacks):
            callback(events)


def types(page: Page) -> list[str]:
    return [message["type"] for message in page.heard]


def test_a_view_is_sent_the_last_minutes_and_then_what_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Source(NOTE)
    page = Page(monkeypatch, Moving(stream))
    stream.tell(LATER)
    assert page.heard == [], "nobody looks"
    page.say(READY)
    stream.tell(LAST)
    stream.tell()
    assert types(page) == ["start", "events", "events"]
    assert page.events == [NOTE, LATER, LAST]
    nows = [message["now"] for message in page.heard]
    assert nows == sorted(nows)
    assert abs(time.time() - nows[-1]) < 60


def test_a_second_view_starts_all_anew_and_nothing_is_told_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Source(NOTE)
    page = Page(monkeypatch, Moving(stream))
    page.say(READY)
    [first] = stream.callbacks
    stream.known.append(LATER)
    page.say(READY)
    first([LATER])  # it was on its way to the first view when the second one came
    stream.tell(LAST)
    assert types(page) == ["start", "start", "events"]
    assert page.events == [NOTE, LATER, LAST]
    assert len(stream.callbacks) == 1


def test_what_happens_while_a_view_comes_up_is_told_after_its_start(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Source(NOTE)
    page = Page(monkeypatch, Moving(stream))

    def from_another_thread() -> None:
        threading.Thread(target=stream.callbacks[-1], args=[[LATER]]).start()

    stream.while_listening = from_another_thread
    page.say(READY)
    wait_for("the event", lambda: len(page.heard) == 2)
    assert page.events == [NOTE, LATER]


def test_after_the_end_it_tells_nothing_and_a_page_that_comes_late_is_told_that(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[Mapping[str, Any]] = []
    stream = Source(NOTE, LATER)
    widget = Moving(stream, act=asked.append)
    page = Page(monkeypatch, widget)
    page.say(READY)
    widget.end()
    widget.end()
    assert stream.callbacks == []
    page.say({"type": "act", "what": "ask"})
    assert types(page) == ["start", "closed"]
    assert asked == []
    del page.heard[:]
    page.say(READY)
    assert types(page) == ["start", "closed"]
    assert page.events == [NOTE]


def test_what_the_menus_ask_for_is_handed_on_and_anything_else_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Mapping[str, Any]] = []
    page = Page(monkeypatch, Moving(Source(), act=asked.append))
    kill = {"type": "act", "what": "kill", "server": "app-worker-1"}
    for message in (kill, {"type": "other"}, {}, "ready", None, 3, ["act"]):
        page.say(message)
    assert asked == [kill]
    assert page.heard == []


def test_a_recording_is_all_in_its_state_and_asks_the_kernel_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    widget = Moving(panes=[{"title": "A worker dies", "events": [NOTE]}], label="A worker dies")
    page = Page(monkeypatch, widget)
    page.say(READY)
    page.say({"type": "act", "what": "ask"})
    assert page.heard == []
    state = widget.get_state()
    assert state["panes"] == [{"title": "A worker dies", "events": [NOTE]}]
    assert (state["live"], state["actions"], state["jobs"]) == (False, [], [])


def test_the_module_asks_no_other_place_for_anything() -> None:
    state = Moving().get_state()
    for text in (state["_esm"], state["_css"]):
        for word in ("http://", "https://", "fetch(", "import(", "XMLHttpRequest", "@import", "url("):
            assert word not in text.replace("http://www.w3.org/", "")
