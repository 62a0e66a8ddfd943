"""The stream of a real application: an order's whole life on one clock, faults, notes, silences, and a clean end."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

import faafo_lab
from faafo_lab import autoscale, chaos, load
from faafo_lab.autoscale.samples import Decision
from faafo_lab.cloud import notes
from faafo_lab.cloud.base import Cloud
from faafo_lab.living import following, recording
from faafo_lab.living.events import Event, difference, merge, scene_at
from faafo_lab.living.stream import THREAD_NAME, Stream
from faafo_lab.load import wire
from faafo_lab.topology import Moment, Topology, TopologyError
from faafo_lab.topology.moment import observe
from tests.waiting import wait_for

SMALL = (64, 48)  # pixels
FOREVER = float("inf")


class Heard:
    """What a stream tells, since it began."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.events: list[Event] = list(stream.listen(self.take))

    def take(self, new: Any) -> None:
        self.events += new

    def of(self, kind: str, **fields: object) -> list[Any]:
        """The events of this kind that have these fields."""
        return [
            event
            for event in tuple(self.events)
            if event["k"] == kind and all(event.get(name) == value for name, value in fields.items())
        ]

    @property
    def scene(self) -> dict[str, Any]:
        return dict(scene_at(tuple(self.events), FOREVER))

    def gate(self, name: str) -> bool:
        return bool(self.scene["gates"][name]["open"])


@pytest.fixture
def heard(app: Topology) -> Iterator[Heard]:
    stream = Stream.of(app)
    yield Heard(stream)
    stream.close()


def order(app: Topology, number: int = 1, size: tuple[int, int] = SMALL) -> load.Rows:
    return load.run(app.endpoints, loop="open", rate=10, number=number, size=size, progress=False)


def in_work(heard: Heard, worker: str) -> set[str]:
    """The tasks that this worker has, as far as it was heard."""
    tasks = {event["uuid"]: event["what"] for event in heard.of("task", worker=worker)}
    return {uuid for uuid, what in tasks.items() if what in ("leased", "renewed")}


def names() -> list[str]:
    """The names of the streams' threads that run."""
    return [thread.name for thread in threading.enumerate() if thread.name.startswith(THREAD_NAME)]


def test_it_begins_with_the_whole_scene(heard: Heard) -> None:
    first = heard.events[0]
    assert first["k"] == "scene"
    scene = scene_at([first], FOREVER)
    assert {name: server["role"] for name, server in scene["servers"].items()} == {
        "app-api-1": "api",
        "app-services": "services",
        "app-worker-1": "worker",
        "app-worker-2": "worker",
    }
    assert {name for name, gate in scene["gates"].items() if gate["open"]} == {
        "you>api:80",
        "api>services:5432",
        "api>services:6379",
        "worker>services:6379",
        "worker>api:80",
    }
    assert scene["problem"] == ""


def test_an_orders_whole_life_arrives_in_order_on_one_clock(heard: Heard, app: Topology) -> None:
    [row] = order(app)
    wait_for("its end", lambda: heard.of("task", uuid=row.uuid, what="done"))
    told = heard.of("task", uuid=row.uuid)
    whats = [event["what"] for event in told if event["what"] not in ("queued", "renewed")]
    assert whats == ["accepted", "leased", "done"]
    assert [event["t"] for event in told] == sorted(event["t"] for event in told)
    [request] = heard.of("request", uuid=row.uuid)
    wait_for("the clock", lambda: "clock" in heard.scene)
    unsure = heard.scene["clock"]["within"] + 0.01  # the application's clock, as known then
    assert request["t"] - unsure <= told[0]["t"] <= request["end"] + unsure
    assert told[-1]["worker"] in ("app-worker-1", "app-worker-2")
    assert request["t"] - unsure <= told[-1]["t"] <= time.time() + unsure


