"""What a page of recordings holds: all events, no markup of theirs, and never more than fits."""

import base64
import gzip
import json
import random
import re
import uuid
from typing import Any

import pytest

from faafo_lab.living import page
from faafo_lab.living.events import Event
from tests.living import synthetic


def all_packed(html: str) -> dict[str, Any]:
    """What is packed in a fragment."""
    [data] = re.findall(r'<script type="application/gzip">([^<]*)</script>', html)
    found: dict[str, Any] = json.loads(gzip.decompress(base64.b64decode(data)))
    return found


def base64_texts(html: str) -> str:
    """The images of a page as text."""
    return "".join(base64.b64decode(data).decode() for data in re.findall(r"svg\+xml;base64,([^\"]+)", html))


def test_a_page_is_small_and_the_same_each_time() -> None:
    first, again = (page.page([synthetic.pane(synthetic.small())], "A worker dies") for _ in range(2))
    assert first == again
    assert len(first.encode()) < 300_000


def test_all_events_are_in_the_page() -> None:
    events = synthetic.small()
    [pane] = all_packed(page.fragment([synthetic.pane(events)], "A worker dies"))["panes"]
    assert len(pane["events"]) == len(events)
    for packed, event in zip(pane["events"], events, strict=True):
        assert packed == {**event, **{name: round(event[name], 4) for name in ("t", "end") if name in event}}  # type: ignore[literal-required]


def test_a_page_says_a_recordings_title_once_and_a_fragment_has_it_too() -> None:
    panes = [synthetic.pane(synthetic.small(), "A worker dies")]
    assert all_packed(page.page(panes, "A worker dies"))["panes"][0]["title"] == ""
    assert all_packed(page.page(panes, "Chapter 06"))["panes"][0]["title"] == "A worker dies"
    assert all_packed(page.fragment(panes, "A worker dies"))["panes"][0]["title"] == "A worker dies"


def test_what_looks_like_markup_in_names_and_notes_stays_text() -> None:
    evil = '</script></figcaption><b onclick="x">&\''
    events = synthetic.small()
    events.append({"k": "note", "t": synthetic.START + 30.0, "text": evil})
    html = page.page([{"title": evil, "events": events}], evil)
    assert evil not in html
    assert "<b onclick" not in html
    assert html.count("</script>") == 2
    packed = all_packed(html)
    assert (packed["label"], packed["panes"][0]["events"][-1]["text"]) == (evil, evil)


def test_a_page_can_be_made_of_what_a_notebook_stores() -> None:
    panes = [synthetic.pane(synthetic.small(), title) for title in ("One", "Two")]
    stored, label = page.unpacked(page.fragment(panes, "Both"))
    assert label == "Both"
    assert page.page(stored, label) == page.page(panes, "Both")
    with pytest.raises(ValueError, match="holds no recording"):
        page.unpacked("<p>Nothing</p>")


def test_a_recording_that_is_too_long_is_refused_and_it_says_by_how_much() -> None:
    chance = random.Random(15)
    many: list[Event] = [
        {"k": "task", "t": synthetic.START + n, "what": "queued", "uuid": str(uuid.UUID(int=chance.getrandbits(128)))}
        for n in range(50_000)
    ]
    said = r"would be \d\.\d\d MB of HTML, \d\.\d\d MB more than .* recording\.cut\(start, end\)"
    for make in (page.page, page.fragment):
        with pytest.raises(page.TooLong, match=said):
            make([synthetic.pane(many)], "too long")


def test_a_recording_without_events_is_a_page_too() -> None:
    assert "the application has no servers" in base64_texts(page.page([{"title": "empty", "events": []}], "empty"))


def test_the_still_is_of_the_moment_that_was_chosen() -> None:
    events = synthetic.small()
    assert "6379 shut" in base64_texts(page.fragment([{"title": "", "events": events, "at": 6.0}], ""))
    assert "6379 shut" not in base64_texts(page.fragment([{"title": "", "events": events, "at": 20.0}], ""))
