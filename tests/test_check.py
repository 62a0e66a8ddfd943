"""Each check against wrong states: one hint that says what is missing, and never "passed"."""

import itertools
import os
import re
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import requests

import faafo_lab
from faafo_lab import autoscale, balancer, check, load, reach
from faafo_lab.balancer import Monitor
from faafo_lab.check.chapter_3 import busiest
from faafo_lab.check.chapter_5 import detection
from faafo_lab.check.memory import Record, recall
from faafo_lab.check.prediction import NotAPrediction
from faafo_lab.cloud import keys
from faafo_lab.cloud.base import Cloud
from faafo_lab.cloud.model import FloatingIP, Server
from faafo_lab.reach import probe
from faafo_lab.reach.connections import judge
from faafo_lab.topology import SSH_PORT, Topology
from faafo_lab.topology.moment import observe
from faafo_lab.workbook import own_home

LIMIT_SECONDS = 120


@pytest.fixture(scope="module", autouse=True)
def app(cloud: Cloud) -> Iterator[Topology]:
    """A topology that each test fills; what is left of it, exercises' servers too, goes at the end."""
    app = Topology(cloud, say=lambda line: None)
    yield app
    app.destroy()
    assert cloud.servers() == []


def hint(exercise: Callable[..., check.Verdict], *answer: object, cloud: Cloud) -> str:
    """What the check says of this state, which must be no solution."""
    verdict = exercise(*answer, cloud=cloud)
    assert not verdict.passed
    assert verdict.hint
    words = verdict.hint.words(3)
    assert len(words.splitlines()) == 1
    assert "passed" not in repr(verdict)
    return words


def add_server(app: Topology, name: str, group: str, script: str = "") -> None:
    """A server as an exercise asks for, with the lab's mark."""
    keys.ensure_key_pair(app.cloud)
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
    passed, failed = check.Verdict("2.1"), check.Verdict("2.2", check.Hint("Add a <rule>."))
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


def cpu_line(before: str) -> str:
    """What `setup` says of the CPU in a process that runs this code before."""
    setup = "from faafo_lab import check\nsetup = check.setup()\nassert setup.passed, setup\nprint(setup)"
    script = f"import os\n{before}\n{setup}"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return next(line for line in run.stdout.splitlines() if " CPU " in line)


def test_setup_says_where_the_servers_shares_do_not_fit_and_what_it_offers_makes_them_fit() -> None:
    pinned = "os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:{}])"
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    with own_home(FAAFO_LAB_CLOUD="embedded", PATH=programs):
        if len(os.sched_getaffinity(0)) > 1:
            enough = cpu_line(pinned.format(2))
            assert re.fullmatch(r"✔ CPU +2 cores: 6 servers of m1.tiny may use 1.5 cores together", enough)
        short = cpu_line(pinned.format(1))
        assert re.match(r"! CPU +1 core for the lab, and 6 servers of m1.tiny may use 1.5 cores together: ", short)
        [command] = re.findall("run `!(.+)` in a cell", short)
        subprocess.run(["sh", "-c", command], check=True, stdout=subprocess.DEVNULL)
        fits = cpu_line(pinned.format(1))
        assert re.fullmatch(r"✔ CPU +1 core: 6 servers of m1.tiny may use 0.75 cores together", fits)


@pytest.fixture
def group_of_one_core() -> Iterator[list[Path]]:
    """A control group that may use one core, as a container's: its directories. Skips where none can be made."""
    root = Path("/sys/fs/cgroup")
    split, name = (root / "cpu").is_dir(), f"faafo-lab-{uuid.uuid4().hex}"  # split: version 1
    made = [root / "cpu" / name, root / "cpuacct" / name] if split else [root / name]
    settings = {"cpu.cfs_period_us": "100000", "cpu.cfs_quota_us": "100000"} if split else {"cpu.max": "100000 100000"}
    try:
        for path in made:
            path.mkdir()
        for file, value in settings.items():
            (made[0] / file).write_text(value)
    except OSError as error:
        pytest.skip(f"no control group can be made here: {error}")
    else:
        yield made
    finally:
        for path in made:
            if path.exists():
                path.rmdir()


