"""Recordings: files that are read as they were written, cut, and refused in one sentence."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import pytest

from faafo_lab.living import recording as module
from faafo_lab.living.cutting import Before
from faafo_lab.living.events import Event, scene_at
from faafo_lab.living.recording import FORMAT, NoRecording, NotWritten, Recording, RecordingError, load, record
from faafo_lab.topology import Topology

START = 1_790_000_000.0
SCENE = {"servers": {"app-api-1": {"role": "api"}}, "clock": {"ahead": 0.002, "within": 0.0015}, "problem": ""}


def event(kind: str, at: float, **fields: Any) -> Event:
    """An event so many seconds after the start."""
    return cast(Event, {"k": kind, "t": START + at, **fields})


def task(at: float, what: str, uuid: str = "a", worker: str = "") -> Event:
    return event("task", at, what=what, uuid=uuid, **({"worker": worker} if worker else {}))


EVENTS: list[Event] = [
    event("scene", 0.0, patch=SCENE),
    event(
        "request",
        1.0,
        end=START + 3.0,
        id="r1",
        method="POST",
        path="/v1/fractal",
        to="app-api-1",
        status=201,
        uuid="a",
    ),
    task(1.1, "accepted"),
    task(1.2, "queued"),
    event("scene", 2.0, patch={"servers": {"app-worker-1": {"role": "worker"}}, "problem": "odd"}),
    task(2.5, "leased", worker="app-worker-1"),
    task(2.6, "accepted", "b"),
    task(4.5, "renewed", worker="app-worker-1"),
    event("note", 5.0, text="app-worker-1 was killed", server="app-worker-1"),
    event("gap", 7.0, text="no API answered", **{"from": START + 5.5}),
    event(
        "request", 7.5, end=START + 7.6, id="r2", method="GET", path="/", to="app-api-1", status=None, error="timed out"
    ),
    task(8.0, "lost", worker="app-worker-1"),
    task(9.0, "done", "b", worker="app-worker-2"),
]


@pytest.fixture
def recording() -> Recording:
    return Recording(EVENTS, start=START, end=START + 10.0, title="A worker dies")


def test_a_recording_is_the_same_after_it_was_saved_and_loaded(recording: Recording, tmp_path: Path) -> None:
    loaded = load(recording.save(tmp_path / "wave.jsonl"))
    assert loaded.events == recording.events
    assert (loaded.start, loaded.end, loaded.title, loaded.whole) == (START, START + 10.0, "A worker dies", True)
    head = json.loads((tmp_path / "wave.jsonl").read_text(encoding="utf-8").splitlines()[0])
    assert head == {
        "format": FORMAT,
        "title": "A worker dies",
        "start": START,
        "end": START + 10.0,
        "clock": SCENE["clock"],
    }


def test_it_says_in_words_what_is_in_it(recording: Recording) -> None:
    assert str(recording) == (
        "A worker dies: 10.0 s, 13 events. 2 requests (1 × 201, 1 × timed out). Tasks: 2 accepted, 1 done, 1 lost. "
        "5.0 s: app-worker-1 was killed. 1.5 s unseen (no API answered). "
        "The application's clock is 2.0 ± 1.5 ms ahead; its times are corrected by that."
    )


def test_a_cut_begins_with_the_whole_scene_and_the_tasks_in_flight(recording: Recording) -> None:
    part = recording.cut(4.6, 8.5)
    assert (part.start, part.end) == (START + 4.6, START + 8.5)
    first, *others = part.events
    assert first == event(
        "scene",
        4.6,
        patch={
            **SCENE,
            "servers": {"app-api-1": {"role": "api"}, "app-worker-1": {"role": "worker"}},
            "problem": "odd",
        },
    )
    assert others == [
        task(2.6, "accepted", "b"),
        task(2.5, "leased", worker="app-worker-1"),
        task(4.5, "renewed", worker="app-worker-1"),
        *EVENTS[8:12],
    ]


def test_a_cut_has_the_requests_and_gaps_that_go_on_at_its_ends(recording: Recording) -> None:
    assert [each for each in recording.cut(2.0, 4.0).events if each["k"] == "request"] == [EVENTS[1]]
    assert [each for each in recording.cut(6.0, 6.5).events if each["k"] == "gap"] == [EVENTS[9]]
    assert [each for each in recording.cut(3.5, 5.2).events if each["k"] in ("request", "gap")] == []


def test_the_scene_at_any_time_of_a_cut_is_that_of_the_whole(recording: Recording) -> None:
    part = recording.cut(1.5, 9.5)
    for seconds in (1.5, 1.9, 2.0, 9.0):
        assert scene_at(part.events, START + seconds) == scene_at(EVENTS, START + seconds)


def test_cuts_can_be_cut(recording: Recording) -> None:
    assert recording.cut(1.0, 9.0).cut(3.6, 5.0).events == recording.cut(4.6, 6.0).events


@pytest.mark.parametrize(("start", "end"), [(-1.0, 3.0), (3.0, 3.0), (11.0, 12.0), (4.0, 2.0)])
def test_a_cut_with_nothing_in_it_is_refused(recording: Recording, start: float, end: float) -> None:
    with pytest.raises(RecordingError, match=r"the recording lasts 10\.0 s"):
        recording.cut(start, end)


def test_tasks_that_are_over_are_not_in_flight() -> None:
    before = Before()
    for each in [task(1, "accepted"), task(2, "leased"), task(3, "done"), task(4, "late"), task(5, "accepted", "b")]:
        before.take(each)
    assert before.events(START)[1:] == [task(5, "accepted", "b")]
    for what in ("failed", "deleted"):
        before.take(task(6, "accepted", what))
        before.take(task(7, what, what))
    assert before.events(START)[1:] == [task(5, "accepted", "b")]


# -- files ---------------------------------------------------------------------------------------------------------


def test_of_a_recording_that_broke_off_what_is_whole_is_read(recording: Recording, tmp_path: Path) -> None:
    text = recording.save(tmp_path / "wave.jsonl").read_text(encoding="utf-8")
    (tmp_path / "broken.jsonl").write_text(text[:-30], encoding="utf-8")
    broken = load(tmp_path / "broken.jsonl")
    assert broken.events == EVENTS[:-1]
    assert not broken.whole
    assert str(broken).endswith("It broke off before its end.")


def test_a_head_without_an_end_is_that_of_a_recording_that_broke_off(tmp_path: Path) -> None:
    head = {"format": FORMAT, "title": "", "start": START}
    lines = [head, *EVENTS]
    (tmp_path / "killed.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    killed = load(tmp_path / "killed.jsonl")
    assert (killed.events, killed.end, killed.whole) == (EVENTS, START + 9.0, False)


HEAD = json.dumps({"format": FORMAT, "title": "", "start": START, "end": START + 1})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no recording"),
        ("hello\n", "no recording"),
        ("[]\n", "no recording"),
        ('{"history": 1}\n', "'format' is missing"),
        ('{"format": "faafo-lab recording 99"}\n', "its format is 'faafo-lab recording 99'"),
        (f'{HEAD}\n{{"k": "dance", "t": 1}}\n', "damaged in line 2: there are no events of the kind 'dance'"),
        (f'{HEAD}\n{{"k": "note"}}\n', "damaged in line 2: 't' is missing"),
        (f'{HEAD}\n{{"k": "note", "t": NaN}}\n', "damaged in line 2: its times make no sense"),
        (f'{HEAD}\nnothing\n{{"k": "note", "t": 1}}\n', "damaged in line 2: a line of it is no JSON object"),
    ],
)
def test_another_file_is_refused_in_one_sentence(text: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "odd.jsonl"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(NoRecording, match=words) as caught:
        load(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_or_no_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NoRecording, match="No such file"):
        load(tmp_path / "none.jsonl")
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\xff\xfe")
    with pytest.raises(NoRecording, match="it is no text"):
        load(tmp_path / "picture.png")


class Untouched:
    """No application: whoever asks it for anything has begun too early."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"it was asked for {name}")


