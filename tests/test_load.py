"""Load: sent as asked, measured honestly, bounded, stopped cleanly, and to nobody else."""

import asyncio
import contextlib
import csv
import inspect
import itertools
import json
import math
import os
import signal
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import requests
import tornado.httpserver
import tornado.netutil
import tornado.web

import faafo_lab
from faafo_lab import history, load, paths, plots
from faafo_lab.app import julia
from faafo_lab.load import work
from faafo_lab.load.choosing import CLIENTS, Chooser
from faafo_lab.load.host import limits
from faafo_lab.load.retrying import TRIES_MAX
from faafo_lab.load.rows import Request, Rows, percentile
from faafo_lab.load.work import PIXEL_STEPS, TASK_STEPS
from faafo_lab.topology import Topology
from faafo_lab.workbook import own_home
from tests.waiting import LIMIT_SECONDS, wait_for


class Server:
    """A web server of one thread that stalls, as a whole, at the requests that it is told to."""

    def __init__(self) -> None:
        self.stalls: dict[int, float] = {}  # seconds, by the request's number since `expect`
        self.seen = self.answered = 0
        self.elsewhere = 0
        self.sockets = tornado.netutil.bind_sockets(0, "127.0.0.1", backlog=1024)
        self.endpoints = {"page": f"http://127.0.0.1:{self.sockets[0].getsockname()[1]}"}
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))
        self._thread.start()
        assert self._ready.wait(LIMIT_SECONDS)

    def expect(self, stalls: dict[int, float]) -> None:
        """From now on, stall at these requests."""
        self.stalls, self.seen, self.answered = stalls, 0, 0

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(LIMIT_SECONDS)

    async def _serve(self) -> None:
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        server = self

        class Page(tornado.web.RequestHandler):
            def get(self) -> None:
                server.seen += 1
                time.sleep(server.stalls.get(server.seen, 0.0))
                server.answered += 1
                self.set_header("X-Served-By", "page")
                self.finish("x" * 1000)

            post = get

        class Away(tornado.web.RequestHandler):
            def get(self) -> None:
                self.redirect("/elsewhere")

        class Elsewhere(tornado.web.RequestHandler):
            def get(self) -> None:
                server.elsewhere += 1

        routes: list[Any] = [("/away", Away), ("/elsewhere", Elsewhere), ("/.*", Page)]
        http = tornado.httpserver.HTTPServer(tornado.web.Application(routes))
        http.add_sockets(self.sockets)
        self._ready.set()
        await self._end.wait()
        http.stop()
        await http.close_all_connections()


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


@pytest.fixture(autouse=True)
def no_sender_left_over() -> Iterator[None]:
    yield
    wait_for("the load's threads to end", lambda: not senders())


@pytest.fixture(scope="module")
def app() -> Iterator[Topology]:
    """Two APIs and two workers on an embedded cloud of their own."""
    with own_home(FAAFO_LAB_CLOUD="embedded"):
        yield Topology(faafo_lab.connect(), say=lambda line: None).deploy(api=2, worker=2)


def senders() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith(("load", "steady"))]


def slow(rows: Rows) -> int:
    return sum(row.latency > 0.25 for row in rows)


# -- what is measured ----------------------------------------------------------------------------------------------


def test_the_same_tasks_are_the_same_for_the_same_size_alone() -> None:
    small = load.same_tasks(4, width=64, height=48)
    assert load.same_tasks(8, width=64, height=48)[:4] == small
    others = ({"width": 65}, {"height": 49}, {"iterations": 9}, {"seed": 2})
    lists = [load.same_tasks(4, **{"width": 64, "height": 48, **other}) for other in others]
    assert len({task["uuid"] for tasks in (small, *lists) for task in tasks}) == 4 * 5


@pytest.mark.alone
def test_an_open_loop_sees_the_stall_that_a_closed_loop_hides(server: Server) -> None:
    server.expect({10: 1.0})
    closed = load.run(server.endpoints, loop="closed", at_once=1, number=60, progress=False)
    server.expect({10: 1.0})
    opened = load.run(server.endpoints, loop="open", rate=50, number=60, progress=False)
    assert len(closed) == len(opened) == 60
    assert slow(closed) < 5
    assert slow(opened) > 30  # 50 a second arrive in the second in which nothing is answered
    assert closed.summary().p95 < opened.summary().p95 / 2


@pytest.mark.alone
def test_a_late_request_waits_from_when_it_should_have_started(server: Server) -> None:
    server.expect({5: 1.0})
    rows = load.run(server.endpoints, loop="open", rate=50, number=40, at_once=1, progress=False)
    assert [row.intended - rows[0].intended for row in rows] == pytest.approx([index / 50 for index in range(40)])
    sixth = rows[5]
    assert sixth.late > 0.5
    assert sixth.latency == pytest.approx(sixth.late + sixth.service_time)
    assert rows.summary("service_time").p95 < rows.summary("latency").p95


def test_an_open_loop_opens_no_more_connections_than_it_may(server: Server) -> None:
    server.expect({})
    with load.start(server.endpoints, loop="open", rate=100, seconds=60, at_once=3) as run:
        wait_for("30 answers", lambda: run.ended > 30)
        assert senders().count("load sender") <= 3