def test_setup_heeds_the_limit_of_the_control_group_that_it_runs_in(group_of_one_core: list[Path]) -> None:
    procs = [str(path / "cgroup.procs") for path in group_of_one_core]
    with own_home(FAAFO_LAB_CLOUD="embedded"):
        faafo_lab.connect()  # outside of the group, which can be removed once it is empty
        line = cpu_line(f"for path in {procs}: open(path, 'w').write(str(os.getpid()))")
    assert re.match(r"! CPU +1 core for the lab, and 6 servers of m1.tiny may use 1.5 cores together: ", line)


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
    assert "none lets anybody in" in hint(check.exercise_0_2, cloud=cloud)
    of_group = cloud.add_rule(group, 80, remote_group=group)
    assert "none lets anybody in" in hint(check.exercise_0_2, cloud=cloud)
    cloud.delete_rule(of_group)
    wide = cloud.add_rule(group, 1, 1000)
    assert "another rule, for the ports 1 to 1000" in hint(check.exercise_0_2, cloud=cloud)
    cloud.delete_rule(wide)
    cloud.add_rule(group, 80)
    assert check.exercise_0_2(cloud=cloud).passed
    cloud.add_rule(group, 22)
    assert "another rule, for port 22" in hint(check.exercise_0_2, cloud=cloud)


@pytest.mark.parametrize(
    ("answer", "words"),
    [(..., "no answer"), ("m1.larg", "Did you mean 'm1.large'"), ("m1.small", "another flavor gives more"), (2, "'2'")],
)
def test_a_wrong_flavor_gets_a_hint(cloud: Cloud, answer: Any, words: str) -> None:
    assert words in hint(check.exercise_0_3, answer, cloud=cloud)


def test_an_answer_is_a_name_or_the_thing_itself_and_the_cloud_comes_in_any_place(cloud: Cloud, app: Topology) -> None:
    largest = cloud.flavor("m1.large")
    for verdict in (
        check.exercise_0_3("m1.large", cloud=cloud),
        check.exercise_0_3(largest, cloud),
        check.exercise_0_3(cloud, flavor=largest),
        check.exercise_0_3(app, largest),
    ):
        assert verdict.passed
    with pytest.raises(TypeError, match=r"check\.exercise_0_1 takes no answer"):
        check.exercise_0_1(cloud, "hello")


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("", "No line of the console log"),
        ("echo greetings from greeter\n", "starts with 'echo greetings"),
        ("#!/usr/bin/env bash\necho 'greetings from greeter\n", 'says "line 2: unexpected EOF'),
        ("#!/usr/bin/env bash\ngreetings from greeter\n", "'line 2: greetings: command not found'"),
        ("#!/usr/bin/env greetings from greeter\n", "failed"),
        ("#!/usr/bin/env bash\necho hello greetings from greeter too\n", "No line of the console log"),
    ],
)
def test_only_a_line_that_is_the_greeting_counts(cloud: Cloud, app: Topology, script: str, words: str) -> None:
    cloud.get_or_create_security_group("greeter", "faafo-lab: a test")
    add_server(app, "greeter", "greeter", script)
    try:
        cloud.wait_until(lambda: "finished at" in cloud.console("greeter"), "the first boot", LIMIT_SECONDS)
        assert words in hint(check.exercise_1_1, cloud=cloud)
    finally:
        cloud.delete_servers(["greeter"])


