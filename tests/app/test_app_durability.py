"""Nothing accepted is lost: workers are killed, the broker and the database go away, and every fractal is made."""

import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import httpx
import pytest
import sqlalchemy as sa

from faafo_lab.app import outbox, tasks
from faafo_lab.app.database import connect, now, shifted
from faafo_lab.app.julia import Order, Task
from faafo_lab.app.schema import fractals
from faafo_lab.app.store import Store
from faafo_lab.app.validation import Heartbeat
from tests.app.deployment import AUTHORIZED, Deployment, a_task, counts, done, lasting, node, status
from tests.app.engines import every_pair
from tests.app.test_app_store import accept
from tests.waiting import wait_for


def stopped_with_a_task(deployment: Deployment, client: httpx.Client, name: str) -> str | None:
    """Stop a worker's process for a moment: the uuid it has in hand, or None, and it goes on."""
    deployment.processes[name].send_signal(signal.SIGSTOP)
    for one in client.get("/v1/fractal?results_per_page=-1").json()["objects"]:
        if one["leased_by"] == name:
            return str(one["uuid"])
    deployment.processes[name].send_signal(signal.SIGCONT)
    return None


def test_the_work_of_a_killed_worker_is_done_by_another(deployment: Deployment) -> None:
    client = deployment.api()
    deployment.worker("killed")
    wait_for("the worker", lambda: node(client, "killed"))
    uuids = [client.post("/v1/fractal", json=lasting(0.2)).json()["uuid"] for _ in range(12)]
    in_hand = wait_for("a task in its hands", lambda: stopped_with_a_task(deployment, client, "killed"))
    left = [one for one in uuids if one != in_hand and not done(client, [one])]
    assert len(left) > 3
    deployment.stop("killed", signal.SIGKILL)
    address = f"/v1/fractal/{in_hand}"
    wait_for("its task to be queued again", lambda: not client.get(address).json()["leased_by"], limit_seconds=15.0)
    deployment.worker("other")
    wait_for("all work to be done by another", lambda: done(client, uuids))
    made = client.get(address).json()
    assert (made["generated_by"], made["attempts"]) == ("other", 2)
    order = sorted((client.get(f"/v1/fractal/{one}").json()["completed_at"], one) for one in [in_hand, *left])
    assert in_hand in [one for _, one in order[:3]], "it did not wait behind those that came later"
    wait_for("the killed worker to be shown as lost", lambda: node(client, "killed").get("state") == "lost")


@every_pair
def test_tasks_accepted_without_a_broker_are_made_when_it_is_back(deployment: Deployment) -> None:
    client = deployment.api()
    deployment.worker("worker")
    wait_for("the worker", lambda: node(client, "worker"))
    deployment.stop("messaging", signal.SIGKILL)
    answers = [client.post("/v1/fractal", json=a_task()) for _ in range(5)]
    assert [answer.status_code for answer in answers] == [201] * 5
    health = client.get("/health")
    assert (health.status_code, health.json()["database"]) == (503, "ok")
    assert "broker" in health.json()["error"]
    assert client.get("/v1/stats").json()["queue_depth"] is None
    deployment.messaging()
    wait_for("the fractals", lambda: done(client, [answer.json()["uuid"] for answer in answers]))
    assert client.get("/health").status_code == 200
    assert deployment.log("worker").count("waiting for the message broker") <= 1


@every_pair
def test_a_broker_that_hangs_holds_up_no_request(deployment: Deployment) -> None:
    client = deployment.api()
    deployment.processes["messaging"].send_signal(signal.SIGSTOP)
    accepted = client.post("/v1/fractal", json=a_task())
    assert accepted.status_code == 201
    for _ in range(3):
        assert counts(client) == {
            "waiting": 1,
            "working": 0,
            "done": 0,
            "failed": 0,
            "queue_depth": None,
            "dead": None,
        }
        health = client.get("/health")
        assert (health.status_code, health.json()["database"]) == (503, "ok")
        assert 'faafo_dependency_up{dependency="broker"} 0.0' in client.get("/metrics").text
        assert client.get("/v1/dead", headers=AUTHORIZED).status_code == 503
        assert client.get("/v1/fractal").json()["num_results"] == 1
    assert "the message broker is away" not in deployment.log("api"), "all that while the publisher waits for it"
    deployment.processes["messaging"].send_signal(signal.SIGCONT)
    deployment.worker("worker")
    wait_for("the fractal", lambda: done(client, [accepted.json()["uuid"]]))
    wait_for("the API to be healthy", lambda: status(client, "/health") == 200)


