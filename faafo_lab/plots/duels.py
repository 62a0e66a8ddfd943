"""A duel of scaling policies: what each costs, against how long tasks wait, beside oracles that know the load."""

from faafo_lab.autoscale import Duel
from faafo_lab.load.rows import human
from faafo_lab.plots.picture import COLOURS, GREY, HEIGHT_INCHES, NARROW_INCHES, Picture, drawn, new_figure

MARKERS = "osD^vPX*"
LINEAR_SECONDS = 1.0  # below, the axis of times is linear, so that 0 has its place
COLUMNS = ("policy", "server-minutes", "p95 wait (s)", "worst wait (s)", "flaps", "cost / oracle's")


@drawn
def duel(duel: Duel, title: str = "") -> Picture:
    """A mark for each policy: p95 of waiting (seconds) and server-minutes, where less is better; a line for oracles."""
    figure = new_figure(NARROW_INCHES, HEIGHT_INCHES)
    axis = figure.subplots()
    line = [(score.p95_wait, score.cost) for score in duel.oracles]
    axis.plot(*zip(*line, strict=True), "--", color=GREY, linewidth=1.8, label="oracles: they know the load")
    for number, (name, score) in enumerate(duel.scores.items()):
        axis.plot(
            score.p95_wait,
            score.cost,
            MARKERS[number % len(MARKERS)],
            color=COLOURS[number % len(COLOURS)],
            markersize=11,
            markeredgecolor="white",
            label=f"{name}: {score.cost:.1f} server-minutes, {human(score.p95_wait)}",
            clip_on=False,
            zorder=5,
        )
    axis.set_xscale("symlog", linthresh=LINEAR_SECONDS)
    axis.xaxis.set_major_formatter("{x:g}")
    axis.set_xlabel(f"p95 of the oldest task's wait (seconds; logarithmic from {LINEAR_SECONDS:g} s on)")
    axis.set_ylabel("server-minutes a trace")
    axis.set_xlim(left=0)
    axis.set_ylim(0, 1.05 * max(score.cost for score in (*duel.scores.values(), *duel.oracles)))
    axis.grid(color="#E4E4E4", linewidth=0.7)
    axis.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=9)
    if title:
        figure.suptitle(title)
    words = "; ".join(
        f"{name}: {cost:.2f} server-minutes ({times:.2f} times the oracle's), p95 {human(p95)}"
        for name, cost, p95, _, _, times in duel.rows
    )
    rows = [(name, *(round(value, 2) for value in values)) for name, *values in duel.rows]
    return Picture(figure, f"Cost against waiting, by policy. {words}.", COLUMNS, rows)
