"""The live controls' common base: background work that ends, and a form for every kind of reader.

A panel's threads are daemons that heed one event: closing the panel, or the end of the Python process, leaves none of
them running. What a button starts runs in a thread of its own, and its outcome, or its error as one sentence, is shown.
JupyterLab has the kernel hear of a button in a thread beside the one that runs cells (a subshell), so that it takes
effect while a cell runs; elsewhere the kernel may hear of it when the cell has ended.
Of each kind of panel there is one per cloud: running its cell again closes the older one.

In a notebook a panel is live. A saved notebook has `html()` beside it, for pages without the kernel, and a terminal
shows `str()`. When a panel is closed, `html()` of that moment takes the place of the live form in the notebook.
"""

from __future__ import annotations

import atexit
import html
import logging
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from typing import Any, ClassVar
from uuid import uuid4

import ipywidgets

from faafo_lab.cloud import progress
from faafo_lab.cloud.errors import CloudError
from faafo_lab.load import LoadError
from faafo_lab.topology.errors import first_line

log = logging.getLogger(__name__)

CLOSE_LIMIT_SECONDS = 5.0  # how long closing waits for the threads; their work has limits of its own
TURN_PAUSE_SECONDS = 0.2
JOBS_KEPT, JOBS_STORED = 100, 8  # in the panel's log, which scrolls; and of these in a saved notebook
LOG_HEIGHT = "8em"
THREAD_NAME = "faafo panel"  # how the names of all these threads begin

TEXT = "font:13px var(--jp-ui-font-family,sans-serif);color:var(--jp-ui-font-color1,inherit)"
LABEL = {"description_width": "initial"}  # a field's label, without which a screen reader has no name for it
FAINT = "color:var(--jp-ui-font-color2,#666)"
BANNER = "border-left:4px solid #D55E00;padding:4px 10px;margin:4px 0;background:var(--jp-layout-color2,#f3f3f3)"


class Closed(Exception):
    """The panel was closed while something waited."""


class Job:
    """A button's action, and its outcome."""

    def __init__(self, what: str) -> None:
        self.what, self.seen, self.mark = what, "", "…"
        self._started = time.monotonic()
        self._took: float | None = None

    @property
    def running(self) -> bool:
        """Whether it still runs."""
        return self._took is None

    @classmethod
    def over(cls, mark: str, what: str, outcome: str) -> Job:
        """One that has ended already."""
        job = cls(what)
        job.end(mark, outcome)
        return job

    def end(self, mark: str, outcome: str) -> None:
        """It ended: "✔" or "✘", and in one sentence how."""
        self.mark, self.seen = mark, outcome
        self._took = time.monotonic() - self._started

    def __str__(self) -> str:
        seconds = time.monotonic() - self._started if self._took is None else self._took
        return f"{self.mark} {self.what} ({seconds:.0f} s){f': {self.seen}' if self.seen else ''}"


