"""The checker of histories: hand-made ones, and their verdicts."""

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from faafo_lab import history
from faafo_lab.history import Event, History, HistoryError
from faafo_lab.history.collecting import ordered, tell
from faafo_lab.load.rows import NEVER_SENT, Request, Try


def order(at: float, status: int | None = 201, name: str = "a", **more: Any) -> Event:
    """A try to order, whose answer takes a second."""
    return Event(at, "order", name, ended=at + 1, status=status, who="api-1", **more)


def saw(at: float, what: str, name: str = "a", **more: Any) -> Event:
    """A reading, which takes a second."""
    return Event(at, what, name, ended=at + 1, **more)


def said(at: float, what: str, name: str = "a", who: str = "", generation: int = 1) -> Event:
    """What the application said."""
    return Event(at, what, name, who=who, generation=generation, clock="application")


MADE = saw(9, "made", note="by w1")
CASES: dict[str, tuple[list[Event], bool | None, str]] = {
    "made once": ([order(1), MADE], True, "made once"),
    "sent twice, made once": ([order(1, None), order(3, 200), MADE], True, "made once"),
    "no answer, and made": ([order(1), MADE, order(1, None, "b"), saw(9, "made", "b")], True, "made once"),
    "no answer, and never stored": ([order(1, None), saw(9, "absent")], None, "not made"),
    "an answer of 503 leaves it open": ([order(1, 503), MADE], None, "made once"),
    "refused": ([order(1, 400), saw(9, "absent")], None, "not made"),
    "refused, and nobody looked": ([order(1, 400)], None, "not made"),
    "seen before it was acknowledged": ([order(1), saw(1.5, "absent"), MADE], True, "made once"),
    "waiting": ([order(1), saw(9, "waiting")], None, "not made yet"),
    "seen in the list only before its last try": ([order(1), order(5), saw(4, "waiting")], None, "not looked at"),
    "nobody looked": ([order(1)], None, "not looked at"),
    "absent": ([order(1), saw(9, "absent")], False, "lost"),
    "its picture is not there": ([order(1), saw(9, "unreadable")], False, "lost"),
    "given up": ([order(1), saw(9, "given up")], False, "lost"),
    "no answer, seen, and absent": ([order(1, None), saw(5, "waiting"), saw(9, "absent")], False, "lost"),
    "it was away for a while": ([order(1), saw(5, "absent"), MADE], False, "made once"),
    "made, and then not made": ([order(1), saw(4, "made"), saw(6, "waiting"), saw(9, "made")], False, "made once"),
    "made, and then not made yet": ([order(1), saw(4, "made"), saw(6, "waiting")], False, "not made yet"),
    "refused, and made all the same": ([order(1, 400), MADE], False, "made once"),
    "the uuid belongs to another fractal": ([order(1, 409), MADE], None, "not made"),
    "it was there before it was refused": ([saw(0, "made", note="by w1"), order(1, 400), MADE], None, "made once"),
    "made under two uuids": ([order(1), saw(9, "made", fractal="x"), saw(9, "made", fractal="y")], False, "made twice"),
    "made again": ([order(1), saw(5, "made", note="by w1"), saw(9, "made", note="by w2")], False, "made twice"),
    "the application accuses itself": ([order(1), said(4, "done"), said(5, "done"), MADE], False, "made twice"),
    "another order of the uuid": ([order(1), said(4, "done"), said(5, "done", generation=2), MADE], True, "made once"),
    "a late result was dropped": ([order(1), said(4, "done"), said(5, "late"), MADE], True, "made once"),
    "what the application says acquits nobody": ([order(1), said(4, "done")], None, "not looked at"),
}


@pytest.mark.parametrize("name", CASES)
def test_the_verdict_on_one_order(name: str) -> None:
    events, valid, fate = CASES[name]
    found = history.verdict(History(events))
    assert (found.valid, found.fates["a"]) == (valid, fate), found
    assert bool(found.violations) is (valid is False)
    assert bool(found.why) is (valid is None)
    assert history.verdict(History(events[::-1])).fates == found.fates, "in whatever order they were noted"


def test_the_verdict_counts_and_the_witness_is_the_smallest_and_earliest() -> None:
    events = [order(1), MADE, order(2, name="lost"), saw(9, "absent", "lost"), order(1, None, "open")]
    events += [saw(9, "absent", "open"), order(3, 400, "bad"), order(4, name="twice")]
    events += [saw(9, "made", "twice", fractal=uuid) for uuid in ("x", "y")]
    events += [saw(9, "made", "not ours")]
    found = history.verdict(History(events))
    assert (found.acknowledged, found.indeterminate, found.refused) == (3, 1, 1)
    assert (found.made_once, found.lost, found.made_twice, found.waiting) == (1, 1, 1, 0)
    assert found.witness
    assert (found.witness.what, found.witness.order) == ("lost", "lost")
    assert found.witness.events == (events[2], events[3])
    words = "the order answered 201 by api-1; then a client saw it absent"
    assert str(found).startswith(
        "false: 3 orders acknowledged, 1 indeterminate, 1 refused; 1 made once, 1 lost, 1 made"
    )
    assert words in str(found)


