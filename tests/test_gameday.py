"""Game day: the score's parts are pure; a mission is solved by a repair; waves are survived, and written up.

FAAFO_SURVIVAL_SEED=… lets the same waves come again, FAAFO_SURVIVAL_SEEDS=50 so many (`tests.seeds`).
"""

import io
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from faafo_lab import chaos, check, cli, gameday, load
from faafo_lab.chaos import Journal
from faafo_lab.cloud.base import Cloud
from faafo_lab.gameday import MISSIONS, Alert, Objective, Order, Survival, alerts, complaints
from faafo_lab.gameday.survival import LADDER, outcomes
from faafo_lab.topology import Topology
from faafo_lab.topology.api import Fractal
from tests.seeds import seeds
from tests.waiting import wait_for

SEEDS = seeds("SURVIVAL")
WAVE_SECONDS = 8.0  # of each; there is one for each step of the ladder

OBJECTIVE = Objective(share=0.9, seconds=5)


def orders(*seconds: float | None, start: float = 0.0) -> list[Order]:
    """One a second."""
    return [Order(start + number, each) for number, each in enumerate(seconds)]


def test_a_budget_is_burnt_by_orders_that_are_late_or_never_done() -> None:
    assert OBJECTIVE.burnt(orders(*[1.0] * 10)) == 0
    assert OBJECTIVE.burnt(orders(*[1.0] * 9, 6.0)) == pytest.approx(1)
    assert OBJECTIVE.burnt(orders(*[1.0] * 8, None, 5.1)) == pytest.approx(2)
    assert OBJECTIVE.burnt([]) == 0


def test_what_is_left_of_a_budget_falls_when_an_order_is_known_to_be_late() -> None:
    some = orders(*[1.0] * 18, None, 6.0)  # known at 23 and 24
    assert OBJECTIVE.left(some) == [(0.0, 100.0), (23.0, pytest.approx(50)), (24.0, pytest.approx(0))]
    assert OBJECTIVE.left(some)[-1][1] == pytest.approx(100 * (1 - OBJECTIVE.burnt(some)))
    assert OBJECTIVE.left([]) == []


def test_a_burn_rate_counts_what_is_known_in_its_window() -> None:
    some = orders(1, 1, None, None)  # known at 1, 2, 7 and 8
    assert OBJECTIVE.burn_rate(some, now=2.5, window_seconds=10) == 0
    assert OBJECTIVE.burn_rate(some, now=8, window_seconds=10) == pytest.approx(5)
    assert OBJECTIVE.burn_rate(some, now=8, window_seconds=1) == pytest.approx(10)


def test_an_alert_is_raised_by_two_windows_and_over_when_the_short_one_is_well() -> None:
    bad_for_a_while = orders(*[1.0] * 10, *[None] * 30, *[1.0] * 60)
    strict = Objective(share=0.99, seconds=5)
    found = [(at, words) for at, words in alerts(strict, bad_for_a_while) if "fast" in words]
    assert [words for _, words in found] == ["alert raised: page, fast burn", "alert over: page, fast burn"]
    (raised, _), (over, _) = found
    assert 15 <= raised <= 25
    assert 40 < over <= 55
    assert alerts(strict, orders(*[1.0] * 50)) == []
    assert alerts(strict, []) == []
    never = Alert("never", 101, 1, 0.1)
    assert not never.firing(strict, bad_for_a_while, 30)


def row(uuid: str, intended: float, latency: float, status: int | None) -> load.Request:
    return load.Request(intended, latency, status, "app-api-1", None, intended, uuid)


def fractal(completed_at: str | None) -> Fractal:
    return cast(Fractal, {"created_at": "2026-01-01T12:00:00+00:00", "completed_at": completed_at})


def test_an_order_lasts_from_its_first_try_on_whatever_the_servers_clock_says() -> None:
    rows = [row("a", 100, 0.5, None), row("a", 100, 2.0, 201), row("b", 101, 0.1, 201), row("c", 102, 0.1, 503)]
    made = {"a": fractal("2026-01-01T12:00:03+00:00"), "b": fractal(None)}
    assert outcomes(rows, made) == [Order(100, 5.0), Order(101, None), Order(102, None)]


def test_the_score_is_what_the_issue_says() -> None:
    result = Survival(1, OBJECTIVE, orders(*[1.0] * 18, None, 9.0), 2.5, Journal("x"))
    assert (result.in_time, round(result.budget_burnt)) == (18, 100)
    assert result.score == pytest.approx(18 - 2.5 - 100)
    assert "18 of 20 orders done within 5 s, 2.5 server-minutes, 100 % of the error budget burnt" in repr(result)


def test_waves_of_a_seed_are_the_same_and_rise() -> None:
    assert gameday.waves(3, 4) == gameday.waves(3, 4) != gameday.waves(4, 4)
    first, *_, last = gameday.waves(3, 4)
    assert first.orders_per_second < last.orders_per_second
    assert set(first.kinds) < set(last.kinds)


def test_a_post_mortem_has_the_timeline_and_asks_for_the_rest() -> None:
    journal = Journal("a fault", started=0.0)
    journal.note("later | again", at=3661.5)
    journal.note("first", at=1.0)
    page = gameday.post_mortem(journal)
    assert "| 00:00:01 | 1.0 s | first |\n| 01:01:01 | 3661.5 s | later / again |" in page
    assert "## Trigger and cause" in page


@pytest.fixture(scope="module")
def app(app: Topology) -> Topology:
    """With two APIs."""
    return app.scale(api=2)


@pytest.fixture(scope="module")
def work(app: Topology) -> load.Work:
    return load.calibrate(app)


