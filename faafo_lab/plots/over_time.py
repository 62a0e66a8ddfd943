"""Finished fractals over time: throughput, and which worker had which task when."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from faafo_lab.load import Done, Timeline
from faafo_lab.plots.events import mark_events
from faafo_lab.plots.picture import (
    COLOURS,
    DARK_RED,
    HATCHES,
    HEIGHT_INCHES,
    RED,
    WIDTH_INCHES,
    Picture,
    drawn,
    new_figure,
    say_empty,
)

BIN_SECONDS = 1.0
LANE_INCHES = 0.42


@drawn
def throughput(timeline: Timeline, phases: Sequence[tuple[str, float, float]], title: str = "") -> Picture:
    """Fractals finished in each second, stacked by worker, with every event marked.

    `phases` are (label, start, end) in seconds since 1970. A bar is BIN_SECONDS wide, so the bars' area is the number
    of fractals. The mean, `Timeline.rate`, is a line over the time that it averages, `Timeline.interval`: from the
    first to the last fractal finished. The time between phases is cut out.
    """
    figure = new_figure(WIDTH_INCHES, HEIGHT_INCHES)
    widths = [max(4.0, end - start) for _, start, end in phases] or [1.0]
    axes = figure.subplots(1, len(widths), sharey=True, squeeze=False, width_ratios=widths)[0]
    workers = by_number({item.worker for _, start, end in phases for item in timeline.between(start, end)})
    looks = looks_of(workers)
    sentences: list[str] = []
    rows: list[tuple[str, float, str, float]] = []
    labels: list[tuple[Any, list[tuple[float, str]]]] = []
    top = mean_top = 0.0
    for axis, (label, start, end) in zip(axes, phases, strict=False):
        found = timeline.between(start, end)
        mean = timeline.rate(start, end)
        bins = max(1, math.ceil((end - start) / BIN_SECONDS))  # the last one whole, too: its area is its number
        times = [index * BIN_SECONDS for index in range(bins + 1)]
        here = [worker for worker in workers if any(item.worker == worker for item in found)]
        stacks = [_per_second([i for i in found if i.worker == worker], start, bins) for worker in here]
        below = [0.0] * bins
        for worker, stack in zip(here, stacks, strict=True):
            above = [low + more for low, more in zip(below, stack, strict=True)]
            axis.fill_between(
                times, [*below, below[-1]], [*above, above[-1]], step="post", linewidth=0, alpha=0.85, **looks[worker]
            )
            below = above
        top, mean_top = max(top, *below), max(mean_top, mean)
        if mean:
            first, last = (at - start for at in timeline.interval(start, end))
            axis.plot([first, last], [mean, mean], color="black", linewidth=1.4, linestyle="--")
            axis.annotate(
                f"mean {mean:.1f}/s",
                (last, mean),
                xytext=(-3, 3),
                textcoords="offset points",
                ha="right",
                weight="bold",
                fontsize=9.5,
                path_effects=[_halo()],
                zorder=6,
            )
        events = sorted((at - start, text) for at, text in timeline.events if start <= at <= end)
        labels.append((axis, events))
        axis.set_title(label, fontsize=10)
        axis.set_xlabel("time (seconds)")
        axis.set_xlim(0, times[-1])
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.spines[["top", "right"]].set_visible(False)
        sentences.append(f"{label}: {mean:.1f} fractals/s by {', '.join(here) or 'nobody'}")
        if events:
            sentences[-1] += " (" + ", ".join(f"{text} at {at:.0f} s" for at, text in events) + ")"
        rows += [
            (label, index * BIN_SECONDS, worker, round(stack[index], 2))
            for worker, stack in zip(here, stacks, strict=True)
            for index in range(bins)
        ]
    if not phases:
        sentences.append("No phase was given: there is nothing to show")
        say_empty(axes[0], sentences[0])
    axes[0].set_ylabel(f"fractals finished per {BIN_SECONDS:g} s")
    axes[0].set_ylim(0, max(top, 1.2 * mean_top, 0.1) * 1.05)
    handles = [patch(looks[worker]) for worker in workers]
    if handles:
        figure.legend(
            handles, workers, loc="outside lower center", ncols=min(6, len(workers)), frameon=False, fontsize=9
        )
    if title:
        figure.suptitle(title)
    mark_events(figure, labels)
    alt = "Throughput of the application over time. " + "; ".join(sentences) + "."
    return Picture(figure, alt, ("phase", "second", "worker", "fractals/s"), rows)


@drawn
def gantt(
    done: Timeline | Iterable[Done], start: float | None = None, end: float | None = None, title: str = ""
) -> Picture:
    """Which worker had which task when: a bar for each fractal that was finished between two times (since 1970).

    A bar begins the fractal's computing time before it was complete. `done` is a timeline, whose events are marked, or
    what `load.completions` returns.
    """
    items, events = (list(done.done.values()), done.events) if isinstance(done, Timeline) else (list(done), [])
    first = min((item.at - item.duration for item in items), default=0.0) if start is None else start
    last = max((item.at for item in items), default=first + 1) if end is None else end
    last = max(last, first + 0.1)
    items = sorted((item for item in items if first <= item.at <= last), key=lambda item: item.at)
    lost = [(item, attempt) for item in items for attempt in item.lost]
    workers = by_number({item.worker for item in items} | {attempt.worker for _, attempt in lost})
    looks = looks_of(workers)
    lanes = {worker: _lanes([item for item in items if item.worker == worker]) or [[]] for worker in workers}
    count = max(1, sum(len(rows) for rows in lanes.values()))
    figure = new_figure(WIDTH_INCHES, 1.3 + LANE_INCHES * max(count, 3))
    axis = figure.subplots()
    height, sentences, rows, ticks = 0, [], [], []
    lane_of: dict[str, int] = {}  # a worker's first lane
    row_of: dict[str, int] = {}  # a task's lane
    for worker in workers:
        mine = [item for lane in lanes[worker] for item in lane]
        lane_of[worker] = height
        row_of |= {item.uuid: height + number for number, lane in enumerate(lanes[worker]) for item in lane}
        for lane in lanes[worker]:
            for shade in (0, 1):  # two shades in turn, so that neighbours are told apart
                axis.broken_barh(
                    [
                        (max(0.0, item.at - item.duration - first), min(item.duration, item.at - first))
                        for item in lane[shade::2]
                    ],
                    (height - 0.36, 0.72),
                    alpha=(0.95, 0.6)[shade],
                    linewidth=0,
                    **looks[worker],
                )
            height += 1
        busy = _busy(mine, first) / (last - first)
        ticks.append((height - (len(lanes[worker]) + 1) / 2, f"{worker}\n{len(mine)} done, busy {100 * busy:.0f} %"))
        sentences.append(f"{worker} made {len(mine)} and was busy {100 * busy:.0f} % of the time")
        rows += [
            (worker, item.uuid, round(item.at - item.duration - first, 3), round(item.at - first, 3)) for item in mine
        ]
    for item, attempt in lost:
        begin, until, row = max(0.0, attempt.started - first), attempt.ended - first, lane_of[attempt.worker]
        near_the_end = until > 0.6 * (last - first)  # no room for words to its right
        axis.broken_barh(
            [(begin, until - begin)], (row - 0.36, 0.72), facecolor="white", edgecolor=RED, hatch="xx", linewidth=1.4
        )
        again, there = item.at - item.duration - first, row_of[item.uuid]
        axis.annotate(
            "lost: lease over, done again",
            (again, there),
            xytext=(until + (-1 if near_the_end else 1) * 0.01 * (last - first), row),
            ha="right" if near_the_end else "left",
            va="center",
            fontsize=8.5,
            color=DARK_RED,
            arrowprops={"arrowstyle": "->", "color": RED, "linewidth": 1.4},
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5},  # a halo lets the hatching through
            zorder=6,
        )
        sentences.append(
            f"{attempt.worker} began a task at {begin:.0f} s and lost it, its lease was over at {until:.0f} s, "
            f"and {item.worker} made it by {item.at - first:.0f} s"
        )
    if not items:
        say_empty(axis, "Nothing was finished.")
    axis.set_yticks([at for at, _ in ticks], [text for _, text in ticks], fontsize=9)
    axis.set_ylim(max(height, 1) - 0.4, -0.6)
    axis.set_xlim(0, last - first)
    axis.set_xlabel("time (seconds)")
    axis.spines[["top", "right", "left"]].set_visible(False)
    axis.tick_params(axis="y", length=0)
    axis.grid(axis="x", color="#DDDDDD", linewidth=0.6)
    axis.set_axisbelow(True)
    if title:
        axis.set_title(title, fontsize=11)
    marked = sorted((at - first, text) for at, text in events if first <= at <= last)
    mark_events(figure, [(axis, marked)])
    alt = f"Tasks by worker over {last - first:.0f} s, a bar each. " + ("; ".join(sentences) or "Nothing was finished")
    if marked:
        alt += ". Events: " + ", ".join(f"{text} at {at:.0f} s" for at, text in marked)
    return Picture(figure, alt + ".", ("worker", "fractal", "start (s)", "end (s)"), rows)


def _halo() -> Any:
    from matplotlib.patheffects import withStroke

    return withStroke(linewidth=3, foreground="white", alpha=0.85)


def looks_of(workers: Sequence[str]) -> dict[str, dict[str, Any]]:
    """A colour and a hatch for each worker."""
    return {
        worker: {
            "facecolor": COLOURS[index % len(COLOURS)],
            "hatch": HATCHES[index % len(HATCHES)],
            "edgecolor": "white",
        }
        for index, worker in enumerate(workers)
    }


def patch(look: Mapping[str, Any]) -> Any:
    """A legend's sign for one of these looks."""
    from matplotlib.patches import Patch

    return Patch(**{"linewidth": 0, **look})


