"""A load balancer in front of the APIs, on the embedded cloud, through every backend."""

import os
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

import faafo_lab
from faafo_lab import balancer, load
from faafo_lab.cloud.base import Cloud
from faafo_lab.cloud.emulator import control
from faafo_lab.cloud.errors import AlreadyExists, BadRequest, CloudError, NotFound
from faafo_lab.paths import embedded_state_dir
from faafo_lab.topology import Topology, TopologyError, discover
from faafo_lab.workbook import own_home
from tests.app.deployment import lasting
from tests.waiting import LIMIT_SECONDS, wait_for

PAGE = "/v1/fractal?page=1"


@pytest.fixture(scope="module")
def cloud(backend_home: tuple[str, Path]) -> Cloud:
    return faafo_lab.connect()


@pytest.fixture(scope="module")
def app(cloud: Cloud) -> Iterator[Topology]:
    """Two APIs behind a balancer, and a worker."""
    app = Topology(cloud, say=lambda line: None)
    yield app.deploy(api=2, worker=1, balancer=True)
    app.destroy()
    assert balancer.find(cloud) is None
    assert cloud.floating_ips() == []
    assert cloud.receipt().nothing_left


class Clients:
    """Clients that ask one after the other, each request over a connection of its own; how each request ended."""

    def __init__(self, url: str, number: int = 3) -> None:
        self.ended: Counter[str] = Counter()
        self._url, self._stop = url + PAGE, threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(number)]

    def __enter__(self) -> "Clients":
        for thread in self._threads:
            thread.start()
        self.more()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    @property
    def failed(self) -> int:
        return sum(number for end, number in self.ended.items() if end != "200")

    def more(self, number: int = 30) -> None:
        """Wait until so many more requests have ended."""
        before = self.ended.total()
        wait_for("requests", lambda: self.ended.total() >= before + number)

    def _ask(self) -> None:
        while not self._stop.is_set():
            try:
                end = str(requests.get(self._url, timeout=LIMIT_SECONDS).status_code)
            except requests.RequestException as error:
                end = type(error).__name__
            self.ended[end] += 1


def members(app: Topology) -> dict[str, str]:
    there = app.balancer
    assert there is not None
    return {member.name: member.status for member in there.members}


def test_both_apis_answer_at_one_address_and_workers_hand_in_through_it_alone(app: Topology, cloud: Cloud) -> None:
    assert members(app) == {"app-api-1": "ONLINE", "app-api-2": "ONLINE"}
    assert app.endpoint == app.balanced["app-balancer"]
    assert set(app.endpoints) == {"app-api-1", "app-api-2"}
    answers = [requests.get(app.endpoint + PAGE, timeout=30) for _ in range(8)]
    assert {answer.headers["X-Served-By"] for answer in answers} == {"app-api-1", "app-api-2"}
    done, tasks = app.stats()["done"], [lasting(0.1) for _ in range(4)]
    assert {row.status for row in load.create(app.balanced, tasks, progress=False)} == {201}
    load.watch(app, done=done + len(tasks))
    there = app.balancer
    assert there is not None
    assert f"-e http://{there.address}" in app.user_data("worker")
    notes = cloud.run("app-worker-1", "ls $INSTANCE_ROOT/var/lib/faafo/endpoints").exit_code
    assert notes != 0, "it learned the addresses of APIs"


def test_a_new_session_finds_it_and_a_second_deploy_changes_nothing(app: Topology, cloud: Cloud) -> None:
    before = {server.name: server.id for server in cloud.servers()}
    found = discover(faafo_lab.connect(), say=lambda line: None)

    def lookups() -> int:
        urls = (call.url.partition("?")[0] for call in found.cloud.tape(last=10_000).calls)
        return sum(url.endswith("/lbaas/loadbalancers") for url in urls)

    assert lookups() == 0, "nobody has asked for it"
    assert found.balanced == app.balanced
    assert (found.endpoint, lookups()) == (app.endpoint, 1)
    found.deploy(api=2, worker=1)
    assert lookups() == 3, "at the beginning, and whether its members are healthy"
    assert {server.name: server.id for server in cloud.servers()} == before
    assert balancer.find(cloud) == app.balancer
    assert cloud.receipt().left["load balancers"] == ("app-balancer",)


