"""The Universal Scalability Law: how throughput grows with the number of workers, and where it stops growing.

    law = usl.fit([(1, 0.75), (2, 1.47), (3, 2.1), (4, 2.6)])
    law(6)          # fractals per second that six workers would make
    law.peak        # (workers, fractals per second), or None where it never falls

                         λ n
    X(n) = ───────────────────────────
            1 + σ (n − 1) + κ n (n − 1)

λ is one worker's throughput. σ (contention) is the share of the work that only one can do at a time: with it alone, X
approaches λ/σ (Amdahl's law). κ (coherency) is each worker's cost to every other one:  with it, X has a peak and falls
beyond. σ = κ = 0 is the ideal line. Source: Neil J. Gunther, "Guerrilla Capacity Planning" (Springer 2007), ch. 4.
"""

import math
import random
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RESAMPLES, CONFIDENCE = 100, 0.9
NOTHING = 1e-4  # a σ or κ below is no bend that anybody could see
STEPS_MAX = 200
DAMPING_START, DAMPING_FACTOR, DAMPING_MAX = 1e-3, 10.0, 1e12
ENOUGH = 1e-12  # a step that betters the squared error by less, relatively, is the last one

Array = NDArray[np.float64]


class FitError(ValueError):
    """These measurements determine no law: the message says what is missing."""


@dataclass(frozen=True)
class Law:
    """A fitted law: `rate` λ (per second), `contention` σ, `coherency` κ; `error`: the residuals' root mean square.

    `points`, `parameters`: how many measurements it was fitted to, and how many numbers it took from them. Where they
    are equal the curve meets every point by construction, which proves nothing: the next measurement will.
    """

    rate: float
    contention: float
    coherency: float
    error: float = 0.0
    points: int = 0
    parameters: int = 3

    def __call__(self, workers: float) -> float:
        """Throughput with so many workers, per second."""
        return float(_law(np.array([self.rate, self.contention, self.coherency]), np.array([float(workers)]))[0])

    @property
    def peak(self) -> tuple[float, float] | None:
        """Workers, and throughput per second, beyond which more workers make less; None where that never happens."""
        if self.coherency <= 0:
            return None
        workers = max(1.0, math.sqrt(max(0.0, 1 - self.contention) / self.coherency))
        return workers, self(workers)

    @property
    def ceiling(self) -> float:
        """Throughput per second that no number of workers exceeds; infinite for the ideal line."""
        if self.peak is not None:
            return self.peak[1]
        return self.rate / self.contention if self.contention > 0 else math.inf

    def __str__(self) -> str:
        words = f"λ = {self.rate:.3g}/s, σ = {self.contention:.3g}, κ = {self.coherency:.3g}: "
        if self.peak is not None:
            return words + f"the most is {self.peak[1]:.3g}/s, at about {self.peak[0]:.0f} workers"
        if self.contention > 0:
            return words + f"never more than {self.ceiling:.3g}/s"
        return words + "no limit in sight"


def fit(measured: Iterable[tuple[float, float]]) -> Law:
    """Fit the law to (workers, throughput per second) by least squares of the throughput, with σ, κ ≥ 0.

    A number of workers may occur more than once. Three different ones, at least, determine all three parameters; with
    two, σ or κ stays 0, whichever fits better. Raises FitError.
    """
    points = sorted((float(workers), float(rate)) for workers, rate in measured)
    if any(not (workers >= 1 and 0 < rate < math.inf) for workers, rate in points):
        raise FitError("A measurement is (workers, throughput): at least 1 worker, a throughput above 0 per second.")
    different = len({workers for workers, _ in points})
    if different < 2:
        raise FitError(f"Measured with {different} number of workers: the law takes 2 different ones, better 4.")
    n, x = np.array(points).T
    best: Law | None = None
    # the best law with σ, κ ≥ 0 is the best of its kind with σ, κ or both either free or 0
    for free in ((False, False), (True, False), (False, True), (True, True)):
        if 1 + sum(free) > different:
            continue
        found = _descend(n, x, np.array([True, *free]))
        if found is None or np.any(found < 0):
            continue
        error = math.sqrt(float(np.mean((_law(found, n) - x) ** 2)))
        if best is None or error < best.error * (1 - 1e-9):
            best = Law(float(found[0]), float(found[1]), float(found[2]), error, len(points), 1 + sum(free))
    assert best is not None  # the ideal line always fits somehow
    return best