def test_an_order_that_no_worker_can_make_may_be_given_up() -> None:
    events = [order(1), MADE, order(1, name="poison"), saw(9, "given up", "poison")]
    assert history.verdict(History(events)).valid is False
    assert history.verdict(History(events), may_fail=["poison"]).valid is True


def test_clocks_of_clients_and_application_are_never_compared() -> None:
    events = [order(1001), said(1, "accepted"), said(2, "done"), saw(1009, "made")]
    told = History(events, ahead=-1000.0)
    assert history.verdict(told).valid is True
    assert [each.what for each in told.of("a")] == ["order", "accepted", "done", "made"]


def test_a_history_is_the_same_after_it_was_saved_and_loaded(tmp_path: Path) -> None:
    told = History([*CASES["made again"][0], said(3.5, "leased", who="w1")], ahead=0.25, within=0.01)
    assert history.load(told.save(tmp_path / "run.jsonl")) == told
    assert str(told) == "a history of 1 orders: 3 events of clients, 1 of the application"
    for text in ("", "{}\n", '{"history": 2}\n', '{"history": 1, "ahead": 0, "within": 0}\n{"at": 1, "what": "?"}\n'):
        (tmp_path / "other").write_text(text)
        with pytest.raises(HistoryError, match="is no history that"):
            history.load(tmp_path / "other")
    with pytest.raises(HistoryError, match="has no order 'b'"):
        told.of("b")


def test_the_stays_of_an_order_whose_worker_died() -> None:
    told = [said(0, "accepted"), said(1, "queued"), said(2, "leased", who="w1"), said(3, "renewed", who="w1")]
    told += [said(8, "lost", who="w1"), said(9, "queued"), said(10, "leased", who="w2"), said(10.5, "queued")]
    told += [said(12, "done", who="w2"), said(13, "late", who="w1")]
    stays = history.stages(History(told, ahead=-100.0), "a")
    assert [(each.where, each.start, each.end, each.how) for each in stays] == [
        ("outbox", 100, 101, ""),
        ("queue", 101, 102, ""),
        ("w1", 102, 108, "lost: lease over"),
        ("outbox", 108, 109, ""),
        ("queue", 109, 110, ""),
        ("w2", 110, 112, "done"),
        ("w1", 113, 113, "too late: dropped"),
    ]
    assert stays[2].beats == [103]


def test_the_stays_of_orders_that_took_other_ways() -> None:
    def ways(*events: Event) -> list[tuple[str, str]]:
        return [(each.where, each.how) for each in history.stages(History(list(events)), "a")]

    lost_by_the_queue = (said(0, "accepted"), said(1, "queued"), said(2, "missing"), said(3, "queued"))
    assert ways(*lost_by_the_queue) == [("outbox", ""), ("queue", "lost by the queue"), ("outbox", ""), ("queue", "")]
    tried = (said(0, "accepted"), said(1, "leased", who="w1"), said(2, "retry", who="w1"), said(3, "failed", who="w1"))
    assert ways(*tried) == [("outbox", ""), ("w1", "cannot make it"), ("outbox", "given up")]
    overtaken = (said(0, "leased", who="w1"), said(1, "done", who="w2"))
    assert ways(*overtaken) == [("w1", "overtaken"), ("w2", "done")]
    assert history.stages(History([said(0, "accepted"), said(5, "deleted")]), "a")[0].how == "deleted"


def test_every_try_of_a_row_is_an_event_and_a_request_that_was_never_sent_is_none() -> None:
    tries = (Try(1.0, 0.5, None, "http://x", "timed out"), Try(2.0, 0.25, 201, "api-2"))
    rows = [
        Request(1.0, 1.25, 201, "api-2", uuid="a", tried=tries),
        Request(3.0, 0.1, 200, "api-1"),  # a page that was read
        Request(4.0, 0.0, None, "", NEVER_SENT, uuid="b"),
    ]
    assert ordered(rows) == [
        Event(1.0, "order", "a", 1.5, "http://x", None, note="timed out"),
        Event(2.0, "order", "a", 2.25, "api-2", 201),
    ]


def test_what_the_application_says_is_read_page_by_page_and_its_clock_compared() -> None:
    told, asked = History([order(1)]), list[int]()

    def ask(after: int) -> dict[str, Any]:
        asked.append(after)
        moment = datetime.fromtimestamp(time.time() + 50, UTC).isoformat()
        happened = {"id": after + 1, "at": moment, "what": "leased", "worker": "w1", "generation": 3}
        objects = [{**happened, "uuid": uuid} for uuid in ("a", "another's")]
        return {"objects": objects, "last": after + 1, "more": after < 8, "forgotten": False, "now": moment}

    tell(told, ask, 7)
    assert asked == [7, 8]
    assert [(each.order, each.what, each.who, each.generation, each.clock) for each in told.events[1:]] == [
        ("a", "leased", "w1", 3, "application")
    ] * 2
    assert abs(told.ahead - 50) <= told.within + 0.001
    assert abs(told.time_of(told.events[1]) - time.time()) < 40