def test_arrivals_come_by_the_clock_or_at_random_but_the_same_for_the_same_seed() -> None:
    assert list(itertools.islice(load.schedule(4), 4)) == [0.0, 0.25, 0.5, 0.75]
    first, again, other = (list(itertools.islice(load.schedule(4, "poisson", seed), 4000)) for seed in (1, 1, 2))
    assert first == again != other
    assert first == sorted(first)
    assert first[-1] == pytest.approx(1000, rel=0.1)
    gaps = sorted(after - before for before, after in itertools.pairwise(first))
    assert percentile(gaps, 50) == pytest.approx(math.log(2) / 4, rel=0.1)  # the exponential distribution's median


def test_a_request_that_failed_counts_as_slower_than_any_other() -> None:
    rows = Rows([Request(index, 0.01, 200, "a") for index in range(95)] + [Request(95, 0.001, 503, "a")] * 5)
    summary = rows.summary()
    assert (summary.requests, summary.errors, summary.statuses) == (100, 5, {"200": 95, "503": 5})
    assert summary.p95 == 0.01
    assert math.isinf(summary.p99)
    assert "95 of 100 requests succeeded" in str(summary)
    assert "5 failed (5 × 503)" in str(summary)
    assert "p99 undefined (too many failed)" in str(summary)


def test_where_more_than_half_failed_there_is_no_median() -> None:
    rows = Rows([Request(index, 0.01, 200, "a") for index in range(3)] + [Request(3, 0.001, 503, "a")] * 7)
    assert "3 of 10 requests succeeded" in str(rows.summary())
    assert "latency undefined (more than half failed)" in str(rows.summary())
    assert "never" not in repr(rows)


def test_orders_say_how_many_were_new() -> None:
    rows = Rows([Request(0, 0.01, status, "a", uuid=str(status)) for status in (201, 200, 200)])
    assert rows.new == 1
    assert "1 of these orders were new, 2 had been placed before" in str(rows.summary())
    assert "placed before" not in str(Rows([Request(0, 0.01, 200, "a")]).summary()), "that one read a page"


# -- limits --------------------------------------------------------------------------------------------------------


def test_an_interrupt_ends_the_run_and_keeps_the_rows(server: Server) -> None:
    server.expect({20: 3.0})  # also where the answers are slow to come

    def interrupt_soon() -> None:
        wait_for("the run to be under way", lambda: server.seen >= 20)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt_soon, name="interrupts").start()
    rows = load.run(server.endpoints, loop="open", rate=50, seconds=600, progress=False)
    assert sum(row.ok for row in rows) >= 19
    assert rows.note.startswith("stopped after")
    assert rows.note in repr(rows)
    assert "cut off" in {row.error for row in rows}
    wait_for("the load's threads to end", lambda: not senders())
    assert server.answered == 19  # it still stalls: nobody waits for it any more


def test_a_stopped_run_sends_nothing_more(server: Server) -> None:
    server.expect({})
    run = load.start(server.endpoints, loop="closed", at_once=3, seconds=600)
    wait_for("ten answers", lambda: run.ended >= 10)
    assert run.running
    assert "running" in repr(run)
    rows = run.stop()
    assert not run.running
    assert len(rows) >= 10
    seen = server.seen
    assert run.stop() == rows
    assert server.seen == seen == len(rows)


def test_requests_without_an_answer_and_those_never_sent_are_rows_too(server: Server) -> None:
    server.expect(dict.fromkeys(range(1, 100), 0.5))
    rows = load.run(server.endpoints, loop="open", rate=40, number=40, at_once=2, timeout_seconds=1.2, progress=False)
    errors = {row.error for row in rows}
    assert len(rows) == 40
    assert {"", "never sent"} < errors <= {"", "never sent", "timed out", "cut off"}
    assert "never sent" in rows.note
    assert all(row.latency >= row.late for row in rows)
    assert math.isinf(rows.summary().p50)


def test_a_server_that_refuses_is_a_row_with_an_error(gone: str) -> None:
    rows = load.run({"gone": gone}, number=3, progress=False)
    assert [(row.status, row.api, row.error) for row in rows] == [(None, gone, "ConnectionRefusedError")] * 3