def test_chapter_1_sees_a_server_without_a_greeting_and_a_page_that_is_shut_too(cloud: Cloud, app: Topology) -> None:
    app.deploy_all_in_one()
    [machine] = observe(app.servers.values(), app.api).machines
    assert machine.is_well
    assert machine.state in ("idle", "working")
    assert "no server named 'greeter'" in hint(check.exercise_1_1, cloud=cloud)
    assert "1.1 first" in hint(check.exercise_1_2, give_to_all(cloud), cloud=cloud)
    add_server(app, "greeter", "all-in-one", "#!/usr/bin/env bash\necho greetings from $(hostname)\n")
    cloud.wait_until(lambda: check.exercise_1_1(cloud).passed, "the greeting", LIMIT_SECONDS)
    addresses_of_greeter(cloud)
    cloud.stop_server("greeter")
    cloud.wait_for("greeter", "SHUTOFF")
    assert "is SHUTOFF" in hint(check.exercise_1_1, cloud=cloud)

    assert "0 of 3 fractals" in hint(check.exercise_1_3, cloud=cloud)
    load.create(app.endpoints, load.same_tasks(3, width=200, height=320), progress=False)
    assert "200 by 320" in hint(check.exercise_1_3, cloud=cloud)
    cloud.run("app-all-in-one", "systemctl stop faafo-worker", check=True)
    load.create(app.endpoints, load.same_tasks(3, width=320, height=200, seed=2), progress=False)
    assert "so far" in hint(check.exercise_1_3, cloud=cloud)

    assert "still open" in hint(check.exercise_1_4, cloud=cloud)
    ssh, page = sorted(cloud.security_group("all-in-one").rules, key=lambda rule: rule.port_min or 0)
    cloud.delete_rule(page)
    assert "does not answer any more" in hint(check.exercise_1_4, cloud=cloud)
    cloud.add_rule("all-in-one", page.port_min or 0)
    cloud.delete_rule(ssh)
    cloud.wait_until(lambda: check.exercise_1_4(cloud=cloud).passed, "the rules to count", LIMIT_SECONDS)
    cloud.delete_servers(["greeter"])
    app.remove_old_app()
    assert "no server app-all-in-one" in hint(check.exercise_1_4, cloud=cloud)


def give_to_all(
    cloud: Cloud, *, keeps: bool = True, reuses: bool = True, spare: int = 0, spare_later: int = 0
) -> Callable[[Server], object]:
    """A learner's function, right unless told otherwise: it may allocate spare ones, too."""

    def give_address(server: Server) -> FloatingIP | None:
        has_one = any(ip.server_id == server.id for ip in cloud.floating_ips())
        for _ in range(spare_later if has_one else spare):
            cloud.create_floating_ip()
        if keeps and has_one:
            return None
        return cloud.attach_floating_ip(server, cloud.free_floating_ip() if reuses else cloud.create_floating_ip())

    return give_address


def release_free(cloud: Cloud) -> None:
    """No floating IP of the project is free afterwards."""
    for ip in cloud.floating_ips():
        if ip.server_id is None:
            cloud.delete_floating_ip(ip)


def addresses_of_greeter(cloud: Cloud) -> None:
    """Each wrong function gets its hint, and the right one passes, whatever the project's floating IPs are before."""

    def says(give_address: object) -> str:
        return hint(check.exercise_1_2, give_address, cloud=cloud)

    assert "no function of yours" in says(...)
    assert "is not a function" in says("give_address")
    assert "'greeter' has no floating IP" in says(lambda server: ...)
    assert "ZeroDivisionError" in says(lambda server: 1 / 0)
    assert "no server 'greetre'" in says(lambda server: cloud.attach_floating_ip("greetre", cloud.create_floating_ip()))
    assert "allocated a new floating IP, while" in says(give_to_all(cloud, reuses=False))
    assert "already has a floating IP" in says(give_to_all(cloud, keeps=False))
    assert "and give_address(greeter) changed something" in says(give_to_all(cloud, spare_later=1))
    release_free(cloud)
    assert "allocated 2 floating IPs at once" in says(give_to_all(cloud, reuses=False, spare=1))
    release_free(cloud)
    for _ in range(2):
        verdict = check.exercise_1_2(give_to_all(cloud), cloud=cloud)
        assert verdict.passed, verdict
        assert "a new one is allocated" in verdict.measured
        assert "a free one is used again" in verdict.measured
    cloud.create_floating_ip()
    verdict = check.exercise_1_2(give_to_all(cloud), cloud=cloud)
    assert verdict.passed
    assert "a new one" not in verdict.measured


