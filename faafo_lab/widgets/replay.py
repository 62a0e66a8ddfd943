"""Recordings in a notebook: they play in the page, side by side, without any cloud.

    faafo_lab.replay("round-robin.jsonl", "weighted.jsonl", titles=["Round robin", "By weight"])

While a kernel runs, JupyterLab shows the widget. Beside it, the notebook stores a part of a page that has all in it,
the module and the events, and plays wherever scripts run: in a notebook that was exported, too. Where none do, it is a
still. A terminal shows the recordings in words.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from faafo_lab.living import page
from faafo_lab.living.recording import Recording, RecordingError, load
from faafo_lab.widgets.moving import Moving


class Replay:
    """See `faafo_lab.replay`. `recordings`, `titles` and `label`: what is shown."""

    def __init__(
        self, recordings: Sequence[Recording | str | Path], titles: Sequence[str] | None = None, label: str = ""
    ) -> None:
        if not recordings:
            raise RecordingError("There is nothing to replay: name a file that faafo_lab.record has written.")
        if titles is not None and len(titles) != len(recordings):
            raise RecordingError(
                f"There are {len(recordings)} recordings, and {len(titles)} titles: give one for each."
            )
        self.recordings = [each if isinstance(each, Recording) else load(each) for each in recordings]
        self.titles = list(titles or (recording.title for recording in self.recordings))
        self.label = label or ", ".join(filter(None, self.titles)) or "A recording of the application"
        self._panes: list[page.Pane] = [
            {"title": title, "events": list(recording.events)}  # as they are now, should it be recorded still
            for title, recording in zip(self.titles, self.recordings, strict=True)
        ]
        self._moving: Moving | None = None

    def html(self) -> str:
        """The recordings as they play in any page, or, where they are too long for that, in words."""
        try:
            return page.fragment(self._panes, self.label)
        except page.TooLong as error:
            return f"<p>{html.escape(str(error))}</p><pre>{html.escape(str(self))}</pre>"

    def __str__(self) -> str:
        shown = zip(self.titles, self.recordings, strict=True)
        return "\n".join(f"{'' if title == each.title else f'{title}: '}{each}" for title, each in shown)

    def __repr__(self) -> str:
        return str(self)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        if self._moving is None:
            self._moving = Moving(panes=self._panes, label=self.label)
        live: Any = self._moving._repr_mimebundle_()
        return {**live[0], "text/html": self.html(), "text/plain": str(self)}