def test_a_redirect_is_not_followed(server: Server) -> None:
    rows = load.run(server.endpoints, number=2, path="/away", progress=False)
    assert [row.status for row in rows] == [302, 302]
    assert server.elsewhere == 0


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, "never end"),
        ({"loop": "open", "number": 3}, "rate=10"),
        ({"loop": "closed", "rate": 3, "number": 3}, "no rate"),
        ({"loop": "ajar", "number": 3}, "'ajar'"),
        ({"loop": "open", "rate": -1, "number": 3}, "above 0"),
        ({"loop": "open", "rate": 1e6, "seconds": 60}, "60000000 requests"),
        ({"loop": "open", "rate": 1, "number": 3, "arrivals": "never"}, "poisson"),
        ({"number": 0}, "0 requests"),
        ({"number": 3, "at_once": 0}, "at_once is 0"),
        ({"number": 3, "at_once": 513}, "1 to 512"),
        ({"number": 3, "clients": "second"}, "'first'"),
        ({"number": 3, "retry": 3}, r"load.Retries\(\)"),
        ({"number": 3, "retry": load.Retries}, r"load.Retries\(\)"),
        ({"number": 3, "path": "v1/fractal"}, "slash"),
        ({"number": 3, "size": (0, 4)}, "width and height"),
        ({"tasks": load.same_tasks(2), "size": (3, 4)}, "not both"),
        ({"number": 3, "endpoints": {}}, "deploy the application"),
        ({"number": 3, "endpoints": {"api": "10.0.0.1"}}, "http://"),
        ({"number": 3, "endpoints": {"api": "ftp://10.0.0.1"}}, "http://"),
    ],
)
def test_settings_that_make_no_run_get_one_sentence(settings: dict[str, Any], words: str) -> None:
    settings = {"endpoints": {"api": "http://127.0.0.1:1"}, **settings}
    with pytest.raises(load.LoadError, match=words):
        load.run(settings.pop("endpoints"), **settings)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"attempts": 0}, "attempts is 0"),
        ({"attempts": 11}, "1 to 10"),
        ({"budget": -0.1}, "budget is -0.1"),
        ({"first_seconds": 3}, "first_seconds is 3"),
    ],
)
def test_retries_that_can_not_be_get_one_sentence(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(load.LoadError, match=words):
        load.Retries(**settings)


def test_run_and_start_tell_the_keywords_of_a_load() -> None:
    keywords = set(inspect.signature(load.Load).parameters)
    for function in (load.run, load.start):
        assert keywords < set(inspect.signature(function).parameters)
    with pytest.raises(TypeError, match="'rat'"):
        load.start({"api": "http://127.0.0.1:1"}, rat=3)


def test_a_load_says_what_it_is() -> None:
    assert str(load.Load(number=200)) == "200 requests, closed loop, 4 clients"
    assert str(load.Load(loop="open", rate=0.5, number=1)) == "1 request, open loop, 0.5 a second"
    assert str(load.Load(seconds=2.5, at_once=1)) == "2.5 s of requests, closed loop, 1 client"


# -- tries and retries ---------------------------------------------------------------------------------------------


@pytest.fixture
def gone() -> str:
    """The URL of an API that refuses connections."""
    spare = tornado.netutil.bind_sockets(0, "127.0.0.1")[0]
    url = f"http://127.0.0.1:{spare.getsockname()[1]}"
    spare.close()
    return url


def test_a_request_that_failed_is_sent_again_as_long_as_retry_says(server: Server, gone: str) -> None:
    seen: list[tuple[int, load.Failure]] = []

    def retry(tries: int, answer: load.Failure) -> float | None:
        seen.append((tries, answer))
        return 0.01 if tries < 3 else None

    rows = load.run({"gone": gone}, number=4, at_once=1, retry=retry, progress=False)
    assert [tries for tries, _ in seen] == [1, 2, 3] * 4
    assert [row.tries for row in rows] == [3] * 4
    assert rows.tries == 12
    assert {answer.error for _, answer in seen} == {"ConnectionRefusedError"}
    assert [answer.requests for _, answer in seen] == [1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4]
    assert [answer.retries for _, answer in seen] == [0, 1, 2, 2, 3, 4, 4, 5, 6, 6, 7, 8]
    summary = rows.summary()
    assert (summary.retried, summary.tries, summary.amplification) == (4, 12, 3.0)
    assert "4 failed after up to 3 tries (4 × ConnectionRefusedError)" in str(summary)
    assert "4 were sent again, 3.00 tries for each request" in str(summary)
    assert "tries" not in str(load.run(server.endpoints, number=2, progress=False).summary())


def test_the_next_try_goes_to_the_api_whose_turn_it_is(server: Server, gone: str) -> None:
    urls = {**server.endpoints, "gone": gone}
    rows = load.run(urls, number=40, retry=lambda tries, answer: 0 if tries < 2 else None, progress=False)
    assert all(row.ok for row in rows)
    assert [row.tries for row in rows] == [1, 2] * 20
    assert [attempt.ok for attempt in rows[1].tried] == [False, True]
    for kind in ("first", "own"):  # the strategy decides: these keep to theirs
        first = {"gone": gone, **server.endpoints}
        rows = load.run(first, number=4, at_once=1, clients=kind, retry=load.Retries(2, None), progress=False)
        assert not any(row.ok for row in rows)


@pytest.mark.alone
def test_latency_counts_from_the_intended_start_through_all_tries(server: Server) -> None:
    server.expect({1: 0.6})
    rows = load.run(
        server.endpoints,
        loop="open",
        rate=100,
        number=2,
        at_once=1,
        timeout_seconds=0.3,
        retry=lambda tries, answer: 0.5,
        progress=False,
    )
    first, second = rows
    assert first.ok
    assert first.tries == 2
    assert [attempt.error for attempt in first.tried] == ["timed out", ""]
    assert first.latency >= 0.3 + 0.5
    assert first.latency == pytest.approx(first.tried[1].started + first.tried[1].seconds - first.intended, abs=0.01)
    assert second.late > 0.7, "the only connection waits for the first request's next try"


def test_retries_take_no_more_than_their_share_of_the_requests(server: Server, gone: str) -> None:
    for budget in (0.1, 0.5):
        retries = load.Retries(attempts=4, budget=budget, first_seconds=0)
        rows = load.run({"gone": gone}, number=200, at_once=8, retry=retries, progress=False)
        assert budget * len(rows) - 8 <= rows.tries - len(rows) <= budget * len(rows)
    unbounded = load.Retries(attempts=4, budget=None, first_seconds=0)
    assert load.run({"gone": gone}, number=50, retry=unbounded, progress=False).tries == 50 * 4


def test_a_long_calm_does_not_pay_for_a_storm() -> None:
    decide = load.Retries(attempts=10, budget=0.1, first_seconds=0).for_run()
    failure = load.Failure(0.0, 0.1, None, "a", "timed out", requests=100_000)
    assert sum(decide(1, failure) is not None for _ in range(100)) == 10


def test_waits_are_random_below_a_bound_that_doubles() -> None:
    decide = load.Retries(attempts=10, budget=None, first_seconds=0.1, most_seconds=0.5).for_run()
    failure = load.Failure(0.0, 0.1, 503, "a")
    for tries, bound in ((1, 0.1), (2, 0.2), (3, 0.4), (4, 0.5), (9, 0.5)):
        waits = [decide(tries, failure) or 0.0 for _ in range(400)]
        assert 0 <= min(waits) < 0.2 * bound
        assert 0.8 * bound < max(waits) <= bound
    assert decide(10, failure) is None


@pytest.mark.parametrize(("status", "temporary"), [(None, True), (503, True), (429, True), (400, False), (404, False)])
def test_a_request_that_is_wrong_itself_is_not_sent_again(status: int | None, temporary: bool) -> None:
    decide = load.Retries(budget=None).for_run()
    assert (decide(1, load.Failure(0.0, 0.1, status, "a")) is not None) is temporary


def test_no_request_is_tried_without_end_and_a_stopped_run_waits_for_no_next_try(gone: str) -> None:
    rows = load.run({"gone": gone}, number=2, retry=lambda tries, answer: 0, progress=False)
    assert [row.tries for row in rows] == [TRIES_MAX] * 2
    with load.start({"gone": gone}, number=2, retry=lambda tries, answer: 600) as run:
        wait_for("a request that waits for its next try", lambda: run.in_flight > 0)
        [row, *_] = run.stop()
    assert (row.tries, row.error) == (1, "ConnectionRefusedError")


def test_what_retry_raises_ends_the_run_and_reaches_the_learner(gone: str) -> None:
    def wrong(tries: int, answer: load.Failure) -> float:
        return 1 / (tries - 1)

    with pytest.raises(ZeroDivisionError):
        load.run({"gone": gone}, number=50, retry=wrong, progress=False)
    with pytest.raises(load.LoadError, match=r"'soon'.*seconds until the next try"):
        load.run({"gone": gone}, number=50, retry=lambda tries, answer: "soon", progress=False)
    with pytest.raises(ZeroDivisionError), load.start({"gone": gone}, number=50, retry=wrong) as run:
        wait_for("its end", lambda: not run.running)


def test_the_fastest_of_two_avoids_what_is_slow_or_gone(server: Server, gone: str) -> None:
    slow_one = Server()
    try:
        slow_one.expect(dict.fromkeys(range(1, 10_000), 0.1))
        server.expect({})
        urls = {"slow": slow_one.endpoints["page"], **server.endpoints}
        load.run(urls, loop="open", rate=100, seconds=1, clients="fastest", progress=False)
        assert server.seen > 2 * slow_one.seen
        rows = load.run({"gone": gone, **server.endpoints}, number=100, clients="fastest", progress=False)
        assert sum(not row.ok for row in rows) < 20
    finally:
        slow_one.close()


def test_the_fastest_of_two_asks_again_what_was_gone() -> None:
    chooser, urls = Chooser("fastest"), ["http://back", "http://alive"]
    for url, ok in zip(urls, (False, True), strict=True):
        chooser.ended(chooser.choose([url], 0, 0), 0.3, ok=ok)
    chosen = []

    def asked_again() -> bool:
        chosen.append(chooser.choose(urls, 0, 0))
        chooser.ended(chosen[-1], 0.3, ok=True)
        return urls[0] in chosen

    wait_for("the one that was gone, asked again", asked_again)
    assert len(chosen) > 1


# -- the rows ------------------------------------------------------------------------------------------------------


def test_rows_show_the_first_and_the_last_as_a_table() -> None:
    rows = Rows([Request(1000 + index, 0.012, 200, "<b>api</b>") for index in range(100)], note="a note")
    for shown in (repr(rows), rows._repr_html_()):
        assert "99.000" in shown
        assert "50.000" not in shown
        assert "100 requests" in shown
        assert "a note" in shown
    assert "<b>" not in rows._repr_html_()
    assert isinstance(rows[:3], Rows)
    assert len(rows[:3]) == 3
    assert repr(Rows()) == "no requests"
    assert Rows()._repr_html_()


# -- on the application --------------------------------------------------------------------------------------------


def test_ordered_fractals_are_rows_that_learn_who_made_them(app: Topology, tmp_path: Path) -> None:
    done = app.stats()["done"]
    rows = load.run(app.endpoints, loop="open", rate=8, number=12, arrivals="poisson", size=(160, 100), progress=False)
    assert {row.status for row in rows} == {201}
    assert {row.api for row in rows} == {"app-api-1", "app-api-2"}
    assert len({row.uuid for row in rows}) == 12
    load.watch(app, done=done + 12)
    assert load.workers_of(rows, app.endpoint) is rows
    assert {row.worker for row in rows} <= {"app-worker-1", "app-worker-2"}
    with rows.to_csv(tmp_path / "run.csv").open(newline="") as file:
        written = list(csv.DictReader(file))
    assert [line["worker"] for line in written] == [row.worker for row in rows]
    assert [float(line["latency_seconds"]) for line in written] == pytest.approx([r.latency for r in rows], abs=1e-6)


def test_orders_keep_the_tasks_order_and_their_starts(app: Topology) -> None:
    done = app.stats()["done"]
    tasks = load.same_tasks(8, width=64, height=48)
    rows = load.create(app.endpoints, tasks, progress=False)
    assert [row.uuid for row in rows] == [task["uuid"] for task in tasks]
    assert all(row.intended == row.started for row in rows)
    load.watch(app, done=done + 8)
    assert {item.uuid for item in load.completions(app.endpoint)} >= {row.uuid for row in rows}
    assert all(row.ok for row in load.create(app.endpoints, tasks, progress=False))  # known already: no new work
    assert app.stats()["done"] == done + 8


def test_a_page_is_read_by_as_many_clients_as_asked(app: Topology) -> None:
    rows = load.read(app.endpoints, seconds=1, at_once=4)
    assert {row.status for row in rows} == {200}
    assert {row.api for row in rows} == {"app-api-1", "app-api-2"}
    edges = sorted([(row.started, 1) for row in rows] + [(row.started + row.latency, -1) for row in rows])
    at_once = list(itertools.accumulate(change for _, change in edges))
    assert max(at_once) == 4
    assert load.read(app.endpoints, seconds=0.001, at_once=1)  # one at least


def test_steady_orders_go_on_until_the_block_ends_past_an_api_that_is_gone(app: Topology) -> None:
    done = app.stats()["done"]
    endpoints = {"gone": "http://127.0.0.1:1", **app.endpoints}
    with load.steady(lambda: endpoints, load.new_tasks(width=64, height=48), per_second=10) as rows:
        wait_for("six orders", lambda: sum(row.ok for row in rows) >= 6)
    accepted = [row for row in rows if row.ok]
    assert {row.api for row in rows if not row.ok} == {"http://127.0.0.1:1"}
    load.watch(app, done=done + len(accepted))
    assert {item.uuid for item in load.completions(app.endpoint)} >= {row.uuid for row in accepted}


@pytest.mark.parametrize(
    ("endpoints", "per_second", "words"),
    [({}, 5, "deploy the application"), ({"api": "http://127.0.0.1:1"}, 0, "above 0")],
)
def test_steady_orders_that_can_not_be_are_refused_at_once(
    endpoints: dict[str, str], per_second: float, words: str
) -> None:
    with (
        pytest.raises(load.LoadError, match=words),
        load.steady(lambda: endpoints, load.new_tasks(), per_second=per_second),
    ):
        pytest.fail("the block was begun")


def test_steady_orders_keep_their_addresses_until_one_fails_then_ask_and_send_again(server: Server) -> None:
    server.expect({})
    spare = tornado.netutil.bind_sockets(0, "127.0.0.1")[0]
    gone = {"gone": f"http://127.0.0.1:{spare.getsockname()[1]}"}
    spare.close()
    answers = iter([{**server.endpoints, **gone}, {}, server.endpoints])
    with load.steady(lambda: next(answers, server.endpoints), load.new_tasks(), per_second=50) as rows:
        wait_for("orders after the failure", lambda: sum(row.ok for row in rows) >= 5)
    assert [(row.ok, row.error) for row in rows][:4] == [
        (True, ""),
        (False, "ConnectionRefusedError"),
        (False, "no API"),
        (True, ""),
    ]
    assert rows[1].uuid == rows[2].uuid == rows[3].uuid
    assert rows.resent == 2
    assert "2 of the requests sent an order again" in str(rows.summary())


def test_a_steady_order_that_is_being_sent_again_when_the_block_ends_is_sent_until_it_is_taken(server: Server) -> None:
    server.expect({})
    spare = tornado.netutil.bind_sockets(0, "127.0.0.1")[0]
    now = {"gone": f"http://127.0.0.1:{spare.getsockname()[1]}"}
    spare.close()
    with load.steady(lambda: now, load.new_tasks(), per_second=50) as rows:
        wait_for("failures", lambda: rows.resent >= 2)
        now = server.endpoints
    assert [row.ok for row in rows] == [False] * (len(rows) - 1) + [True]
    assert len({row.uuid for row in rows}) == 1


def test_what_stops_steady_orders_is_raised_when_their_block_ends(server: Server) -> None:
    server.expect({})

    def tasks() -> Iterator[load.tasks.Task]:
        yield from load.same_tasks(1)
        raise RuntimeError("no more paper")

    with (
        pytest.raises(RuntimeError, match="no more paper"),
        load.steady(lambda: server.endpoints, tasks(), per_second=50) as rows,
    ):
        wait_for("its end", lambda: rows and "steady load" not in senders())


# -- work in seconds ------------------------------------------------------------------------------------------------


def cost(task: load.Task) -> float:
    """What a task takes a worker, counted on a fine grid: seconds of WORK."""
    box = [task[name] for name in ("xa", "xb", "ya", "yb")]
    fine = julia.Task(task["uuid"], 90, 60, task["iterations"], *box)
    steps = [step for row in julia.pixels(fine) for step in row]
    pixels = task["width"] * task["height"]
    return float((TASK_STEPS + pixels * (PIXEL_STEPS + sum(steps) / len(steps))) / WORK.steps_per_second)


WORK = load.Work(6e8)


def test_the_hosts_idle_cpu_heeds_the_limits_of_control_groups(tmp_path: Path) -> None:
    def write(name: str, text: str) -> None:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="ascii")

    write("own", "4:cpuset:/\n3:cpu,cpuacct:/pod\n0::/user.slice/lab\n")
    write("groups/user.slice/cpu.max", "150000 100000\n")
    write("groups/user.slice/cpu.stat", "usage_usec 2500000\nuser_usec 1\n")
    write("groups/user.slice/lab/cpu.max", "max 100000\n")
    write("groups/cpu/pod/cpu.cfs_quota_us", "50000\n")
    write("groups/cpu/pod/cpu.cfs_period_us", "100000\n")
    write("groups/cpuacct/pod/cpuacct.usage", "7000000000\n")
    write("groups/cpu/cpu.cfs_quota_us", "-1\n")
    found = limits(tmp_path / "own", tmp_path / "groups")
    assert [(limit.cores, limit.used_seconds()) for limit in found] == [(1.5, 2.5), (0.5, 7.0)]
    assert limits(tmp_path / "absent", tmp_path / "groups") == []