def test_chapter_2_sees_workers_that_run_and_a_watcher_that_reaches_too_much(cloud: Cloud, app: Topology) -> None:
    assert "0 of 2 workers" in hint(check.exercise_2_1, cloud=cloud)
    assert "no app-controller" in hint(check.exercise_2_2, cloud=cloud)
    assert "no app-controller" in hint(check.exercise_2_4, post_again(2), cloud=cloud)
    app.deploy_controller(worker=1)
    assert "1 of 2 workers" in hint(check.exercise_2_1, cloud=cloud)
    orders_with_a_lost_answer(cloud, app)
    assert "app-worker-1 is not stopped" in hint(check.exercise_2_2, cloud=cloud)
    cloud.wait_until(lambda: not app.stats()["waiting"] + app.stats()["working"], "all orders made", LIMIT_SECONDS)
    old = load.same_tasks(6, width=96, height=64)
    load.create(app.endpoints, old, progress=False)
    cloud.wait_until(lambda: not app.stats()["waiting"] + app.stats()["working"], "all orders made", LIMIT_SECONDS)
    cloud.stop_server("app-worker-1")
    cloud.wait_for("app-worker-1", "SHUTOFF")
    load.create(app.endpoints, old, progress=False)  # six answers, and not one new order
    assert "0 of 6 orders wait" in hint(check.exercise_2_2, cloud=cloud)
    load.create(app.endpoints, list(itertools.islice(load.new_tasks(), 6)), progress=False)
    assert check.exercise_2_2(cloud).passed

    assert "no server named 'watcher'" in hint(check.exercise_2_3, cloud=cloud)
    add_server(app, "watcher", "worker")
    assert "member of the security group 'worker'" in hint(check.exercise_2_3, cloud=cloud)
    cloud.delete_servers(["watcher"])
    group = cloud.create_security_group("watcher", "faafo-lab: a test")
    cloud.add_rule(group, SSH_PORT)
    add_server(app, "watcher", "watcher")
    assert "does not reach the queue" in hint(check.exercise_2_3, cloud=cloud)
    anybody = cloud.add_rule("control", app.queue_port)
    assert "Anybody may connect" in hint(check.exercise_2_3, cloud=cloud)
    cloud.delete_rule(anybody)
    cloud.add_rule("control", app.queue_port, remote_group=group)
    database = cloud.add_rule("control", 5432, remote_group=group)
    assert "reaches the database, too" in hint(check.exercise_2_3, cloud=cloud)
    matrix = reach.matrix(app)
    assert matrix["watcher", "app-controller", 5432] == "open"
    assert matrix["you", "app-controller", 5432] == "shut"
    assert matrix["watcher", "app-controller", app.queue_port] == "open"
    assert matrix["app-controller", "watcher", 80] == "nothing"
    assert "✘ 5432 database" in repr(matrix)
    assert "watcher" in matrix._repr_html_()
    cloud.delete_rule(database)
    assert check.exercise_2_3(cloud=cloud).passed
    cloud.delete_servers(["watcher"])
    app.remove_old_app()


def post_again(
    times: int, *, new_uuid: bool = False, uuid_needed: bool = True
) -> Callable[[dict[str, Any], str], None]:
    """A learner's client, right unless told otherwise: it tries so many times."""

    def order(task: dict[str, Any], url: str) -> None:
        chosen = {**task, "uuid": str(uuid.uuid4())} if uuid_needed else task
        for _ in range(times):
            try:
                requests.post(f"{url}/v1/fractal", json=chosen, timeout=5)
            except requests.ConnectionError:
                if new_uuid:
                    chosen = {**chosen, "uuid": str(uuid.uuid4())}
            else:
                return

    return order


