"""A run of survival: what was broken and done when, each order, and what was left of the error budget."""

from typing import Any

from faafo_lab.gameday import Survival
from faafo_lab.plots.picture import (
    BLUE,
    DARK_RED,
    GREY,
    LEAST,
    ORANGE,
    RED,
    SKY,
    WIDTH_INCHES,
    Picture,
    drawn,
    new_figure,
    say_empty,
)

LANE_INCHES, PANEL_INCHES = 0.23, 1.5
LANES_MAX = 24
WORDS_MAX = 64  # of a lane's text
LATE = 0.55  # of the width: from there on the text is to the left of its bar


@drawn
def survival(result: Survival, title: str = "") -> Picture:
    """Three panels over time (seconds since the start): the journal, a lane for each line (waves, faults, alerts, what
    the autoscaler did); each order by how long it took, the late ones marked; and the error budget that was left."""
    journal, objective = result.journal, result.objective
    start = journal.started
    lanes: dict[str, list[tuple[float, float | None]]] = {}
    for entry, ended in journal.spans:
        lanes.setdefault(entry.words, []).append((entry.at - start, None if ended is None else ended - start))
    shown = dict(list(lanes.items())[:LANES_MAX])
    height = LANE_INCHES * max(2, len(shown))
    figure = new_figure(WIDTH_INCHES, height + 2 * PANEL_INCHES + 0.8)
    deeds, orders, budget = figure.subplots(3, 1, sharex=True, height_ratios=(height, PANEL_INCHES, PANEL_INCHES))
    left = [(at - start, percent) for at, percent in objective.left(result.orders)]
    known = [objective.known_at(order) - start for order in result.orders]
    last = max([1.0, *known, *(entry.at - start for entry in journal.entries)])
    for number, (words, times) in enumerate(shown.items()):
        _lane(deeds, number, words, times, last)
    deeds.set_ylim(max(1, len(shown)) - 0.4, -0.6)
    deeds.set_yticks([])
    if more := len(lanes) - len(shown):
        deeds.set_xlabel(f"and {more} more: see the journal", color=GREY, fontsize=8.5)

    highest = max([2 * objective.seconds, *(1.1 * order.seconds for order in result.orders if order.seconds)])
    good = [(order.at - start, order.seconds) for order in result.orders if objective.good(order)]
    late = [(order.at - start, order.seconds or highest) for order in result.orders if not objective.good(order)]
    for points, marker, colour, name in ((good, "o", BLUE, "in time"), (late, "X", RED, "late, or never")):
        if points:
            orders.plot(*zip(*points, strict=True), marker, color=colour, markersize=5, label=name, clip_on=False)
    orders.axhline(objective.seconds, color=GREY, linestyle="--", linewidth=1.4, label="objective")
    orders.set_ylim(0, highest)
    orders.set_ylabel("seconds until\nit was done")
    orders.legend(loc="lower left", bbox_to_anchor=(0, 1), borderpad=0, frameon=False, fontsize=9, ncols=3)

    if left:
        when, percents = zip(*left, (last, left[-1][1]), strict=True)
        budget.step(when, percents, where="post", color=ORANGE, linewidth=2)
        budget.fill_between(when, percents, step="post", color=ORANGE, alpha=0.2, linewidth=0)
        budget.set_ylim(min(0, 1.1 * percents[-1]), 105)
    else:
        say_empty(budget, "no order was placed")
    budget.axhline(0, color=DARK_RED, linewidth=1.2)
    budget.set_ylabel("error budget\nleft (%)")
    budget.set_xlabel("time (seconds)")
    for axis in (deeds, orders, budget):
        axis.set_xlim(0, 1.01 * last)
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(axis="x", color="#E4E4E4", linewidth=0.7)
        axis.set_axisbelow(True)
    if title:
        figure.suptitle(title)

    lines = [(words, at, end) for words, times in lanes.items() for at, end in times]
    rows: list[tuple[str, float, Any]] = [
        *((words, round(at, 1), "" if end is None else round(end, 1)) for words, at, end in lines),
        *(("an order", round(each.at - start, 1), _done(each.at - start, each.seconds)) for each in result.orders),
        *(("error budget left (%)", round(at, 1), round(percent, 1)) for at, percent in left),
    ]
    story = "; ".join(f"{words} ({_times(times)})" for words, times in lanes.items())
    alt = f"Orders, deeds and the error budget over {last:.0f} s. {result}. {story}."
    return Picture(figure, alt, ("what", "second", "until, or value"), rows)


def _lane(axis: Any, number: int, words: str, times: list[tuple[float, float | None]], last: float) -> None:
    """One lane: a bar for what lasted, a diamond for what did not, and its words beside them."""
    wave = words.startswith("wave ")
    for at, end in times:
        if end is None:
            axis.plot([at], [number], "D", color=BLUE, markersize=5, zorder=4)
        else:
            axis.broken_barh([(at, max(end - at, LEAST * last))], (number - 0.3, 0.6), color=SKY if wave else RED)
    at = times[0][0]
    short = words if len(words) <= WORDS_MAX else words[: WORDS_MAX - 1] + "…"
    left = at > LATE * last
    if wave:
        axis.text(at + 0.005 * last, number, short, va="center", fontsize=8.5, zorder=5)
        return
    axis.annotate(
        short,
        (at if left else max(at if end is None else end for at, end in times), number),
        xytext=(-7 if left else 7, 0),
        textcoords="offset points",
        ha="right" if left else "left",
        va="center",
        fontsize=8.5,
        zorder=5,
    )


def _done(at: float, seconds: float | None) -> float | str:
    return "never" if seconds is None else round(at + seconds, 1)


def _times(times: list[tuple[float, float | None]]) -> str:
    """When something was, in words."""
    return ", ".join(f"at {at:.0f} s" if end is None else f"{at:.0f} to {end:.0f} s" for at, end in times)