@pytest.mark.parametrize(
    ("cores", "shares", "fits", "offer"),
    [
        (2.0, 1.0, True, None),
        (1.7, 1.0, True, None),
        (1.5, 1.0, False, 0.5),
        (1.0, 1.0, False, 0.5),
        (1.0, 0.5, True, None),
        (0.9, 0.5, False, None),
        (0.9, 1.0, False, None),
    ],
)
def test_shares_fit_where_all_six_servers_may_be_busy_beside_the_lab(
    cores: float, shares: float, fits: bool, offer: float | None
) -> None:
    found = load.Fit("m1.tiny", 6, 0.25 * shares, shares, cores)
    assert (found.fits, found.offer) == (fits, offer)
    assert ("give the lab more cores" in str(found)) is (not fits and offer is None)
    assert (f"--shares {offer}" in str(found)) is (offer is not None)


def test_a_busy_core_is_not_idle() -> None:
    idle, end = load.IdleCpu(), time.process_time() + 0.3
    while time.process_time() < end:
        pass
    assert 0 <= idle.cores() < idle.total
    assert idle.total <= len(os.sched_getaffinity(0))


def test_tasks_of_equal_seconds_cost_the_same() -> None:
    tasks = WORK.tasks(8, 0.3)
    assert len({task["uuid"] for task in tasks}) == 8
    assert [WORK.seconds(task) for task in tasks] == pytest.approx([0.3] * 8, rel=0.01)
    batches = [sum(map(cost, tasks[start : start + 6])) for start in range(3)]
    assert batches == pytest.approx([sum(batches) / 3] * 3, rel=0.02)
    assert sum(map(cost, tasks)) == pytest.approx(8 * 0.3, rel=0.03)


