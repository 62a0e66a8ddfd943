"""The simulator: it agrees with what is known of queues, loses nothing, and does what the loop does to servers."""

import io
import itertools
import math
from collections.abc import Sequence
from statistics import fmean

import pytest
from PIL import Image

from faafo_lab import autoscale, plots
from faafo_lab.autoscale import POLICIES, Decision, QueueAge, Run, Sample, Trace, oracle, simulate
from faafo_lab.load import LoadError

STEP = Trace.steps((60, 0.6), (60, 3.5), (60, 0.6))


def fixed(workers: int) -> autoscale.Policy:
    return lambda samples: workers


def scheduled(*times: tuple[float, int]) -> autoscale.Policy:
    """So many workers from each time on, the first first."""
    return lambda samples: [workers for at, workers in times if at <= samples[-1].at][-1]


def finished(run: Run) -> int:
    return round(sum(after.rate * (after.at - one.at) for one, after in itertools.pairwise(run.samples) if after.rate))


def first(run: Run, what: object) -> float:
    """The first moment for which this function of a sample is true."""
    return next(sample.at for sample in run.samples if what(sample))  # type: ignore[operator]


# -- traces ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task_seconds", [0.1, 0.25, 2.0])
def test_a_load_of_so_many_workers_worth_arrives_whatever_a_task_takes(task_seconds: float) -> None:
    trace = Trace.steps((2000, 2.0), (1000, 0.0), (1000, 0.5))
    arrivals = trace.arrivals(task_seconds)
    assert arrivals == sorted(arrivals)
    assert arrivals[0] >= 0
    assert arrivals[-1] <= trace.seconds == 4000
    work = [task_seconds * sum(begin <= at < end for at in arrivals) for begin, end in ((0, 2000), (2000, 3000))]
    assert work[0] == pytest.approx(4000, rel=0.1)
    assert work[1] == 0
    assert [trace.load(at) for at in (0, 1999, 2500, 3999, 4000)] == [2.0, 2.0, 0.0, 0.5, 0.0]


def test_even_orders_come_as_the_load_generator_sends_them() -> None:
    gaps = {round(after - one, 6) for one, after in itertools.pairwise(Trace.steps((10, 2), even=True).arrivals(0.25))}
    assert gaps == {0.125}
    chance = [after - one for one, after in itertools.pairwise(Trace.steps((500, 2)).arrivals(0.25))]
    assert fmean(chance) == pytest.approx(0.125, rel=0.1)
    assert fmean(gap > 0.125 for gap in chance) == pytest.approx(math.exp(-1), abs=0.05)  # as exponential gaps are


def test_a_wave_swings_between_its_bounds_and_a_seed_decides_a_random_trace() -> None:
    wave = Trace.wave(1.0, 3.0, period_seconds=48, seconds=144)
    loads = [wave.load(at) for at in range(144)]
    assert wave.seconds == pytest.approx(144)
    assert min(loads) == pytest.approx(1.0, abs=0.05)
    assert max(loads) == pytest.approx(3.0, abs=0.05)
    assert loads[:48] == pytest.approx(loads[48:96])
    assert Trace.random(1) == Trace.random(1) != Trace.random(2)
    assert Trace.random(1).arrivals(0.25) == Trace.random(1).arrivals(0.25)
    assert Trace.random(3, seconds=100).seconds == pytest.approx(100)


# -- what is known of queues -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("busy", [0.5, 0.7, 0.8])
def test_one_worker_has_the_queue_that_theory_says(busy: float) -> None:
    # Pollaczek and Khinchine, for tasks that all take nearly the same time
    run = simulate(fixed(1), Trace.steps((3000, busy)), maximum=1, every_seconds=100)
    waiting = fmean(sample.waiting or 0 for sample in run.samples)
    assert waiting == pytest.approx(busy**2 / (2 * (1 - busy)), rel=0.15)
    assert fmean(sample.working or 0 for sample in run.samples) == pytest.approx(busy, rel=0.05)
    assert fmean(sample.cpu or 0 for sample in run.samples) == pytest.approx(100 * busy, rel=0.05)
    assert run.samples[-1].load_average == pytest.approx(busy, abs=0.2)


