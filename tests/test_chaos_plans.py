"""Seeded plans and Chaos Toolkit's experiments, on one small application."""

import json
import os
import subprocess
import sys
import threading
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from faafo_lab import chaos, load
from faafo_lab.chaos.plans import VERBS
from faafo_lab.cloud.base import Cloud
from faafo_lab.topology import Topology
from tests.waiting import wait_for

EXPERIMENTS = Path(chaos.__file__).parent / "experiments"


def test_a_seed_and_the_same_servers_are_the_same_plan(app: Topology) -> None:
    one, again, other = (chaos.plan(seed, app, 300, tuple(VERBS)) for seed in (1, 1, 2))
    assert one == again != other
    assert {event.verb for event in one.events} == set(VERBS)
    assert all(first.at + first.seconds < second.at for first, second in zip(one.events, one.events[1:], strict=False))
    assert one.events[-1].at + one.events[-1].seconds <= 300
    assert "app-services" not in {e.arguments["server"] for e in one.events if e.verb == "delete"}
    assert "plan of seed 1" in repr(one)
    with pytest.raises(chaos.ChaosError, match="no fault 'fire'"):
        chaos.plan(1, app, 60, ["fire"])


def test_a_plan_runs_loses_nothing_and_leaves_nothing(app: Topology, tmp_path: Path) -> None:
    plan = chaos.plan(5, app, 12)
    tasks = list(islice(load.new_tasks(width=64, height=48), 30))
    with plan.running(app) as journal, load.steady(lambda: app.endpoints, tasks, per_second=5):
        wait_for("all faults", lambda: len(journal.entries) >= 2 * len(plan.events))
    assert chaos.active() == []
    app.wait_serving()
    rows = journal.entries
    assert [row.words.startswith("undone: ") for row in rows] == [False, True] * len(plan.events)
    journal.save(str(tmp_path / "journal.json"))
    again = chaos.Journal.load(str(tmp_path / "journal.json"))
    assert (str(again), again.spans) == (str(journal), journal.spans)
    assert [(began, ended) for began, ended in journal.spans if ended is None] == []
    assert len(journal.spans) == len(plan.events)
    uuids = {task["uuid"] for task in tasks}
    wait_for("every order that was taken", lambda: not app.stats()["waiting"] + app.stats()["working"])
    made = {one["uuid"] for one in app.fractals() if one["completed_at"]}
    assert {one["uuid"] for one in app.fractals()} & uuids <= made


def test_a_plan_notes_what_is_not_possible_and_ends_when_it_is_told(app: Topology) -> None:
    events = [
        chaos.Event(0.0, "kill", {"server": "app-worker-9"}, 1.0),
        chaos.Event(0.0, "freeze", {"server": "app-worker-1"}, 3600.0),
        chaos.Event(3700.0, "freeze", {"server": "app-worker-2"}, 1.0),
    ]
    with chaos.Plan(0, tuple(events)).running(app) as journal:
        wait_for("the long fault", lambda: len(journal.entries) == 2)
    assert [row.words.partition(" (")[0] for row in journal.entries] == [
        "not possible: kill",
        "app-worker-1 is frozen",
        "undone: app-worker-1 is frozen",
    ]
    assert "chaos" not in {thread.name for thread in threading.enumerate()}


class Stopping(chaos.Journal):
    """Somebody stops the server that was broken, and starts it when its fault could not be undone."""

    def __init__(self, cloud: Cloud) -> None:
        super().__init__("stopping")
        self.cloud = cloud

    def note(self, words: str, at: float | None = None, ends: str = "") -> None:
        super().note(words, at, ends)
        if words.startswith("faafo-worker on app-worker-2"):
            self.cloud.stop_server("app-worker-2")
            self.cloud.wait_for("app-worker-2", "SHUTOFF", progress=False)
        elif words.startswith("not undone yet"):
            self.cloud.start_server("app-worker-2")
            self.cloud.wait_for("app-worker-2", progress=False)


def test_a_fault_that_cannot_be_undone_at_its_time_is_undone_at_the_end(cloud: Cloud, app: Topology) -> None:
    frozen = chaos.Event(0.0, "freeze", {"server": "app-worker-2", "service": "faafo-worker"}, 0.1)
    journal = chaos.Plan(0, (frozen,)).run(app, Stopping(cloud))
    assert [row.words.partition(" (")[0] for row in journal.entries] == [
        "faafo-worker on app-worker-2 is frozen",
        "not undone yet: faafo-worker on app-worker-2 is frozen",
        "undone: faafo-worker on app-worker-2 is frozen",
    ]
    assert chaos.active() == []
    app.wait_serving()


# Chaos Toolkit


def run(name: str, place: Path) -> dict[str, Any]:
    """An experiment by the command `chaos`; returns its journal."""
    command = [sys.executable, "-m", "chaostoolkit", "--log-file", str(place / "log"), "run"]
    settings = {**os.environ, "HOME": str(place)}
    command += ["--journal-path", str(place / "journal.json"), str(EXPERIMENTS / f"{name}.json")]
    done = subprocess.run(command, cwd=place, env=settings, capture_output=True, text=True, check=False)
    assert (place / "journal.json").exists(), done.stderr
    journal: dict[str, Any] = json.loads((place / "journal.json").read_text())
    return journal


def test_an_experiment_of_chaos_toolkit_finds_that_a_dead_worker_costs_nothing(app: Topology, tmp_path: Path) -> None:
    journal = run("worker-killed", tmp_path)
    assert journal["status"] == "completed", journal
    assert journal["deviated"] is False
    assert journal["run"][0]["output"] == "faafo-worker on app-worker-1 was killed"
    assert journal["rollbacks"][0]["output"] == ["faafo-worker on app-worker-1 was killed"]


def test_an_experiment_that_deviates_is_rolled_back(app: Topology, tmp_path: Path) -> None:
    journal = run("database-far", tmp_path)
    assert journal["deviated"] is True, journal
    assert journal["rollbacks"][0]["output"] == ["a latency of 2000 ms from anywhere to app-services, port 5432"]
    app.stats()


@pytest.mark.parametrize("path", sorted(EXPERIMENTS.glob("*.json")), ids=lambda path: path.stem)
def test_every_experiment_is_valid(path: Path) -> None:
    from chaoslib.experiment import ensure_experiment_is_valid

    ensure_experiment_is_valid(json.loads(path.read_text()))