def orders_with_a_lost_answer(cloud: Cloud, app: Topology) -> None:
    """Each wrong client gets its hint, and the right one passes."""

    def says(order: object) -> str:
        return hint(check.exercise_2_4, order, cloud=cloud)

    assert "no function of yours" in says(...)
    assert "is not a function" in says(3)
    assert "Nothing was sent" in says(lambda task, url: ...)
    assert "TypeError" in says(lambda task: ...)
    assert "no order arrived" in says(lambda task, url: post_again(1)(task, app.endpoint))
    assert "'uuid' must be" in says(post_again(2, uuid_needed=False))
    assert "returned after one request" in says(post_again(1))
    assert "failed with ConnectionError after one request" in says(
        lambda task, url: requests.post(f"{url}/v1/fractal", json={**task, "uuid": str(uuid.uuid4())}, timeout=5)
    )
    assert "One order made 2 fractals" in says(post_again(3, new_uuid=True))
    verdict = check.exercise_2_4(post_again(3), cloud=cloud)
    assert verdict.passed, verdict
    assert verdict.measured.startswith("2 requests")


def test_chapter_3_sees_workers_with_too_little_work_and_workers_that_all_drain(cloud: Cloud, app: Topology) -> None:
    app.deploy(api=1, worker=1)
    assert "1 of 6 workers" in hint(check.exercise_3_1, cloud=cloud)
    assert "No worker of 1 is drained" in hint(check.exercise_3_3, cloud=cloud)
    app.drain(["app-worker-1"])
    assert "Every worker is drained" in hint(check.exercise_3_3, cloud=cloud)
    app.ensure_workers(2)
    app.wait_serving()
    assert check.exercise_3_3(cloud=cloud).passed
    cloud.stop_server("app-worker-1")
    cloud.wait_for(["app-worker-1"], status="SHUTOFF")
    assert "No worker of 1 is drained" in hint(check.exercise_3_3, cloud=cloud)  # its server does not stay
    cloud.delete_servers(["app-worker-1"])
    app.refresh()
    app.scale(api=1, worker=6)
    assert "fewer than 3 fractals" in hint(check.exercise_3_1, cloud=cloud)

    new = itertools.islice(load.new_tasks(width=96, height=64), 1)
    sent = load.create(app.endpoints, list(new), progress=False)[0]
    silent = replace(sent, status=None, uuid=str(uuid.uuid4()))
    answered = [replace(silent, status=503), replace(silent, status=201)]
    for rows, words in (
        (..., "no rows of yours"),
        (3, "int is no list of requests"),
        ([replace(sent, uuid="")], "None of these 1 requests is an order"),
        ([sent], "no client saw an API die"),
        ([*answered], "no client saw an API die"),
        ([sent, silent], "1 of 1 orders that got no answer were not accepted"),
        ([silent, *answered], "1 of 1 accepted orders are not in the application's list"),
        ([replace(sent, status=None), sent], "1 of 2 API servers serve"),
    ):
        assert words in hint(check.exercise_3_2, rows, cloud=cloud)
    app.remove_old_app()


@pytest.mark.parametrize(
    ("drills", "words"),
    [
        ((...,), "no drill of yours"),
        ((24,), "int is no drill"),
        ((load.Drill(3, 3, (), ()),), "had 3 orders"),
        ((load.Drill(24, 22, (8, 9), ()),), "2 of 24 orders were lost"),
        ((load.Drill(24, 24, (), (8,)),), "1 of 24 orders were made twice"),
        ((load.Drill(24, 24, (), ()), load.Drill(24, 24, (), ())), "lost nothing either"),
    ],
)
def test_a_drill_that_shows_nothing_or_a_loss_gets_a_hint(cloud: Cloud, drills: tuple[Any, ...], words: str) -> None:
    assert words in hint(check.exercise_3_4, *drills, cloud=cloud)


def test_a_client_that_sends_again_passes_the_drill(cloud: Cloud) -> None:
    fine = load.Drill(24, 24, (), ())
    assert check.exercise_3_4(fine, cloud=cloud).passed
    assert "without sending again 5 were" in repr(
        check.exercise_3_4(cloud, fine, load.Drill(24, 19, tuple(range(5)), ()))
    )


