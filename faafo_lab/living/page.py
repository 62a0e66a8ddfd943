"""Recordings as HTML that plays in any browser: one self-contained page, or a part of a notebook's output.

    html = page([{"title": "A worker dies", "events": events}], "A worker dies")
    html = fragment([{"title": "Weighted", "events": first}, {"title": "Not", "events": second}], "Two algorithms")

Neither asks any host for anything: the picture that moves (living.js, living.css) and the events are in it, compressed.
Until the script has run, and where none runs (GitHub, a notebook that JupyterLab does not trust, an old browser), a
still of the moment when most was under way is shown, as an image and in words.
"""

import base64
import gzip
import json
import re
import time
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any, NotRequired, TypedDict

from faafo_lab.living import still
from faafo_lab.living.events import Event, rounded
from faafo_lab.living.moments import busiest, rates_at, scene_then, span, tasks_at
from faafo_lab.living.recording import NotWritten, RecordingError
from faafo_lab.paths import write_whole

MOST_BYTES = 1_000_000
NOTES_MOST = 12  # of each recording, in words
TIMES = ("t", "end", "from")
HERE = Path(__file__).parent
# Nothing from another host, nothing sent anywhere; a module is imported from what the page itself has unpacked.
POLICY = "default-src 'none'; script-src 'unsafe-inline' blob:; style-src 'unsafe-inline'; img-src data:"
PAGE_STYLE = """\
:root { color-scheme: light dark; }
body { margin: 0 auto; max-width: 1400px; padding: 8px 16px; font: 15px/1.5 system-ui, sans-serif;
  color: #1f2328; background: #fff; }
h1 { font-size: 22px; margin: 8px 0; }
footer { color: #59636e; font-size: 13px; }
@media (prefers-color-scheme: dark) { body { color: #f2f4f6; background: #15181c; } footer { color: #a6adb4; } }"""


class TooLong(RecordingError):
    """Recordings that are too long for one page: what to cut is said."""


class Pane(TypedDict):
    """A recording as it is shown: its events, under its title. `at`: the still's moment, seconds from the start."""

    title: str
    events: Sequence[Event]
    at: NotRequired[float]


def page(panes: Sequence[Pane], title: str) -> str:
    """One HTML page that plays these recordings side by side, each from its own start.

    Raises TooLong where it would have more than MOST_BYTES.
    """
    made = "; ".join(f"{escape(pane['title'])}: {recorded(pane['events'])}" for pane in panes)
    return _checked(
        f"""\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>
{PAGE_STYLE}
</style>
</head>
<body>
<main>
<h1>{escape(title)}</h1>
{_fragment(panes, title, heading=title)}
</main>
<footer><p>{made}. Made by faafo-lab from what was observed: nothing in it is simulated.</p></footer>
</body>
</html>
"""
    )


def fragment(panes: Sequence[Pane], label: str) -> str:
    """These recordings as a part of a page: what a notebook stores as text/html.

    It starts by itself where scripts run, as in a notebook that nbconvert has exported, and shares nothing with other
    fragments of the page. Raises TooLong where it would have more than MOST_BYTES.
    """
    return _checked(_fragment(panes, label))


def unpacked(html: str) -> tuple[list[Pane], str]:
    """The recordings that a fragment or a page holds, and its label. Raises ValueError where there are none."""
    found = re.search(r'<script type="application/gzip">([^<]*)</script>', html)
    if not found:
        raise ValueError("This HTML holds no recording that faafo-lab has made.")
    packed = json.loads(gzip.decompress(base64.b64decode(found[1])))
    return packed["panes"], packed["label"]


def _fragment(panes: Sequence[Pane], label: str, heading: str = "") -> str:
    """The fragment below a heading: a recording of the same title needs none of its own."""
    packed = {
        "module": (HERE / "living.js").read_text(encoding="utf-8"),
        "style": (HERE / "living.css").read_text(encoding="utf-8"),
        "label": label,
        "panes": [
            {
                "title": "" if pane["title"] == heading else pane["title"],  # told already
                "events": list(map(_short, pane["events"])),
            }
            for pane in panes
        ],
    }
    text = json.dumps(packed, ensure_ascii=False, separators=(",", ":"))
    data = base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()
    starter = (HERE / "starter.js").read_text(encoding="utf-8")
    return f"""\
<div class="faafo-recording">
<div class="faafo-still">
{"".join(map(_still, panes))}<p class="faafo-why">It moves where the browser runs scripts.</p>
</div>
<script type="application/gzip">{data}</script>
<script>
{starter}</script>
</div>"""


def still_picture(panes: Sequence[Pane]) -> str:
    """A moment of each of these recordings in one SVG, one below the other under their titles."""
    return still.together(
        [(pane["title"], _picture(pane["events"], at)) for pane, at in zip(panes, map(_moment, panes), strict=True)]
    )


def _picture(events: Sequence[Event], at: float) -> str:
    return still.picture(scene_then(events, at), tasks_at(events, at))


def _moment(pane: Pane) -> float:
    """When a recording's still is from, in seconds since 1970."""
    start, _ = span(pane["events"])
    return start + pane["at"] if "at" in pane else busiest(pane["events"])


def _still(pane: Pane) -> str:
    """A moment of a recording as an image, its numbers in words, and what was done to the application."""
    events = pane["events"]
    start, _ = span(events)
    at = _moment(pane)
    drawn = still.image(_picture(events, at))
    line = still.image(still.throughput(rates_at(events, at)))
    notes = [f"{event['t'] - start:.1f} s: {event['text']}" for event in events if event["k"] == "note"]
    more = [f"and {len(notes) - NOTES_MOST} more"] if len(notes) > NOTES_MOST else []
    told = "".join(f"<li>{escape(note)}</li>" for note in notes[:NOTES_MOST] + more)
    caption = f"{recorded(events)}; a still of {at - start:.1f} s after its start"
    return f"""\
<figure style="margin:0 0 16px">
<figcaption><b>{escape(pane["title"])}</b>: {caption}</figcaption>
<div style="overflow-x:auto" tabindex="0">{drawn}</div>
<div style="overflow-x:auto">{line}</div>
{f"<ul>{told}</ul>" if told else ""}
</figure>
"""


def write(path: Path, html: str) -> None:
    """Write the page to this file, or leave what is there. Raises NotWritten."""
    try:
        write_whole(path, html)
    except OSError as error:
        raise NotWritten(f"The page {path} can't be written: {error.strerror or error}.") from error


def recorded(events: Sequence[Event]) -> str:
    """When a recording was made, and how long it is."""
    start, end = span(events)
    return f"recorded on {time.strftime('%d %B %Y, %H:%M', time.gmtime(start)).lstrip('0')} UTC, {end - start:.0f} s"


def _short(event: Event) -> dict[str, Any]:
    """The event with as many digits as its times are good for."""
    return {name: rounded(value) if name in TIMES else value for name, value in event.items()}  # type: ignore[arg-type]


def _checked(html: str) -> str:
    size = len(html.encode())
    if size > MOST_BYTES:
        raise TooLong(
            f"This would be {size / 1e6:.2f} MB of HTML, {(size - MOST_BYTES) / 1e6:.2f} MB more than the 1 MB that a "
            "page may have: cut the recording to its key moment, recording.cut(start, end), or show fewer of them."
        )
    return html
