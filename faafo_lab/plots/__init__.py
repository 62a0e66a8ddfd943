"""Pictures of what happened. Each is a `Picture`: a PNG in the notebook, its alt text and its data everywhere else.

    plots.throughput(timeline, phases)                      fractals per second over time, by worker, events marked
    plots.gantt(timeline, start, end)                       which worker had which task when
    plots.latency({"before": rows, "after": rows})          how long requests waited
    plots.scaling([(1, 0.75), (2, 1.4)], prediction=...)    throughput against workers, and the law behind it

The ground is white, in dark JupyterLab too: the colours are chosen for it, and so a picture looks the same wherever it
is pasted. Colours are never the only sign: lines differ in their dashes, workers in their rows or hatches.
"""

import io
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from faafo_lab.load import Done, Timeline
from faafo_lab.load.rows import Measure, Request, answer_time, human, percentile
from faafo_lab.plots import usl

BIN_SECONDS = 1.0
SMOOTH_BINS = 3
WIDTH_INCHES, HEIGHT_INCHES, DOTS_PER_INCH = 9.6, 4.4, 110
NARROW_INCHES = 7.2
LANE_INCHES = 0.42
LABEL_LINE_POINTS = 13
LABEL_SIZE = 8.5
# Okabe and Ito's colours, which people with any colour vision can tell apart.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#000000")
BLUE, ORANGE, GREEN, PINK, SKY, RED, YELLOW, BLACK = COLOURS
DARK_RED, GREY = "#7F3300", "#666666"
HATCHES = ("", "///", "...", "xxx")  # for more workers than there are colours
DASHES = ("-", "--", "-.", ":")
PERCENTILES = ((50, "o"), (95, "s"), (99, "^"))
MILLISECONDS = 1000
BEYOND = 1.5  # how far past the last measurement a law is drawn, …
REACH = 4  # … and how far past it what it foretells is worth a word
ALT_TITLE_CHARACTERS = 200