def test_workers_that_are_busy_together_are_told_from_those_that_take_turns() -> None:
    workers = [f"app-worker-{number}" for number in range(1, 7)]
    together = [(name, turn + 0.0, turn + 1.0) for name in workers for turn in range(4)]
    assert busiest(together, workers) == (6.0, 6.0)
    in_turn = [(workers[number % 6], number + 0.0, number + 1.0) for number in range(24)]
    assert busiest(in_turn, workers) == (1.0, 1.0)
    assert busiest([*in_turn, *((name, start + 99, end + 99) for name, start, end in together)], workers) == (6.0, 6.0)
    assert busiest(together, [*workers, "app-worker-7"]) == (0.0, 0.0)


def scaled(seconds: int, wait: float, workers: int) -> autoscale.Run:
    """A run of so many seconds in which a task waited for so long in the middle, with always as many workers."""
    ages = {at: wait if at == seconds // 2 else 0.0 for at in range(seconds + 1)}
    known = {"waiting": 0, "wanted": workers, "requested": workers, "workers": workers}
    return autoscale.Run(
        [autoscale.Sample(at=at, oldest_waiting_seconds=age, **known) for at, age in ages.items()], 1, 6
    )


@pytest.mark.parametrize(
    ("run", "words"),
    [
        (..., "no run of yours"),
        (60, "int is no run"),
        (autoscale.Run((), 1, 6, "decide is not written yet"), "Nothing was run: decide is not written yet"),
        (scaled(8, 1, 3), "lasted 8 s"),
        (scaled(60, 28, 1), "waited for 28 s (workers at most: 1); the limit is 15 s"),
        (scaled(60, 5, 1), "One worker was enough for all of the run"),
        (scaled(60, 1, 6), "took 6.0 server-minutes; 4 all the time would have taken 4.0"),
    ],
)
def test_an_autoscaler_that_is_too_slow_or_too_dear_gets_a_hint(cloud: Cloud, run: object, words: str) -> None:
    assert words in hint(check.exercise_3_5, run, cloud=cloud)
    assert check.exercise_3_5(scaled(60, 5, 3), cloud=cloud).passed


def test_hints_come_in_steps_that_begin_again_where_the_state_is_another(cloud: Cloud) -> None:
    with own_home():
        said = [repr(check.exercise_0_3("m1.small", cloud=cloud)) for _ in range(4)]
        nudge, pointer, method, last = said
        assert "m1.small" in nudge
        assert "column" not in nudge
        assert "column" in pointer
        assert "max(" not in pointer
        assert "max(cloud.flavors()" in method == last
        assert "Did you mean" in repr(check.exercise_0_3("m1.larg", cloud=cloud))
        assert repr(check.exercise_0_3("m1.small", cloud=cloud)) == nudge


def test_what_is_solved_is_remembered_with_its_tries(cloud: Cloud) -> None:
    with own_home() as home:
        assert check.progress().solved == 0
        for answer in ("m1.tiny", "m1.small", "m1.large", "m1.tiny"):
            check.exercise_0_3(answer, cloud=cloud)
        check.exercise_0_1(cloud=cloud)
        shown = check.progress()
        assert shown.solved == 1
        assert re.search(r"✔ 0\.3 .* solved on \d+-\d+-\d+ at \d+:\d+ after 3 tries", repr(shown))
        assert re.search(r"○ 0\.1 .* not solved yet, 1 try\n", repr(shown))
        assert re.search(r"· 1\.1 .* not tried yet\n", repr(shown))
        assert '<a href="01_getting_started.ipynb">01 Getting started</a>' in shown._repr_html_()

        for broken in ("{", "[]", '{"0.3": 3}', '{"0.3": {"tries": "3"}}', '{"0.3": {"days": 3}}'):
            (home / "exercises.json").write_text(broken)
            assert "starts anew" in repr(check.progress())
            verdict = check.exercise_0_3("m1.large", cloud=cloud)
            assert verdict.passed
            assert "starts anew" in repr(verdict)
            assert "starts anew" not in repr(check.progress())
            assert check.progress().solved == 1


def test_a_verdict_comes_although_nothing_can_be_remembered(
    cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("FAAFO_LAB_HOME", str(tmp_path / "file"))
    verdict = check.exercise_0_3("m1.large", cloud=cloud)
    assert verdict.passed
    assert "not remembered" in repr(verdict)


def test_several_notebooks_that_try_at_once_lose_no_try() -> None:
    program = "from faafo_lab.check.memory import remember\nfor _ in range(25): remember('9.1', 'a state')"
    with own_home():
        running = [subprocess.Popen([sys.executable, "-c", program]) for _ in range(4)]
        assert [each.wait(LIMIT_SECONDS) for each in running] == [0] * 4
        assert recall() == ({"9.1": Record(tries=100, at="a state", times=100)}, "")


def test_tab_offers_the_checks_first_and_no_names_that_a_learner_does_not_call() -> None:
    offered = [name for name in dir(check) if not name.startswith("_")]
    assert offered[0] == "exercise_0_1"
    assert set(offered) == {name for name in check.__all__ if name.islower()}
    for name in offered:
        assert callable(getattr(check, name))


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
    assert judged(app_api_1=silence)[-1] == "shut"  # it has a floating IP
    here["you", "app-worker-1", 80] = "connection refused"  # so it can be reached from here
    assert judged() == ["shut", "nothing", "open", "nothing"]


def test_a_prediction_stands_beside_what_was_measured() -> None:
    assert repr(check.prediction(..., 3.14, "times")) == "times: measured 3.14, you made no prediction"
    assert "you predicted 2: 36 % too low" in repr(check.prediction(2, 3.14, "times", ""))
    assert "you predicted 60 s: 80 times as much" in repr(check.prediction(60, 0.75, "until ACTIVE", "s"))
    assert "right on" in repr(check.prediction(3.1, 3.14, "times", "s"))
    assert repr(check.prediction(0, 0.116, "wait", "s")) == "wait: measured 0.116 s, you predicted 0 s"
    assert "you predicted 100 %: 50 points too high" in repr(check.prediction(100, 50.0, "answered", "%"))
    assert "you predicted 0 %: right on" in repr(check.prediction(0, 0.0, "answered", "%"))
    several = check.prediction({1: 1.0, 3: ...}, {1: 1.0, 3: 2.5, 5: 3.0}, "workers")
    assert [guess for _, guess, _ in several.lines] == [1.0, None, None]
    assert several.made
    assert not check.prediction(None, {1: 2.0}, "").made
    assert "no prediction" in several._repr_html_()


@pytest.mark.parametrize(("yours", "measured"), [("2", 3.0), (True, 3.0), ({1: 2}, 3.0), (2.0, {1: 2.0})])
def test_a_prediction_that_is_no_number_gets_one_sentence(yours: Any, measured: Any) -> None:
    with pytest.raises(NotAPrediction, match="prediction") as raised:
        check.prediction(yours, measured, "times")
    assert raised.value._render_traceback_() == [f"NotAPrediction: {raised.value}"]  # a cell shows no more


@pytest.fixture(scope="module")
def balanced(app: Topology) -> Iterator[Topology]:
    """Two APIs behind a load balancer."""
    yield app.deploy(api=2, worker=1, balancer=True)
    app.remove_old_app()


@pytest.mark.parametrize("number", ["5_1", "5_2", "5_4"])
def test_an_application_without_a_load_balancer_gets_a_hint(cloud: Cloud, number: str) -> None:
    assert "no load balancer" in hint(getattr(check, f"exercise_{number}"), cloud=cloud)


def test_the_time_to_detect_follows_from_the_monitors_settings() -> None:
    assert detection(Monitor(delay_seconds=1, timeout_seconds=1, failures=2)) == (2, 3)
    assert detection(Monitor(delay_seconds=5, timeout_seconds=2, failures=3)) == (12, 17)
    assert detection(Monitor(delay_seconds=1, timeout_seconds=4, failures=2)) == (8, 12)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"delay_seconds": 1, "timeout_seconds": 1, "failures": 2}, "may be out after 2 s"),
        ({"delay_seconds": 2, "timeout_seconds": 2, "failures": 1}, "may be out after 2 s"),
        ({"delay_seconds": 3, "timeout_seconds": 2, "failures": 2}, "At 20 requests a second 80 fail"),
    ],
)
def test_a_monitor_that_is_too_quick_or_too_slow_gets_a_hint(
    balanced: Topology, settings: dict[str, int], words: str
) -> None:
    balancer.set_monitor(balanced.cloud, "app-balancer", **settings)
    assert words in hint(check.exercise_5_1, cloud=balanced.cloud)


