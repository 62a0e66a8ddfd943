"""The Universal Scalability Law's fit finds the law that made the data, and says what it can't know."""

import random

import pytest

from faafo_lab.plots import usl

NUMBERS = (1, 2, 3, 4, 6, 8, 12)


@pytest.mark.parametrize(
    ("rate", "contention", "coherency"),
    [(0.75, 0.05, 0.01), (1000, 0.0267, 0.00077), (2, 0.3, 0), (2, 0, 0.02), (3.3, 0, 0), (1, 0.9, 0.3)],
)
def test_the_law_behind_exact_data_is_found(rate: float, contention: float, coherency: float) -> None:
    truth = usl.Law(rate, contention, coherency)
    law = usl.fit([(n, truth(n)) for n in NUMBERS])
    assert (law.rate, law.contention, law.coherency) == pytest.approx((rate, contention, coherency), rel=1e-4, abs=1e-6)
    assert law.error == pytest.approx(0, abs=1e-5 * rate)
    assert law(1) == pytest.approx(rate)


def test_noise_moves_the_fit_a_little_and_no_neighbour_fits_better() -> None:
    dice, truth = random.Random(7), usl.Law(0.75, 0.05, 0.01)
    data = [(n, truth(n) * dice.gauss(1, 0.02)) for n in NUMBERS for _ in range(3)]
    law = usl.fit(data)
    assert law.rate == pytest.approx(truth.rate, rel=0.05)
    assert law.contention == pytest.approx(truth.contention, abs=0.02)
    assert law.coherency == pytest.approx(truth.coherency, abs=0.002)

    def squares(law: usl.Law) -> float:
        return sum((law(n) - rate) ** 2 for n, rate in data)

    for factors in ((1.001, 1, 1), (0.999, 1, 1), (1, 1.02, 1), (1, 0.98, 1), (1, 1, 1.02), (1, 1, 0.98)):
        there = usl.Law(law.rate * factors[0], law.contention * factors[1], law.coherency * factors[2])
        assert squares(law) < squares(there)


def test_speedup_better_than_ideal_is_fitted_as_ideal() -> None:
    law = usl.fit([(1, 1.0), (2, 2.2), (3, 3.5)])
    assert (law.contention, law.coherency) == (0, 0)
    assert law.peak is None
    assert law.ceiling == float("inf")


def test_the_peak_is_where_a_worker_more_makes_less() -> None:
    law = usl.Law(0.75, 0.05, 0.01)
    assert law.peak is not None
    workers, rate = law.peak
    assert workers == pytest.approx((0.95 / 0.01) ** 0.5)
    assert rate == law(workers) == law.ceiling > max(law(workers - 0.5), law(workers + 0.5))
    assert usl.Law(2, 0.25, 0).peak is None
    assert usl.Law(2, 0.25, 0).ceiling == 8
    assert "about 10 workers" in str(law)


def test_a_fit_takes_no_more_parameters_than_the_data_hold() -> None:
    assert usl.fit([(1, 1.0), (2, 1.8)]).parameters == 2
    assert usl.fit([(1, 1.0), (2, 1.8), (4, 2.9)]).parameters == 3


@pytest.mark.parametrize("data", [[], [(1, 2.0)], [(2, 2.0), (2, 2.1)], [(0, 1.0), (1, 1.0)], [(1, 1.0), (2, 0.0)]])
def test_too_little_or_impossible_data_get_one_sentence(data: list[tuple[int, float]]) -> None:
    with pytest.raises(usl.FitError):
        usl.fit(data)
