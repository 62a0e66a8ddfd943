"""The autoscaler on the embedded cloud: out with a step of load, in with a drain, and what may come between."""

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

import faafo_lab
from faafo_lab import load
from faafo_lab.autoscale import Autoscaler, Sample
from faafo_lab.cloud.emulator import control
from faafo_lab.paths import embedded_state_dir
from faafo_lab.topology import TakenOver, Topology, TopologyError, discover, turn
from faafo_lab.topology.lock import CHANGING, claim, lock_file
from faafo_lab.workbook import own_home
from tests.waiting import wait_for

TASK_SECONDS = 0.5
SERVERS_MAX = 5  # the quota: app-services, an API, three workers


@pytest.fixture(scope="module")
def app() -> Iterator[Topology]:
    with own_home(FAAFO_LAB_CLOUD="embedded"):
        control.start(embedded_state_dir(), quotas={"instances": SERVERS_MAX})
        yield Topology(faafo_lab.connect(), say=lambda line: None).deploy(api=1, worker=1)


@pytest.fixture(scope="module")
def work(app: Topology) -> load.Work:
    return load.calibrate(app)


def workers(app: Topology) -> list[str]:
    """The names of the workers on the cloud."""
    return [server.name for server in app.refresh().workers]


def scaled(app: Topology, number: int) -> None:
    """Scale by hand, and wait until all are ready: what the application says of an earlier server of the same name
    does not count."""
    app.scale(worker=number)
    with closing(Autoscaler(app, lambda samples: number, maximum=number)) as scaler:
        wait_for("workers ready", lambda: scaler.watch().workers == number)


def by_backlog(samples: Sequence[Sample]) -> int:
    """Three workers while there are tasks, and until all three have been ready: this machine may be slow."""
    now = samples[-1]
    return 3 if now.waiting or now.working or max(sample.workers for sample in samples) < 3 else 1


def stepped(scaler: Autoscaler) -> bool:
    """Watch, decide, act once; True, for a wait."""
    scaler.step()
    return True


