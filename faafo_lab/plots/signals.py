"""Four signals of an application over a run, beside the load: which of them tells that there is too much work?"""

from faafo_lab.autoscale import Run, Sample
from faafo_lab.plots.picture import BLUE, GREEN, GREY, ORANGE, RED, WIDTH_INCHES, Picture, drawn, new_figure, say_empty

HEIGHT_INCHES = 3.6
SIGNALS = (  # a sample's field, its name, its unit, its digits
    ("load_average", "load average", "", 2),
    ("cpu", "CPU", " %", 0),
    ("waiting", "queue length", " tasks", 0),
    ("oldest_waiting_seconds", "queue age", " s", 1),
)
STYLES = ((BLUE, ":"), (ORANGE, "--"), (GREEN, "-."), (RED, "-"))


@drawn
def signals(run: Run, title: str = "") -> Picture:
    """The load average, the CPU use, the queue's length and its age over a run, each as a part of its own maximum; the
    load in grey behind them."""
    figure = new_figure(WIDTH_INCHES, HEIGHT_INCHES)
    axis = figure.subplots()
    times = [sample.at for sample in run.samples]
    columns = ("second", "orders/s", *(name for _, name, _, _ in SIGNALS))
    rows = [
        (
            round(sample.at, 1),
            round(sample.orders_per_second or 0.0, 2),
            *(round(_value(sample, field), digits) for field, _, _, digits in SIGNALS),
        )
        for sample in run.samples
    ]
    if not run.samples:
        say_empty(axis, str(run))
        return Picture(figure, f"Four signals of a run: {run}.", columns, rows)
    orders = [sample.orders_per_second or 0.0 for sample in run.samples]
    axis.fill_between(times, _parts(orders), step="post", color=GREY, alpha=0.25, linewidth=0, label="load")
    told = []
    for (field, name, unit, digits), (colour, style) in zip(SIGNALS, STYLES, strict=True):
        values = [_value(sample, field) for sample in run.samples]
        most = f"{name}, at most {max(values):.{digits}f}{unit}"
        axis.plot(times, _parts(values), style, color=colour, linewidth=2, label=most)
        told.append(most)
    axis.set_xlabel("time (seconds)")
    axis.set_ylabel("part of its maximum")
    axis.set_ylim(0, 1.05)
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(loc="upper center", bbox_to_anchor=(0.5, 1.32), frameon=False, fontsize=9, ncols=3)
    if title:
        figure.suptitle(title, fontsize=11)
    return Picture(figure, f"Four signals over {times[-1]:.0f} s, and the load. {'; '.join(told)}.", columns, rows)


def _value(sample: Sample, field: str) -> float:
    return float(getattr(sample, field) or 0.0)


def _parts(values: list[float]) -> list[float]:
    """Of each value: which part of the largest it is."""
    most = max(values, default=0.0) or 1.0
    return [value / most for value in values]