class Panel(ABC):
    """Live controls of one application. Subclasses make `view`, then call `_open`."""

    _panels: ClassVar[dict[tuple[type, str], Panel]] = {}

    def __init__(self, cloud_name: str) -> None:
        self._key = (type(self), cloud_name)
        if older := self._panels.get(self._key):
            older.close()
        self.jobs: deque[Job] = deque(maxlen=JOBS_KEPT)
        self._stop = threading.Event()
        self._threads: set[threading.Thread] = set()
        self._line: deque[Job] = deque()  # those that build and remove servers, in the order of the clicks
        self._ends: list[Callable[[], object]] = []  # what else ends with it, when its threads have ended
        self._drawing = threading.Lock()
        scrolls = {"max_height": LOG_HEIGHT, "overflow": "auto"}
        self._log = ipywidgets.HTML(layout=scrolls, tabbable=True)  # so that it scrolls without a mouse, too
        self._close_button = button("Close", "times", lambda: self.close(), "Stop updating; keep the last state")
        self._display_id = uuid4().hex
        self._displayed = False
        self.view: Any = None

    def _open(self, view: Any) -> None:
        """The panel is made: `view` is its widget."""
        self.view = view
        self._panels[self._key] = self

    # -- the forms -------------------------------------------------------------------------------------------------

    @abstractmethod
    def html(self) -> str:
        """The present state as self-contained HTML."""

    @abstractmethod
    def __str__(self) -> str:
        """The present state in words."""

    def __repr__(self) -> str:
        return str(self)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        live = {} if self.closed else self.view._repr_mimebundle_() or {}
        return {**live, "text/html": self.html(), "text/plain": str(self)}

    def _ipython_display_(self) -> None:
        from IPython.display import display

        display(self._repr_mimebundle_(), raw=True, display_id=self._display_id)  # type: ignore[no-untyped-call]
        self._displayed = True

    def _show_closed(self) -> None:
        """Put the form without a kernel in the place of the live one, wherever the notebook shows that."""
        if self._displayed and progress.in_notebook():
            from IPython.display import update_display

            update_display(self._repr_mimebundle_(), raw=True, display_id=self._display_id)  # type: ignore[no-untyped-call]

    # -- in the background -----------------------------------------------------------------------------------------

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self._stop.is_set()

    def close(self) -> None:
        """Stop all that runs for this panel, and keep what it shows. Closing it again changes nothing."""
        if self.closed:
            return
        self._stop.set()
        if self._panels.get(self._key) is self:
            del self._panels[self._key]
        end = time.monotonic() + CLOSE_LIMIT_SECONDS
        for thread in list(self._threads):
            if thread is not threading.current_thread():
                thread.join(max(0.0, end - time.monotonic()))
        if self.view is not None:
            for also in self._ends:
                also()
            for widget in controls(self.view):
                widget.disabled = True
            self._close_button.description = "Closed"
            self._show_closed()

    def __enter__(self) -> Panel:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _in_background(self, work: Callable[[], object], name: str) -> None:
        """Run `work` in a thread that the panel waits for when it closes."""

        def run() -> None:
            try:
                work()
            except Closed:
                pass
            except Exception:
                log.exception("A panel's thread (%s) failed", name)
            finally:
                self._threads.discard(threading.current_thread())

        thread = threading.Thread(target=run, name=f"{THREAD_NAME}: {name}", daemon=True)
        if not self.closed:
            self._threads.add(thread)
            thread.start()

    def _act(self, what: str, work: Callable[[Job], str], *, in_turn: bool = False) -> None:
        """Start a job: `work` returns its outcome. With `in_turn` it waits until such jobs before it have ended."""
        job = Job(what)
        self.jobs.append(job)
        if in_turn:
            self._line.append(job)
        self._show_jobs()

        def listen(text: str) -> None:
            if self.closed:
                raise Closed
            job.seen = text
            self._show_jobs()

        def run() -> None:
            progress.listener.set(listen)
            try:
                while in_turn and self._line[0] is not job:
                    listen("waits for its turn")
                    self._stop.wait(TURN_PAUSE_SECONDS)
                job.seen = ""
                job.end("✔", work(job))
            except Closed:
                job.end("✘", "the panel was closed")
            except (CloudError, LoadError, OSError) as error:
                job.end("✘", first_line(error))
            except Exception as error:
                log.exception("%s failed", what)
                job.end("✘", f"{type(error).__name__}: {first_line(error)}")
            finally:
                if in_turn:
                    self._line.remove(job)
            self._show_jobs()

        self._in_background(run, what)

    def _show_jobs(self) -> None:
        with self._drawing:  # or an older text could replace a newer one
            self._log.value = self._jobs_html()

    def _jobs_html(self, most: int = JOBS_KEPT) -> str:
        """The jobs, the newest first."""
        newest = tuple(self.jobs)[::-1][:most]
        lines = "".join(f'<div style="overflow-wrap:anywhere">{html.escape(str(job))}</div>' for job in newest)
        return f'<div style="{TEXT};line-height:1.5">{lines}</div>' if lines else ""


def button(text: str, icon: str, press: Callable[[], None], tooltip: str = "", style: str = "") -> Any:
    """A button that calls `press`."""
    made = ipywidgets.Button(
        description=text, icon=icon, tooltip=tooltip or text, button_style=style, layout={"width": "auto"}
    )
    made.on_click(lambda _: press())
    return made


def row(*widgets: Any) -> Any:
    """Widgets side by side, in several lines where there is no room."""
    return ipywidgets.HBox(widgets, layout={"flex_flow": "row wrap", "align_items": "center"})


def controls(view: Any) -> list[Any]:
    """All widgets in this one that can be switched off."""
    inner = [widget for child in getattr(view, "children", ()) for widget in controls(child)]
    return [*inner, view] if view.has_trait("disabled") else inner


@atexit.register
def close_all() -> None:
    """Close every panel that is open."""
    for panel in list(Panel._panels.values()):
        panel.close()
