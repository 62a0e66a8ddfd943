"""Throughput against the number of workers: predicted, measured, ideal, and the fitted law."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from faafo_lab.plots import usl
from faafo_lab.plots.picture import (
    BLUE,
    GREY,
    HEIGHT_INCHES,
    NARROW_INCHES,
    PINK,
    RED,
    Picture,
    drawn,
    new_figure,
    say_empty,
)

BEYOND = 1.5  # how far past the last measurement a law is drawn, …
REACH = 4  # … and how far past it what it foretells is worth a word


@drawn
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
    figure = new_figure(NARROW_INCHES, HEIGHT_INCHES)
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
    if not sentences:
        sentences.append("nothing was measured or predicted yet")
        say_empty(axis, sentences[0])
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
    alt = f"Throughput in {unit} per second against the number of workers: " + "; ".join(sentences)
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


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _number(value: float | None) -> float | str:
    return "" if value is None else round(value, 3)
