"""Each check against wrong states: one hint that says what is missing, and never "passed"."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import faafo_lab
from faafo_lab import check, load, reach
from faafo_lab.cloud.base import Cloud
from faafo_lab.reach import probe
from faafo_lab.reach.connections import judge
from faafo_lab.topology import SSH_PORT, Topology
from faafo_lab.topology.moment import observe
from faafo_lab.workbook import own_home

LIMIT_SECONDS = 120


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    """Through one backend: that checks see the same through each, the tests of the solutions hold."""
    with own_home(FAAFO_LAB_CLOUD="embedded"):
        yield faafo_lab.connect()


@pytest.fixture(scope="module", autouse=True)
def app(cloud: Cloud) -> Iterator[Topology]:
    """A topology that each test fills; what is left of it, exercises' servers too, goes at the end."""
    app = Topology(cloud, say=lambda line: None)
    yield app
    app.destroy()
    assert cloud.servers() == []


def hint(exercise: Callable[..., check.Verdict], *answer: str, cloud: Cloud) -> str:
    """What the check says of this state, which must be no solution."""
    verdict = exercise(*answer, cloud=cloud)
    assert not verdict.passed
    assert len(verdict.hint.splitlines()) == 1
    assert verdict.hint in repr(verdict)
    assert "passed" not in repr(verdict)
    return verdict.hint


def add_server(app: Topology, name: str, group: str, script: str = "") -> None:
    """A server as an exercise asks for, with the lab's mark."""
    server = app.cloud.create_server(
        name,
        image=app.image,
        flavor=app.flavor,
        key_pair="faafo-lab",
        security_groups=[group],
        user_data=script,
        metadata={"faafo-lab": "exercise"},
    )
    app.cloud.wait_for(server)


def test_a_verdict_shows_itself_as_text_and_as_html_with_its_hint_escaped() -> None:
    passed, failed = check.Verdict("2.1"), check.Verdict("2.2", "Add a <rule>.")
    assert passed.passed
    assert repr(passed) == "✔ Exercise 2.1: passed"
    assert not failed.passed
    assert "Add a &lt;rule&gt;." in failed._repr_html_()


