"""Changes of the application: one at a time, undone where they fail, and never another outcome than was asked for."""

import fcntl
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

import faafo_lab
from faafo_lab import cli
from faafo_lab.cloud import keys
from faafo_lab.cloud.base import Cloud
from faafo_lab.cloud.emulator import control
from faafo_lab.cloud.errors import CloudError, NotFound, NotReady, ServerFailed
from faafo_lab.cloud.marks import file_of
from faafo_lab.paths import embedded_state_dir
from faafo_lab.topology import Busy, Layout, TakenOver, Topology, TopologyError, discover
from faafo_lab.topology.application import fingerprint
from faafo_lab.topology.lock import alone
from faafo_lab.workbook import own_home
from tests.waiting import wait_for

# Just enough for one API and three workers: of ports (which preflight does not ask for) one of the network's own and
# five servers'; of groups and rules, default's and those of services, api and worker, with two that each has by itself.
QUOTAS = {
    "port": 6,
    "security_group": 1 + 3,
    "security_group_rule": 4 + (2 + 4) + (2 + 2) + (2 + 1),
    "key_pairs": 1,
    "floatingip": 2,
}
LAG_SECONDS = 3600.0  # in these tests Nova never lists a floating IP: on a real cloud it takes seconds
NOTHING: tuple[Any, ...] = ([], [], [], [])


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    with own_home(FAAFO_LAB_CLOUD="embedded"):
        control.start(embedded_state_dir(), quotas=QUOTAS, address_lag_seconds=LAG_SECONDS)
        yield faafo_lab.connect()


@pytest.fixture
def app(cloud: Cloud) -> Iterator[Topology]:
    """An API and a worker, serving."""
    app = Topology(cloud, say=lambda line: None).deploy(api=1, worker=1)
    yield app
    app.destroy()
    assert all_there(cloud) == NOTHING


def all_there(cloud: Cloud) -> tuple[Any, ...]:
    """Everything that a deployment makes, as it is on the cloud and in the lab's home."""
    return (
        sorted((server.name, server.id) for server in cloud.servers()),
        sorted(
            (group.name, tuple(sorted(rule.id for rule in group.rules)))
            for group in cloud.security_groups()
            if group.name != "default"
        ),
        sorted((ip.address, ip.server_id or "") for ip in cloud.floating_ips()),
        [pair.name for pair in cloud.key_pairs()],
    )


