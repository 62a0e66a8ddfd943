"""A first autoscaler: real load, real servers; what the learner's `decide` says is done, and scored."""

import threading
from collections.abc import Iterator, Sequence

import pytest

import faafo_lab
from faafo_lab import autoscale, load, plots
from faafo_lab.autoscale import Run, Sample
from faafo_lab.topology import Topology
from faafo_lab.workbook import own_home
from tests.waiting import wait_for

SECONDS = 18.0


@pytest.fixture(scope="module")
def app() -> Iterator[Topology]:
    with own_home(FAAFO_LAB_CLOUD="embedded"):
        yield Topology(faafo_lab.connect(), say=lambda line: None).deploy(api=1, worker=1)


@pytest.fixture(scope="module")
def work(app: Topology) -> load.Work:
    return load.calibrate(app)


def by_age(samples: Sequence[Sample]) -> int:
    now = samples[-1]
    if now.oldest_waiting_seconds > 1:
        return now.workers + 2
    return now.workers if now.waiting else 1


@pytest.mark.alone
def test_workers_that_follow_the_load_keep_tasks_from_waiting(app: Topology, work: load.Work) -> None:
    said: list[str] = []
    app.say = said.append
    fixed = autoscale.run(app, lambda samples: 1, work, seconds=SECONDS)
    assert app.stats()["waiting"]  # the next run begins without them
    scaled = autoscale.run(app, by_age, work, seconds=SECONDS, maximum=4)
    assert fixed.changes == 0
    assert scaled.changes >= 1
    assert scaled.samples[0].oldest_waiting_seconds < 1
    assert 1 < scaled.most_workers <= 4
    assert scaled.worst_wait < fixed.worst_wait
    assert scaled.server_minutes > fixed.server_minutes
    assert any("1 → 3 workers" in line for line in said)
    assert "server-minutes" in str(scaled)
    picture = plots.autoscaling(scaled)
    assert str(scaled) in picture.alt
    assert len(picture.rows) == len(scaled.samples)
    assert not [each.name for each in threading.enumerate() if each.name in ("autoscaling", "load")]


def test_a_decide_that_is_not_written_runs_nothing(app: Topology, work: load.Work) -> None:
    wait_for("an empty queue", lambda: not app.stats()["waiting"] + app.stats()["working"])
    before = app.stats()
    run = autoscale.run(app, lambda samples: ..., work)
    assert run.samples == ()
    assert "not written yet" in str(run)
    assert app.stats() == before
    assert "not written yet" in plots.autoscaling(run).alt


def test_what_decide_raises_ends_the_run_and_its_load(app: Topology, work: load.Work) -> None:
    def breaks(samples: Sequence[Sample]) -> int:
        return 1 if len(samples) < 2 else 1 // 0

    with pytest.raises(ZeroDivisionError):
        autoscale.run(app, breaks, work, seconds=30)
    wait_for("the load's end", lambda: not [each for each in threading.enumerate() if each.name.startswith("load")])
    with pytest.raises(TypeError, match="'three'"):
        autoscale.run(app, lambda samples: "three", work, seconds=30)  # type: ignore[arg-type,return-value]


@pytest.mark.parametrize(("numbers", "words"), [({"minimum": 0}, "minimum=0"), ({"seconds": 1}, "seconds=1")])
def test_a_run_that_cannot_be_gets_one_sentence(
    app: Topology, work: load.Work, numbers: dict[str, int], words: str
) -> None:
    with pytest.raises(load.LoadError, match=words):
        autoscale.run(app, lambda samples: 1, work, **numbers)


def test_the_score_counts_what_waited_and_what_it_cost() -> None:
    ages, workers, wanted = (0.0, 4.0, 9.0, 1.0), (1, 1, 3, 3), (1, 3, 3, 1)
    samples = [
        Sample(at=30.0 * at, waiting=5, oldest_waiting_seconds=age, wanted=asked, requested=serving, workers=serving)
        for at, (age, serving, asked) in enumerate(zip(ages, workers, wanted, strict=True))
    ]
    run = Run(samples, 1, 6)
    assert (run.worst_wait, run.p95_wait, run.most_workers, run.changes, run.flaps) == (9.0, 9.0, 3, 2, 1)
    assert run.server_minutes == pytest.approx(0.5 + 0.5 + 1.5)