@every_pair
def test_a_restarted_broker_keeps_the_queue_and_one_that_lost_it_is_refilled(deployment: Deployment) -> None:
    client = deployment.api()
    uuids = [client.post("/v1/fractal", json=a_task()).json()["uuid"] for _ in range(4)]

    def queued() -> bool:
        """All four; more where a slow machine has published one twice."""
        return (client.get("/v1/stats").json()["queue_depth"] or 0) >= 4

    wait_for("the queue", queued)
    deployment.stop("messaging")
    deployment.messaging()
    wait_for("the queue", queued)
    with tasks.connection(deployment.queue_url()) as broker:
        assert tasks.NORMAL(broker.channel()).purge() >= 4
    wait_for("the queue to be filled again", queued)
    deployment.worker("worker")
    wait_for("the fractals", lambda: done(client, uuids))


@every_pair
def test_without_its_database_the_api_says_503_and_recovers(deployment: Deployment) -> None:
    client = deployment.api()
    deployment.worker("worker")
    uuid = client.post("/v1/fractal", json=a_task()).json()["uuid"]
    wait_for("a fractal", lambda: done(client, [uuid]))
    for number in (None, signal.SIGKILL):  # in good order, and not
        deployment.stop("database", number)
        for method, path in (("GET", "/v1/fractal"), ("POST", "/v1/fractal"), ("GET", f"/fractal/{uuid}")):
            answer = client.request(method, path, json=a_task() if method == "POST" else None)
            assert answer.status_code == 503
            assert "database" in answer.json()["error"]
            assert answer.headers["Retry-After"]
        assert client.get("/").status_code == 503
        assert "database" in client.get("/health").json()["error"]
        assert client.get("/v1/load").status_code == 200
        deployment.database()
        wait_for("the API to recover", lambda: status(client, "/health") == 200)
        assert client.get(f"/v1/fractal/{uuid}").json()["checksum"]
        new = client.post("/v1/fractal", json=a_task()).json()["uuid"]
        wait_for("a new fractal", lambda new=new: done(client, [new]))


@every_pair
def test_while_its_database_hangs_the_api_says_503_to_everybody_and_recovers(deployment: Deployment) -> None:
    deployment.api().close()
    paths = ["/v1/fractal", "/v1/stats", "/v1/node", f"/fractal/{uuid.uuid4()}", "/"] * 3
    orders = [a_task() for _ in range(3)]

    def answer(method: str, path: str, json: object = None) -> httpx.Response:
        with deployment.client() as client:
            client.timeout = httpx.Timeout(60)
            return client.request(method, path, json=json)

    try:
        deployment.signal("database", signal.SIGSTOP)
        with ThreadPoolExecutor(20) as pool:
            asked = [pool.submit(answer, "GET", path) for path in paths]
            asked += [pool.submit(answer, "POST", "/v1/fractal", order) for order in orders]
            answers = [one.result() for one in asked]
        assert {one.status_code for one in answers} == {503}
        assert all(one.headers["Retry-After"] for one in answers)
        assert answer("GET", "/v1/load").status_code == 200
    finally:
        deployment.signal("database", signal.SIGCONT)
    with deployment.client() as client:
        wait_for("the API to recover", lambda: status(client, "/health") == 200)
        deployment.worker("worker")
        # one that was answered 503 may have been accepted since
        assert {client.post("/v1/fractal", json=order).status_code for order in orders} <= {200, 201}
        wait_for("the fractals", lambda: done(client, [order["uuid"] for order in orders]))
    assert "Traceback" not in deployment.log("api")