def test_a_load_of_two_on_one_worker_waits_for_as_long_as_it_lasted() -> None:
    run = simulate(fixed(1), Trace.steps((60, 2.0), even=True), maximum=1)
    assert run.worst_wait == pytest.approx(60, rel=0.05)
    assert run.samples[-1].at == pytest.approx(120, rel=0.05)  # it goes on until all is done
    assert run.samples[-1].waiting == run.samples[-1].working == 0


def test_nothing_is_lost_or_made_twice_however_often_workers_come_and_go() -> None:
    trace = Trace.random(5)
    flapping = simulate(lambda samples: 1 + 5 * (len(samples) // 4 % 2), trace, maximum=6)
    assert flapping.flaps > 50
    assert finished(flapping) == len(trace.arrivals(0.25))


# -- servers -----------------------------------------------------------------------------------------------------------


def test_a_server_is_wanted_then_requested_then_ready() -> None:
    run = simulate(scheduled((0, 1), (20, 4)), STEP, maximum=6, boot_seconds=10)
    requested = first(run, lambda sample: sample.requested == 4)
    assert requested == first(run, lambda sample: sample.wanted == 4) == 20.5  # the sample after the decision
    assert 8 <= first(run, lambda sample: sample.workers == 4) - requested <= 12


def test_what_has_not_arrived_is_cancelled_before_any_worker_drains() -> None:
    run = simulate(scheduled((0, 2), (20, 4), (24, 2)), STEP, maximum=6, minimum=2, boot_seconds=10)
    assert max(sample.workers for sample in run.samples) == 2
    assert max(sample.requested for sample in run.samples) == 4
    assert {sample.workers for sample in run.samples} == {2}
    assert run.server_minutes == pytest.approx((2 * run.samples[-1].at + 2 * 4) / 60, abs=0.05)


def test_a_drain_ends_when_the_worker_is_wanted_again() -> None:
    run = simulate(scheduled((0, 2), (60, 1), (62, 2)), Trace.steps((120, 1.9)), maximum=2, task_seconds=20.0)
    assert first(run, lambda sample: sample.at > 30 and sample.workers == 1) == 60.5
    assert first(run, lambda sample: sample.at > 61 and sample.workers == 2) == 62.5  # a new one would have to boot


def test_a_drained_worker_finishes_its_task_first() -> None:
    trace = Trace.steps((60, 2.5), even=True)
    run = simulate(scheduled((0, 3), (30, 1)), trace, maximum=3, task_seconds=5.0)
    after = [sample for sample in run.samples if sample.at > 30]
    assert after[0].workers == after[0].requested == 1
    assert (after[0].working or 0) > 1  # of workers that drain
    assert finished(run) == len(trace.arrivals(5.0))


def test_the_load_average_tells_of_a_step_last() -> None:
    run = simulate(fixed(2), Trace.steps((60, 0.2), (60, 4.0)), maximum=2)
    step = [sample for sample in run.samples if 60 <= sample.at <= 120]
    passed = {
        name: next(sample.at - 60 for sample in step if (getattr(sample, name) or 0) > threshold)
        for name, threshold in (("waiting", 5), ("oldest_waiting_seconds", 2), ("cpu", 90), ("load_average", 0.5))
    }
    assert passed["waiting"] < passed["cpu"] <= 5
    assert passed["oldest_waiting_seconds"] <= 6
    assert passed["load_average"] > 20


# -- clients without patience ------------------------------------------------------------------------------------------


def test_a_retry_storm_outlives_its_cause_and_the_maximum_of_workers() -> None:
    calm, surge = Trace.steps((150, 2.5)), Trace.steps((20, 2.5), (10, 12.0), (120, 2.5))
    patient, storm, never = (
        simulate(fixed(4), trace, maximum=4, task_seconds=0.5, patience_seconds=patience)
        for trace, patience in ((surge, math.inf), (surge, 5.0), (calm, 5.0))
    )
    assert never.worst_wait < 5  # without a cause there is no storm
    at_the_end = [[sample.waiting or 0 for sample in run.samples if 140 <= sample.at < 150] for run in (patient, storm)]
    assert fmean(at_the_end[0]) < 10
    assert fmean(at_the_end[1]) > 200
    assert storm.samples[-1].at == 300  # it does not end by itself
    assert simulate(fixed(8), surge, maximum=8, task_seconds=0.5, patience_seconds=5.0).samples[-1].at < 160


# -- policies ----------------------------------------------------------------------------------------------------------


def test_the_same_arguments_give_the_same_run_and_all_policies_meet_the_same_orders() -> None:
    runs = [simulate(QueueAge(), Trace.random(1), maximum=6, seed=seed) for seed in (0, 0, 1)]
    assert runs[0].samples == runs[1].samples != runs[2].samples
    ordered = [
        [sample.orders_per_second for sample in simulate(policy, STEP, maximum=6).samples if sample.at <= 180]
        for policy in (fixed(1), fixed(6))
    ]
    assert ordered[0] == ordered[1]


def test_an_answer_is_kept_within_the_limits_and_must_be_a_number() -> None:
    assert simulate(lambda samples: 100, STEP, maximum=3).most_workers == 3
    assert {sample.wanted for sample in simulate(lambda samples: Decision(-5, "none"), STEP, maximum=3).samples} == {1}
    with pytest.raises(TypeError, match="'three'"):
        simulate(lambda samples: "three", STEP, maximum=3)  # type: ignore[arg-type,return-value]
    with pytest.raises(ZeroDivisionError):
        simulate(lambda samples: 1 // 0, STEP, maximum=3)


def test_a_policy_that_is_not_written_runs_nothing_and_takes_no_part() -> None:
    run = simulate(lambda samples: ..., STEP, maximum=3)  # type: ignore[arg-type,return-value]
    assert run.samples == ()
    assert "not written yet" in str(run)
    duel = autoscale.duel({"mine": lambda samples: ..., "two": fixed(2)}, [STEP], maximum=3)  # type: ignore[dict-item]
    assert list(duel.scores) == ["two"]
    assert "mine is not written yet: it took no part." in str(duel)
    alone = autoscale.duel({"mine": lambda samples: ...}, [STEP], maximum=3)  # type: ignore[dict-item]
    assert alone.rows == plots.duel(alone).rows == []


def test_a_first_decide_may_compare_all_that_it_sees() -> None:
    def decide(samples: Sequence[Sample]) -> int:
        now = samples[-1]
        known = (now.cpu, now.load_average, now.waiting, now.oldest_waiting_seconds, now.rate, now.orders_per_second)
        return 1 + sum(value > 50 for value in known if value is not None) if None not in known else 100

    assert simulate(decide, STEP, maximum=6).most_workers < 6


def test_a_policy_is_asked_as_often_as_told_with_all_that_was_seen() -> None:
    asked: list[tuple[float, int]] = []

    def policy(samples: Sequence[Sample]) -> int:
        asked.append((samples[-1].at, len(samples)))
        return 1

    simulate(policy, Trace.steps((20, 0.1)), maximum=1, every_seconds=5)
    assert asked[1:5] == [(0, 1), (5, 11), (10, 21), (15, 31)]  # the very first asks whether it is written


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        ({"minimum": 3, "maximum": 2}, "maximum=2"),
        ({"maximum": 2, "boot_seconds": -1}, "boot_seconds=-1"),
        ({"maximum": 2, "every_seconds": 0}, "every_seconds=0"),
        ({"maximum": 2, "task_seconds": 0}, "task_seconds=0"),
        ({"maximum": 2, "patience_seconds": 0}, "patience_seconds=0"),
    ],
)
def test_numbers_that_make_no_run_get_one_sentence(numbers: dict[str, float], words: str) -> None:
    with pytest.raises(LoadError, match=words):
        simulate(fixed(1), STEP, **numbers)  # type: ignore[arg-type]


def test_pieces_that_make_no_trace_get_one_sentence() -> None:
    with pytest.raises(LoadError, match="without a piece"):
        Trace.steps()
    with pytest.raises(LoadError, match=r"\(0, 1\) is no piece"):
        Trace.steps((0, 1))
    with pytest.raises(LoadError, match="-1"):
        Trace.steps((10, -1))
    with pytest.raises(LoadError, match="period_seconds=0"):
        Trace.wave(period_seconds=0)
    with pytest.raises(LoadError, match="seconds=inf"):
        Trace.random(1, seconds=math.inf)
    with pytest.raises(LoadError, match="no duel"):
        autoscale.duel({}, [STEP], maximum=2)


# -- the oracle and the duel -------------------------------------------------------------------------------------------


def test_the_oracle_has_servers_ready_when_the_load_comes_and_gives_them_back_when_it_goes() -> None:
    run = simulate(oracle(STEP, maximum=6, boot_seconds=8), STEP, maximum=6, boot_seconds=8)
    assert 45 <= first(run, lambda sample: sample.requested > 2) < 60
    assert first(run, lambda sample: sample.workers >= 3) <= 62
    assert run.p95_wait < 2
    assert max(sample.wanted for sample in run.samples if sample.at > 130) <= 2
    longer = simulate(oracle(STEP, maximum=6, target_seconds=20), STEP, maximum=6)
    assert longer.server_minutes < run.server_minutes
    assert 5 < longer.p95_wait < 25


def test_a_duel_compares_policies_with_oracles_that_wait_as_long() -> None:
    policies = {**{name: policy() for name, policy in POLICIES.items()}, "six": fixed(6)}
    traces = [Trace.random(seed, seconds=90) for seed in (1, 2)]
    duel = autoscale.duel(policies, traces, maximum=6)
    assert duel["six"].p95_wait < 0.1
    assert duel["six"].cost == pytest.approx(6 * 1.5, rel=0.02)
    costs = [score.cost for score in duel.oracles]
    assert costs == sorted(costs, reverse=True)
    assert all(duel.times_oracle(name) > 0.95 for name in duel.scores)  # nobody who knows less is cheaper
    assert duel.times_oracle("six") > 1.2
    assert str(duel) == str(autoscale.duel(policies, traces, maximum=6))
    assert [row[0] for row in duel.rows] == sorted(duel.scores, key=lambda name: duel[name].cost)
    picture = plots.duel(duel)
    assert f"six: {duel['six'].cost:.2f} server-minutes" in picture.alt
    assert len(picture.rows) == 7
    assert Image.open(io.BytesIO(picture.png)).width > 500


def test_an_oscillating_load_makes_ours_flap_not_once() -> None:
    wave = Trace.wave(seconds=120)
    assert simulate(QueueAge(), wave, maximum=6).flaps == 0
    assert simulate(autoscale.TargetTracking(), wave, maximum=6).flaps > 5


# -- pictures of runs --------------------------------------------------------------------------------------------------


def test_a_run_is_drawn_with_what_was_wanted_requested_and_ready() -> None:
    run = simulate(scheduled((0, 1), (20, 4)), STEP, maximum=6, boot_seconds=10)
    picture = plots.autoscaling(run)
    assert picture.columns[2:6] == ("wanted", "requested", "ready", "waiting")
    assert (25.0, 4, 4, 1) in [(row[0], *row[2:5]) for row in picture.rows]
    Image.open(io.BytesIO(picture.png)).verify()


def test_four_signals_are_drawn_each_on_its_own_scale_with_gaps_where_nothing_is_known() -> None:
    picture = plots.signals(simulate(fixed(2), STEP, maximum=2))
    assert picture.alt.startswith("Four signals of the same load. load average: at most 0.")
    assert "CPU: at most 100 %" in picture.alt
    assert picture.rows[0][1:] == (0.0, 0.0, 0, 0.0)
    silent = Run((Sample(at=0.0, waiting=None, oldest_waiting_seconds=None, wanted=1, requested=1, workers=0),), 1, 2)
    assert "oldest task's age: unknown" in plots.signals(silent).alt
    assert plots.autoscaling(silent).rows == [(0.0, 0.0, 1, 1, 0, "", "")]
    plots.signals(Run((), 1, 2, "nothing was run"))
