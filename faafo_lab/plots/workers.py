"""Throughput against the number of workers: predicted, measured, ideal, and the fitted law."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import fmean
from types import EllipsisType

from faafo_lab.load import Measured
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

BEYOND = 1.5  # how far past the last measurement a law is drawn
SHORT = "host short of CPU"
NO_LAW = "no law: it takes two numbers of workers, measured with CPU to spare"
Rates = float | Sequence[float] | Measured


@drawn
def scaling(
    measured: Mapping[int, Rates] | Iterable[tuple[int, Rates]],
    *,
    prediction: Mapping[int, float | EllipsisType] | Callable[[int], float] | EllipsisType | None = None,
    unit: str = "fractals",
    title: str = "",
) -> Picture:
    """Throughput (`unit` per second) against the number of workers: measured, ideal, and the fitted law.

    `measured`: for each number of workers a `load.Measured`, several rates or one. A point is the mean, its bar reaches
    from the lowest to the highest. Where the host was short of CPU a point is hollow and left out of the law.
    `prediction`, by number of workers, is drawn first, also before anything is measured. The ideal line goes through
    the mean of the smallest number of workers measured with CPU to spare. The Universal Scalability Law (see
    `faafo_lab.plots.usl`) is drawn from two different numbers of workers on, with how certain its parameters are.
    """
    known = dict(measured.items() if isinstance(measured, Mapping) else _gathered(measured))
    rates = {n: _rates(known[n]) for n in sorted(known)}
    short = [n for n in rates if isinstance(value := known[n], Measured) and value.short]
    predicted = _predicted(prediction, max(rates, default=4))
    fitted = [(n, rate) for n, each in rates.items() if n not in short for rate in each]
    law = usl.fit(fitted) if len({n for n, _ in fitted}) >= 2 else None
    certain = usl.certainty(fitted) if law is not None else None
    last = max([*rates, *predicted], default=1)
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
    spared = sorted(n for n in rates if n not in short)
    base = fmean(rates[spared[0]]) / spared[0] if spared else None
    if base is not None:
        axis.plot([0, far], [0, base * far], "--", color=GREY, linewidth=1.3, label=f"ideal: {base:.2f}/s each")
    if law is not None and certain is not None:
        steps = [spared[0] + index * (spared[-1] - spared[0]) / 100 for index in range(101)]
        beyond = [spared[-1] + index * (far - spared[-1]) / 40 for index in range(41)]
        axis.plot(steps, [law(n) for n in steps], "-", color=BLUE, linewidth=2, label=f"fitted law\n{certain}")
        axis.plot(beyond, [law(n) for n in beyond], linestyle=(0, (1, 1.2)), color=BLUE, linewidth=2)
    elif rates:
        axis.plot([], [], " ", label=NO_LAW)
        sentences.append(NO_LAW)
    for numbers, face, label in ((spared, RED, "measured"), (short, "white", f"{SHORT}: left out of the law")):
        if numbers:
            means = [fmean(rates[n]) for n in numbers]
            down = [mean - min(rates[n]) for n, mean in zip(numbers, means, strict=True)]
            up = [max(rates[n]) - mean for n, mean in zip(numbers, means, strict=True)]
            axis.errorbar(
                numbers,
                means,
                yerr=[down, up],
                fmt="o",
                color=RED,
                markersize=8,
                markerfacecolor=face,
                capsize=4,
                zorder=5,
                label=label,
            )
    for n in short:
        axis.annotate(
            SHORT, (n, max(rates[n])), xytext=(0, 8), textcoords="offset points", ha="center", fontsize=8.5, zorder=6
        )
    if rates:
        sentences.append("measured " + ", ".join(f"{_words(each)} with {n}" for n, each in rates.items()))
    if short:
        workers = ", ".join(map(str, short)) + (" worker" if short == [1] else " workers")
        sentences.append(f"with {workers} the host was short of CPU: left out of the law")
    if certain is not None:
        sentences.append("the fitted law: " + str(certain).replace("\n", " "))
    top = max([*(rate for each in rates.values() for rate in each), *predicted.values(), (base or 0) * last, 0.1])
    axis.set_xlim(0, far)
    axis.set_ylim(0, 1.12 * top)
    axis.xaxis.get_major_locator().set_params(integer=True)
    axis.set_xlabel("workers")
    axis.set_ylabel(f"throughput ({unit} per second)")
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(color="#E4E4E4", linewidth=0.7)
    axis.set_axisbelow(True)
    if axis.get_legend_handles_labels()[0]:
        figure.legend(loc="outside lower center", ncols=2, fontsize=8.5, frameon=False)
    if not sentences:
        sentences.append("nothing was measured or predicted yet")
        say_empty(axis, sentences[0])
    if title:
        axis.set_title(title, fontsize=11)
    rows = [
        (
            n,
            _number(predicted.get(n)),
            _number(fmean(rates[n])) if n in rates else "",
            _number(base * n if base is not None else None),
            _number(law(n) if law is not None else None),
        )
        for n in sorted({*rates, *predicted})
    ]
    alt = f"Throughput in {unit} per second against the number of workers: " + "; ".join(sentences)
    return Picture(figure, alt + ".", ("workers", "predicted", "measured (mean)", "ideal", "fitted"), rows)


def _gathered(pairs: Iterable[tuple[int, Rates]]) -> dict[int, Rates]:
    """By number of workers; what is given for one number several times is put together."""
    found: dict[int, Rates] = {}
    for n, value in pairs:
        found[n] = (*_rates(found[n]), *_rates(value)) if n in found else value
    return found


def _rates(value: Rates) -> tuple[float, ...]:
    if isinstance(value, Measured):
        return value.rates
    return tuple(map(float, value)) if isinstance(value, Sequence) else (float(value),)


def _predicted(
    prediction: Mapping[int, float | EllipsisType] | Callable[[int], float] | EllipsisType | None, most: int
) -> dict[int, float]:
    if prediction is None or prediction is ...:
        return {}
    if isinstance(prediction, Mapping):
        return {n: float(rate) for n, rate in sorted(prediction.items()) if not isinstance(rate, EllipsisType | None)}
    return {n: float(prediction(n)) for n in range(1, most + 1)}


def _words(rates: Sequence[float]) -> str:
    mean = f"{fmean(rates):.2f}"
    return mean if len(rates) == 1 else f"{mean} ({min(rates):.2f} to {max(rates):.2f})"


def _number(value: float | None) -> float | str:
    return "" if value is None or not math.isfinite(value) else round(value, 3)