def test_requests_of_load_arrive_with_status_and_server(heard: Heard, app: Topology) -> None:
    rows = order(app, 3)
    wait_for("the requests", lambda: {row.uuid for row in rows} <= {each.get("uuid") for each in heard.of("request")})
    for row in rows:
        [request] = heard.of("request", uuid=row.uuid)
        assert (request["status"], request["to"], request["method"]) == (201, "app-api-1", "POST")
        assert request["t"] == pytest.approx(row.started, abs=0.05)
        assert request["end"] >= request["t"]
        assert "via" not in request
        assert "from" not in request
    load.run(app.endpoints, number=1, path="/nothing", progress=False)
    [missed] = wait_for("the request that failed", lambda: heard.of("request", path="/nothing"))
    assert (missed["status"], missed["to"]) == (404, "app-api-1")
    assert len({each["id"] for each in heard.of("request")}) == len(heard.of("request"))


def test_a_request_of_you_says_so(heard: Heard) -> None:
    answer = heard.stream.ask()
    assert answer.status == 201
    wait_for("the request", lambda: heard.of("request", **{"from": "you"}))
    [request] = heard.of("request", **{"from": "you"})
    wait_for("its task", lambda: heard.of("task", uuid=request["uuid"], what="done"))


def test_who_listens_later_is_told_what_was_before(heard: Heard, app: Topology) -> None:
    [row] = order(app)
    wait_for("its end", lambda: heard.of("task", uuid=row.uuid, what="done"))
    other = Stream.of(app)
    assert other is heard.stream
    later = Heard(other)
    assert later.of("task", uuid=row.uuid) == heard.of("task", uuid=row.uuid)
    known = other.now()
    assert known[0]["k"] == "scene"
    assert [event for event in known if event["k"] == "task" and event.get("uuid") == row.uuid] == []
    other.close()
    assert not heard.stream.closed
    assert len(names()) == 4


def test_a_killed_worker_gives_a_note_and_a_task_that_is_lost(heard: Heard, app: Topology) -> None:
    orders = load.start(app.endpoints, number=120, size=(1440, 960), iterations=2000, at_once=8)
    worker = "app-worker-1"
    lost: list[Any] = []
    while not lost:
        wait_for("a task in work", lambda: in_work(heard, worker))
        with chaos.freeze(app, worker):
            note = wait_for("the note", lambda: heard.of("note", text=f"{worker} is frozen"))[-1]
            assert note["server"] == worker
            wait_for("what it looks like", lambda: heard.scene["servers"][worker]["status"] == "PAUSED")
            if in_work(heard, worker):  # and not just between two of them
                lost = wait_for("a task that is lost", lambda: heard.of("task", what="lost", worker=worker))
        wait_for("the undoing", lambda: heard.of("note", text=f"undone: {worker} is frozen"))
    assert lost[0]["t"] > note["t"]
    orders.stop()
    load.timeline.rest(app, timeout_seconds=180)


def test_a_rule_that_is_removed_shuts_the_gate_and_one_that_is_added_opens_it(heard: Heard, cloud: Cloud) -> None:
    group, workers = cloud.security_group("services"), cloud.security_group("worker")
    [rule] = [rule for rule in group.rules if rule.opens(6379) and rule.remote_group == workers.id]
    assert heard.gate("worker>services:6379")
    cloud.delete_rule(rule)
    wait_for("the gate to shut", lambda: not heard.gate("worker>services:6379"))
    assert heard.gate("api>services:6379")
    cloud.add_rule(group, 6379, remote_group=workers)
    wait_for("the gate to open", lambda: heard.gate("worker>services:6379"))
    texts = [note["text"] for note in heard.of("note")]
    assert texts == [
        "a rule for port 6379 was removed",
        "a rule for port 6379 was added to security group services",
    ]


def test_while_no_api_answers_there_is_a_problem_and_then_a_gap_and_it_goes_on(heard: Heard, app: Topology) -> None:
    with chaos.stop(app, "app-api-1", service="faafo-api"):
        wait_for("the problem", lambda: "No API" in heard.scene["problem"])
        began = time.time()
        wait_for("a silence", lambda: time.time() - began > 2.0)
    wait_for("the end of the problem", lambda: not heard.scene["problem"])
    [gap] = wait_for("the gap", lambda: heard.of("gap"))
    assert gap["text"] == "no API answered"
    assert gap["from"] < began < gap["t"]
    [row] = wait_for("an order", lambda: [each for each in order(app) if each.ok])
    wait_for("its end", lambda: heard.of("task", uuid=row.uuid, what="done"))