def test_a_mission_without_an_application_says_what_is_missing(cloud: Cloud) -> None:
    nothing = Topology(cloud)  # before the first test that builds one
    with pytest.raises(chaos.ChaosError, match="There is no application yet: build one"):
        MISSIONS[0].start(nothing)


REPAIRS: list[Any] = [
    lambda cloud, app: cloud.run("app-worker-1", "sudo systemctl thaw faafo-worker", check=True),
    lambda cloud, app: cloud.run("app-services", "sudo systemctl start faafo-messaging", check=True),
    lambda cloud, app: cloud.add_rule("services", 5432, remote_group="api"),
    lambda cloud, app: app.replace("app-api-2"),
]


@pytest.mark.parametrize("number", range(len(MISSIONS)))
def test_a_mission_is_solved_by_the_repair_that_its_last_hint_names(cloud: Cloud, app: Topology, number: int) -> None:
    mission = MISSIONS[number]
    wait_for("an application that is well", lambda: not complaints(app))
    with mission.start(app) as incident:
        assert incident.check().startswith("Not yet: ")
        assert incident.points == 0
        hints = [incident.hint() for _ in mission.hints]
        assert tuple(hints) == mission.hints
        REPAIRS[number](cloud, app)
        wait_for("its end", lambda: incident.check().startswith("Solved in "))
        assert incident.points == 100 - 20 * len(hints)
    assert chaos.active() == []
    assert mission.hints[-1] in gameday.post_mortem(incident)


def test_a_mission_is_found_by_its_number() -> None:
    assert [gameday.mission(number + 1) for number in range(len(MISSIONS))] == list(MISSIONS)
    for wrong in (0, len(MISSIONS) + 1, "2"):
        with pytest.raises(chaos.ChaosError, match=f"no mission {wrong!r}: give a number from 1 to 4"):
            gameday.mission(wrong)  # type: ignore[arg-type]


def test_a_drill_with_a_poison_leaves_no_fault(cloud: Cloud, app: Topology) -> None:
    found = check.exercise_6_4(lambda fractals: None if chaos.active() else [], cloud=cloud)  # once somebody was killed
    assert "guard(fractals) returned None" in repr(found)
    assert chaos.active() == []
    app.refresh().wait_serving()


def test_a_mission_that_nobody_solves_is_undone(app: Topology) -> None:
    wait_for("an application that is well", lambda: not complaints(app))
    with MISSIONS[0].start(app), pytest.raises(chaos.ChaosError, match="not well before the mission"):
        MISSIONS[1].start(app)
    app.wait_serving()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("number", range(len(SEEDS)))
def test_waves_are_survived_and_written_up(
    app: Topology, work: load.Work, capsys: pytest.CaptureFixture[str], number: int, tmp_path: Path
) -> None:
    seed = SEEDS[number]
    with capsys.disabled():
        print(f"\nFAAFO_SURVIVAL_SEED={seed}")
    print(f"FAAFO_SURVIVAL_SEED={seed}")  # and where a failure is shown
    waves = gameday.waves(seed, len(LADDER), WAVE_SECONDS)
    result = gameday.survive(app, work, seed=seed, waves=waves)
    print(result.journal)
    assert chaos.active() == []
    assert result.verdict.valid is True, f"{result.verdict}\n{result.history.save(tmp_path / f'{seed}.jsonl')}"
    assert result.verdict.acknowledged > 10
    given_up = result.verdict.indeterminate + result.verdict.refused  # a wave's end is the end of its clients, too
    assert result.verdict.acknowledged + given_up == len(result.orders)
    assert sum(order.seconds is None for order in result.orders) <= given_up
    assert result.server_minutes > 0
    wait_for("an application that is well", lambda: not complaints(app))  # a service that was started boots yet
    page = gameday.post_mortem(result)
    assert [wave for wave in waves if f"wave {wave.number}: {wave.orders_per_second:g} orders" not in page] == []


def test_a_wave_is_survived_and_written_up(app: Topology, work: load.Work) -> None:
    [wave] = gameday.waves(2, 1, seconds=10)
    wave = replace(wave, orders_per_second=2.0)
    result = gameday.survive(app, work, seed=2, waves=[wave], policy=lambda samples: 3)
    assert chaos.active() == []
    assert len(result.orders) > 10
    assert all(order.seconds is not None for order in result.orders)
    assert result.server_minutes > 0
    assert result.verdict.valid is True, result.verdict
    assert result.verdict.acknowledged == len(result.orders)
    page = gameday.post_mortem(result)
    assert "wave 1: 2 orders per second; kill" in page
    assert "was killed" in page
    assert "s | 2 → 3 workers |" in page
    ended = {began.words for began, ended in result.journal.spans if ended is not None}
    assert "wave 1: 2 orders per second; kill" in ended


def test_the_command_line_lists_missions_plays_one_and_survives(
    app: Topology, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cli.main(["gameday", "missions"]) == 0
    assert capsys.readouterr().out.splitlines() == [f"{each.title}: {each.symptom}" for each in MISSIONS]
    monkeypatch.setattr("sys.stdin", io.StringIO("h\nI looked at the queue\nc\n"))
    assert cli.main(["gameday", "play", "2"]) == 0
    printed = capsys.readouterr().out
    assert chaos.active() == []
    assert f"{MISSIONS[1].hints[0]}\nNot yet: " in printed
    assert "s | I looked at the queue |" in printed
    assert cli.main(["gameday", "play", "9"]) == 1
    assert "There is no mission 9" in capsys.readouterr().err
    app.wait_serving()
    assert cli.main(["gameday", "survive", "--seed", "2", "--waves", "1", "--seconds", "3", "--policy", "dask"]) == 0
    told, _, page = capsys.readouterr().out.partition("# Post-mortem: survival, seed 2")
    assert " s  wave 1 is over\n" in told
    assert "| wave 1 is over |" in page