def test_the_same_tasks_are_the_same_and_others_with_other_seconds() -> None:
    assert WORK.same_tasks(3, 0.3) == WORK.same_tasks(5, 0.3)[:3]
    uuids = [{task["uuid"] for task in tasks} for tasks in (WORK.same_tasks(3, 0.3), WORK.same_tasks(3, 0.2))]
    assert not uuids[0] & uuids[1], "one uuid never means two sizes"


@pytest.mark.parametrize("wrong", [(-1, 0.3), (2.5, 0.3), (3, 0), (3, float("nan")), (3, 1e6)])
def test_work_that_cannot_be_is_refused(wrong: tuple[int, float]) -> None:
    with pytest.raises(load.LoadError):
        WORK.tasks(*wrong)


def test_five_hundred_orders_go_out_at_once(server: Server) -> None:
    server.expect({1: 1.5})
    tasks = load.same_tasks(500, width=64, height=48)
    rows = load.create(server.endpoints, tasks, at_once=500, progress=False)
    assert [row.uuid for row in rows if row.ok] == [task["uuid"] for task in tasks]
    edges = sorted([(row.started, 1) for row in rows] + [(row.started + row.latency, -1) for row in rows])
    assert max(itertools.accumulate(change for _, change in edges)) > 250


def test_clients_that_choose_an_api_that_is_gone_have_a_row_for_each_failure(server: Server, gone: str) -> None:
    urls = {**server.endpoints, "gone": gone}
    failed = {
        kind: [row.api for row in load.run(urls, number=40, at_once=4, clients=kind, progress=False) if not row.ok]
        for kind in CLIENTS
    }
    assert failed["first"] == []
    assert failed["turns"] == [gone] * 20
    assert {*failed["random"]} == {*failed["own"]} == {gone}
    assert len(failed["fastest"]) < 20, "a failure counts as slow"


