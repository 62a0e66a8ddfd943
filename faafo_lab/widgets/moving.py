"""The picture that moves, as a widget: what the page is sent, and what its menus ask for.

    shown = Moving(stream, actions=["add", "kill"], act=do)            # live: all that the stream tells
    shown.end()                                                        # no more

    Moving(panes=[{"title": "A worker dies", "events": events}])       # recordings, which the page plays itself

The page's side is an ES module, `living/living.js`. Its text is part of the widget's state, as that of its style sheet
is: a page loads nothing from anywhere. Messages (JSON):

    page to kernel   {"type": "ready"}                             a view has come up
                     {"type": "act", "what": "kill", "server": "app-worker-1"}
    kernel to page   {"type": "start", "now": …, "events": […]}    the whole scene first, then the last minutes
                     {"type": "events", "now": …, "events": […]}   also without events: the page's clock follows `now`
                     {"type": "closed"}

The widget's messages are handled where those of buttons are (see `panel`): in JupyterLab also while a cell runs. Tests
open it in JupyterLab and Notebook 7. For VS Code it is built by the documented rules of its notebook renderer (an
anywidget, whose module asks no host for anything); it was not run there.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.resources import files
from typing import Any, Protocol

import anywidget
import traitlets

from faafo_lab.living.events import Event

Listener = Callable[[Sequence[Event]], object]
Act = Callable[[Mapping[str, Any]], None]


class Source(Protocol):
    """What a live picture needs of a `Stream`."""

    def listen(self, callback: Listener) -> list[Event]:
        """The last minutes' events; from now on the callback is called with the new ones, again and again."""

    def unlisten(self, callback: Listener) -> None:
        """Call it no more."""

    def now(self) -> list[Event]:
        """The whole scene, and what else is known at this moment."""


def _text(name: str) -> str:
    return (files("faafo_lab.living") / name).read_text(encoding="utf-8")


class Moving(anywidget.AnyWidget):
    """The application as it moves: live where there is a stream, or else recordings.

    `panes`: the recordings, each with a "title" and its "events", side by side. `label` says in words what is shown.
    `actions`: what the menus offer; `act` is called with each message that asks for one, in any thread. `jobs`: what
    became of them, the newest first.
    """

    # Not the files' paths: anywidget would watch these for changes.
    _esm = _text("living.js")
    _css = _text("living.css")

    panes = traitlets.List(traitlets.Dict()).tag(sync=True)
    live = traitlets.Bool(False).tag(sync=True)
    label = traitlets.Unicode("").tag(sync=True)
    actions = traitlets.List(traitlets.Unicode()).tag(sync=True)
    jobs = traitlets.List(traitlets.Unicode()).tag(sync=True)

    def __init__(self, stream: Source | None = None, *, act: Act | None = None, **traits: Any) -> None:
        super().__init__(live=stream is not None, **traits)
        self._stream, self._act = stream, act
        self._sending = threading.Lock()  # a start and what comes after it are in this order
        self._starts = 0
        self._listener: Listener | None = None  # that of the last start
        self._last: list[Event] | None = None  # what was there when it ended
        self.on_msg(self._hear)

    def end(self) -> None:
        """Nothing more is told: the page stops its clock, and its menus. Ending it again changes nothing."""
        with self._sending:
            if self._stream is None:
                return
            self._last = self._stream.now()
            self._stop_listening()
            self._stream = None
            self.actions = []
            self.send({"type": "closed"})

    def _hear(self, _: Moving, message: Any, buffers: Any) -> None:
        kind = message.get("type") if isinstance(message, dict) else None
        if kind == "ready":
            self._start()
        elif kind == "act" and self._act is not None and self._stream is not None:
            self._act(message)

    def _start(self) -> None:
        """A view has come up: tell it the last minutes, and from then on what is new. All views hear it."""
        with self._sending:
            if self._stream is not None:
                self._stop_listening()
                self._starts += 1
                self._listener = partial(self._tell, self._starts)
                self._post("start", self._stream.listen(self._listener))
            elif self._last is not None:
                self._post("start", self._last)
                self.send({"type": "closed"})

    def _tell(self, start: int, events: Sequence[Event]) -> None:
        with self._sending:
            if start == self._starts and self._stream is not None:  # what comes late, a later start has told already
                self._post("events", events)

    def _stop_listening(self) -> None:
        if self._stream is not None and self._listener is not None:
            self._stream.unlisten(self._listener)
            self._listener = None

    def _post(self, kind: str, events: Sequence[Event]) -> None:
        self.send({"type": kind, "now": time.time(), "events": events})
