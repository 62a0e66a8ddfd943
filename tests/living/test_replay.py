"""Recordings in a notebook: what a kernel's page shows, what is stored beside it, and words for a terminal."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import faafo_lab
from faafo_lab.living import page
from faafo_lab.living.recording import NoRecording, Recording, RecordingError
from faafo_lab.widgets.moving import Moving
from faafo_lab.widgets.replay import Replay
from tests.living import synthetic

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"


def recording(title: str = "A worker dies") -> Recording:
    events = synthetic.small()
    return Recording(events, start=synthetic.START, end=synthetic.START + synthetic.SMALL_SECONDS, title=title)


def widget(replay: Replay) -> Moving:
    replay._repr_mimebundle_()
    assert replay._moving is not None
    return replay._moving


def test_a_recording_has_a_form_for_every_page_and_for_a_terminal() -> None:
    replay = faafo_lab.replay(recording())
    bundle = replay._repr_mimebundle_()
    assert set(bundle) == {WIDGET_VIEW, "text/html", "text/plain"}
    assert bundle[WIDGET_VIEW]["model_id"] == widget(replay).model_id
    assert bundle["text/html"].count("<script") == 2, "it plays where no kernel runs"
    assert "<img" in bundle["text/html"], "and is a still where no script runs"
    assert bundle["text/plain"] == repr(replay) == str(recording())
    assert "A worker dies" in bundle["text/plain"]


def test_a_page_with_a_kernel_has_the_recordings_in_its_widget_and_nothing_to_do() -> None:
    first, second = recording("Round robin"), recording("")
    shown = widget(faafo_lab.replay(first, second, titles=["In turn", "By weight"], label="Two algorithms"))
    assert [pane["title"] for pane in shown.panes] == ["In turn", "By weight"]
    assert [pane["events"] for pane in shown.panes] == [first.events, second.events]
    assert (shown.label, shown.live, shown.actions) == ("Two algorithms", False, [])


def test_without_titles_the_recordings_own_ones_are_shown(tmp_path: Path) -> None:
    file = recording("A worker dies").save(tmp_path / "dies.jsonl")
    replay = faafo_lab.replay(file, str(file))
    assert replay.titles == ["A worker dies"] * 2
    assert replay.label == "A worker dies, A worker dies"
    assert widget(replay).panes[0]["events"] == recording().events
    assert faafo_lab.replay(recording("")).label == "A recording of the application"


def test_a_recording_that_is_too_long_for_a_page_plays_with_a_kernel_and_is_words_without(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(page, "MOST_BYTES", 10_000)
    bundle = faafo_lab.replay(recording("<Crowd>"))._repr_mimebundle_()
    assert WIDGET_VIEW in bundle
    assert "recording.cut(start, end)" in bundle["text/html"]
    assert "&lt;Crowd&gt;" in bundle["text/html"]
    assert len(bundle["text/html"]) < 10_000


def test_what_can_t_be_shown_is_said_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="There is nothing to replay"):
        faafo_lab.replay()
    with pytest.raises(RecordingError, match="There are 1 recordings, and 2 titles"):
        faafo_lab.replay(recording(), titles=["one", "two"])
    with pytest.raises(NoRecording, match="can't be read as a recording"):
        faafo_lab.replay(tmp_path / "missing.jsonl")


def test_a_replay_needs_no_cloud_and_no_connection(tmp_path: Path) -> None:
    file = recording().save(tmp_path / "dies.jsonl")
    code = (
        "import socket, sys, threading\n"
        "def refuse(*_): raise AssertionError('a connection')\n"
        "socket.socket.connect = refuse\n"
        "import faafo_lab\n"
        "bundle = faafo_lab.replay(sys.argv[1])._repr_mimebundle_()\n"
        "print(len(bundle), [t.name for t in threading.enumerate()])"
    )
    done = subprocess.run([sys.executable, "-c", code, str(file)], capture_output=True, text=True, check=True)
    assert re.match(r"3 \['MainThread'\]", done.stdout)
