"""Which part is the bottleneck: two kinds of load on one or two APIs and one or three workers."""

from collections.abc import Mapping
from types import EllipsisType

from faafo_lab.plots.picture import (
    BLUE,
    HEIGHT_INCHES,
    ORANGE,
    PINK,
    WIDTH_INCHES,
    Picture,
    drawn,
    new_figure,
    say_empty,
)

Cell = tuple[str, int, int]  # the kind of load, the number of API servers, the number of workers
LOADS = {"read": ("reading pages", "requests per second"), "compute": ("computing fractals", "fractals per second")}
BESIDE = 0.42  # of a bar's step: how far right of its middle a prediction is, which would hide the number above it
GAIN = 1.5  # times as much as the smallest layout: from here on it gained something


@drawn
def bottleneck(
    measured: Mapping[Cell, float],
    prediction: Mapping[Cell, float | EllipsisType | None] | EllipsisType | None = None,
    title: str = "",
) -> Picture:
    """What each layout does of each load, per second: a bar for each cell, and a mark for what was predicted.

    Keys are ("read" or "compute", API servers, workers). Cells may be missing. A bar has the full colour where its
    layout does at least GAIN times what the smallest does, and a pale one where it does not.
    """
    predicted = {} if prediction is None or isinstance(prediction, EllipsisType) else prediction
    guesses = {cell: float(value) for cell, value in predicted.items() if not isinstance(value, EllipsisType | None)}
    cells = sorted({*measured, *guesses}, key=lambda cell: (cell[0] != "read", cell[1], cell[2]))
    figure = new_figure(WIDTH_INCHES, HEIGHT_INCHES)
    axes = figure.subplots(1, len(LOADS), squeeze=False)[0]
    sentences, rows = [], []
    for axis, (load, (name, unit)), colour in zip(axes, LOADS.items(), (BLUE, ORANGE), strict=True):
        mine = [cell for cell in cells if cell[0] == load]
        labels = [f"{_number(apis, 'API')}\n{_number(workers, 'worker')}" for _, apis, workers in mine]
        values = [measured.get(cell) for cell in mine]
        base = next((value for value in values if value), None)
        for at, value in enumerate(values):
            if value is None:
                continue
            times = value / base if base else 1.0
            gained = at == 0 or times >= GAIN
            axis.bar(
                at, value, 0.66, color=colour, alpha=1.0 if gained else 0.4, hatch="" if gained else "//", ec="white"
            )
            axis.annotate(
                f"{value:.3g}" + (f"\n× {times:.1f}" if at else ""),
                (at, value),
                xytext=(0, 2),
                textcoords="offset points",
                ha="center",
                va="bottom",
                fontsize=9.5,
            )
        marks = [(at + BESIDE, guesses[cell]) for at, cell in enumerate(mine) if cell in guesses]
        if marks:
            axis.plot(
                *zip(*marks, strict=True), "D", color=PINK, markersize=8, markerfacecolor="white", mew=1.8, zorder=5
            )
        axis.set_xticks(range(len(mine)), labels, fontsize=9)
        axis.set_title(name, fontsize=11)
        axis.set_ylabel(unit)
        axis.set_ylim(0, 1.25 * max([value or 0 for value in values] + [value for _, value in marks] + [0.1]))
        axis.spines[["top", "right"]].set_visible(False)
        if not mine:
            say_empty(axis, "Not measured yet.")
        shown = ", ".join(
            f"{value:.3g} with {label}".replace("\n", " and ")
            + (" (gains nothing)" if at and base and value < GAIN * base else "")
            + (f" (predicted {guesses[cell]:.3g})" if cell in guesses else "")
            for at, (cell, label, value) in enumerate(zip(mine, labels, values, strict=True))
            if value is not None
        )
        sentences.append(f"{name}, {unit}: {shown or 'not measured yet'}")
        rows += [
            (load, apis, workers, guesses.get((load, apis, workers), ""), measured.get((load, apis, workers), ""))
            for _, apis, workers in mine
        ]
    if guesses:
        from matplotlib.lines import Line2D

        mark = Line2D([], [], marker="D", color=PINK, markerfacecolor="white", mew=1.8, linestyle="none")
        figure.legend([mark], ["your prediction"], loc="outside lower center", frameon=False, fontsize=9)
    if title:
        figure.suptitle(title)
    alt = "What each layout does per second. " + "; ".join(sentences) + "."
    return Picture(figure, alt, ("load", "APIs", "workers", "predicted", "measured"), rows)


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}{'s' * (count != 1)}"