def scale_out(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "faafo_lab.cli", "scale-out", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def twin(app: Topology, name: str) -> None:
    """A second server of this name, as somebody else's deployment makes it."""
    there = app.cloud.server(name)
    made = app.cloud.create_server(
        name,
        image=app.image,
        flavor=app.flavor,
        security_groups=there.security_groups,
        metadata=there.metadata,
    )
    app.cloud.wait_for(made)


def test_what_can_not_be_is_refused_before_the_cloud_is_started(capsys: pytest.CaptureFixture[str]) -> None:
    with own_home(FAAFO_LAB_CLOUD="embedded"):
        assert cli.main(["scale-out", "--api", "0"]) == 1
        assert control.status(embedded_state_dir()) is None
    assert "at least 1 API server and 0 workers, not 0 and 3" in capsys.readouterr().err


def test_what_can_not_be_built_or_awaited_is_told_at_once(cloud: Cloud) -> None:
    said: list[str] = []
    app = Topology(cloud, say=said.append)
    with pytest.raises(TopologyError, match="There is no API server"):
        app.wait_serving()
    with pytest.raises(NotFound, match="no server app-services with an address: build it first"):
        app.ensure_apis(1)
    assert said == ["undone after the failure: key pair"]
    assert all_there(cloud) == NOTHING


def test_a_plan_is_shown_and_nothing_is_done(cloud: Cloud, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["scale-out", "--api", "1", "--worker", "2", "--plan"]) == 0
    assert capsys.readouterr().out == "create   app-api-1, app-services, app-worker-1, app-worker-2\n"
    assert all_there(cloud) == NOTHING


def test_a_deployment_whose_user_data_fails_leaves_nothing(cloud: Cloud) -> None:
    said: list[str] = []
    with pytest.raises(TopologyError, match=r"The user data of app-.* failed: check that image 'plain-linux' suits"):
        Topology(cloud, image="plain-linux", say=said.append).deploy(api=1, worker=1)
    assert "server app-worker-1: created" in said, "it failed late"
    assert "floating IP of app-api-1: attached" in said
    assert re.fullmatch(
        "undone after the failure: servers of role worker, .*key pair, .*security group worker.*", said[-1]
    )
    assert all_there(cloud) == NOTHING


def test_a_change_that_fails_late_leaves_what_was_there_and_nothing_else(app: Topology, cloud: Cloud) -> None:
    cloud.delete_rule(cloud.security_group("api").rules[0])
    before, said = all_there(cloud), list[str]()
    with pytest.raises(ServerFailed, match="Quota exceeded"):
        Topology(cloud, say=said.append).deploy(api=2, worker=4)
    assert "floating IP of app-api-2: attached" in said, "it failed late"
    assert all_there(cloud) == before
    app.refresh().wait_serving()


def test_what_is_there_already_needs_no_room(app: Topology, cloud: Cloud) -> None:
    before = all_there(cloud)
    app.deploy(api=1, worker=1)
    assert all_there(cloud) == before
    app.scale(worker=2)
    app.check_instead(Layout.scaled_out(api=2, worker=16))
    with pytest.raises(NotReady, match="17 more servers are wanted, and the quota of 20 has 16 left") as caught:
        app.check_instead(Layout.scaled_out(api=2, worker=18))
    assert len(caught.value.missing) == 1


def test_all_that_is_missing_is_counted_before_anything_is_built(cloud: Cloud) -> None:
    cloud.create_security_group("other", "faafo-lab: an exercise")
    cloud.create_key_pair("other", keys.public_key())
    before = all_there(cloud)
    with pytest.raises(NotReady) as caught:
        Topology(cloud).deploy(api=3, worker=1)
    assert [sentence.partition(" left:")[0] for sentence in caught.value.missing] == [
        "3 more floating IPs are wanted, and the quota of 2 has 2",
        "3 more security groups are wanted, and the quota of 4 has 2",
        "13 more security group rules are wanted, and the quota of 17 has 11",
        "1 more key pair is wanted, and the quota of 1 has 0",
    ]
    assert all_there(cloud) == before
    cloud.delete_key_pair("other")
    Topology(cloud, say=lambda line: None).destroy()


def test_a_floating_address_that_nova_does_not_list_yet_is_used_and_never_given_twice(cloud: Cloud) -> None:
    app = Topology(cloud, say=lambda line: None).deploy_all_in_one()
    assert cloud.server("app-all-in-one").floating_addresses == ()
    [address] = [ip.address for ip in cloud.floating_ips()]
    found = discover(cloud, say=lambda line: None)
    assert address in found.endpoint
    found.wait_serving()
    app.deploy_all_in_one()
    assert [ip.address for ip in cloud.floating_ips()] == [address]
    app.destroy()


def test_a_server_whose_floating_address_comes_late_is_waited_for(app: Topology, cloud: Cloud) -> None:
    [ip] = cloud.floating_ips()
    cloud.detach_floating_ip(ip)
    with pytest.raises(TopologyError, match="Last seen: app-api-1"):
        app.wait_serving(timeout_seconds=1)
    other = Topology(cloud.again(), say=lambda line: None)

    def listings() -> int:
        return sum("/floatingips" in call.url for call in other.cloud.tape(last=100).calls)

    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(other.wait_serving)
        wait_for("it to look for the address again", lambda: listings() > 1)
        cloud.attach_floating_ip("app-api-1", ip)
        waiting.result()
    assert ip.address in other.endpoint


def test_a_servers_digest_has_the_key_that_the_cloud_has(app: Topology, cloud: Cloud) -> None:
    assert fingerprint(keys.public_key()) == cloud.key_pair(keys.KEY_PAIR_NAME).fingerprint


def test_of_two_scale_outs_at_once_each_gets_what_it_asked_for(cloud: Cloud) -> None:
    wanted = ("1", "3")
    commands = [scale_out("--api", "1", "--worker", workers) for workers in wanted]
    outputs = [command.communicate() for command in commands]
    assert [command.returncode for command in commands] == [0, 0], outputs
    assert ["3 servers serve" in outputs[0][0], "5 servers serve" in outputs[1][0]] == [True, True]
    app = discover(cloud, say=lambda line: None)
    assert not app.doubles
    assert str(len(app.workers)) in wanted
    app.destroy()


def test_a_cloud_of_any_name_has_a_lock(cloud: Cloud) -> None:
    with alone(type(cloud)(replace(cloud.config, name="team/my cloud")), "deploy the application"):
        assert any("team" in path.name for path in file_of(cloud.name, "changing").parent.glob("changing.*"))


def test_who_changes_the_application_is_named_to_who_wants_to(cloud: Cloud) -> None:
    with alone(cloud, "deploy the application"):
        with alone(cloud, "add workers"):
            pass  # the same thread may, in several steps
        busy: list[BaseException] = []

        def want() -> None:
            try:
                with alone(cloud, "scale the application", timeout_seconds=0.2):
                    pass
            except Busy as error:
                busy.append(error)

        thread = threading.Thread(target=want)
        thread.start()
        thread.join()
    [error] = busy
    assert "Can't scale the application: process " in str(error)
    assert "(to deploy the application, since " in str(error)
    assert len(str(error).splitlines()) == 1
    with alone(cloud, "scale the application", timeout_seconds=0.2):
        pass


def test_a_lock_goes_with_its_process(cloud: Cloud) -> None:
    script = (
        "import faafo_lab, sys; from faafo_lab.topology.lock import alone\n"
        "with alone(faafo_lab.connect(), 'wait'): print('locked', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout
        assert child.stdout.readline() == b"locked\n"
        [path] = file_of(cloud.name, "changing").parent.glob(f"changing.{cloud.name}")
        with path.open() as file, pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        child.kill()
    with alone(cloud, "go on", timeout_seconds=30):
        pass


def test_a_chapter_that_starts_takes_over_openly_and_the_others_notebook_says_so(cloud: Cloud) -> None:
    said: list[str] = []
    first = Topology(cloud, say=said.append, chapter="01")
    first.start_chapter()
    first.deploy_all_in_one()
    assert not any("found" in line for line in said)
    second = Topology(faafo_lab.connect(), say=said.append, chapter="02")
    with pytest.raises(TakenOver, match="Chapter 01 took over the application at "):
        second.refresh()
    second.start_chapter()
    [found] = [line for line in said if "found" in line]
    assert re.fullmatch(
        r"found 1 server, created by chapter 01, there since \d\d:\d\d: chapter 02 takes over and removes it", found
    )
    assert all_there(cloud)[0] == []
    second.deploy_all_in_one()
    mine = all_there(cloud)
    told = r"Chapter 02 took over .* to go on with chapter 01, run its cells again from `app\.start_chapter\(\)`\.$"
    for use in (first.stats, first.refresh, first.deploy_all_in_one, first.destroy, lambda: first.endpoints):
        with pytest.raises(TakenOver, match=told) as caught:
            use()
        assert len(str(caught.value).splitlines()) == 1
    assert all_there(cloud) == mine, "nothing of the second one was touched"

    again = discover(faafo_lab.connect(), say=said.append, chapter="02")  # its kernel was restarted
    again.wait_serving()
    assert again.stats()["failed"] == 0
    again.destroy()
    assert all_there(cloud) == NOTHING


def test_a_chapter_that_starts_removes_what_was_made_by_hand_too(app: Topology, cloud: Cloud) -> None:
    said: list[str] = []
    Topology(cloud, say=said.append, chapter="03").start_chapter()
    assert said[0].startswith("found 3 servers, created outside the chapters, there since ")
    assert app.refresh().servers == {}, "who is no chapter is not told"
    with pytest.raises(TopologyError, match=r'Name it: Topology\(cloud, chapter="02"\)'):
        app.start_chapter()


def test_two_servers_of_one_name_are_seen_and_the_next_deployment_leaves_one(app: Topology, cloud: Cloud) -> None:
    twin(app, "app-worker-1")
    assert app.refresh().doubles == ["app-worker-1"]
    assert [server.name for server in app.workers] == ["app-worker-1", "app-worker-1"]
    assert "remove   app-worker-1 (one of two with this name)" in str(app.plan(Layout.scaled_out(1, 1)))
    app.deploy(api=1, worker=1)
    assert app.doubles == []
    assert sorted(server.name for server in cloud.servers()) == ["app-api-1", "app-services", "app-worker-1"]


def test_clean_up_releases_a_floating_address_that_was_made_by_hand(app: Topology, cloud: Cloud) -> None:
    cloud.create_floating_ip()
    assert cli.main(["clean-up"]) == 0
    assert all_there(cloud) == NOTHING


def test_clean_up_removes_both_of_two_servers_with_one_name(app: Topology, cloud: Cloud) -> None:
    twin(app, "app-services")
    assert cli.main(["clean-up"]) == 0
    assert all_there(cloud) == NOTHING


def test_a_deployment_into_which_somebody_interferes_says_so(cloud: Cloud) -> None:
    def say(line: str) -> None:
        if line == "server app-worker-1: created":
            twin(app, "app-services")

    app = Topology(cloud, say=say)
    with pytest.raises(TopologyError, match="not as wanted: app-services extra"):
        app.deploy(api=1, worker=1)
    assert [server.name for server in cloud.servers()] == ["app-services"], "what it made is gone, the other stays"
    Topology(cloud, say=lambda line: None).destroy()


def test_another_thread_may_go_through_the_servers_while_they_change(app: Topology) -> None:
    seen = iter(app.servers.items())
    first = next(seen)
    with pytest.raises(CloudError):
        app.scale(worker=4)  # more than the quota of ports allows
    app.remove(app.workers)
    app.ensure_workers(1)
    assert len([first, *seen]) == 3


def test_a_server_added_by_hand_takes_the_first_number_that_is_free(app: Topology) -> None:
    app.remove(app.workers)
    assert app.add("worker") == "app-worker-1"
    wait_for("it to be listed", lambda: app.servers["app-worker-1"].name in {node["name"] for node in app.nodes()})
    app.remove_old_app()
    with pytest.raises(TopologyError, match="There is no server app-services"):
        app.add("api")