@contextmanager
def command(said: Path, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """The command in a process of its own, which does not outlive the block; what it says is in a file."""
    words = [sys.executable, "-m", "faafo_lab.cli", "autoscale", "--every", "0.5", *options]
    with said.open("w") as file, subprocess.Popen(words, stdout=file, stderr=file) as run:
        try:
            yield run
        finally:
            run.kill()


def test_a_step_of_load_scales_out_and_its_end_scales_in_with_a_drain(app: Topology, work: load.Work) -> None:
    said: list[str] = []
    orders = work.tasks(24, TASK_SECONDS)
    load.create(app.endpoints, orders, progress=False)
    with Autoscaler(app, by_backlog, maximum=3, every_seconds=0.5, in_cooldown_seconds=1.0, say=said.append) as scaler:
        wait_for("three workers ready", lambda: any(sample.workers == 3 for sample in scaler.samples))
        wait_for("all tasks", lambda: not app.stats()["waiting"] + app.stats()["working"])
        wait_for("one worker left", lambda: len(workers(app)) == 1)
    made = {fractal["uuid"]: fractal for fractal in app.fractals()}
    assert all(made[str(task["uuid"])]["attempts"] == 1 for task in orders)  # no worker died with a task
    lines = "\n".join(said)
    for words in ("1 → 3 workers", "app-worker-2, app-worker-3: requested", "app-worker-3: drains", "drained: deleted"):
        assert words in lines
    run = scaler.run
    assert run.changes >= 2
    assert run.most_workers == 3
    assert all(sample.requested <= 3 for sample in run.samples)
    assert any(sample.wanted == sample.requested > sample.workers for sample in run.samples)  # three numbers
    assert "autoscaling" not in {thread.name for thread in threading.enumerate()}


def test_a_used_up_quota_is_said_once_and_waited_for(app: Topology) -> None:
    said: list[str] = []
    other = app.cloud.create_server("other", image=app.image, flavor=app.flavor)
    with closing(Autoscaler(app, lambda samples: 3, maximum=3, say=said.append)) as scaler:
        for _ in range(3):
            scaler.step()
        assert len(workers(app)) == 2
        assert sum("the quota is used up: 3 workers are wanted, 1 of them" in line for line in said) == 1
        app.cloud.delete_servers([other])
        scaler.step()
        assert len(workers(app)) == 3
        wait_for("all are ready", lambda: scaler.watch().workers == 3)


def test_what_was_begun_is_taken_up_again_and_what_is_gone_comes_back(app: Topology) -> None:
    scaled(app, 3)
    app.cloud.delete_servers(["app-worker-2"])
    app.api.drain("app-worker-3")  # as an autoscaler left it that was killed
    said: list[str] = []
    wanted = 3
    with closing(Autoscaler(app, lambda samples: wanted, maximum=3, say=said.append)) as scaler:
        scaler.step()
        assert [line.partition("s: ")[2] for line in said] == [
            "1 → 3 workers",
            "app-worker-3: its drain ends, it stays",
            "app-worker-2: requested",
        ]
        wanted = 2
        scaler.step()
        assert "app-worker-2: cancelled before it arrived" in said[-1]  # no worker with a task is drained for it
    wait_for("two workers", lambda: workers(app) == ["app-worker-1", "app-worker-3"])
    app.api.drain("app-worker-3")
    with closing(Autoscaler(app, lambda samples: 1, maximum=3, say=said.append)) as scaler:
        wait_for("one worker", lambda: stepped(scaler) and workers(app) == ["app-worker-1"])


def test_without_an_answer_nothing_is_removed(app: Topology) -> None:
    scaled(app, 2)
    said: list[str] = []
    with closing(Autoscaler(app, lambda samples: 1, maximum=3, say=said.append)) as scaler:
        assert scaler.watch().workers == 2
        app.cloud.stop_server("app-api-1")
        app.cloud.wait_for("app-api-1", "SHUTOFF", progress=False)
        wait_for("no answer", lambda: scaler.watch().waiting is None)
        for _ in range(2):
            scaler.step()
        assert len(workers(app)) == 2
        assert scaler.samples[-1].workers == 2  # what was known last
        assert sum("the application does not answer" in line for line in said) == 1
        app.cloud.start_server("app-api-1")
        wait_for("one worker", lambda: stepped(scaler) and len(workers(app)) == 1)


def test_a_second_autoscaler_stands_by_and_takes_over_from_one_that_was_killed(app: Topology, tmp_path: Path) -> None:
    scaled(app, 1)
    said: list[str] = []
    its = tmp_path / "said"
    with command(its, "--policy", "steps", "--max", "2") as first:
        wait_for("its decisions", lambda: its.read_text().count("0 tasks wait: the step from 0 on") > 1)
        with Autoscaler(app, lambda samples: 2, maximum=2, every_seconds=0.2, say=said.append) as second:
            wait_for("standing by", lambda: len(second.decisions) > 2)
            assert second.decisions[-1].wanted == 1
            assert len(said) == 1
            assert f"process {first.pid} (an autoscaler, since" in said[0]
            assert "standing by" in second.decisions[-1].why
            first.kill()
            wait_for("its own decision", lambda: second.decisions[-1].wanted == 2)
            assert "the other autoscaler has ended: taking over" in said[1]
            wait_for("a second worker", lambda: len(workers(app)) == 2)


def test_the_command_says_each_decision_and_why_and_ends_with_an_interrupt(app: Topology, tmp_path: Path) -> None:
    scaled(app, 2)
    its = tmp_path / "said"
    with command(its, "--max", "1") as run:
        wait_for("the change", lambda: "app-worker-2: drains" in its.read_text())
        run.send_signal(signal.SIGINT)
        assert run.wait(60) == 0
    said = its.read_text()
    assert "2 → 1 workers: the oldest task waits for 0.0 s" in said
    assert "app-worker-2: drained: deleted" in said  # it finished what it had begun
    assert "Traceback" not in said


def test_what_a_policy_raises_ends_the_autoscaler_and_is_raised(app: Topology) -> None:
    said: list[str] = []
    scaler = Autoscaler(app, lambda samples: 1 // 0, maximum=2, say=said.append)
    with pytest.raises(ZeroDivisionError), scaler:
        scaler.wait()
    assert any("the autoscaler ends: integer division or modulo by zero" in line for line in said)


def test_it_waits_while_somebody_else_changes_the_application(app: Topology) -> None:
    scaled(app, 1)
    said: list[str] = []
    with closing(Autoscaler(app, lambda samples: 2, maximum=2, say=said.append)) as scaler:
        with lock_file(app.cloud, CHANGING) as file:
            claim(file, "to deploy")
            for _ in range(2):
                scaler.step()
            assert len(workers(app)) == 1
        assert sum("waiting: Can't scale the workers: process" in line for line in said) == 1
        scaler.step()
        assert len(workers(app)) == 2


def test_it_ends_when_another_chapter_takes_the_application_over(app: Topology) -> None:
    said: list[str] = []
    turn.take(app.cloud, "06")
    mine = discover(app.cloud, chapter="06")
    scaler = Autoscaler(mine, lambda samples: 1, maximum=2, say=said.append)
    scaler.step()
    turn.take(app.cloud, "07")
    with pytest.raises(TakenOver), scaler:
        scaler.wait()
    assert any("the autoscaler ends: Chapter 07 took over" in line for line in said)


def test_without_an_application_there_is_nothing_to_scale() -> None:
    with own_home(FAAFO_LAB_CLOUD="embedded"), pytest.raises(TopologyError, match="deploy the application first"):
        Autoscaler(discover(faafo_lab.connect()), lambda samples: 1, maximum=2)