# -- on an application of two APIs and two workers; these change it --------------------------------------------------


def test_a_calibration_is_remembered_and_leaves_no_fractal(app: Topology) -> None:
    said: list[str] = []
    app.say = said.append
    before = app.stats()["done"]
    work = load.calibrate(app, again=True)
    assert 1 / 4 < load.calibrate(app).steps_per_second / work.steps_per_second < 4
    assert len(said) >= 2
    assert app.stats()["done"] == before


def test_a_calibration_says_that_the_shares_do_not_fit_a_container_and_that_the_host_is_busy(
    app: Topology, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    app.say = said.append
    load.calibrate(app)
    fits = len(os.sched_getaffinity(0)) > 1
    assert [line for line in said if "cores together" in line] == [] or not fits
    said.clear()

    group = tmp_path / "groups" / "busy"
    group.mkdir(parents=True)
    (tmp_path / "own").write_text("0::/busy\n", encoding="ascii")
    (group / "cpu.max").write_text("100000 100000\n", encoding="ascii")
    (group / "cpu.stat").write_text("usage_usec 1000000\n", encoding="ascii")
    limited = limits(tmp_path / "own", tmp_path / "groups")
    monkeypatch.setattr("faafo_lab.load.host.limits", lambda: limited)
    finish = work.finish

    def finish_meanwhile(*arguments: Any) -> Any:
        """What the group uses meanwhile: more than it may."""
        (group / "cpu.stat").write_text("usage_usec 900000000\n", encoding="ascii")
        return finish(*arguments)

    monkeypatch.setattr("faafo_lab.load.work.finish", finish_meanwhile)
    load.calibrate(app)
    assert "1 core for the lab, and 6 servers of m1.tiny may use 1.5 cores together" in said[0]
    assert said[-1].startswith("The host was short of CPU meanwhile (0.00 of 1 cores idle)")


def test_without_a_worker_that_takes_tasks_nothing_is_measured_and_it_is_told_at_once(app: Topology) -> None:
    before = app.stats()["waiting"], app.stats()["done"]
    workers = [server.name for server in app.workers]
    app.drain(workers)
    try:
        for measuring in (load.calibrate, lambda app: load.measure(app, WORK)):
            with pytest.raises(load.LoadError, match=r"No worker takes tasks \(app-worker-1, app-worker-2: .*drained"):
                measuring(app)
    finally:
        for name in workers:
            app.api.drain(name, False)
    assert (app.stats()["waiting"], app.stats()["done"]) == before, "an order was left"


def test_a_remembered_value_that_is_far_off_is_measured_again(app: Topology) -> None:
    right = load.calibrate(app).steps_per_second
    file = paths.home() / "calibration.json"
    values = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps(dict.fromkeys(values, right / 50)), encoding="utf-8")
    assert load.calibrate(app).steps_per_second > right / 5
    file.write_text("{", encoding="utf-8")
    assert load.calibrate(app).steps_per_second > right / 5


