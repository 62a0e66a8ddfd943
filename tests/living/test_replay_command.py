"""`faafo-lab replay`: recordings in words, and as a page; what cannot be is one sentence."""

import random
import uuid
from pathlib import Path

import pytest

from faafo_lab import cli
from faafo_lab.living.events import Event
from faafo_lab.living.recording import Recording
from tests.living import synthetic


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A recording."""
    end = synthetic.START + synthetic.SMALL_SECONDS
    recording = Recording(synthetic.small(), start=synthetic.START, end=end, title="A worker dies")
    return recording.save(tmp_path / "small.jsonl")


def test_it_says_what_recordings_hold(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["replay", str(small), str(small)]) == 0
    said = capsys.readouterr().out
    assert said.count(f"{small}: recorded on 21 September 2026, 14:13 UTC") == 2
    for words in (
        "A worker dies",
        "40.0 s",
        "40 requests",
        "40 accepted",
        "39 done",
        "12.0 s: app-worker-2 was killed",
    ):
        assert words in said


def test_it_writes_a_page_of_several_recordings(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = small.with_name("page.html")
    assert cli.main(["replay", str(small), str(small), "--html", str(out), "--title", "Twice <the same>"]) == 0
    assert capsys.readouterr().out.startswith(f"{out}: 0.")
    html = out.read_text(encoding="utf-8")
    assert "<title>Twice &lt;the same&gt;</title>" in html
    assert html.count("<figure") == 2


def test_a_page_has_the_recordings_title_unless_told_otherwise(small: Path) -> None:
    out = small.with_name("page.html")
    assert cli.main(["replay", str(small), "--html", str(out)]) == 0
    assert "<title>A worker dies</title>" in out.read_text(encoding="utf-8")


def test_a_file_that_is_no_recording_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = tmp_path / "text.jsonl"
    text.write_text("no recording\n")
    for path in (text, tmp_path / "none.jsonl"):
        assert cli.main(["replay", str(path)]) == 1
        said = capsys.readouterr().err
        assert said.startswith(f"faafo-lab: {path} ")
        assert said.count("\n") == 1


def test_a_recording_that_is_too_long_and_a_place_that_is_none_are_refused(
    small: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chance = random.Random(15)
    many: list[Event] = [
        {"k": "task", "t": synthetic.START + n, "what": "queued", "uuid": str(uuid.UUID(int=chance.getrandbits(128)))}
        for n in range(50_000)
    ]
    long = Recording(many, start=synthetic.START).save(small.with_name("long.jsonl"))
    out = small.with_name("page.html")
    assert cli.main(["replay", str(long), "--html", str(out)]) == 1
    assert "more than the 1 MB" in capsys.readouterr().err
    assert not out.exists()
    assert cli.main(["replay", str(small), "--html", str(small.parent / "nowhere" / "page.html")]) == 1
    assert "nowhere/page.html can't be written: No such file" in capsys.readouterr().err
