"""Failures over time: what remains of a surge with this and that way of retrying, and which API failed whom."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from faafo_lab.load import Rows, Surge
from faafo_lab.plots.events import mark_events
from faafo_lab.plots.picture import (
    BLUE,
    COLOURS,
    GREY,
    HATCHES,
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


@drawn
def failures(
    runs: Mapping[str, Rows],
    events: Sequence[tuple[float, str]] = (),
    endpoints: Mapping[str, str] | None = None,
    title: str = "",
) -> Picture:
    """A panel for each run of load: failed tries over time, stacked by API, with events marked (a kill, say).

    `events` are (seconds since 1970, text). `endpoints` gives names to the APIs' URLs: an API that doesn't answer
    doesn't say its name.
    """
    names = {url: name for name, url in (endpoints or {}).items()}
    figure = new_figure(WIDTH_INCHES, HEIGHT_INCHES)
    axes = figure.subplots(1, max(1, len(runs)), sharey=True, squeeze=False)[0]
    failed = {
        name: [
            (one.started + one.seconds, names.get(one.api, one.api)) for row in run for one in row.tried if not one.ok
        ]
        for name, run in runs.items()
    }
    apis = sorted({api for each in failed.values() for _, api in each})
    looks: list[dict[str, Any]] = [
        {"facecolor": COLOURS[number % len(COLOURS)], "hatch": HATCHES[number % len(HATCHES)], "edgecolor": "white"}
        for number in range(len(apis))
    ]
    sentences, rows, marks = [], [], []
    for axis, (name, run) in zip(axes, runs.items(), strict=False):
        start = min((row.intended for row in run), default=0.0)
        end = max((row.intended + row.latency for row in run), default=start + 1)
        bins = max(1, math.ceil((end - start) / BIN_SECONDS))
        below = [0.0] * bins
        for api, look in zip(apis, looks, strict=True):
            counts = Counter(min(bins - 1, int((at - start) / BIN_SECONDS)) for at, each in failed[name] if each == api)
            heights = [counts[number] for number in range(bins)]
            times = [number * BIN_SECONDS for number in range(bins)]
            axis.bar(times, heights, BIN_SECONDS, bottom=below, align="edge", linewidth=0, label=api, **look)
            below = [low + more for low, more in zip(below, heights, strict=True)]
            rows += [(name, api, at, height) for at, height in zip(times, heights, strict=True)]
        lost = sum(not row.ok for row in run)
        sentences.append(f"{name}: {len(failed[name])} tries failed, {lost} of {len(run)} requests")
        axis.set_title(f"{name}: {lost} of {len(run)} requests failed", fontsize=10)
        axis.set_xlabel("time (seconds)")
        axis.set_xlim(0, bins * BIN_SECONDS)
        axis.spines[["top", "right"]].set_visible(False)
        marks.append((axis, sorted((at - start, text) for at, text in events if start <= at <= end)))
        if not failed[name]:
            say_empty(axis, "Nothing failed.")
    if not runs:
        sentences.append("No run was given: there is nothing to show")
        say_empty(axes[0], sentences[0])
    axes[0].set_ylabel(f"failed tries per {BIN_SECONDS:g} s")
    axes[0].set_ylim(0, max(1.0, axes[0].get_ylim()[1]))
    if apis and runs:
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=min(6, len(apis)), frameon=False, fontsize=9)
    if title:
        figure.suptitle(title)
    mark_events(figure, marks)
    words = "; ".join(text for _, text in events)
    alt = "Failed tries over time, by API. " + "; ".join(sentences) + (f". Events: {words}" if words else "") + "."
    return Picture(figure, alt, ("run", "API", "second", "failed tries"), rows)


def _rates(start: float, times: Iterable[float]) -> list[float]:
    """How many of these times a second, in bins of BIN_SECONDS from the start."""
    counts = Counter(max(0, int((at - start) / BIN_SECONDS)) for at in times)
    return [counts[number] / BIN_SECONDS for number in range(max(counts, default=-1) + 1)]