def test_a_measurement_has_equal_batches_and_the_hosts_idle_cpu(app: Topology) -> None:
    before = app.stats()["done"]
    measured = load.measure(app, load.calibrate(app), per_worker=2, seconds=0.1, repeats=3)
    assert app.stats()["done"] == before + 2 * (2 * 3 + 2)
    assert (measured.workers, len(measured.rates)) == (2, 3)
    assert min(measured.rates) <= measured.rate <= max(measured.rates)
    assert measured.idle_cores is not None
    assert 0 <= measured.idle_cores <= (measured.cores or 0)
    assert measured.short is (measured.idle_cores < 0.08 * (measured.cores or 0))


def test_a_measurement_names_its_batches_where_there_are_several() -> None:
    assert str(load.Measured(1, (5.77,), 0.0, 1.0)) == "1 worker: 5.77 fractals/s"
    assert str(load.Measured(2, (5.0, 7.0), 0.0, 1.0)) == "2 workers: 6.00 fractals/s (batches: 5.00, 7.00)"


@pytest.mark.alone
def test_a_retry_storm_stays_after_its_trigger_and_a_budget_ends_it(app: Topology) -> None:
    before = app.stats()["done"]
    load.create(app.endpoints, load.same_tasks(100, width=64, height=48, seed=5), at_once=16, progress=False)
    load.watch(app, done=before + 100)
    path = "/v1/fractal?results_per_page=100"
    eager = load.Retries(attempts=4, budget=None, first_seconds=0)
    rate = 0.6 * load.capacity(app.endpoints, path=path)
    calm = load.surge(app.endpoints, rate=rate, path=path, retry=replace(eager, budget=0.1), progress=False)
    storm = load.surge(app.endpoints, rate=rate, path=path, retry=eager, progress=False)
    assert calm.rows.tries <= 1.1 * len(calm.rows)
    assert storm.after < calm.after / 2, (calm, storm)
    assert storm.rows.summary().amplification > 1.5
    assert "tries for each request" in repr(storm)
    assert "without: " in repr(plots.storm({"without": storm, "with": calm}))


