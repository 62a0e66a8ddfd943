"""The worker: what it takes, what it drops, how it drains and stops."""

import signal

import httpx

from faafo_lab.app import tasks
from tests.app.deployment import AUTHORIZED, Deployment, a_task, done, node
from tests.app.engines import every_pair
from tests.waiting import wait_for

pytestmark = every_pair


def test_messages_that_cannot_be_processed_do_not_stop_the_worker(services: Deployment, client: httpx.Client) -> None:
    with tasks.connection(services.queue_url()) as broker:
        producer = broker.Producer(exchange=tasks.EXCHANGE, routing_key="normal")
        tasks.NORMAL(broker.channel()).declare()
        producer.publish(b"{not json", content_type="application/json", content_encoding="utf-8")
        producer.publish(b"\x80\x04.", content_type="application/x-python-serialize", content_encoding="binary")
        producer.publish([1, 2, 3], serializer="json")
        producer.publish({"uuid": "x"}, serializer="json")
        producer.publish(a_task(width=0), serializer="json")
        producer.publish(a_task(), serializer="json")  # no such row
    services.worker("dropper")
    uuid = client.post("/v1/fractal", json=a_task()).json()["uuid"]
    wait_for("the good task", lambda: done(client, [uuid]))
    log = services.log("dropper")
    assert log.count("dropping a message") == 5
    assert log.count(": gone") == 1
    assert client.get("/v1/stats").json()["queue_depth"] == 0


def test_a_worker_is_drained_by_the_api_and_takes_tasks_again(services: Deployment, client: httpx.Client) -> None:
    services.worker("drainer")
    wait_for("the worker", lambda: node(client, "drainer").get("state") == "idle")
    uuids = [client.post("/v1/fractal", json=a_task(width=900, height=900)).json()["uuid"] for _ in range(60)]
    wait_for("a task in its hands", lambda: node(client, "drainer").get("working_on"))
    answer = client.put("/v1/node/drainer", json={"drain": True}, headers=AUTHORIZED)
    assert (answer.status_code, answer.json()["drain"]) == (200, True)
    wait_for("the worker to be drained", lambda: node(client, "drainer")["state"] == "drained")
    stats = client.get("/v1/stats").json()
    assert stats["working"] == 0
    assert stats["waiting"] > 0, "it was drained after its work had run out: give it more"
    assert node(client, "drainer")["working_on"] == []
    client.put("/v1/node/drainer", json={"drain": False}, headers=AUTHORIZED)
    wait_for("the rest", lambda: done(client, uuids))
    # a new worker of that name is not drained by what was asked of the old one
    client.put("/v1/node/drainer", json={"drain": True}, headers=AUTHORIZED)
    services.stop("drainer", signal.SIGKILL)
    services.worker("drainer")
    uuid = client.post("/v1/fractal", json=a_task()).json()["uuid"]
    wait_for("the new worker's fractal", lambda: done(client, [uuid]))


def test_a_worker_that_is_told_to_stop_finishes_what_it_has_and_exits_0(
    services: Deployment, client: httpx.Client
) -> None:
    services.worker("stopper")
    wait_for("the worker", lambda: node(client, "stopper"))
    uuids = [client.post("/v1/fractal", json=a_task(width=900, height=900)).json()["uuid"] for _ in range(10)]
    in_hand = wait_for("a task in its hands", lambda: node(client, "stopper").get("working_on"))
    assert services.stop("stopper") == 0
    assert done(client, in_hand)
    assert client.get("/v1/stats").json()["working"] == 0
    assert not node(client, "stopper"), "it has said goodbye"
    services.worker("next")
    wait_for("the rest", lambda: done(client, uuids))
    assert all(client.get(f"/v1/fractal/{one}").json()["attempts"] == 1 for one in uuids)


def test_a_worker_with_a_wrong_secret_takes_nothing(services: Deployment, client: httpx.Client) -> None:
    services.worker("stranger", FAAFO_SECRET="wrong", FAAFO_QUEUE_URL=services.queue_url())
    uuid = client.post("/v1/fractal", json=a_task()).json()["uuid"]
    wait_for("the refusal", lambda: "not the deployment's secret" in services.log("stranger"))
    untouched = {"waiting": 1, "working": 0, "done": 0, "queue_depth": 1}
    wait_for("the task in the queue", lambda: client.get("/v1/stats").json() == untouched)
    services.worker("helper")
    wait_for("the fractal", lambda: done(client, [uuid]))
    assert services.stop("stranger") == 0
