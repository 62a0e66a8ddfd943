"""A picture: a PNG with its alt text and its data; and the pictures' common colours, sizes and settings.

The PNG has a white ground, so it looks the same wherever it is pasted. In a dark JupyterLab, and in a page that
nbconvert exports with its dark theme, a style turns light into dark and keeps the hues; where styles are removed
(GitHub, a notebook that is not trusted) it is a white card. Colours are never the only sign: lines differ in their
dashes, workers in their rows or hatches.
"""

import functools
import html
import io
import os
import sys
import threading
from base64 import b64encode
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from faafo_lab.cloud.direct import without

WIDTH_INCHES, HEIGHT_INCHES, DOTS_PER_INCH = 9.6, 4.4, 110
NARROW_INCHES = 7.2
# Okabe and Ito's colours, which people with any colour vision can tell apart.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#000000")
BLUE, ORANGE, GREEN, PINK, SKY, RED, YELLOW, BLACK = COLOURS
DARK_RED, GREY = "#7F3300", "#666666"
DASHES = ("-", "--", "-.", ":")
HATCHES = ("", "///", "...", "xxx", "\\\\\\", "++", "oo")  # so that a part is told by more than its colour
LEAST = 0.004  # of the width: a bar of milliseconds is seen, too
ALT_TITLE_CHARACTERS = 200
STYLE = "max-width:100%;height:auto;border-radius:6px"  # a card, where a dark page keeps no DARK
# JupyterLab and nbconvert mark the page's body: 0.93 turns white into their #111, the half turn brings hues back.
DARK = (
    "<style>[data-jp-theme-light=false] img.faafo-plot{filter:invert(0.93) hue-rotate(180deg)}"
    "@media print{img.faafo-plot{filter:none!important}}</style>"
)

F = TypeVar("F", bound=Callable[..., "Picture"])
_settings = threading.Lock()  # matplotlib's are the process's


class Picture:
    """A plot that shows itself in a notebook, with its alt text and its data as a table.

    `png`: the picture; `alt`: what it shows, in words; `columns`, `rows`: the data that it was drawn from.
    """

    def __init__(self, figure: Any, alt: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        from matplotlib.backends.backend_agg import FigureCanvasAgg

        buffer = io.BytesIO()
        canvas: Any = FigureCanvasAgg(figure)
        canvas.print_png(buffer, metadata={"Title": alt[:ALT_TITLE_CHARACTERS]})
        self.png, self.alt, self.columns, self.rows = buffer.getvalue(), alt, tuple(columns), list(rows)

    def _repr_mimebundle_(self, **_: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """The picture as HTML, too: of a mere PNG neither JupyterLab nor nbconvert keeps the alt text."""
        source = "data:image/png;base64," + b64encode(self.png).decode("ascii")
        image = f'{DARK}<img class="faafo-plot" src="{source}" alt="{html.escape(self.alt)}" style="{STYLE}">'
        return {"text/html": image, "image/png": self.png, "text/plain": self.alt}, {"image/png": {"alt": self.alt}}

    def __repr__(self) -> str:
        return self.alt

    def table(self) -> str:
        """The picture's data as text, a row a line."""
        from prettytable import PrettyTable

        table = PrettyTable(list(self.columns))
        table.add_rows([list(row) for row in self.rows])
        return str(table)

    def save(self, path: str | Path) -> Path:
        """Write the PNG to this file; returns its path."""
        path = Path(path)
        path.write_bytes(self.png)
        return path


def drawn(draw: F) -> F:
    """A function that draws, with matplotlib's own settings: a learner's (LaTeX, fonts, styles) are for other plots."""

    @functools.wraps(draw)
    def wrapper(*args: Any, **kwargs: Any) -> Picture:
        with _settings:
            matplotlib = _matplotlib()
            with matplotlib.rc_context():
                matplotlib.rcdefaults()
                return draw(*args, **kwargs)

    return wrapper  # type: ignore[return-value]


def _matplotlib() -> Any:
    """The package, which a user's MPLBACKEND that it does not know keeps from being imported."""
    backend = os.environ.get("MPLBACKEND")
    if backend and "matplotlib" not in sys.modules:
        with without("MPLBACKEND"):
            import matplotlib
        with suppress(ValueError):
            matplotlib.rcParams["backend"] = backend  # as it does itself
    import matplotlib

    return matplotlib


def new_figure(width: float, height: float) -> Any:
    """A figure of this size (inches), on white."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=DOTS_PER_INCH, layout="constrained", facecolor="white")


def say_empty(axis: Any, words: str) -> None:
    """Write the reason into a picture that has no data."""
    axis.text(0.5, 0.5, words, transform=axis.transAxes, ha="center", va="center", color=GREY)
