"""Faults are real, and every one is undone: by hand, by a block's end, by an error, and by the program's end."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from faafo_lab import chaos, load
from faafo_lab.chaos import Fault, NotPossible
from faafo_lab.cloud.base import Cloud
from faafo_lab.cloud.errors import CommandFailed, NotFound
from faafo_lab.topology import NoAnswer, Topology
from faafo_lab.workbook import own_home
from tests.waiting import wait_for


@pytest.fixture(autouse=True)
def whole(app: Topology) -> Iterator[None]:
    """After each test nothing is broken."""
    yield
    left = chaos.active()
    chaos.undo_all()
    assert left == []


def is_active(cloud: Cloud, server: str, service: str) -> str:
    return cloud.run(server, f"systemctl is-active {service}").stdout.strip()


def test_a_killed_service_is_back_by_itself_and_an_undo_does_no_harm(cloud: Cloud, app: Topology) -> None:
    def started() -> str:
        return next(node["started_at"] for node in app.nodes() if node["name"] == "app-worker-1")

    before = started()
    fault = chaos.kill(app, "app-worker-1", service="faafo-worker")
    assert fault.what == "faafo-worker on app-worker-1 was killed"
    wait_for("its next life", lambda: started() > before)
    fault.undo()
    fault.undo()
    assert is_active(cloud, "app-worker-1", "faafo-worker") == "active"
    assert repr(fault) == "<Fault: faafo-worker on app-worker-1 was killed (undone)>"


def test_a_service_that_was_stopped_is_started_again_after_an_error(cloud: Cloud, app: Topology) -> None:
    def fails() -> None:
        with chaos.stop(app, "app-services", service="faafo-messaging") as fault:
            assert fault.active
            assert is_active(cloud, "app-services", "faafo-messaging") == "inactive"
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails()
    assert is_active(cloud, "app-services", "faafo-messaging") == "active"
    app.wait_serving()


def test_a_frozen_service_keeps_its_connections_and_goes_on(cloud: Cloud, app: Topology) -> None:
    with chaos.freeze(app, "app-api-1", service="faafo-api"):
        quick = app.api.__class__(app.endpoints.values, app.secret, timeout_seconds=1.0)
        with pytest.raises(NoAnswer, match="timed out"):
            quick.stats()
    assert quick.stats()["failed"] == 0


@pytest.mark.parametrize(
    ("verb", "status", "words"),
    [
        (chaos.kill, "ACTIVE", "app-worker-2 lost its power"),
        (chaos.stop, "SHUTOFF", "app-worker-2 is shut down"),
        (chaos.freeze, "PAUSED", "app-worker-2 is frozen"),
    ],
)
def test_a_server_is_back_when_its_fault_is_undone(
    cloud: Cloud, app: Topology, verb: Callable[[Topology, str], Fault], status: str, words: str
) -> None:
    with verb(app, "app-worker-2") as fault:
        wait_for(status, lambda: cloud.server("app-worker-2").status == status)
        assert fault.what == words
    assert cloud.server("app-worker-2").status == "ACTIVE"
    app.wait_serving()


def test_a_server_that_was_deleted_is_built_again(cloud: Cloud, app: Topology) -> None:
    before = cloud.server("app-worker-1")
    with chaos.delete(app, "app-worker-1"):
        assert [server.name for server in app.refresh().workers] == ["app-worker-2"]
    assert [server.name for server in app.workers] == ["app-worker-1", "app-worker-2"]
    assert cloud.server("app-worker-1").id != before.id
    assert "working" in app.stats()


def test_a_server_that_somebody_has_replaced_is_not_built_again(cloud: Cloud, app: Topology) -> None:
    deleted = chaos.delete(app, "app-worker-2")
    app.refresh().scale(worker=3)
    cloud.delete_servers(["app-worker-2"])
    deleted.undo()
    assert [server.name for server in app.refresh().workers] == ["app-worker-1", "app-worker-3"]
    cloud.delete_servers(["app-worker-3"])
    app.refresh().scale(worker=2)


def test_what_is_broken_on_a_server_ends_with_the_server(cloud: Cloud, app: Topology) -> None:
    stopped = chaos.stop(app, "app-worker-2", service="faafo-worker")
    deleted = chaos.delete(app, "app-worker-2")
    stopped.undo()
    assert not stopped.active
    deleted.undo()
    assert "app-worker-2" in app.servers


def test_a_lost_rule_keeps_new_connections_out(cloud: Cloud, app: Topology) -> None:
    def rules() -> set[tuple[int | None, str | None]]:
        return {(rule.port_min, rule.remote_group) for rule in cloud.security_group("services").rules}

    before = rules()
    api = next(iter(app.endpoints.values()))
    with chaos.close_gate(app, "services", port=5432) as fault:
        assert fault.what == "port 5432 of security group services is closed"
        assert {port for port, _ in rules()} == {22, 6379}
        cloud.run("app-api-1", "sudo systemctl restart faafo-api", check=True)
        assert not app.api.healthy(), api
        with pytest.raises(chaos.ChaosError, match="lets nobody in to port 5432"):
            chaos.close_gate(app, "services", port=5432)
    assert rules() == before
    app.wait_serving()


def test_a_fault_that_is_not_possible_says_so_and_leaves_nothing(cloud: Cloud, app: Topology) -> None:
    with pytest.raises(NotFound, match=r"'app-worker-9'.*There are: app-"):
        chaos.kill(app, "app-worker-9")
    with pytest.raises(NotFound, match="no service 'faafo'"):
        chaos.kill(app, "app-worker-1", service="faafo")
    with pytest.raises(CommandFailed, match="not found"):
        chaos.kill(app, "app-worker-1", service="faafo-database")
    assert chaos.active() == []


def test_a_full_disk_takes_no_orders_and_has_room_again(cloud: Cloud, app: Topology) -> None:
    writes = "echo word > file && cat file"
    with chaos.fill_disk(app, "app-services") as fault:
        assert fault.what == "the disk of app-services is full"
        assert cloud.run("app-services", writes).exit_code != 0
        assert not load.create(app.endpoints, load.same_tasks(1, width=64, height=48), progress=False)[0].ok
    assert cloud.run("app-services", writes).stdout == "word\n"
    chaos.repair(app)
    tasks = load.same_tasks(2, width=64, height=48)
    wait_for("an order", lambda: load.create(app.endpoints, tasks, progress=False)[1].ok)
    with pytest.raises(chaos.ChaosError, match="0 or more, not -1"):
        chaos.fill_disk(app, "app-services", leave_bytes=-1)


def test_an_interrupt_half_way_undoes_what_was_done(app: Topology) -> None:
    done: list[str] = []

    def interrupted() -> None:
        done.append("broken")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        chaos.fault.inject(app, "half broken", interrupted, lambda: done.append("repaired"))
    assert done == ["broken", "repaired"]


def test_faults_end_with_the_program_that_injected_them_though_it_was_killed(cloud: Cloud, app: Topology) -> None:
    program = """