@pytest.mark.parametrize("answers", [True, False])
def test_where_the_api_takes_long_the_servers_are_as_they_are_afterwards(
    app: Topology, monkeypatch: pytest.MonkeyPatch, answers: bool
) -> None:
    follower = following.Follower(app)

    def slowly(servers: Any, api: Any) -> Any:
        app.cloud.stop_server("app-worker-2")
        app.cloud.wait_for("app-worker-2", "SHUTOFF", progress=False)
        if answers:
            return observe(servers, api)
        raise TopologyError("no API answers")

    monkeypatch.setattr(following, "observe", slowly)
    monkeypatch.setattr(following, "LIST_PAUSE_SECONDS", 0.0)  # asking takes longer than that
    try:
        seen = {machine.name: machine.status for machine in follower.look().machines}
    finally:
        follower.close()
        app.cloud.start_server("app-worker-2")
        app.cloud.wait_for("app-worker-2", progress=False)
        app.wait_serving()
    assert seen["app-worker-2"] == "SHUTOFF"
    assert seen["app-worker-1"] == "ACTIVE"


def test_what_the_cloud_says_is_told_before_the_application_is_asked(
    app: Topology, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An API that hangs is asked for seconds: that it is paused is to be seen meanwhile."""
    told: list[Moment] = []

    def asked(servers: Any, api: Any) -> Any:
        assert [machine.status for machine in told[-1].machines] == ["ACTIVE"] * len(app.servers)
        raise TopologyError("no API answers")

    follower = following.Follower(app)
    try:
        before = follower.look()
        monkeypatch.setattr(following, "observe", asked)
        follower.look(told.append)
    finally:
        follower.close()
    assert told[0].done == before.done
    assert [machine.state for machine in told[0].machines] == [machine.state for machine in before.machines]


def test_a_worker_that_drains_is_noted_and_seen(heard: Heard, app: Topology) -> None:
    app.drain(["app-worker-2"])
    wait_for("the note", lambda: heard.of("note", text="app-worker-2 drains", server="app-worker-2"))
    wait_for("what it looks like", lambda: heard.scene["servers"]["app-worker-2"]["drain"])
    app.api.drain("app-worker-2", False)
    wait_for("its end", lambda: not heard.scene["servers"]["app-worker-2"]["drain"])


def test_what_an_autoscaler_wants_is_part_of_the_scene(heard: Heard, app: Topology) -> None:
    assert "wanted" not in heard.scene
    wanted = 2
    policy = autoscale.Autoscaler(app, lambda samples: Decision(wanted, "as told"), maximum=3, every_seconds=0.5)
    with policy:
        wait_for("the number", lambda: heard.scene.get("wanted") == 2)
        wanted = 3
        wait_for("the next one", lambda: heard.scene.get("wanted") == 3)
        wait_for("the note", lambda: heard.of("note", text="autoscaler: app-worker-3: requested"))
        wait_for("the server", lambda: "app-worker-3" in heard.scene["servers"])
        wanted = 2
        wait_for("its end", lambda: "app-worker-3" not in heard.scene["servers"])
    wait_for("the autoscaler's end", lambda: "wanted" not in heard.scene)
    assert not heard.of("note", text="app-worker-3 was requested")  # the autoscaler has said it


def test_of_the_scene_only_what_has_changed_is_told(heard: Heard) -> None:
    wait_for("some looks", lambda: heard.stream.moment.at > heard.events[0]["t"] + 3)
    scene: dict[str, Any] = {}
    for event in heard.of("scene"):
        after = merge(scene, event["patch"])
        assert event["patch"]
        assert event["patch"] == difference(scene, after)
        scene = after


def test_a_recording_has_all_until_its_end_and_is_read_as_it_was(app: Topology, tmp_path: Path) -> None:
    path = tmp_path / "wave.jsonl"
    with faafo_lab.record(app, path, title="A wave") as record:
        rows = order(app, 5)
    loaded = recording.load(path)
    assert loaded.whole
    assert loaded.events == record.events
    assert loaded.title == "A wave"
    assert {row.uuid for row in rows} == {each["uuid"] for each in loaded.events if each["k"] == "request"}
    accepted = [each["uuid"] for each in loaded.events if each["k"] == "task" and each["what"] == "accepted"]
    assert sorted(accepted) == sorted(row.uuid for row in rows)
    assert loaded.clock["within"] < 1.0
    assert loaded.events[0]["k"] == "scene"
    assert "app-api-1" in loaded.events[0]["patch"]["servers"]
    assert "5 requests (5 × 201)" in str(loaded)
    assert names() == []


def test_a_recording_grows_in_its_file_while_it_is_made(app: Topology, tmp_path: Path) -> None:
    path = tmp_path / "wave.jsonl"
    record = faafo_lab.record(app, path)
    [row] = order(app)

    def has_it() -> bool:
        return any(each["k"] == "request" and each.get("uuid") == row.uuid for each in recording.load(path).events)

    wait_for("the request in the file", has_it)
    assert not recording.load(path).whole
    record.close()
    record.close()
    assert recording.load(path).whole


def test_closing_leaves_no_thread_no_listener_and_no_connection(app: Topology) -> None:
    def connections() -> int:
        gc.collect()
        return len([each for each in psutil.Process().net_connections("tcp") if each.status == "ESTABLISHED"])

    assert names() == []
    before = connections()
    stream = Stream.of(app)
    assert len(names()) == 4
    wait_for("it to be connected", lambda: connections() > before)
    stream.close()
    assert names() == []
    assert wire.listeners == []
    assert notes.listeners == []
    del stream
    wait_for("its connections to be closed", lambda: connections() <= before)


def test_who_listens_and_fails_is_told_no_more_and_others_are(heard: Heard, caplog: pytest.LogCaptureFixture) -> None:
    calls = 0

    def fail(new: object) -> None:
        nonlocal calls
        calls += 1
        raise ValueError("a broken picture")

    heard.stream.listen(fail)
    wait_for("its call", lambda: calls == 1)
    notes.note("embedded", "something odd")
    wait_for("the note", lambda: heard.of("note", text="something odd"))
    assert calls == 1
    assert "a broken picture" in caplog.text


def test_requests_cost_nothing_where_nobody_listens() -> None:
    """The client takes no time of its own then, and makes no record."""
    client = wire.Client(1.0)
    made: list[wire.Sent] = []
    assert client.send("GET", "http://127.0.0.1:1", "/").status is None
    wire.listeners.append(made.append)
    try:
        client.send("POST", "http://127.0.0.1:1", "/", b"{}", "a-uuid")
    finally:
        wire.listeners.remove(made.append)
    client.send("GET", "http://127.0.0.1:1", "/")
    [sent] = made
    assert (sent.method, sent.order, sent.sender, sent.answer.status) == ("POST", "a-uuid", "load", None)


def test_a_second_application_after_the_first_is_destroyed_is_told_too(heard: Heard, app: Topology) -> None:
    """The last one: it takes the module's application away, and builds it again."""
    [row] = order(app)
    wait_for("its end", lambda: heard.of("task", uuid=row.uuid, what="done"))
    app.destroy()
    wait_for("that it is gone", lambda: not heard.scene["servers"] and "no application" in heard.scene["problem"])
    app.deploy(api=1, worker=2)
    wait_for("the new one", lambda: len(heard.scene["servers"]) == 4 and not heard.scene["problem"])
    assert heard.of("gap")
    [row] = order(app)
    wait_for("its end", lambda: heard.of("task", uuid=row.uuid, what="done"))
    assert heard.of("task", uuid=row.uuid)[0]["what"] == "accepted"
    deleted = {note["server"] for note in heard.of("note") if note["text"].endswith("was deleted")}
    assert deleted >= {"app-api-1", "app-services", "app-worker-1", "app-worker-2"}