@every_pair
def test_an_api_stops_while_its_database_hangs(deployment: Deployment) -> None:
    deployment.api().close()
    try:
        deployment.signal("database", signal.SIGSTOP)
        with deployment.client() as client:
            assert client.get("/v1/fractal").status_code == 503  # a thread of the API's waits for the database
        assert deployment.stop("api", signal.SIGTERM) == 0
    finally:
        deployment.signal("database", signal.SIGCONT)
    assert "Traceback" not in deployment.log("api")


def test_a_worker_outlasts_its_api_and_loses_nothing(deployment: Deployment) -> None:
    client = deployment.api()
    deployment.worker("worker")
    wait_for("the worker", lambda: node(client, "worker"))
    uuids = [client.post("/v1/fractal", json=lasting(0.2)).json()["uuid"] for _ in range(10)]
    wait_for("a task in its hands", lambda: node(client, "worker").get("working_on"))
    deployment.stop("api", signal.SIGKILL)
    wait_for("the worker to notice", lambda: "waiting for an API" in deployment.log("worker"))
    client = deployment.api()
    wait_for("the fractals", lambda: done(client, uuids))
    assert all(client.get(f"/v1/fractal/{one}").json()["attempts"] <= 2 for one in uuids)


def test_programs_wait_for_each_other_whatever_starts_first(bare: Deployment) -> None:
    bare.worker("worker")
    bare.start("api", "api")
    client = bare.client()
    wait_for("the API to listen", lambda: status(client, "/v1/load") == 200)
    answer = client.post("/v1/fractal", json=a_task())
    assert (answer.status_code, "database" in answer.json()["error"]) == (503, True)
    bare.database()
    wait_for("the database", lambda: client.get("/v1/fractal").status_code == 200)
    uuid = client.post("/v1/fractal", json=a_task()).json()["uuid"]
    bare.messaging()
    wait_for("the fractal", lambda: done(client, [uuid]))
    assert "waiting for the database" in bare.log("api")
    assert "Traceback" not in bare.log("api") + bare.log("worker")


def test_an_api_that_is_told_to_stop_under_load_finishes_its_requests_and_exits_0(deployment: Deployment) -> None:
    deployment.api().post("/v1/fractal", json=a_task())
    enough, wrong = threading.Event(), []
    answers = 0

    def ask() -> None:
        """Over kept connections, which the API has to end."""
        nonlocal answers
        client = deployment.client()
        try:
            while True:
                answer = client.get("/v1/fractal")
                answers += 1
                if answer.status_code != 200:
                    wrong.append(answer.text)
                if answers > 100:
                    enough.set()
        except httpx.TransportError:
            return
        finally:
            client.close()

    clients = [threading.Thread(target=ask) for _ in range(4)]
    for one in clients:
        one.start()
    assert enough.wait(60)
    assert deployment.stop("api") == 0
    for one in clients:
        one.join(60)
    assert wrong == []
    assert "Traceback" not in deployment.log("api")


@pytest.fixture
def database(database_url: str) -> Iterator[Store]:
    """A store whose API does not run, so that nobody else keeps it."""
    with closing(Store(database_url)) as database:
        database.create_tables()
        yield database


@every_pair
def test_a_lease_lasts_as_long_as_its_worker_reports(database: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "LEASE_SECONDS", 1.0)
    task = Task(**a_task())
    accept(database, task)
    mine, other = (
        Heartbeat(name, str(uuid.uuid4()), "working", (task.uuid,), None, None, None, None) for name in ("one", "two")
    )
    began = time.monotonic()
    while time.monotonic() - began < 2.0:  # twice the lease
        assert database.heard(mine)[1] == {task.uuid: "yours"}
        assert database.heard(other)[1] == {task.uuid: "taken"}
        assert database.write(outbox.take_back_expired) == []
        time.sleep(0.05)
    assert wait_for("the lease to expire", lambda: database.write(outbox.take_back_expired)) == [(task.uuid, "one")]
    assert database.heard(other)[1] == {task.uuid: "yours"}
    assert database.get(task.uuid)["attempts"] == 2
    assert database.get(task.uuid)["leased_by"] == "two"


