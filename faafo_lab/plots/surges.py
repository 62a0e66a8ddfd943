"""What remains of a surge of load with this and that way of retrying."""

from collections import Counter
from collections.abc import Iterable, Mapping

from faafo_lab.load import Surge
from faafo_lab.plots.picture import (
    BLUE,
    GREY,
    HEIGHT_INCHES,
    RED,
    WIDTH_INCHES,
    Picture,
    drawn,
    new_figure,
    say_empty,
)

BIN_SECONDS = 0.5


@drawn
def storm(surges: Mapping[str, Surge], title: str = "") -> Picture:
    """A panel for each surge: requests, tries and successful answers per second over time, the surge shaded."""
    figure = new_figure(WIDTH_INCHES, HEIGHT_INCHES)
    axes = figure.subplots(1, max(1, len(surges)), sharey=True, squeeze=False)[0]
    sentences, rows = [], []
    for axis, (name, each) in zip(axes, surges.items(), strict=False):
        lines = {
            "tries": (_rates(each.start, (one.started for row in each.rows for one in row.tried)), RED, "-"),
            "requests": (_rates(each.start, (row.intended for row in each.rows)), GREY, ":"),
            "succeeded": (
                _rates(each.start, (row.intended + row.latency for row in each.rows if row.ok)),
                BLUE,
                "--",
            ),
        }
        axis.axvspan(each.begin - each.start, each.end - each.start, color=GREY, alpha=0.2, linewidth=0, label="surge")
        for label, (rates, colour, dashes) in lines.items():
            times = [(number + 0.5) * BIN_SECONDS for number in range(len(rates))]
            axis.plot(times, rates, color=colour, linestyle=dashes, label=label, linewidth=1.8)
            rows += [(name, label, at, rate) for at, rate in zip(times, rates, strict=True)]
        axis.set_title(name, fontsize=10)
        axis.set_xlabel("time (seconds)")
        axis.spines[["top", "right"]].set_visible(False)
        sentences.append(f"{name}: {each}")
    if not surges:
        sentences.append("No surge was given: there is nothing to show")
        say_empty(axes[0], sentences[0])
    axes[0].set_ylabel("per second")
    axes[0].set_ylim(bottom=0)
    if surges:
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False, fontsize=9)
    if title:
        figure.suptitle(title)
    alt = "Requests, tries and successful answers per second around a surge. " + "; ".join(sentences) + "."
    return Picture(figure, alt, ("panel", "line", "second", "per second"), rows)


def _rates(start: float, times: Iterable[float]) -> list[float]:
    """How many of these times a second, in bins of BIN_SECONDS from the start."""
    counts = Counter(max(0, int((at - start) / BIN_SECONDS)) for at in times)
    return [counts[number] / BIN_SECONDS for number in range(max(counts, default=-1) + 1)]
