"""An autoscaler's run over time: the load, the workers that were wanted and that served, and how old tasks became."""

import math

from faafo_lab.autoscale import Run
from faafo_lab.load.rows import human
from faafo_lab.plots.picture import BLUE, GREY, ORANGE, RED, WIDTH_INCHES, Picture, drawn, new_figure, say_empty

HEIGHT_INCHES = 5.6


@drawn
def autoscaling(run: Run, title: str = "") -> Picture:
    """Orders per second, workers wanted and serving, and the age of the oldest waiting task, over the run's time."""
    figure = new_figure(WIDTH_INCHES, HEIGHT_INCHES)
    orders, workers, ages = figure.subplots(3, 1, sharex=True, height_ratios=(1, 1.4, 1.4))
    times = [sample.at for sample in run.samples]
    ordered = [_known(sample.orders_per_second) for sample in run.samples]
    oldest = [_known(sample.oldest_waiting_seconds) for sample in run.samples]
    columns = ("second", "orders/s", "wanted", "serving", "oldest waiting (s)")
    rows = [
        (round(sample.at, 1), round(order, 2), sample.wanted, sample.workers, round(age, 2))
        for sample, order, age in zip(run.samples, ordered, oldest, strict=True)
    ]
    orders.step(times, ordered, where="post", color=GREY, linewidth=2)
    orders.set_ylabel("orders/s")
    serving = [sample.workers for sample in run.samples]
    workers.fill_between(times, serving, step="post", color=BLUE, alpha=0.35, linewidth=0, label="serving")
    wanted = [sample.wanted for sample in run.samples]
    workers.step(times, wanted, "--", where="post", color=ORANGE, linewidth=2, label="wanted")
    workers.set_ylabel("workers")
    workers.set_ylim(0, run.maximum + 0.5)
    workers.yaxis.get_major_locator().set_params(integer=True)
    ages.plot(times, oldest, color=RED, linewidth=2)
    ages.set_ylabel("oldest waiting\ntask (s)")
    ages.set_xlabel("time (seconds)")
    for axis in (orders, workers, ages):
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(axis="x", color="#E4E4E4", linewidth=0.7)
        axis.set_ylim(bottom=0)
    if run.samples:
        workers.legend(loc="upper left", frameon=False, fontsize=9, ncols=2)
        score = f"worst wait {human(run.worst_wait)}, {run.server_minutes:.2f} server-minutes"
        figure.suptitle(f"{title}: {score}" if title else score, fontsize=11)
    else:
        say_empty(workers, str(run))
    alt = f"An autoscaler's run over {times[-1]:.0f} s. {run}." if run.samples else f"An autoscaler's run: {run}."
    return Picture(figure, alt, columns, rows)


def _known(value: float | None) -> float:
    """A gap where the application gave no answer."""
    return math.nan if value is None else value
