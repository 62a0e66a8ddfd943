"""A line with a wait's subject, progress and duration: in a notebook, in a terminal, and in neither.

In a notebook it is one output that changes in place and stays, so that a saved notebook shows the result and its
duration. During the wait it is a widget: a reloaded page shows its progress; without a kernel, the line says that the
outcome is unknown. In a terminal it is a tqdm bar that vanishes at the end. In a file or a pipe there is none.
"""

from __future__ import annotations

import html
import sys
import time
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Self

from faafo_lab.cloud.errors import Interrupted

# Where this thread's waits report their progress, instead of the cell's output: a panel's buttons work in threads of
# their own. The listener's exceptions end the wait.
listener: ContextVar[Callable[[str], None] | None] = ContextVar("listener", default=None)

NOTEBOOK_PAUSE_SECONDS = 0.2  # between two changes of the notebook's output
UNSEEN_END = "(If this line stays, the page missed the end: run the cell again.)"

_BAR = """<div style="display:flex;gap:.8em;align-items:center;font-family:var(--jp-ui-font-family,sans-serif);\
font-size:13px;color:var(--jp-ui-font-color1,inherit)"><progress max="{total}" value="{done}" \
style="width:9em;accent-color:#0072B2"></progress><span>{text}</span></div>"""


class Progress:
    """Progress towards `total` of `what` ("servers ACTIVE"); 0: something that is not counted ("the application").

    Use it as a context manager.
    """

    def __init__(self, what: str, total: int = 1, *, show: bool = True) -> None:
        self.what, self.total, self.done, self.seen = what, total, 0, ""
        self._started = time.monotonic()
        self._shown_at = float("-inf")
        self._handle: Any = None
        self._widget: Any = None
        self._bar: Any = None
        self._listener = listener.get()
        self._show = show and self._listener is None
        self._notebook = self._show and in_notebook()

    def __enter__(self) -> Self:
        try:
            self._draw()
        except KeyboardInterrupt:
            raise Interrupted(self.text()) from None
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()
        if self._notebook:
            mark = "✔" if kind is None else "✘"
            self._publish(f"{mark} {self.text()}")
            self._handle.update(self._form(f"{mark} {self.text()}"), raw=True)
        if kind is KeyboardInterrupt:
            raise Interrupted(self.text()) from None

    def update(self, done: int, seen: str = "") -> None:
        """Set the number of finished steps; `seen` says in a few words what is unfinished."""
        self.done, self.seen = done, seen
        self._draw()

    def text(self) -> str:
        """The line's text: "2/6 servers ACTIVE, 3.1 s: app-worker-2 BUILD"."""
        waiting = f": {self.seen}" if self.seen and self.done < self.total else ""
        return f"{self.how_far} {self.what}, {time.monotonic() - self._started:.1f} s{waiting}".lstrip()

    @property
    def how_far(self) -> str:
        """The count, such as "2/6"; "" if the steps are not counted."""
        return f"{self.done}/{self.total}" if self.total else ""

    def _draw(self) -> None:
        if self._listener is not None:
            self._listener(self.text())
        elif self._notebook:
            if time.monotonic() - self._shown_at >= NOTEBOOK_PAUSE_SECONDS:
                self._publish(f"… {self.text()}")
        elif self._show:
            if self._bar is None:
                self._bar = _terminal_bar()
            self._bar.set_description_str(f"{self.how_far} {self.what}".lstrip())

    def _publish(self, text: str) -> None:
        from IPython.display import display

        self._shown_at = time.monotonic()
        if self._handle is None:
            import ipywidgets

            self._widget = ipywidgets.HTML()
            live = self._widget._repr_mimebundle_() or {}
            without_kernel = self._form(f"… {self.what}. {UNSEEN_END}")
            self._handle = display({**live, **without_kernel}, raw=True, display_id=True)  # type: ignore[no-untyped-call]
        self._widget.value = self._form(text)["text/html"]

    def _form(self, text: str) -> dict[str, str]:
        """The line as an output's MIME bundle, for pages and for terminals."""
        bar = _BAR.format(total=self.total or 1, done=self.done, text=html.escape(text))
        return {"text/plain": text, "text/html": bar}


def in_notebook() -> bool:
    """Whether this runs in a Jupyter kernel."""
    if "ipykernel" not in sys.modules:
        return False
    from IPython import get_ipython

    shell = get_ipython()
    return shell is not None and hasattr(shell, "kernel")


def _terminal_bar() -> Any:
    from tqdm import tqdm

    return tqdm(bar_format="Waiting: {desc}, {elapsed}", leave=False, disable=None)
