"""Events on a time axis: a line for each, its text above the data, in as many rows as needed."""

from collections.abc import Sequence
from typing import Any

from faafo_lab.plots.picture import DARK_RED, RED

LABEL_LINE_POINTS = 13
LABEL_SIZE = 8.5


def mark_events(figure: Any, axes: Sequence[tuple[Any, Sequence[tuple[float, str]]]]) -> None:
    """Draw a line for each event and its text above the data, in as many rows as prevent overlaps.

    The axes grow upwards to make room, all by the same amount, as they share their scale.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    if not any(events for _, events in axes):
        return
    canvas: Any = FigureCanvasAgg(figure)
    canvas.draw()  # lays out, so that positions and text widths are known
    renderer = canvas.get_renderer()
    placed: list[tuple[Any, float, str, int, bool]] = []
    lines = 0
    for axis, events in axes:
        box = axis.get_window_extent(renderer)
        low, high = axis.get_xlim()
        ends: list[list[tuple[float, float]]] = []  # for each line, the spans that are taken, in pixels
        for at, text in events:
            probe = figure.text(0, 0, text, fontsize=LABEL_SIZE)
            width = probe.get_window_extent(renderer).width + 10
            probe.remove()
            x = box.x0 + (at - low) / (high - low) * box.width
            to_left = x + width > box.x1 and x - width >= box.x0  # no room to its right
            span = (x - width, x) if to_left else (x, x + width)
            free = [all(span[1] <= left or span[0] >= right for left, right in taken) for taken in ends]
            if not any(free):
                free.append(True)
                ends.append([])
            number = free.index(True)
            ends[number].append(span)
            placed.append((axis, at, text, number, to_left))
        lines = max(lines, len(ends))
    first = axes[0][0]
    share = min(0.5, lines * LABEL_LINE_POINTS * figure.dpi / 72 / first.get_window_extent(renderer).height)
    bottom, top = first.get_ylim()
    first.set_ylim(bottom, bottom + (top - bottom) / (1 - share))
    for axis, at, text, number, to_left in placed:
        axis.axvline(at, ymax=1 - share * number / lines, color=RED, linewidth=1.2, zorder=4)
        axis.annotate(
            text,
            (at, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(-3 if to_left else 3, -1 - LABEL_LINE_POINTS * number),
            textcoords="offset points",
            ha="right" if to_left else "left",
            va="top",
            fontsize=LABEL_SIZE,
            color=DARK_RED,
            bbox=_card(),
            zorder=5,
        )


def _card() -> dict[str, Any]:
    return {"facecolor": "white", "alpha": 0.85, "edgecolor": "none", "pad": 0.8}