def by_number(names: Iterable[str]) -> list[str]:
    """Sorted so that app-worker-10 comes after app-worker-9."""
    return sorted(names, key=lambda name: (name.rstrip("0123456789"), len(name), name))


def _per_second(items: Sequence[Done], start: float, bins: int) -> list[float]:
    """How many per second, in bins of BIN_SECONDS."""
    counts = [0] * bins
    for item in items:
        counts[min(bins - 1, int((item.at - start) / BIN_SECONDS))] += 1
    return [count / BIN_SECONDS for count in counts]


def _lanes(items: Iterable[Done]) -> list[list[Done]]:
    """One worker's tasks in the fewest rows without overlaps: one, if it has one task at a time."""
    lanes: list[list[Done]] = []
    for item in sorted(items, key=lambda item: item.at - item.duration):
        begin = item.at - item.duration
        slack = 0.1 * item.duration  # the API notes the completion a moment after the end of the work
        for lane in lanes:
            if lane[-1].at <= begin + slack:
                lane.append(item)
                break
        else:
            lanes.append([item])
    return lanes


def _busy(items: Iterable[Done], first: float) -> float:
    """Seconds in which at least one of these was in work."""
    total, until = 0.0, first
    for item in sorted(items, key=lambda item: item.at - item.duration):
        begin = max(item.at - item.duration, until)
        total += max(0.0, item.at - begin)
        until = max(until, item.at)
    return total