def test_clients_choose_their_api(app: Topology) -> None:
    first, *_ = app.endpoints
    asked = {kind: {row.api for row in load.read(app.endpoints, seconds=0.3, clients=kind)} for kind in CLIENTS}
    assert asked["first"] == {first}
    assert asked["turns"] == asked["random"] == asked["own"] == set(app.endpoints)


def test_orders_that_were_placed_before_are_told(app: Topology) -> None:
    tasks = load.same_tasks(3, width=30, height=20, seed=77)
    assert [load.create(app.endpoints, tasks).new for _ in range(2)] == [3, 0]


def test_a_drill_counts_what_a_client_loses_and_what_it_makes_twice(app: Topology) -> None:
    work = load.calibrate(app)

    def once(task: load.Task, urls: list[str]) -> None:
        requests.post(f"{urls[0]}/v1/fractal", json=task, timeout=10).raise_for_status()

    def again(task: load.Task, urls: list[str], names: Iterator[str] | None = None) -> None:
        for url in urls * 2:
            with contextlib.suppress(requests.RequestException):
                order = {**task, "uuid": next(names)} if names else task
                return requests.post(f"{url}/v1/fractal", json=order, timeout=10).raise_for_status()
        raise RuntimeError("no API took it")

    def anew(task: load.Task, urls: list[str]) -> None:
        again(task, urls, iter(lambda: str(uuid.uuid4()), ""))

    def elsewhere(task: load.Task, urls: list[str]) -> None:
        requests.post(f"{app.endpoint}/v1/fractal", json=task, timeout=10)

    def kill() -> None:
        app.cloud.delete_servers(["app-api-2"])

    lost = load.drill(app, once, work.tasks(12, 0.02), kill)
    assert lost.lost
    assert (lost.made, lost.twice, lost.unanswered) == (12 - len(lost.lost), (), 4)
    assert sum(lost.failures.values()) == len(lost.lost) + 4  # those without an answer are made all the same
    app.deploy(api=2, worker=2)
    safe = load.drill(app, again, work.tasks(12, 0.02), kill)
    assert (safe.made, safe.lost, safe.twice, safe.failures) == (12, (), (), {})
    assert "12 made, 0 lost, 0 made twice" in str(safe)
    doubled = load.drill(app, anew, work.tasks(12, 0.02), lambda: None)
    assert (doubled.made, doubled.lost, doubled.twice) == (12, (), (4, 5, 6, 7))
    with pytest.raises(load.LoadError, match="sent nothing to the urls"):
        load.drill(app, elsewhere, work.tasks(3, 0.02), kill)
    app.deploy(api=2, worker=2)


def test_a_lost_attempt_is_known(app: Topology) -> None:
    work, timeline = load.calibrate(app), load.Timeline()
    with history.recording(app) as record:
        rows = load.create(app.endpoints, work.tasks(2, 6.0), progress=False)
        record.add(rows)
        worker, task = load.busy_worker(app, rows)
        app.cloud.delete_servers([worker])
    found = history.verdict(record.history)
    assert (found.valid, found.acknowledged, found.made_once) == (True, 2, 2), found
    stays = [(stay.where, stay.how) for stay in history.stages(record.history, task)]
    [lost] = [number for number, (_, how) in enumerate(stays) if how == "lost: lease over"]
    assert stays[lost][0] == worker.name
    assert [where for where, _ in stays[lost + 1 : lost + 3]] == ["outbox", "queue"]
    assert stays[-1][1] == "done"
    assert record.history.within < 5
    timeline.collect(app.endpoint)
    [done] = [done for done in timeline.done.values() if done.uuid == task]
    assert [lost.worker for lost in done.lost] == [worker.name], done
    [lost] = done.lost
    assert lost.started < lost.ended <= done.at
    app.api.delete([task])
    gone = history.verdict(history.collect(app, rows))
    assert (gone.valid, gone.made_once, gone.lost) == (False, 1, 1)
    assert gone.witness
    assert (gone.witness.order, [event.what for event in gone.witness.events]) == (task, ["order", "absent"])
    app.cloud.delete_servers(["app-api-1", "app-api-2"])
    unread = history.verdict(history.collect(app, rows, timeout_seconds=0))
    assert (unread.valid, unread.why) == (None, ("not looked at: 2 of 2 orders",))