def run_of(requests: int, failed: int) -> load.Rows:
    statuses = [None] * failed + [200] * (requests - failed)
    return load.Rows(load.Request(number / 20, 0.01, status, "app-api-1") for number, status in enumerate(statuses))


@pytest.mark.parametrize(
    ("runs", "words"),
    [
        (..., "no runs of yours"),
        ([run_of(50, 9)], "Give the check a dict"),
        ({"ROUND_ROBIN": 9}, "Give the check a dict"),
        ({"ROUND_ROBIN": (run_of(50, 9), 1.0, 3.5)}, "the check needs the rows alone"),
        ({"ROUND_ROBIN": run_of(50, 9)}, "no run with LEAST_CONNECTIONS"),
        ({"ROUND_ROBIN": run_of(50, 9), "LEAST_CONNECTIONS": run_of(9, 1)}, "LEAST_CONNECTIONS has 9 requests"),
        ({"ROUND_ROBIN": run_of(50, 0), "LEAST_CONNECTIONS": run_of(50, 1)}, "nothing hung"),
        ({"ROUND_ROBIN": run_of(50, 9), "LEAST_CONNECTIONS": run_of(50, 1)}, "your balancer uses ROUND_ROBIN"),
    ],
)
def test_an_algorithm_that_was_not_measured_or_not_chosen_gets_a_hint(
    balanced: Topology, runs: Any, words: str
) -> None:
    assert words in hint(check.exercise_5_2, runs, cloud=balanced.cloud)


