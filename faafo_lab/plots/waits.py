"""How long requests waited."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from faafo_lab.load.rows import MILLISECONDS, Measure, Request, answer_time, human, percentile
from faafo_lab.plots.picture import COLOURS, DASHES, HEIGHT_INCHES, NARROW_INCHES, Picture, drawn, new_figure, say_empty

PERCENTILES = ((50, "o"), (95, "s"), (99, "^"))


@drawn
def latency(groups: Mapping[str, Sequence[Request]], *, measure: Measure = "latency", title: str = "") -> Picture:
    """How long requests waited: for each time, how many percent of all requests were answered within it.

    `groups` are runs by label, for instance {"before": rows, "after": rows}; `measure` as in `faafo_lab.load.rows`.
    p50, p95 and p99 are marked. A request that failed was never answered: its run's line ends below 100 %.
    """
    from matplotlib.ticker import LogLocator, NullFormatter

    figure = new_figure(NARROW_INCHES, HEIGHT_INCHES)
    axis = figure.subplots()
    name = measure.replace("_", " ")
    sentences, rows = [], []
    for number, (label, requests) in enumerate(groups.items()):
        times = sorted(answer_time(row, measure) for row in requests)
        answered = [MILLISECONDS * time for time in times if math.isfinite(time)]
        colour, dash = COLOURS[number % len(COLOURS)], DASHES[number % len(DASHES)]
        shares = [100 * (index + 1) / len(times) for index in range(len(answered))]
        values = [percentile(times, percent) for percent, _ in PERCENTILES]
        known = [
            (percent, value) for (percent, _), value in zip(PERCENTILES, values, strict=True) if math.isfinite(value)
        ]
        words = (
            ", ".join(f"p{percent} {human(value)}" for percent, value in known) or "no median: more than half failed"
        )
        failed = len(times) - len(answered)
        shown = f"{label}: {words}" + (f" ({len(answered)} of {len(times)} succeeded)" if failed else "")
        if answered:
            axis.step(
                [answered[0], *answered],
                [0, *shares],
                where="post",
                color=colour,
                linestyle=dash,
                linewidth=1.8,
                label=shown,
            )
        else:
            axis.plot([], [], color=colour, linestyle=dash, label=shown)
        for (percent, marker), value in zip(PERCENTILES, values, strict=True):
            if math.isfinite(value):
                axis.plot(
                    MILLISECONDS * value,
                    percent,
                    marker,
                    color=colour,
                    markersize=8,
                    markeredgecolor="white",
                    zorder=5,
                    clip_on=False,
                )
        sentences.append(f"{label}: {len(times)} requests, {failed} failed, {words}")
        rows += [
            (label, f"p{percent}", round(MILLISECONDS * value, 2))
            for percent in (1, 5, 10, 25, 50, 75, 90, 95, 99, 100)
            if times and math.isfinite(value := percentile(times, percent))
        ]
    axis.set_xscale("log")
    low, high = axis.get_xlim()
    if high < 10 * low:
        axis.set_xlim(low / 2, high * 2)
    axis.xaxis.set_major_locator(LogLocator(subs=(1,) if high > 100 * low else (1, 2, 5)))
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.xaxis.set_major_formatter(_tick)
    axis.set_xlabel(f"{name} (log scale)")
    axis.set_ylabel("requests answered within it (%)")
    axis.set_ylim(0, 103)
    axis.set_yticks([0, 25, 50, 75, 95, 99], ["0", "25", "p50", "75", "p95", "p99"])
    labels = axis.get_yticklabels()
    labels[-1].set_verticalalignment("bottom")
    labels[-2].set_verticalalignment("top")
    for percent, _ in PERCENTILES:
        axis.axhline(percent, color="#BBBBBB", linewidth=0.7, linestyle=":", zorder=0)
    axis.grid(axis="x", which="major", color="#E4E4E4", linewidth=0.7)
    axis.spines[["top", "right"]].set_visible(False)
    if groups:
        figure.legend(loc="outside lower center", fontsize=9, frameon=False)
    else:
        sentences.append("No run was given: there is nothing to show")
        say_empty(axis, sentences[0])
    if title:
        axis.set_title(title, fontsize=11)
    alt = f"Distribution of the {name} of requests. " + "; ".join(sentences) + "."
    return Picture(figure, alt, ("run", "percentile", f"{name} (ms)"), rows)


def _tick(milliseconds: float, _: Any) -> str:
    return f"{milliseconds:g} ms" if milliseconds < MILLISECONDS else f"{milliseconds / MILLISECONDS:g} s"