@dataclass(frozen=True)
class Certainty:
    """How certain a fit is: intervals of σ and κ that hold CONFIDENCE of the laws fitted to resampled measurements.

    None where the measurements can't tell: each number of workers was measured once, or only two numbers were.
    """

    law: Law
    contention: tuple[float, float] | None
    coherency: tuple[float, float] | None

    @property
    def tells(self) -> bool:
        """Whether the measurements show that the law is not a straight line."""
        return any(interval is not None and interval[0] > NOTHING for interval in (self.contention, self.coherency))

    def __str__(self) -> str:
        if self.contention is None or self.coherency is None:
            return (
                f"σ = {self.law.contention:.3f}, κ = {self.law.coherency:.4f}, from too few measurements to tell more"
            )
        words = (
            f"contention σ = {self.law.contention:.3f} ({self.contention[0]:.3f} to {self.contention[1]:.3f}),\n"
            f"coherency κ = {self.law.coherency:.4f} ({self.coherency[0]:.4f} to {self.coherency[1]:.4f})"
        )
        return words if self.tells else f"{words}:\nno bend shows beyond the noise"


def certainty(measured: Iterable[tuple[float, float]]) -> Certainty:
    """Fit the law, and say how certain it is, by fitting it again to measurements drawn from each number's own.

    Raises FitError as `fit` does.
    """
    by_workers: dict[float, list[float]] = {}
    for workers, rate in measured:
        by_workers.setdefault(workers, []).append(rate)
    law = fit((workers, rate) for workers, rates in by_workers.items() for rate in rates)
    if len(by_workers) < 3 or min(map(len, by_workers.values())) < 2:
        return Certainty(law, None, None)
    dice = random.Random(RESAMPLES)
    laws = [
        fit((workers, rate) for workers, rates in by_workers.items() for rate in dice.choices(rates, k=len(rates)))
        for _ in range(RESAMPLES)
    ]
    low, high = (1 - CONFIDENCE) / 2 * 100, (1 + CONFIDENCE) / 2 * 100
    ends = [np.percentile([getattr(each, name) for each in laws], (low, high)) for name in ("contention", "coherency")]
    contention, coherency = ((float(first), float(last)) for first, last in ends)
    return Certainty(law, contention, coherency)


def _law(parameters: Array, n: Array) -> Array:
    rate, contention, coherency = parameters
    return np.asarray(rate * n / (1 + contention * (n - 1) + coherency * n * (n - 1)))


def _descend(n: Array, x: Array, free: NDArray[np.bool_]) -> Array | None:
    """Least squares with these parameters free and the others 0 (Levenberg and Marquardt); None where it leads nowhere.

    It starts from n/X = 1/λ + (σ/λ)(n − 1) + (κ/λ) n (n − 1), which is linear in its coefficients.
    """
    terms = np.stack([np.ones_like(n), n - 1, n * (n - 1)], axis=1)[:, free]
    weight = x**2 / n  # so that the linear problem's errors are, to first order, those of X
    coefficients = np.linalg.lstsq(terms * weight[:, None], n / x * weight, rcond=None)[0]
    if not coefficients[0] > 0:
        return None
    now = np.zeros(3)
    now[free] = coefficients / coefficients[0]
    now[0] = 1 / coefficients[0]
    cost, damping = _cost(now, n, x), DAMPING_START
    for _ in range(STEPS_MAX):
        rate, contention, coherency = now
        below = 1 + contention * (n - 1) + coherency * n * (n - 1)
        slopes = np.stack([n / below, -rate * n * (n - 1) / below**2, -rate * n**2 * (n - 1) / below**2], axis=1)
        slopes = slopes[:, free]
        square = slopes.T @ slopes
        step = np.linalg.lstsq(square + damping * np.diag(np.diag(square)), slopes.T @ (x - _law(now, n)), rcond=None)[
            0
        ]
        there = now.copy()
        there[free] += step
        cost_there = _cost(there, n, x)
        if cost_there < cost:
            done = cost - cost_there <= ENOUGH * cost
            now, cost, damping = there, cost_there, damping / DAMPING_FACTOR
            if done:
                break
        else:
            damping *= DAMPING_FACTOR
            if damping > DAMPING_MAX:
                break
    return now


def _cost(parameters: Array, n: Array, x: Array) -> float:
    below = 1 + parameters[1] * (n - 1) + parameters[2] * n * (n - 1)
    if np.any(below <= 0) or parameters[0] <= 0:
        return math.inf
    return float(np.sum((_law(parameters, n) - x) ** 2))