class Picture:
    """A plot that shows itself in a notebook, with its alt text and its data as a table.

    `png`: the picture; `alt`: what it shows, in words; `columns`, `rows`: the data that it was drawn from.
    """

    def __init__(self, figure: Any, alt: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        from matplotlib.backends.backend_agg import FigureCanvasAgg

        buffer = io.BytesIO()
        canvas: Any = FigureCanvasAgg(figure)
        canvas.print_png(buffer, metadata={"Title": alt[:ALT_TITLE_CHARACTERS]})
        self.png, self.alt, self.columns, self.rows = buffer.getvalue(), alt, tuple(columns), list(rows)

    def _repr_mimebundle_(self, **_: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        return {"image/png": self.png, "text/plain": self.alt}, {
            "image/png": {"alt": self.alt},
            "alt": self.alt,
        }

    def __repr__(self) -> str:
        return self.alt

    def table(self) -> str:
        """The picture's data as text, a row a line."""
        from prettytable import PrettyTable

        table = PrettyTable(list(self.columns))
        table.add_rows([list(row) for row in self.rows])
        return str(table)

    def save(self, path: str | Path) -> Path:
        """Write the PNG to this file; returns its path."""
        path = Path(path)
        path.write_bytes(self.png)
        return path


# -- over time -----------------------------------------------------------------------------------------------------


def throughput(timeline: Timeline, phases: Sequence[tuple[str, float, float]], title: str = "") -> Picture:
    """Fractals per second over time, stacked by worker, with every event marked.

    `phases` are (label, start, end) in seconds since 1970: each is drawn with its mean rate as a line. The time between
    phases, in which nothing was asked for, is cut out.
    """
    figure = _figure(WIDTH_INCHES, HEIGHT_INCHES)
    axes = figure.subplots(
        1, len(phases), sharey=True, squeeze=False, width_ratios=[max(4.0, end - start) for _, start, end in phases]
    )[0]
    workers = _by_number({item.worker for item in timeline.done.values()})
    looks = _looks(workers)
    sentences: list[str] = []
    rows: list[tuple[str, float, str, float]] = []
    labels: list[tuple[Any, list[tuple[float, str]]]] = []
    top = mean_top = 0.0
    for axis, (label, start, end) in zip(axes, phases, strict=True):
        found = timeline.between(start, end)
        mean = timeline.rate(start, end)
        bins = max(1, math.ceil((end - start) / BIN_SECONDS))
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
            axis.axhline(mean, color="black", linewidth=1.4, linestyle="--")
            axis.annotate(
                f"mean {mean:.1f}/s",
                (times[-1], mean),
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
    axes[0].set_ylabel("throughput (fractals per second)")
    axes[0].set_ylim(0, max(top, 1.2 * mean_top, 0.1) * 1.05)
    handles = [_patch(looks[worker]) for worker in workers]
    if handles:
        figure.legend(
            handles, workers, loc="outside lower center", ncols=min(6, len(workers)), frameon=False, fontsize=9
        )
    if title:
        figure.suptitle(title)
    _mark_events(figure, labels)
    alt = "Throughput of the application over time. " + "; ".join(sentences) + "."
    return Picture(figure, alt, ("phase", "second", "worker", "fractals/s"), rows)


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
    workers = _by_number({item.worker for item in items})
    looks = _looks(workers)
    lanes = {worker: _lanes([item for item in items if item.worker == worker]) for worker in workers}
    count = max(1, sum(len(rows) for rows in lanes.values()))
    figure = _figure(WIDTH_INCHES, 1.3 + LANE_INCHES * max(count, 3))
    axis = figure.subplots()
    height, sentences, rows, ticks = 0, [], [], []
    for worker in workers:
        mine = [item for lane in lanes[worker] for item in lane]
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
    if not items:
        axis.text(0.5, 0.5, "nothing was finished", transform=axis.transAxes, ha="center", color=GREY)
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
    _mark_events(figure, [(axis, marked)])
    alt = f"Tasks by worker over {last - first:.0f} s, a bar each. " + ("; ".join(sentences) or "Nothing was finished")
    if marked:
        alt += ". Events: " + ", ".join(f"{text} at {at:.0f} s" for at, text in marked)
    return Picture(figure, alt + ".", ("worker", "fractal", "start (s)", "end (s)"), rows)


# -- requests ------------------------------------------------------------------------------------------------------


def latency(groups: Mapping[str, Sequence[Request]], *, measure: Measure = "latency", title: str = "") -> Picture:
    """How long requests waited: for each time, how many percent of all requests were answered within it.

    `groups` are runs by label, for instance {"before": rows, "after": rows}; `measure` as in `faafo_lab.load.rows`.
    p50, p95 and p99 are marked. A request that failed was never answered: its run's line ends below 100 %.
    """
    from matplotlib.ticker import LogLocator, NullFormatter

    figure = _figure(NARROW_INCHES, HEIGHT_INCHES)
    axis = figure.subplots()
    name = measure.replace("_", " ")
    sentences, rows = [], []
    for number, (label, requests) in enumerate(groups.items()):
        times = sorted(answer_time(row, measure) for row in requests)
        answered = [MILLISECONDS * time for time in times if math.isfinite(time)]
        colour, dash = COLOURS[number % len(COLOURS)], DASHES[number % len(DASHES)]
        shares = [100 * (index + 1) / len(times) for index in range(len(answered))]
        values = [percentile(times, percent) for percent, _ in PERCENTILES]
        words = ", ".join(f"p{percent} {human(value)}" for (percent, _), value in zip(PERCENTILES, values, strict=True))
        failed = len(times) - len(answered)
        shown = f"{label}: {words}" + (f" ({failed} of {len(times)} failed)" if failed else "")
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
    figure.legend(loc="outside lower center", fontsize=9, frameon=False)
    if title:
        axis.set_title(title, fontsize=11)
    alt = f"Distribution of the {name} of requests. " + "; ".join(sentences) + "."
    return Picture(figure, alt, ("run", "percentile", f"{name} (ms)"), rows)


# -- against the number of workers ---------------------------------------------------------------------------------


def scaling(
    measured: Mapping[int, float] | Iterable[tuple[int, float]],
    *,
    prediction: Mapping[int, float] | Callable[[int], float] | None = None,
    unit: str = "fractals",
    title: str = "",
) -> Picture:
    """Throughput (`unit` per second) against the number of workers: measured, ideal, and the fitted law.

    `prediction`, by number of workers, is drawn first; without measurements it stands alone, so that one can commit
    oneself before measuring. The ideal line goes through the mean of the smallest number of workers measured. The
    Universal Scalability Law (see `faafo_lab.plots.usl`) is drawn from two different numbers of workers on.
    """
    points = sorted(measured.items() if isinstance(measured, Mapping) else measured)
    if prediction is not None and callable(prediction):
        predicted = {n: float(prediction(n)) for n in range(1, max([n for n, _ in points], default=4) + 1)}
    else:
        predicted = dict(sorted((prediction or {}).items()))
    law = usl.fit(points) if len({n for n, _ in points}) >= 2 else None
    last = max([n for n, _ in points] + list(predicted), default=1)
    far = max(last + 1.0, last * BEYOND) if law else last + 0.5
    figure = _figure(NARROW_INCHES, HEIGHT_INCHES)
    axis = figure.subplots()
    sentences = []
    if predicted:
        axis.plot(
            list(predicted),
            list(predicted.values()),
            "D:",
            color=PINK,
            markersize=7,
            markerfacecolor="white",
            markeredgewidth=1.6,
            linewidth=1.5,
            label="your prediction",
        )
        sentences.append("predicted " + ", ".join(f"{rate:.2f} with {n}" for n, rate in predicted.items()))
    base = _mean([rate for n, rate in points if n == points[0][0]]) / points[0][0] if points else None
    if base is not None:
        axis.plot([0, far], [0, base * far], "--", color=GREY, linewidth=1.3, label=f"ideal: {base:.2f}/s each")
    if law is not None:
        steps = [1 + index * (last - 1) / 100 for index in range(101)]
        beyond = [last + index * (far - last) / 40 for index in range(41)]
        axis.plot(steps, [law(n) for n in steps], "-", color=BLUE, linewidth=2, label=_law_words(law, last))
        axis.plot(beyond, [law(n) for n in beyond], linestyle=(0, (1, 1.2)), color=BLUE, linewidth=2)
        if law.peak is not None and law.peak[0] <= far:
            axis.plot(*law.peak, "*", color=BLUE, markersize=13, markeredgecolor="white", zorder=4)
            axis.annotate(
                f"peak: {law.peak[1]:.2f}/s",
                law.peak,
                xytext=(0, -14),
                textcoords="offset points",
                ha="center",
                va="top",
                color=BLUE,
            )
    if points:
        axis.plot(
            [n for n, _ in points],
            [rate for _, rate in points],
            "o",
            color=RED,
            markersize=8,
            markeredgecolor="white",
            zorder=5,
            label="measured",
        )
        sentences.append("measured " + ", ".join(f"{rate:.2f} with {n}" for n, rate in points))
    if law is not None:
        sentences.append(f"the fitted law: {law}" + _caution(law, last))
    axis.set_xlim(0, far)
    axis.set_ylim(0, 1.12 * max([rate for _, rate in points] + list(predicted.values()) + [(base or 0) * last, 0.1]))
    axis.xaxis.get_major_locator().set_params(integer=True)
    axis.set_xlabel("workers")
    axis.set_ylabel(f"throughput ({unit} per second)")
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(color="#E4E4E4", linewidth=0.7)
    axis.set_axisbelow(True)
    if axis.get_legend_handles_labels()[0]:
        figure.legend(loc="outside lower center", ncols=2, fontsize=9, frameon=False)
    if title:
        axis.set_title(title, fontsize=11)
    numbers = sorted({n for n, _ in points} | set(predicted))
    rows = [
        (
            n,
            _number(predicted.get(n)),
            _number(_mean([rate for m, rate in points if m == n])) if any(m == n for m, _ in points) else "",
            _number(base * n if base is not None else None),
            _number(law(n) if law is not None else None),
        )
        for n in numbers
    ]
    alt = f"Throughput in {unit} per second against the number of workers: " + "; ".join(sentences or ["nothing yet"])
    return Picture(figure, alt + ".", ("workers", "predicted", "measured (mean)", "ideal", "fitted"), rows)


def _law_words(law: usl.Law, last: int) -> str:
    words = f"fitted law: contention σ = {law.contention:.3f}, coherency κ = {law.coherency:.4f}"
    if law.peak is not None and law.peak[0] <= REACH * last:
        return words + f"\n(peak at about {law.peak[0]:.0f} workers)"
    if law.ceiling <= REACH * law(last):
        return words + f"\n(never more than {law.ceiling:.1f}/s)"
    return words + "\n(no limit near what was measured)"


def _caution(law: usl.Law, last: int) -> str:
    """What to think of a fit: how far it reaches beyond what was measured, and whether it could have failed at all."""
    words = ""
    if law.peak is not None and round(law.peak[0]) > last:
        words += f", beyond the {last} workers measured"
    if law.points <= law.parameters:
        words += f" ({law.points} points fit a law of {law.parameters} parameters in any case: measure one more)"
    return words


def _tick(milliseconds: float, _: Any) -> str:
    return f"{milliseconds:g} ms" if milliseconds < MILLISECONDS else f"{milliseconds / MILLISECONDS:g} s"


# -- what they share -----------------------------------------------------------------------------------------------


def _figure(width: float, height: float) -> Any:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=DOTS_PER_INCH, layout="constrained", facecolor="white")


def _mark_events(figure: Any, axes: Sequence[tuple[Any, Sequence[tuple[float, str]]]]) -> None:
    """Draw a line for each event and its text above the data, on as many lines as it takes that no two overlap.

    The axes grow upwards to make room: all of them by as much, as they share their scale.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    if not any(events for _, events in axes):
        return
    canvas: Any = FigureCanvasAgg(figure)
    canvas.draw()  # lays out, so that positions and text widths are known
    renderer = canvas.get_renderer()
    placed: list[tuple[Any, float, str, int, bool]] = []
    lines = 0
    for axis, events in axes:
        box = axis.get_window_extent(renderer)
        low, high = axis.get_xlim()
        ends: list[list[tuple[float, float]]] = []  # for each line, the spans that are taken, in pixels
        for at, text in events:
            probe = figure.text(0, 0, text, fontsize=LABEL_SIZE)
            width = probe.get_window_extent(renderer).width + 10
            probe.remove()
            x = box.x0 + (at - low) / (high - low) * box.width
            to_left = x + width > box.x1 and x - width >= box.x0  # no room to its right
            span = (x - width, x) if to_left else (x, x + width)
            free = [all(span[1] <= left or span[0] >= right for left, right in taken) for taken in ends]
            if not any(free):
                free.append(True)
                ends.append([])
            number = free.index(True)
            ends[number].append(span)
            placed.append((axis, at, text, number, to_left))
        lines = max(lines, len(ends))
    first = axes[0][0]
    share = min(0.5, lines * LABEL_LINE_POINTS * figure.dpi / 72 / first.get_window_extent(renderer).height)
    bottom, top = first.get_ylim()
    first.set_ylim(bottom, bottom + (top - bottom) / (1 - share))
    for axis, at, text, number, to_left in placed:
        axis.axvline(at, ymax=1 - share * number / lines, color=RED, linewidth=1.2, zorder=4)
        axis.annotate(
            text,
            (at, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(-3 if to_left else 3, -1 - LABEL_LINE_POINTS * number),
            textcoords="offset points",
            ha="right" if to_left else "left",
            va="top",
            fontsize=LABEL_SIZE,
            color=DARK_RED,
            bbox=_card(),
            zorder=5,
        )


def _card() -> dict[str, Any]:
    return {"facecolor": "white", "alpha": 0.85, "edgecolor": "none", "pad": 0.8}


def _halo() -> Any:
    from matplotlib.patheffects import withStroke

    return withStroke(linewidth=3, foreground="white", alpha=0.85)


def _looks(workers: Sequence[str]) -> dict[str, dict[str, Any]]:
    """A colour for each worker, and a hatch where the colours are used up."""
    return {
        worker: {
            "facecolor": COLOURS[index % len(COLOURS)],
            "hatch": HATCHES[index // len(COLOURS) % len(HATCHES)],
            "edgecolor": "white",
        }
        for index, worker in enumerate(workers)
    }


def _patch(look: Mapping[str, Any]) -> Any:
    from matplotlib.patches import Patch

    return Patch(linewidth=0, **look)


def _by_number(names: Iterable[str]) -> list[str]:
    """Sorted so that app-worker-10 comes after app-worker-9."""
    return sorted(names, key=lambda name: (name.rstrip("0123456789"), len(name), name))


def _per_second(items: Sequence[Done], start: float, bins: int) -> list[float]:
    """How many a second, in bins of BIN_SECONDS, smoothed over SMOOTH_BINS."""
    counts = [0] * bins
    for item in items:
        counts[min(bins - 1, int((item.at - start) / BIN_SECONDS))] += 1
    half = SMOOTH_BINS // 2
    windows = [counts[max(0, index - half) : index + half + 1] for index in range(bins)]
    return [sum(window) / len(window) / BIN_SECONDS for window in windows]


def _lanes(items: Iterable[Done]) -> list[list[Done]]:
    """One worker's tasks in as few rows as it takes that none overlap: one, where it does one thing at a time."""
    lanes: list[list[Done]] = []
    for item in sorted(items, key=lambda item: item.at - item.duration):
        begin = item.at - item.duration
        slack = 0.1 * item.duration  # completion is noted by the API, a moment after the work has ended
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


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _number(value: float | None) -> float | str:
    return "" if value is None else round(value, 3)
