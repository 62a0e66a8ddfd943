"""An autoscaler's run over time: load, workers, waiting; and its signals, side by side on one scale."""

import math
from collections.abc import Callable

from faafo_lab.autoscale import Run, Sample
from faafo_lab.load.rows import human
from faafo_lab.plots.picture import (
    BLUE,
    GREEN,
    GREY,
    HEIGHT_INCHES,
    ORANGE,
    RED,
    SKY,
    WIDTH_INCHES,
    Picture,
    drawn,
    new_figure,
    say_empty,
)

TALL_INCHES = 5.6
# name and unit, how to read it, colour, dashes
SIGNALS: tuple[tuple[str, str, Callable[[Sample], float | None], str, str], ...] = (
    ("load average", "", lambda sample: sample.load_average, ORANGE, "--"),
    ("CPU", " %", lambda sample: sample.cpu, GREEN, ":"),
    ("waiting tasks", "", lambda sample: sample.waiting, BLUE, "-."),
    ("oldest task's age", " s", lambda sample: sample.oldest_waiting_seconds, RED, "-"),
)


@drawn
def autoscaling(run: Run, title: str = "") -> Picture:
    """Orders per second; workers wanted, requested and ready; waiting tasks and the oldest one's age, over time."""
    figure = new_figure(WIDTH_INCHES, TALL_INCHES)
    orders, workers, ages = figure.subplots(3, 1, sharex=True, height_ratios=(1, 1.4, 1.4))
    tasks = ages.twinx()
    times = [sample.at for sample in run.samples]
    columns = ("second", "orders/s", "wanted", "requested", "ready", "waiting", "oldest waiting (s)")
    rows = [
        (
            round(sample.at, 1),
            _rounded(sample.orders_per_second),
            sample.wanted,
            sample.requested,
            sample.workers,
            "" if sample.waiting is None else sample.waiting,
            _rounded(sample.oldest_waiting_seconds),
        )
        for sample in run.samples
    ]
    orders.step(times, [_known(each.orders_per_second) for each in run.samples], where="post", color=GREY, linewidth=2)
    orders.set_ylabel("orders/s")
    ready = [sample.workers for sample in run.samples]
    requested = [sample.requested for sample in run.samples]
    for values, colour, name in ((requested, SKY, "requested"), (ready, BLUE, "ready")):
        workers.fill_between(times, values, step="post", color=colour, linewidth=0, label=name)
    wanted = [sample.wanted for sample in run.samples]
    workers.step(times, wanted, "--", where="post", color=ORANGE, linewidth=2, label="wanted")
    workers.set_ylabel("workers")
    workers.set_ylim(0, max([run.maximum, *requested]) + 0.5)
    workers.yaxis.get_major_locator().set_params(integer=True)
    ages.plot(times, [_known(each.oldest_waiting_seconds) for each in run.samples], color=RED, linewidth=2)
    ages.set_ylabel("oldest waiting\ntask (s)", color=RED)
    ages.set_xlabel("time (seconds)")
    tasks.plot(times, [_known(each.waiting) for each in run.samples], ":", color=GREY, linewidth=1.8)
    tasks.set_ylabel("waiting tasks\n(dotted)", color=GREY)
    tasks.spines["top"].set_visible(False)
    for axis in (orders, workers, ages):
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(axis="x", color="#E4E4E4", linewidth=0.7)
    for axis in (orders, workers, ages, tasks):
        axis.set_ylim(bottom=0)
    if run.samples:
        workers.legend(loc="lower left", bbox_to_anchor=(0, 1), borderpad=0, frameon=False, fontsize=9, ncols=3)
        score = f"worst wait {human(run.worst_wait)}, {run.server_minutes:.2f} server-minutes"
        figure.suptitle(f"{title}: {score}" if title else score, fontsize=11)
    else:
        say_empty(workers, str(run))
    alt = f"An autoscaler's run over {times[-1]:.0f} s. {run}." if run.samples else f"An autoscaler's run: {run}."
    return Picture(figure, alt, columns, rows)


@drawn
def signals(run: Run, title: str = "") -> Picture:
    """Load average, CPU, waiting tasks and the oldest one's age over time, each in % of its own highest value."""
    figure = new_figure(WIDTH_INCHES, HEIGHT_INCHES)
    axis = figure.subplots()
    times = [sample.at for sample in run.samples]
    sentences, lines = [], []
    for name, unit, read, colour, dashes in SIGNALS:
        values = [_known(read(sample)) for sample in run.samples]
        highest = max((value for value in values if math.isfinite(value)), default=0.0)
        shares = [100 * value / highest if highest else value for value in values]
        words = f"{name}: at most {highest:.3g}{unit}" if any(map(math.isfinite, values)) else f"{name}: unknown"
        axis.plot(times, shares, dashes, color=colour, linewidth=2, label=words)
        sentences.append(words)
        lines.append(values)
    axis.set_xlabel("time (seconds)")
    axis.set_ylabel("% of its own highest")
    axis.set_ylim(0, 105)
    axis.grid(axis="x", color="#E4E4E4", linewidth=0.7)
    axis.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=9)
    if title:
        figure.suptitle(title)
    if not run.samples:
        say_empty(axis, str(run))
    rows = [tuple(_rounded(value) for value in row) for row in zip(times, *lines, strict=True)]
    columns = ("second", *(f"{name} ({unit.strip()})" if unit else name for name, unit, *_ in SIGNALS))
    return Picture(figure, f"Four signals of the same load. {'; '.join(sentences)}.", columns, rows)


def _known(value: float | None) -> float:
    """A value to draw: a gap where it is not known."""
    return math.nan if value is None else value


def _rounded(value: float | None) -> float | str:
    """A value for the table, empty where it is not known."""
    return round(value, 2) if value is not None and math.isfinite(value) else ""