import os

import faafo_lab
from faafo_lab import chaos, load
from faafo_lab.topology import discover

app = discover(faafo_lab.connect(), say=lambda line: None)
chaos.stop(app, "app-services", service="faafo-messaging")
chaos.freeze(app, "app-worker-1", service="faafo-worker")
chaos.freeze(app, "app-worker-2")
chaos.close_gate(app, "services", 6379)
chaos.timeout(app, chaos.ANYWHERE, chaos.ANYWHERE)
print(app.cloud.server("app-worker-2").status, len(chaos.active()))
os.kill(os.getpid(), 9)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout == "PAUSED 5\n", done.stderr
    wait_for("the last repair", lambda: cloud.server("app-worker-2").status == "ACTIVE")
    wait_for("the rules", lambda: len([r for r in cloud.security_group("services").rules if r.opens(6379)]) == 2)
    assert is_active(cloud, "app-services", "faafo-messaging") == "active"
    app.wait_serving()


def test_the_guard_of_faults_ends_with_the_last_fault_and_is_no_business_of_an_interrupt(app: Topology) -> None:
    with chaos.freeze(app, "app-worker-1"):
        guard = chaos.fault._guard
        assert guard is not None
        assert os.getpgid(guard.pid) != os.getpgid(0)
        with chaos.freeze(app, "app-worker-2"):
            assert chaos.fault._guard is guard
        guard.send_signal(signal.SIGKILL)  # without it faults are undone all the same
    assert guard.poll() is not None
    assert chaos.fault._guard is None


def test_a_cloud_that_does_not_run_is_not_started_for_a_repair() -> None:
    with own_home(FAAFO_LAB_CLOUD="embedded") as home:
        chaos.repairing.repair_cloud("embedded", "shade")
        assert not (home / "embedded").exists()


def seconds(app: Topology) -> float:
    """How long an API takes for an answer."""
    begun = time.monotonic()
    app.stats()
    return time.monotonic() - begun


def test_a_slow_link_slows_who_uses_it_until_it_is_undone(cloud: Cloud, app: Topology) -> None:
    with chaos.latency(app, "app-api-1", "app-services", milliseconds=300, jitter=50, port=5432) as fault:
        assert fault.what == "a latency of 300 ms ± 50 ms from app-api-1 to app-services, port 5432"
        assert seconds(app) > 0.25  # it asks the database, on a connection that was open already
    wait_for("quick answers", lambda: seconds(app) < 0.25)
    with chaos.latency(app, chaos.ANYWHERE, "app-api-1", milliseconds=300):
        assert seconds(app) > 0.3
        assert cloud.run("app-api-1", "echo hello").stdout == "hello\n"


def test_a_partition_from_everywhere_ends(app: Topology) -> None:
    quick = app.api.__class__(app.endpoints.values, app.secret, timeout_seconds=1.0)
    with chaos.timeout(app, chaos.ANYWHERE, chaos.ANYWHERE), pytest.raises(NoAnswer):
        quick.stats()
    app.wait_serving()


@pytest.mark.parametrize(
    "broken",
    [
        lambda app: chaos.reset_peer(app, chaos.ANYWHERE, "app-api-1", port=80),
        lambda app: chaos.limit_data(app, chaos.ANYWHERE, "app-api-1", kilobytes=0),
    ],
)
def test_a_cut_connection_gives_no_answer(app: Topology, broken: Callable[[Topology], Fault]) -> None:
    with broken(app), pytest.raises(NoAnswer):
        app.stats()
    app.stats()


def test_a_network_fault_that_is_not_possible_says_why(app: Topology) -> None:
    with pytest.raises(NotPossible, match="no packet can be lost"):
        chaos.loss(app, chaos.ANYWHERE, "app-api-1", percent=10)
    with pytest.raises(NotFound, match="'app-api-7'"):
        chaos.latency(app, chaos.ANYWHERE, "app-api-7", milliseconds=1)
    with pytest.raises(chaos.ChaosError, match="must be a number from 0, not -1"):
        chaos.slow_close(app, chaos.ANYWHERE, "app-api-1", milliseconds=-1)
    with pytest.raises(chaos.ChaosError, match="port: 0"):
        chaos.bandwidth(app, chaos.ANYWHERE, "app-api-1", kilobytes_per_second=1, port=0)
