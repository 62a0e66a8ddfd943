"""Pictures of what happened. Each is a `Picture`: a PNG in the notebook, its alt text and its data everywhere else."""

import io
import math
from collections.abc import Sequence
from typing import Any

from faafo_lab.load import Done, Timeline

BIN_SECONDS = 1.0
SMOOTH_BINS = 3
WIDTH_INCHES, HEIGHT_INCHES, DOTS_PER_INCH = 9.6, 4.4, 110
# Okabe and Ito's colours, which people with any colour vision can tell apart.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#000000")


class Picture:
    """A plot that shows itself in a notebook, with its alt text and its data as a table.

    `png`: the picture; `alt`: what it shows, in words; `columns`, `rows`: the data that it was drawn from.
    """

    def __init__(self, figure: Any, alt: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        from matplotlib.backends.backend_agg import FigureCanvasAgg

        buffer = io.BytesIO()
        canvas: Any = FigureCanvasAgg(figure)
        canvas.print_png(buffer, metadata={"Title": alt[:200]})
        self.png, self.alt, self.columns, self.rows = buffer.getvalue(), alt, tuple(columns), list(rows)

    def _repr_mimebundle_(self, **_: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        return {"image/png": self.png, "text/plain": self.alt}, {
            "image/png": {"alt": self.alt},
            "alt": self.alt,
        }

    def __repr__(self) -> str:
        return self.alt

    def table(self) -> str:
        """The picture's data as text, a row a line."""
        from prettytable import PrettyTable

        table = PrettyTable(list(self.columns))
        table.add_rows([list(row) for row in self.rows])
        return str(table)


def throughput(timeline: Timeline, phases: Sequence[tuple[str, float, float]], title: str = "") -> Picture:
    """Fractals per second over time, stacked by worker, with every event marked.

    `phases` are (label, start, end) in seconds since 1970: each is drawn with its mean rate as a line. The time between
    phases, in which nothing was asked for, is cut out.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH_INCHES, HEIGHT_INCHES), dpi=DOTS_PER_INCH, layout="constrained", facecolor="white")
    axes = figure.subplots(
        1, len(phases), sharey=True, width_ratios=[max(4.0, end - start) for _, start, end in phases]
    )
    axes = list(axes) if len(phases) > 1 else [axes]
    workers = sorted({item.worker for item in timeline.done.values()})
    colour = {worker: COLOURS[index % len(COLOURS)] for index, worker in enumerate(workers)}
    sentences, rows = [], []
    for axis, (label, start, end) in zip(axes, phases, strict=True):
        found = timeline.between(start, end)
        mean = timeline.rate(start, end)
        bins = max(1, math.ceil((end - start) / BIN_SECONDS))
        times = [index * BIN_SECONDS for index in range(bins + 1)]
        here = [worker for worker in workers if any(item.worker == worker for item in found)]
        stacks = [_per_second([i for i in found if i.worker == worker], start, bins) for worker in here]
        if stacks:
            axis.stackplot(
                times,
                [[*stack, stack[-1]] for stack in stacks],
                colors=[colour[w] for w in here],
                step="post",
                alpha=0.85,
                linewidth=0,
            )
        axis.axhline(mean, color="black", linewidth=1.4, linestyle="--")
        axis.annotate(
            f"{mean:.1f}/s",
            (times[-1], mean),
            xytext=(-4, 4),
            textcoords="offset points",
            ha="right",
            weight="bold",
        )
        events = sorted((at - start, text) for at, text in timeline.events if start <= at <= end)
        for number, (at, text) in enumerate(events):
            axis.axvline(at, color="#D55E00", linewidth=1.2)
            axis.annotate(
                text,
                (at, 1.0),
                xycoords=("data", "axes fraction"),
                xytext=(3, -6 - 13 * (number % 4)),
                textcoords="offset points",
                ha="left",
                va="top",
                fontsize=8.5,
                color="#7F3300",
                bbox={"facecolor": "white", "alpha": 0.8, "edgecolor": "none", "pad": 1},
            )
        axis.set_title(label, fontsize=10)
        axis.set_xlabel("seconds")
        axis.set_xlim(0, times[-1])
        axis.spines[["top", "right"]].set_visible(False)
        sentences.append(f"{label}: {mean:.1f} fractals/s by {', '.join(here) or 'nobody'}")
        if events:
            sentences[-1] += " (" + ", ".join(f"{text} at {at:.0f} s" for at, text in events) + ")"
        rows += [
            (label, index * BIN_SECONDS, worker, round(stack[index], 2))
            for worker, stack in zip(here, stacks, strict=True)
            for index in range(bins)
        ]
    axes[0].set_ylabel("fractals per second")
    top = max((sum(row[3] for row in rows if row[:2] == key) for key in {row[:2] for row in rows}), default=1.0)
    axes[0].set_ylim(0, top * 1.35)
    handles = [_patch(colour[worker]) for worker in workers]
    figure.legend(
        handles,
        workers,
        loc="outside lower center",
        ncols=min(6, max(1, len(workers))),
        frameon=False,
        fontsize=9,
    )
    if title:
        figure.suptitle(title)
    alt = "Throughput of the application over time. " + "; ".join(sentences) + "."
    return Picture(figure, alt, ("phase", "second", "worker", "fractals/s"), rows)


def _per_second(items: Sequence[Done], start: float, bins: int) -> list[float]:
    """How many a second, in bins of BIN_SECONDS, smoothed over SMOOTH_BINS."""
    counts = [0] * bins
    for item in items:
        counts[min(bins - 1, int((item.at - start) / BIN_SECONDS))] += 1
    half = SMOOTH_BINS // 2
    windows = [counts[max(0, index - half) : index + half + 1] for index in range(bins)]
    return [sum(window) / len(window) / BIN_SECONDS for window in windows]


def _patch(colour: str) -> Any:
    from matplotlib.patches import Patch

    return Patch(color=colour)
