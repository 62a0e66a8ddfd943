"""The application on the embedded cloud, through every backend: built, found, scaled, mended, removed."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

import faafo_lab
from faafo_lab import load
from faafo_lab.cloud.base import Cloud
from faafo_lab.cloud.errors import BadRequest, NotFound, NotReady
from faafo_lab.topology import Api, Layout, NoAnswer, Topology, TopologyError, discover
from tests.app.deployment import lasting

CONNECT = """python3 - <<'P'
import socket
try:
    socket.create_connection(("{host}", {port}), timeout=2).recv(1)
except TimeoutError:
    print("open")
except OSError as error:
    print("closed", error)
else:
    print("closed by the other side")
P"""


@pytest.fixture(scope="module")
def cloud(backend_home: tuple[str, Path]) -> Cloud:
    return faafo_lab.connect()


@pytest.fixture(scope="module")
def app(cloud: Cloud) -> Iterator[Topology]:
    """Two APIs and two workers, serving."""
    said: list[str] = []
    app = Topology(cloud, say=said.append)
    yield app.deploy(api=2, worker=2)
    app.destroy()
    assert discover(cloud).servers == {}
    assert [group.name for group in cloud.security_groups()] == ["default"]
    assert cloud.floating_ips() == []
    assert cloud.key_pairs() == []


def test_a_wrong_flavor_and_image_are_named_before_anything_is_built(cloud: Cloud) -> None:
    with pytest.raises(NotReady) as caught:
        Topology(cloud, flavor="m1.gigantic", image="faafo").deploy(api=2, worker=3)
    assert "m1.gigantic" in str(caught.value)
    assert "'faafo'" in str(caught.value)
    assert cloud.servers() == []
    assert [group.name for group in cloud.security_groups()] == ["default"]


def test_more_servers_than_the_quota_allows_are_refused_before_anything_is_built(cloud: Cloud) -> None:
    with pytest.raises(NotReady, match="servers are wanted"):
        Topology(cloud).deploy(api=2, worker=300)
    assert cloud.servers() == []


def test_everything_ordered_is_made_by_all_workers_and_shown_by_both_apis(app: Topology) -> None:
    tasks = [lasting(0.1) for _ in range(12)]
    rows = load.create(app.endpoints, tasks, progress=False)
    assert {row.status for row in rows} == {201}
    assert {row.api for row in rows} == {"app-api-1", "app-api-2"}
    load.watch(app, done=len(tasks))
    done = load.completions(app.endpoint)
    assert {item.uuid for item in done} >= {task["uuid"] for task in tasks}
    assert {item.worker for item in done} == {"app-worker-1", "app-worker-2"}
    images = {requests.get(f"{url}/fractal/{tasks[0]['uuid']}", timeout=30).content for url in app.endpoints.values()}
    assert len(images) == 1
    assert images.pop().startswith(b"\x89PNG")


def test_deploying_again_changes_nothing_and_says_so(app: Topology, cloud: Cloud) -> None:
    before = {server.name: server.id for server in cloud.servers()}
    said: list[str] = []
    again = Topology(cloud, say=said.append).deploy(api=2, worker=2)
    assert {server.name: server.id for server in cloud.servers()} == before
    assert again.built == 0
    assert all("unchanged" in line or line.startswith("serving") for line in said)
    assert sum("unchanged" in line for line in said) == 3 + 5


def listings(cloud: Cloud, after: int) -> list[bool]:
    """The calls since this one: whether each lists the servers, up to the first that makes one."""
    calls = [call for call in cloud.tape(last=1000).calls if call.number > after]
    made = [call.method == "POST" and call.url.endswith("/servers") for call in calls]
    return ["/servers/detail" in call.url for call in calls[: made.index(True) if True in made else None]]


def test_one_listing_is_enough_to_make_the_security_groups(app: Topology, cloud: Cloud) -> None:
    def asked() -> list[str]:
        calls = [call for call in cloud.tape(last=1000).calls if call.number > before]
        return [call.method for call in calls if "/security-group" in call.url]

    before = cloud.tape(last=1).calls[-1].number
    app.make_groups("services", "api", "worker")
    assert asked() == ["GET"], "nothing had to be done"
    rule = cloud.security_group("worker").rules[0]
    cloud.delete_rule(rule)
    before = cloud.tape(last=1).calls[-1].number
    app.make_groups("worker", "worker")
    own = ["GET"] * (cloud.backend == "shade")  # shade looks a rule's group up by itself
    assert asked() == ["GET", *own, "POST"], "a rule was missing"
    assert len(cloud.security_group("worker").rules) == 1


def test_one_listing_is_enough_to_scale(app: Topology, cloud: Cloud) -> None:
    before = cloud.tape(last=1).calls[-1].number
    app.scale(api=2, worker=2)
    assert listings(cloud, before).count(True) == 1, "nothing had to be done"
    before = cloud.tape(last=1).calls[-1].number
    app.scale(api=2, worker=3)
    assert listings(cloud, before).count(True) == 1, "before a worker was made"
    app.scale(worker=2)


def test_a_worker_that_is_replaced_finishes_its_work_first(app: Topology, cloud: Cloud) -> None:
    done = app.stats()["done"]
    heavy = [lasting(0.5) for _ in range(2)]
    load.create(app.endpoints, heavy, progress=False)

    def at_work() -> set[str]:
        return {uuid for node in app.nodes() for uuid in node["working_on"]}

    cloud.wait_until(lambda: len(at_work()) == 2, "both workers to take a task", timeout_seconds=60)
    said: list[str] = []
    Topology(cloud, flavor="m1.small", say=said.append).scale(worker=2)
    assert "server app-worker-2: its image, flavor, groups or user data changed: replacing it" in said
    load.watch(app, done=done + 2)
    made = [fractal for fractal in app.fractals() if fractal["uuid"] in {task["uuid"] for task in heavy}]
    assert [fractal["attempts"] for fractal in made] == [1, 1]
    app.deploy(api=2, worker=2)


def test_no_secret_stands_on_a_command_line_of_a_server_that_boots(app: Topology) -> None:
    for role in ("services", "api", "worker"):
        secret = [line for line in app.user_data(role).splitlines() if app.secret in line]
        assert secret
        assert all(line.startswith("export FAAFO_") for line in secret)


def test_only_the_groups_that_the_rules_name_reach_the_database_and_the_queue(app: Topology, cloud: Cloud) -> None:
    services = app.servers["app-services"].addresses[0]

    def reach(server: str, port: int) -> str:
        return cloud.run(server, CONNECT.format(host=services, port=port)).stdout.strip()

    assert reach("app-api-1", 5432) == "open"
    assert reach("app-api-1", app.queue_port) == "open"
    assert reach("app-worker-1", app.queue_port) == "open"
    assert reach("app-worker-1", 5432).startswith("closed")


def test_a_new_session_discovers_scales_up_and_drains_when_it_scales_down(app: Topology, cloud: Cloud) -> None:
    said: list[str] = []
    found = discover(faafo_lab.connect(), say=said.append)
    assert set(found.servers) == set(app.servers)
    found.scale(worker=3)
    assert [server.name for server in found.workers] == ["app-worker-1", "app-worker-2", "app-worker-3"]
    tasks = [lasting(0.1) for _ in range(9)]
    load.create(found.endpoints, tasks, progress=False)
    found.scale(worker=1)
    assert [server.name for server in found.workers] == ["app-worker-1"]
    assert "server app-worker-3: drained and deleted" in said
    load.watch(found, done=found.stats()["done"] + found.stats()["waiting"] + found.stats()["working"])
    assert {task["uuid"] for task in tasks} <= {item.uuid for item in load.completions(found.endpoint)}
    app.deploy(api=2, worker=2)


def test_a_deleted_worker_and_a_deleted_api_lose_nothing(app: Topology, cloud: Cloud) -> None:
    tasks = [lasting(0.1) for _ in range(10)]
    done = app.stats()["done"]
    assert {row.status for row in load.create(app.endpoints, tasks, progress=False)} == {201}
    load.watch(app, done=done + 1)
    cloud.delete_servers(["app-worker-2", "app-api-2"])
    app.refresh()
    load.watch(app, done=done + len(tasks))
    assert {task["uuid"] for task in tasks} <= {item.uuid for item in load.completions(app.endpoint)}
    app.deploy(api=2, worker=2)
    assert set(app.endpoints) == {"app-api-1", "app-api-2"}


def test_any_api_may_die_under_load_and_is_all_that_is_replaced(app: Topology, cloud: Cloud) -> None:
    """First the first, then, when that is there again at an address that no worker was told, the other one."""
    for gone, stays in (("app-api-1", "app-api-2"), ("app-api-2", "app-api-1")):
        before = {server.name: server.id for server in cloud.servers()}
        done, tasks = app.stats()["done"], [lasting(0.2) for _ in range(12)]
        assert {row.status for row in load.create(app.endpoints, tasks, progress=False)} == {201}
        load.watch(app, done=done + 1)
        cloud.delete_servers([gone])
        app.refresh()
        assert list(app.endpoints) == [stays]
        load.watch(app, done=done + len(tasks))
        made = {one["uuid"]: one for one in app.fractals()}
        assert [(made[task["uuid"]]["attempts"], made[task["uuid"]]["lost"]) for task in tasks] == [(1, [])] * 12
        plan = app.plan(Layout.scaled_out(2, 2))
        assert ([step.name for step in plan.create], plan.replace, plan.remove) == ([gone], (), ())
        app.deploy(api=2, worker=2)
        after = {server.name: server.id for server in cloud.servers()}
        assert {name for name in after if after[name] != before[name]} == {gone}
    addresses = [server.addresses[0] for server in app.apis]
    assert [cloud.run(server, "hostname -I", check=True).stdout.strip() for server in app.apis] == addresses
    for worker in app.workers:  # each knows all APIs at once
        notes = cloud.run(worker, "tail -n 2 $INSTANCE_ROOT/var/lib/faafo/endpoints", check=True).stdout
        assert [urlsplit(url).hostname for url in notes.split()] == addresses


def test_a_service_that_cannot_start_is_named_with_its_own_servers_console(app: Topology, cloud: Cloud) -> None:
    services, data = app.servers["app-services"], "$INSTANCE_ROOT/var/lib/postgresql"
    cloud.run(services, f"systemctl stop faafo-database && mv {data} {data}.kept && touch {data}", check=True)
    try:
        cloud.run(services, "systemctl start faafo-database", check=True)
        with pytest.raises(TopologyError) as caught:
            app.wait_serving()
    finally:
        cloud.run(services, f"rm {data} && mv {data}.kept {data} && systemctl restart faafo-database", check=True)
    assert "faafo-database on app-services failed" in str(caught.value)
    assert "From app-services's console log" in str(caught.value)
    assert "File exists" in str(caught.value)
    app.wait_serving()  # its console still tells of the failure, but it has started since


def test_work_in_the_hand_of_a_deleted_worker_is_taken_up_by_another(app: Topology, cloud: Cloud) -> None:
    heavy = lasting(1.0)
    load.create(app.endpoints, [heavy], progress=False)

    def at_work() -> list[str]:
        return [node["name"] for node in app.nodes() if node["state"] != "lost" and heavy["uuid"] in node["working_on"]]

    cloud.wait_until(lambda: bool(at_work()), "a worker to take the task", timeout_seconds=60)
    [victim] = at_work()
    cloud.delete_servers([victim])
    cloud.wait_until(
        lambda: (
            bool(set(at_work()) - {victim}) or heavy["uuid"] in {item.uuid for item in load.completions(app.endpoint)}
        ),
        "another worker to take the task up",
        timeout_seconds=120,
    )
    app.deploy(api=2, worker=2)
    cloud.wait_until(lambda: not app.stats()["working"], "the task to be done", timeout_seconds=120)


def test_every_node_that_serves_is_listed_also_one_made_anew_under_its_old_name(app: Topology, cloud: Cloud) -> None:
    def starts() -> dict[str, str]:
        return {node["name"]: node["started_at"] for node in app.nodes() if node["state"] != "lost"}

    old = starts()
    cloud.delete_servers(["app-worker-2", "app-api-2"])
    app.deploy(api=2, worker=2)
    now = starts()
    assert set(now) == {"app-api-1", "app-api-2", "app-worker-1", "app-worker-2"}
    assert {name for name in now if now[name] != old[name]} == {"app-worker-2", "app-api-2"}


def test_a_server_and_a_group_that_the_lab_did_not_make_stay_untouched(app: Topology, cloud: Cloud) -> None:
    foreign = cloud.create_server("app-worker-77", image="plain-linux", flavor="m1.tiny")
    cloud.wait_for(foreign)
    try:
        found = discover(cloud, say=lambda line: None)
        assert "app-worker-77" not in found.servers
        found.scale(worker=1)
        assert cloud.server("app-worker-77").id == foreign.id
    finally:
        cloud.delete_servers([foreign])
    app.deploy(api=2, worker=2)


def test_with_a_disk_of_its_own_an_api_has_only_the_images_it_was_given(app: Topology, cloud: Cloud) -> None:
    with pytest.raises(TopologyError, match="'database', 'objects' or 'file:///DIRECTORY', not 'nfs://x'"):
        app.deploy(api=2, worker=2, images="nfs://x")
    assert app.images == "database"
    app.deploy(api=2, worker=2, images="file:///var/lib/faafo/images")
    made = app.stats()["done"]
    uuids = [task["uuid"] for task in load.same_tasks(3, seed=11)]
    load.create(app.endpoints, load.same_tasks(3, seed=11), progress=False)
    load.watch(app, done=made + len(uuids))
    for uuid in uuids:
        answers = {name: requests.get(f"{url}/fractal/{uuid}", timeout=30) for name, url in app.endpoints.items()}
        [has] = [name for name, answer in answers.items() if answer.status_code == 200]
        [other] = answers.keys() - {has}
        assert answers[other].status_code == 404
        words = f"The image is at file://{has}, and this API has only what is at file://{other}: it is not shared."
        assert answers[other].json() == {"error": words}
    said: list[str] = []
    found = discover(faafo_lab.connect(), say=said.append)
    assert found.images == "file:///var/lib/faafo/images"
    found.scale(api=2)
    assert "server app-api-1: unchanged" in said, "a new session knows where the images are"
    app.deploy(api=2, worker=2, images="database")
    assert discover(cloud).images == "database"


def test_the_bound_of_the_queue_is_the_deployments_and_a_new_session_knows_it(app: Topology, cloud: Cloud) -> None:
    with pytest.raises(TopologyError, match="waiting_max must be from 1 to 999999999, not 0"):
        Topology(cloud, waiting_max=0)
    Topology(cloud, waiting_max=5, say=lambda line: None).deploy(api=1, worker=0)
    rows = load.create(app.refresh().endpoints, [lasting(0.1) for _ in range(8)], progress=False)
    assert sorted(row.status for row in rows) == [201] * 5 + [503] * 3
    assert (app.stats()["waiting_max"], app.stats()["waiting"]) == (5, 5)
    assert app.stats()["oldest_waiting_seconds"] > 0
    again = discover(cloud)
    assert again.waiting_max == 5
    assert not again.plan(Layout.scaled_out(1, 0)).changes
    app.deploy(api=2, worker=2)
    cloud.wait_until(lambda: not app.stats()["waiting"], "an empty queue", timeout_seconds=120)


def test_what_the_application_refuses_is_said_in_its_own_words(app: Topology) -> None:
    with pytest.raises(TopologyError, match=r"The application refuses \(404\): There is no .*nobody"):
        app.api.drain("nobody")
    with pytest.raises(NotFound, match=r"no worker 'app-worker-22'\. Did you mean 'app-worker-2'\?"):
        app.drain("app-worker-22")
    with pytest.raises(NotFound, match=r"no server of the application 'app-wroker-1'\. Did you mean 'app-worker-1'"):
        app.remove("app-wroker-1")
    for one in (app.user_data, app.add, app.make_groups):
        with pytest.raises(NotFound, match=r"no role 'workr'\. Did you mean 'worker'"):
            one("workr")
    with pytest.raises(TopologyError, match="one server of role services; of api and worker it can have more"):
        app.add("services")
    with pytest.raises(NoAnswer, match="No API of the application answers"):
        Api(lambda: ["http://127.0.0.1:1"]).stats()
    with pytest.raises(NoAnswer, match=r"Another program than the application answers at .* \(404 Not Found\)"):
        Api(lambda: [str(app.cloud.config.auth_url)]).stats()


def test_impossible_sizes_get_one_sentence(app: Topology) -> None:
    with pytest.raises(TopologyError, match="at least 1 API"):
        app.scale(api=0)
    with pytest.raises(TopologyError, match="at least 1 API"):
        app.deploy(api=1, worker=-1)
    with pytest.raises(TopologyError, match="0 servers or more, not -1 of role worker"):
        app.ensure_workers(-1)
    with pytest.raises(BadRequest, match="ensure_workers: count must be a whole number, not '2'"):
        app.ensure_workers("2")  # type: ignore[arg-type]


def test_one_worker_is_drained_by_its_name(app: Topology) -> None:
    app.drain("app-worker-2")
    assert {node["name"] for node in app.nodes() if node["state"] == "drained"} == {"app-worker-2"}
    app.api.drain("app-worker-2", False)