def test_scaling_and_replacing_under_load_lose_no_request(app: Topology) -> None:
    with Clients(app.endpoint) as clients:
        assert app.add("api") == "app-api-3"
        assert members(app) == dict.fromkeys(("app-api-1", "app-api-2", "app-api-3"), "ONLINE")
        clients.more()
        app.scale(api=2)
        assert set(members(app)) == {"app-api-1", "app-api-2"}
        clients.more()
        old = app.servers["app-api-1"]
        assert app.replace("app-api-1").id != old.id
        clients.more()
    assert clients.failed == 0, clients.ended
    assert members(app) == {"app-api-1": "ONLINE", "app-api-2": "ONLINE"}


def test_an_api_that_dies_costs_at_most_the_requests_that_it_had_and_is_repaired(app: Topology, cloud: Cloud) -> None:
    with Clients(app.endpoint) as clients:
        cloud.delete_servers(["app-api-1"])
        wait_for("a dead member", lambda: members(app)["app-api-1"] == "ERROR")
        clients.more()
    assert clients.failed <= 3, clients.ended
    app.deploy(api=2, worker=1)
    assert members(app) == {"app-api-1": "ONLINE", "app-api-2": "ONLINE"}


def test_an_application_may_lose_its_balancer_and_get_another_one(app: Topology, cloud: Cloud) -> None:
    app.deploy(api=2, worker=1, balancer=False)
    assert app.balancer is None
    assert app.endpoint == app.endpoints["app-api-1"]
    with pytest.raises(TopologyError, match="no load balancer with a floating IP"):
        _ = app.balanced
    app.deploy(api=2, worker=1, balancer=True)
    assert members(app) == {"app-api-1": "ONLINE", "app-api-2": "ONLINE"}


def test_how_it_balances_is_changed_and_bad_values_get_one_sentence(app: Topology, cloud: Cloud) -> None:
    there = balancer.find(cloud)
    assert there is not None
    assert balancer.set_algorithm(cloud, there, "LEAST_CONNECTIONS").algorithm == "LEAST_CONNECTIONS"
    assert balancer.set_weight(cloud, there, "app-api-2", 2).member("app-api-2").weight == 2
    monitor = balancer.set_monitor(cloud, there, delay_seconds=1, timeout_seconds=1, failures=4).monitor
    assert monitor == balancer.Monitor(delay_seconds=1, timeout_seconds=1, failures=4)
    assert balancer.statistics(cloud, there).total_connections >= 0
    with pytest.raises(NotFound, match=r"no algorithm 'RANDOM'"):
        balancer.set_algorithm(cloud, there, "RANDOM")
    with pytest.raises(BadRequest, match="weight must be from 0 to 256, not 257"):
        balancer.set_weight(cloud, there, "app-api-1", 257)
    with pytest.raises(NotFound, match=r"no member 'app-api-9'\. Did you mean"):
        balancer.remove_member(cloud, there, "app-api-9")
    with pytest.raises(BadRequest, match="failures must be from 1 to 10, not 0"):
        balancer.set_monitor(cloud, there, failures=0)
    with pytest.raises(AlreadyExists, match="'app-balancer' already"):
        balancer.create(cloud)


def test_a_cloud_that_is_killed_in_the_middle_of_a_deploy_costs_another_run_and_nothing_else() -> None:
    moments = ("load balancer app-balancer: created", "member app-api-1 of app-balancer: added")
    with own_home(FAAFO_LAB_CLOUD="embedded"):
        for moment in moments:
            said: list[str] = []

            def say(line: str, moment: str = moment, said: list[str] = said) -> None:
                said.append(line)
                if line == moment:
                    running = control.status(embedded_state_dir())
                    assert running is not None
                    os.kill(running.pid, signal.SIGKILL)

            with pytest.raises(CloudError):
                Topology(faafo_lab.connect(), say=say).deploy(api=1, worker=0, balancer=True)
            assert moment in said, said
        cloud = faafo_lab.connect()
        app = Topology(cloud, say=lambda line: None).deploy(api=1, worker=0, balancer=True)
        assert members(app) == {"app-api-1": "ONLINE"}
        assert requests.get(app.endpoint + PAGE, timeout=LIMIT_SECONDS).headers["X-Served-By"] == "app-api-1"
        assert sorted(server.name for server in cloud.servers()) == ["app-api-1", "app-services"]
        assert len(cloud.floating_ips()) == 2
        app.destroy()
        assert cloud.receipt().nothing_left