def storm(tries: int, answer: load.Failure) -> float | None:
    return 0.05 if tries < 4 else None


def at_once(tries: int, answer: load.Failure) -> float | None:
    return 0.0 if tries < 3 and answer.retries <= 0.1 * answer.requests else None


def in_step(tries: int, answer: load.Failure) -> float | None:
    return 0.1 * tries if tries < 3 and answer.retries <= 0.1 * answer.requests else None


@pytest.mark.parametrize(
    ("retry", "words"),
    [
        (..., "no function of yours"),
        (3, "3 is not a function"),
        (lambda tries, answer: None, "5 of 100 requests failed"),
        (storm, "With every address dead there were 4.00 tries"),
        (at_once, "that is at once"),
        (in_step, "those that failed together come back together"),
    ],
)
def test_a_retry_that_gives_up_storms_or_comes_back_with_all_others_gets_a_hint(
    balanced: Topology, retry: Any, words: str
) -> None:
    assert words in hint(check.exercise_5_3, retry, cloud=balanced.cloud)


def test_a_restart_that_fails_does_nothing_or_is_not_rolling_gets_a_hint(balanced: Topology) -> None:
    def break_off() -> None:
        raise RuntimeError("not yet")

    def all_at_once() -> None:
        for server in balanced.apis:
            balanced.cloud.run(server, "sudo systemctl stop faafo-api")
        for server in balanced.apis:
            balanced.cloud.run(server, "sudo systemctl start faafo-api")
        balanced.wait_serving()

    def no_waits() -> None:  # one after the other, and the check waits until they serve again
        for server in balanced.apis:
            balanced.cloud.run(server, "sudo systemctl restart faafo-api")

    def new_servers() -> None:
        balanced.replace("app-api-1")

    for function, words in (
        (..., "no function of yours"),
        (break_off, "failed with RuntimeError: not yet"),
        (lambda: None, "app-api-1 and app-api-2 were not restarted"),
        (all_at_once, "requests failed meanwhile"),
        (no_waits, "requests failed meanwhile"),
        (new_servers, "app-api-1 is a new server"),
    ):
        assert words in hint(check.exercise_5_4, function, cloud=balanced.cloud)