@every_pair
def test_two_apis_publish_each_task_of_the_outbox_once(database: Store) -> None:
    wanted = [Task(**a_task()) for _ in range(20)]
    for task in wanted:
        database.add(task)
    published: list[Order] = []
    both = threading.Barrier(2, timeout=30)

    def publish(some: list[Order], again: bool) -> None:
        if some:
            both.wait()  # the first holds its rows while the second looks
            published.extend(some)

    first = threading.Thread(target=database.write, args=(outbox.publish, publish, 0.0))
    first.start()
    more = [Task(**a_task()) for _ in range(3)]
    wait_for("the first to hold its rows", lambda: both.n_waiting == 1)
    for task in more:
        database.add(task)
    assert database.write(outbox.publish, publish, 0.0) == 3
    first.join(30)
    assert sorted(order.task.uuid for order in published) == sorted(task.uuid for task in wanted + more)


@pytest.fixture
def published_ago(database_url: str) -> Iterator[Callable[[str, float], None]]:
    """Make the database believe that a task was published so many seconds ago."""
    engine = connect(database_url, 1)

    def publish(uuid: str, seconds: float) -> None:
        with engine.begin() as connection:
            long_ago = shifted(now(), -seconds)
            connection.execute(sa.update(fractals).where(fractals.c.uuid == uuid).values(published_at=long_ago))

    yield publish
    engine.dispose()


@every_pair
def test_a_message_that_was_lost_from_a_busy_queue_is_noticed(
    database: Store, published_ago: Callable[[str, float], None]
) -> None:
    lost, *others = [Task(**a_task()) for _ in range(4)]
    for task in (lost, *others):
        accept(database, task)
    published_ago(lost.uuid, 60)
    assert database.write(outbox.refill, queue_is_empty=False) == 0
    database.heard(Heartbeat("one", str(uuid.uuid4()), "working", (others[0].uuid,), None, None, None, None))
    assert database.write(outbox.refill, queue_is_empty=False) == 1
    assert database.get(lost.uuid)["published_at"] is None
    assert database.write(outbox.refill, queue_is_empty=True) == 0, "the others have just been published"


@every_pair
def test_what_nobody_reports_on_is_queued_again_ever_more_rarely(
    database: Store, published_ago: Callable[[str, float], None]
) -> None:
    """A worker of the original's may have it, which reports nothing."""
    task = Task(**a_task())
    accept(database, task)

    def patience(seconds: float) -> None:
        published_ago(task.uuid, seconds / 2)
        assert database.write(outbox.refill, queue_is_empty=True) == 0
        published_ago(task.uuid, seconds + 1)
        assert database.write(outbox.refill, queue_is_empty=True) == 1
        assert database.write(outbox.publish, lambda some, again: None, 0.0) == 1

    for seconds in (4, 8, 16, 32, 64, 64, 64):
        patience(seconds)
    later = Task(**a_task())
    accept(database, later)
    published_ago(task.uuid, 65)
    assert database.write(outbox.refill, queue_is_empty=True) == 2, "what came after what is lost is lost, too"
    assert database.write(outbox.publish, lambda some, again: None, 0.0) == 2
    database.delete(later.uuid)
    run = str(uuid.uuid4())
    assert database.heard(Heartbeat("one", run, "working", (task.uuid,), None, None, None, None))[1]
    database.hand_back("one", run)
    assert database.write(outbox.publish, lambda some, again: None, 0.0) == 1
    patience(4)


def test_what_fails_behind_an_answer_is_in_the_log(deployment: Deployment) -> None:
    """An order is answered before it is published; what goes wrong then, nobody is told but the log."""
    client = deployment.api()
    engine = connect(deployment.database_url(), 1)
    with engine.begin() as connection:
        connection.execute(sa.text("ALTER TABLE fractals ADD CONSTRAINT never CHECK (published_at IS NULL)"))
    engine.dispose()
    assert client.post("/v1/fractal", json=a_task()).status_code == 201
    wait_for("the log", lambda: "background work has failed" in deployment.log("api"))
    assert "Traceback" in deployment.log("api")