def test_where_a_recording_can_not_be_written_nothing_begins(tmp_path: Path) -> None:
    app = cast(Topology, Untouched())
    with pytest.raises(NotWritten, match=r"There is no folder .*nowhere.* make it first"):
        record(app, tmp_path / "nowhere" / "wave.jsonl")
    with pytest.raises(NotWritten, match=r"can't be written: Is a directory"):
        record(app, tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_in_a_folder_that_may_not_be_written_nothing_begins(tmp_path: Path) -> None:
    shut = tmp_path / "shut"
    shut.mkdir(mode=0o500)
    with pytest.raises(NotWritten, match="Permission denied"):
        record(cast(Topology, Untouched()), shut / "wave.jsonl")


def test_what_is_in_the_file_stays_until_a_recording_begins(tmp_path: Path) -> None:
    path = tmp_path / "wave.jsonl"
    path.write_text("what was there\n", encoding="utf-8")
    with pytest.raises(AssertionError, match="it was asked for"):
        record(cast(Topology, Untouched()), path)
    assert path.read_text(encoding="utf-8") == "what was there\n"


# -- while it is made ----------------------------------------------------------------------------------------------


class Told:
    """A stream that tells what it is told to."""

    def __init__(self) -> None:
        self.callbacks: list[Callable[[list[Event]], object]] = []
        self.closed = False

    def listen(self, callback: Callable[[list[Event]], object], *, recent: bool = True) -> list[Event]:
        assert not recent
        self.callbacks.append(callback)
        return [event("scene", 0.0, patch=SCENE)]

    def unlisten(self, callback: Callable[[list[Event]], object]) -> None:
        self.callbacks.remove(callback)

    def wait_until_complete(self, at: float, limit_seconds: float) -> bool:
        self.tell([task(1, "accepted", "late")])
        return True

    def close(self) -> None:
        self.closed = True

    def tell(self, new: list[Event]) -> None:
        for callback in self.callbacks:
            callback(new)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Told:
    """What every recording listens to."""
    stream = Told()
    monkeypatch.setattr(module.Stream, "of", lambda app: stream)
    return stream


APP = cast(Topology, None)


def test_a_recording_waits_at_its_end_for_what_arrives_late_and_takes_nothing_more(told: Told, tmp_path: Path) -> None:
    with record(APP, tmp_path / "wave.jsonl", title="A wave") as made:
        told.tell([task(0.5, "accepted", "early")])
        assert [each["k"] for each in load(tmp_path / "wave.jsonl").events] == ["scene", "task"]
        assert made.running
    assert not made.running
    assert told.closed
    assert told.callbacks == []
    loaded = load(tmp_path / "wave.jsonl")
    assert [each["uuid"] for each in loaded.events if each["k"] == "task"] == ["early", "late"]
    assert loaded.whole
    assert loaded.clock == SCENE["clock"]


def test_what_happens_after_its_end_is_no_part_of_it(told: Told) -> None:
    made = record(APP)
    after = time.time() + 3600 - START
    told.tell([task(after, "accepted", "after")])
    made.close()
    assert "after" not in [each["uuid"] for each in made.events if each["k"] == "task"]


def test_a_recording_whose_end_is_interrupted_is_written(
    told: Told, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(at: float, limit_seconds: float) -> bool:
        raise KeyboardInterrupt

    monkeypatch.setattr(told, "wait_until_complete", interrupt)
    made = record(APP, tmp_path / "wave.jsonl")
    with pytest.raises(KeyboardInterrupt):
        made.close()
    assert told.closed
    assert load(tmp_path / "wave.jsonl").whole


def test_what_a_full_disk_kept_out_of_the_file_is_in_it_at_the_end(told: Told, tmp_path: Path) -> None:
    made = record(APP, tmp_path / "wave.jsonl")
    with suppress(OSError), Path("/dev/full").open("w", encoding="utf-8") as full:
        made._file = full
        told.tell([task(0.5, "accepted", "early")])
        told.tell([task(0.6, "queued", "early")])
        made.close()
    assert load(tmp_path / "wave.jsonl").events == made.events
    assert len(made.events) == 4


def test_a_file_that_can_not_be_written_at_the_end_is_told_and_the_recording_is_still_there(
    told: Told, tmp_path: Path
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    made = record(APP, folder / "wave.jsonl")
    shutil.rmtree(folder)
    with pytest.raises(NotWritten, match=r"There is no folder"):
        made.close()
    assert told.closed
    assert load(made.save(tmp_path / "elsewhere.jsonl")).whole


def test_a_recording_takes_the_place_of_what_was_in_the_file(told: Told, tmp_path: Path) -> None:
    path = tmp_path / "wave.jsonl"
    path.write_text("what was there\n", encoding="utf-8")
    record(APP, path).close()
    assert "what was there" not in path.read_text(encoding="utf-8")
    assert load(path).whole