def test_setup_names_everything_that_is_missing(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    assert check.setup(cloud).passed
    monkeypatch.setenv("FAAFO_LAB_FLAVOR", "m1.gigantic")
    monkeypatch.setenv("FAAFO_LAB_IMAGE", "faafo")
    wrong = check.setup(cloud)
    assert not wrong.passed
    assert "m1.gigantic" in repr(wrong)
    assert "FAAFO_LAB_IMAGE" in repr(wrong)
    monkeypatch.setenv("FAAFO_LAB_CLOUD", "nowhere")
    nowhere = check.setup()
    assert [finding.what for finding in nowhere.findings if not finding.ready] == ["cloud"]
    assert "nowhere" in repr(nowhere)


def test_setup_raises_nothing_whatever_fails(cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "file"
    file.touch()
    monkeypatch.setenv("FAAFO_LAB_HOME", str(file))
    for setup in (check.setup(cloud), check.setup()):
        assert not setup.passed
        assert len(setup.findings) > 2


def test_what_only_the_embedded_cloud_shows_is_skipped_elsewhere_with_a_word(
    cloud: Cloud, capsys: pytest.CaptureFixture[str]
) -> None:
    assert faafo_lab.only_embedded(cloud, "servers differ")
    assert capsys.readouterr().out == ""
    assert not faafo_lab.only_embedded(type(cloud)(replace(cloud.config, name="mine")), "servers differ")
    assert capsys.readouterr().out == "skipped on cloud 'mine': servers differ\n"


def test_chapter_0_sees_a_group_that_is_missing_shut_or_too_wide(cloud: Cloud) -> None:
    assert "no security group named 'hello'" in hint(check.exercise_0_1, cloud=cloud)
    assert "0.1 first" in hint(check.exercise_0_2, cloud=cloud)
    group = cloud.create_security_group("hello", "faafo-lab: a test")
    assert "anybody" in hint(check.exercise_0_2, cloud=cloud)
    of_group = cloud.add_rule(group, 80, remote_group=group)
    assert "anybody" in hint(check.exercise_0_2, cloud=cloud)
    cloud.delete_rule(of_group)
    wide = cloud.add_rule(group, 1, 1000)
    assert "more than port 80" in hint(check.exercise_0_2, cloud=cloud)
    cloud.delete_rule(wide)
    cloud.add_rule(group, 80)
    assert check.exercise_0_2(cloud=cloud).passed
    cloud.add_rule(group, 22)
    assert "more than port 80" in hint(check.exercise_0_2, cloud=cloud)
    assert "your answer" in hint(check.exercise_0_3, cloud=cloud)
    assert "Did you mean 'm1.large'" in hint(check.exercise_0_3, "m1.larg", cloud=cloud)
    assert "more" in hint(check.exercise_0_3, "m1.small", cloud=cloud)


def test_chapter_1_sees_a_server_without_a_greeting_and_a_page_that_is_shut_too(cloud: Cloud, app: Topology) -> None:
    app.deploy_all_in_one()
    [machine] = observe(app.servers.values(), app.api).machines
    assert machine.is_well
    assert machine.state in ("idle", "working")
    assert "no server named 'greeter'" in hint(check.exercise_1_1, cloud=cloud)
    assert "1.1 first" in hint(check.exercise_1_2, cloud=cloud)
    add_server(app, "greeter", "all-in-one")
    assert "no 'greetings from greeter'" in hint(check.exercise_1_1, cloud=cloud)
    assert "no floating address" in hint(check.exercise_1_2, cloud=cloud)
    cloud.stop_server("greeter")
    cloud.wait_for("greeter", "SHUTOFF")
    assert "SHUTOFF" in hint(check.exercise_1_1, cloud=cloud)

    assert "0 of 3 fractals" in hint(check.exercise_1_3, cloud=cloud)
    load.create(app.endpoints, load.same_tasks(3, width=200, height=320), progress=False)
    assert "0 of 3 fractals" in hint(check.exercise_1_3, cloud=cloud)
    cloud.run("app-all-in-one", "systemctl stop faafo-worker", check=True)
    load.create(app.endpoints, load.same_tasks(3, width=320, height=200, seed=2), progress=False)
    assert "so far" in hint(check.exercise_1_3, cloud=cloud)

    assert "still answers" in hint(check.exercise_1_4, cloud=cloud)
    ssh, page = sorted(cloud.security_group("all-in-one").rules, key=lambda rule: rule.port_min or 0)
    cloud.delete_rule(page)
    assert "not to be seen" in hint(check.exercise_1_4, cloud=cloud)
    cloud.add_rule("all-in-one", page.port_min or 0)
    cloud.delete_rule(ssh)
    cloud.wait_until(lambda: check.exercise_1_4(cloud=cloud).passed, "the rules to count", LIMIT_SECONDS)
    app.remove_old_app()
    assert "no server app-all-in-one" in hint(check.exercise_1_4, cloud=cloud)


def test_chapter_2_sees_workers_that_run_and_a_watcher_that_gets_too_far(cloud: Cloud, app: Topology) -> None:
    assert "0 of 2 workers" in hint(check.exercise_2_1, cloud=cloud)
    assert "no worker to stop" in hint(check.exercise_2_2, cloud=cloud)
    app.deploy_controller(worker=1)
    assert "1 of 2 workers" in hint(check.exercise_2_1, cloud=cloud)
    assert "app-worker-1 still runs" in hint(check.exercise_2_2, cloud=cloud)
    cloud.stop_server("app-worker-1")
    cloud.wait_for("app-worker-1", "SHUTOFF")
    assert "0 orders wait" in hint(check.exercise_2_2, cloud=cloud)

    assert "no server named 'watcher'" in hint(check.exercise_2_3, cloud=cloud)
    add_server(app, "watcher", "worker")
    assert "member of 'worker'" in hint(check.exercise_2_3, cloud=cloud)
    cloud.delete_servers(["watcher"])
    group = cloud.create_security_group("watcher", "faafo-lab: a test")
    cloud.add_rule(group, SSH_PORT)
    add_server(app, "watcher", "watcher")
    assert "does not get to the queue" in hint(check.exercise_2_3, cloud=cloud)
    anybody = cloud.add_rule("control", app.queue_port)
    assert "Anybody may connect" in hint(check.exercise_2_3, cloud=cloud)
    cloud.delete_rule(anybody)
    cloud.add_rule("control", app.queue_port, remote_group=group)
    database = cloud.add_rule("control", 5432, remote_group=group)
    assert "gets to the database too" in hint(check.exercise_2_3, cloud=cloud)
    matrix = reach.matrix(app)
    assert matrix["watcher", "app-controller", 5432] == "open"
    assert matrix["you", "app-controller", 5432] == "shut"
    assert matrix["watcher", "app-controller", app.queue_port] == "open"
    assert matrix["app-controller", "watcher", 80] == "nothing"
    assert "✘ 5432 database" in repr(matrix)
    assert "watcher" in matrix._repr_html_()
    cloud.delete_rule(database)
    assert check.exercise_2_3(cloud=cloud).passed
    app.remove_old_app()


def test_chapter_3_sees_idle_workers_a_first_api_that_nobody_replaced_and_workers_that_all_drain(
    cloud: Cloud, app: Topology
) -> None:
    assert "app-api-1 is gone" in hint(check.exercise_3_2, cloud=cloud)
    app.deploy(api=1, worker=1)
    assert "1 of 6 workers" in hint(check.exercise_3_1, cloud=cloud)
    assert "no app-api-2" in hint(check.exercise_3_2, cloud=cloud)
    assert "No worker is drained" in hint(check.exercise_3_3, cloud=cloud)
    app.drain(["app-worker-1"])
    assert "Every worker is drained" in hint(check.exercise_3_3, cloud=cloud)
    app.scale(api=2, worker=6)
    assert "fewer than 3 fractals" in hint(check.exercise_3_1, cloud=cloud)
    assert "older than app-api-2" in hint(check.exercise_3_2, cloud=cloud)
    cloud.delete_servers(["app-api-1"])
    assert "app-api-1 is gone" in hint(check.exercise_3_2, cloud=cloud)
    app.remove_old_app()


def test_a_probe_tells_who_keeps_a_connection_from_who_closes_and_who_refuses_it() -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        assert probe.probe("127.0.0.1", port, 2) == (True, "")
        assert port not in probe.listening()  # nobody else gets there
    assert probe.probe("127.0.0.1", port, 2) == (False, "connection refused")


def test_a_private_address_that_nobody_answers_at_is_told_from_a_closed_port() -> None:
    import socket

    with socket.socket() as full, socket.socket() as first:  # whose queue is full: a port that drops what comes
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        first.connect(full.getsockname())
        kept, silence = probe.probe("127.0.0.1", full.getsockname()[1], 0.5)
    assert (kept, silence) == (False, "no answer")

    here = {("you", "app-worker-1", 22): silence, ("you", "app-worker-1", 80): silence}
    inside = {("app-api-1", "app-worker-1", 22): "", ("app-api-1", "app-worker-1", 80): "connection refused"}

    def judged(**others: str) -> list[str]:
        said = {**here, **inside, **{("you", name.replace("_", "-"), 80): why for name, why in others.items()}}
        ports = {"app-worker-1": [22], "app-api-1": [22, 80]}
        states = judge(said, ports, {"app-worker-1"})
        shown = reach.Matrix(("you", "app-api-1"), ("app-worker-1",), states, said)
        assert ("○ 22 SSH" in repr(shown)) == ("○ 22 SSH" in shown._repr_html_()) == ("private" in states.values())
        assert ("the address is private" in repr(shown)) == ("private" in states.values())
        return list(states.values())

    assert judged() == ["private", "nothing", "open", "nothing"]
    assert judged(app_api_1=silence)[-1] == "shut"  # it has a floating address
    here["you", "app-worker-1", 80] = "connection refused"  # so it can be reached from here
    assert judged() == ["shut", "nothing", "open", "nothing"]


def test_a_prediction_stands_beside_what_was_measured() -> None:
    assert repr(check.prediction(..., 3.14, "times")) == "times: measured 3.14, you made no prediction"
    assert "you predicted 2: 36 % too low" in repr(check.prediction(2, 3.14, "times", ""))
    assert "right on" in repr(check.prediction(3.1, 3.14, "times", "s"))
    several = check.prediction({1: 1.0, 3: ...}, {1: 1.0, 3: 2.5, 5: 3.0}, "workers")
    assert [guess for _, guess, _ in several.lines] == [1.0, None, None]
    assert several.made
    assert not check.prediction(None, {1: 2.0}, "").made
    assert "no prediction" in several._repr_html_()


@pytest.mark.parametrize(("yours", "measured"), [("2", 3.0), (True, 3.0), ({1: 2}, 3.0), (2.0, {1: 2.0})])
def test_a_prediction_that_is_no_number_gets_one_sentence(yours: Any, measured: Any) -> None:
    with pytest.raises(TypeError, match="prediction"):
        check.prediction(yours, measured, "times")
