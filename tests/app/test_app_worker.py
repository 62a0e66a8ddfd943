"""The worker: what it takes, what it drops, how it drains and stops."""

import json
import signal
import sys
from typing import Any

import httpx
import pytest
import redis

from faafo_lab.app import dead, tasks
from faafo_lab.app.julia import Order, Task
from faafo_lab.app.settings import HEARTBEAT_SECONDS
from faafo_lab.app.worker import BATCH_MAX
from tests.app.deployment import AUTHORIZED, Deployment, a_task, counts, done, lasting, node
from tests.app.engines import FROM_WHEELS, Pair, every_pair
from tests.waiting import wait_for

pytestmark = every_pair


def letters(client: httpx.Client) -> list[dict[str, Any]]:
    answer = client.get("/v1/dead", headers=AUTHORIZED)
    assert answer.status_code == 200
    found: list[dict[str, Any]] = answer.json()["objects"]
    return found


def test_messages_that_cannot_be_processed_become_dead_letters_and_do_not_stop_the_worker(
    services: Deployment, client: httpx.Client
) -> None:
    unknown = a_task()
    with tasks.connection(services.queue_url()) as broker:
        producer = broker.Producer(exchange=tasks.EXCHANGE, routing_key="normal")
        producer.publish(b"{not json", content_type="application/json", content_encoding="utf-8")
        producer.publish(b"\x80\x04.", content_type="application/x-python-serialize", content_encoding="binary")
        producer.publish(b"{}", content_type="", content_encoding="")
        producer.publish([1, 2, 3], serializer="json")
        producer.publish({"uuid": "x"}, serializer="json")
        producer.publish(a_task(width="60"), serializer="json", routing_key="again")
        producer.publish(unknown, serializer="json")
        producer.publish({"long": "x" * 10_000}, serializer="json")
    services.worker("dropper")
    uuid = client.post("/v1/fractal", json=a_task()).json()["uuid"]
    wait_for("the good task", lambda: done(client, [uuid]))
    wait_for("the letters", lambda: client.get("/v1/stats").json()["dead"] == 8)
    found = letters(client)
    for reason, text in (
        ("Expecting property name", "{not json"),
        ("Refusing to deserialize", "\\x80\x04."),
        ("The message is no JSON object.", "{}"),
        ("The message is no JSON object.", "[1, 2, 3]"),
        ("'uuid' must be a uuid", '{"uuid": "x"}'),
        ("'width' must be a whole number from 1 to 10000.", '"width": "60"'),
        ("There is no such fractal", f'"uuid": "{unknown["uuid"]}"'),
        ("'long' is no field of this", '{"long": "xxx'),
    ):
        assert any(reason in one["reason"] and text in one["message"] for one in found), [reason, *found]
    assert {letter["queue"] for letter in found} == {"normal", "again"}
    assert {letter["worker"] for letter in found} == {"dropper"}
    assert max(len(letter["message"]) for letter in found) == dead.MESSAGE_MAX_CHARACTERS
    assert letters(client) == found, "looking at them changes nothing"
    assert client.get("/v1/stats").json()["queue_depth"] == 0
    assert client.get("/v1/dead").status_code == 401
    assert client.delete("/v1/dead").status_code == 401
    assert client.delete("/v1/dead", headers=AUTHORIZED).json() == {"discarded": 8}
    assert letters(client) == []


def test_what_is_no_message_at_all_in_valkeys_list_is_a_dead_letter_too(
    services: Deployment, client: httpx.Client, pair: Pair
) -> None:
    if pair is not FROM_WHEELS:
        pytest.skip("RabbitMQ takes nothing but messages")
    with redis.Redis(unix_socket_path=str(services.ports / "6379"), password=services.secret) as valkey:
        for text in ("{not json", '{"no": "envelope"}', "[1]", "3", '"text"'):
            valkey.lpush("normal", text)
    process = services.worker("dropper")
    uuid = client.post("/v1/fractal", json=a_task()).json()["uuid"]
    wait_for("the good task", lambda: done(client, [uuid]))
    wait_for("the letters", lambda: client.get("/v1/stats").json()["dead"] == 5)
    assert {one["message"] for one in letters(client)} == {"{not json", '{"no": "envelope"}', "[1]", "3", '"text"'}
    assert process.poll() is None


def test_the_newest_dead_letters_are_kept(services: Deployment, client: httpx.Client) -> None:
    with tasks.connection(services.queue_url()) as broker:
        producer = broker.Producer(exchange=tasks.EXCHANGE, routing_key="normal")
        for number in range(tasks.LETTERS_MAX + 20):
            producer.publish({"uuid": "x", "width": number}, serializer="json")
    services.worker("burier")
    wait_for("the last letter", lambda: services.log("burier").count("dead letters") == tasks.LETTERS_MAX + 20)
    wait_for("the oldest to make room", lambda: client.get("/v1/stats").json()["dead"] == tasks.LETTERS_MAX)
    assert [json.loads(one["message"])["width"] for one in letters(client)] == list(range(20, tasks.LETTERS_MAX + 20))


def test_a_worker_is_drained_by_the_api_and_takes_tasks_again(services: Deployment, client: httpx.Client) -> None:
    services.worker("drainer")
    wait_for("the worker", lambda: node(client, "drainer").get("state") == "idle")
    work = [lasting(HEARTBEAT_SECONDS / 8) for _ in range(24)]  # it hears of the wish at its next heartbeat
    uuids = [client.post("/v1/fractal", json=task).json()["uuid"] for task in work]
    wait_for("a task in its hands", lambda: node(client, "drainer").get("working_on"))
    answer = client.put("/v1/node/drainer", json={"drain": True}, headers=AUTHORIZED)
    assert (answer.status_code, answer.json()["drain"]) == (200, True)
    wait_for("the worker to be drained", lambda: node(client, "drainer")["state"] == "drained")
    stats = client.get("/v1/stats").json()
    assert stats["working"] == 0
    assert stats["waiting"] > 0, "it was drained after its work had run out"
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
    uuids = [client.post("/v1/fractal", json=lasting(0.2)).json()["uuid"] for _ in range(10)]
    in_hand = wait_for("a task in its hands", lambda: node(client, "stopper").get("working_on"))
    assert services.stop("stopper") == 0
    assert done(client, in_hand)
    assert client.get("/v1/stats").json()["working"] == 0
    assert not node(client, "stopper"), "it has said goodbye"
    services.worker("next")
    wait_for("the rest", lambda: done(client, uuids))
    assert all(client.get(f"/v1/fractal/{one}").json()["attempts"] == 1 for one in uuids)


def test_what_takes_a_stopped_worker_too_long_is_handed_back_at_once(
    services: Deployment, client: httpx.Client
) -> None:
    hurried = "from faafo_lab.app import worker; worker.DRAIN_SECONDS = 0.0; worker.main()"
    process = services.launch("hurried", sys.executable, "-c", hurried, HOSTNAME="hurried")
    wait_for("the worker", lambda: node(client, "hurried"))
    large = lasting(2.0)
    address = client.post("/v1/fractal", json=large).headers["Location"]
    wait_for("the task in its hands", lambda: client.get(address).json()["leased_by"] == "hurried")
    assert services.stop("hurried") == 0
    assert process.returncode == 0
    assert "handed back" in services.log("hurried")
    assert not node(client, "hurried"), "it has said goodbye"
    seen = client.get(address).json()
    assert (seen["leased_by"], seen["completed_at"], seen["attempts"]) == (None, None, 1)
    services.worker("next")
    wait_for("the next worker to make it", lambda: done(client, [large["uuid"]]))
    assert client.get(address).json()["generated_by"] == "next"


def test_small_tasks_that_are_taken_together_are_not_lost_with_their_worker(
    services: Deployment, client: httpx.Client
) -> None:
    uuids = [client.post("/v1/fractal", json=a_task()).json()["uuid"] for _ in range(100)]
    services.worker("killed")
    together = wait_for(
        "several in hand", lambda: len(in_hand := node(client, "killed").get("working_on", ())) > 1 and in_hand
    )
    assert set(together) <= set(uuids)
    services.stop("killed", signal.SIGKILL)
    services.worker("other")
    wait_for("all to be made", lambda: client.get("/v1/stats").json()["done"] == len(uuids))
    made = client.get("/v1/fractal?results_per_page=-1").json()["objects"]
    assert {one["uuid"] for one in made} == set(uuids)
    assert all(one["checksum"] and one["attempts"] in (1, 2) for one in made)


def test_no_message_waits_unseen_behind_small_tasks_that_are_taken_together(
    services: Deployment, client: httpx.Client
) -> None:
    """RabbitMQ sends the next one when the one before is acknowledged: then it is in no queue and has no lease."""
    uuids = [client.post("/v1/fractal", json=a_task()).json()["uuid"] for _ in range(10 * BATCH_MAX)]

    def depth() -> int:
        return int(client.get("/v1/stats").json()["queue_depth"])

    wait_for("the queue", lambda: depth() == len(uuids))
    worker = services.worker("greedy")

    def stopped_within_a_batch() -> bool:
        """Stop it for a moment: whether it is between two of those that it took together."""
        worker.send_signal(signal.SIGSTOP)
        if services.log("greedy").count("made in") % BATCH_MAX:
            return True
        worker.send_signal(signal.SIGCONT)
        assert not done(client, uuids), "it was never stopped in time"
        return False

    wait_for("it to be stopped", stopped_within_a_batch)
    left = depth()
    worker.send_signal(signal.SIGCONT)
    assert left % BATCH_MAX == 0
    wait_for("the fractals", lambda: done(client, uuids))


def test_a_message_that_comes_twice_is_made_once(services: Deployment, client: httpx.Client) -> None:
    body = a_task()
    generation = client.post("/v1/fractal", json=body).json()["generation"]
    publisher = tasks.Publisher(services.queue_url())
    publisher.publish([Order(Task(**body), generation)])
    publisher.close()
    wait_for("the queue", lambda: client.get("/v1/stats").json()["queue_depth"] == 2)
    services.worker("once")
    wait_for("the second to be discarded", lambda: "not ours to make" in services.log("once"))
    assert done(client, [body["uuid"]])
    assert sum(body["uuid"] in line for line in services.log("once").splitlines() if "made in" in line) == 1


def test_large_tasks_are_taken_one_by_one(services: Deployment, client: httpx.Client) -> None:
    uuids = [client.post("/v1/fractal", json=lasting(0.2)).json()["uuid"] for _ in range(8)]
    services.worker("worker")
    seen = set()

    def all_made() -> bool:
        seen.add(len(node(client, "worker").get("working_on", ())))
        return done(client, uuids)

    wait_for("all to be made", all_made)
    assert max(seen) == 1


def test_a_worker_with_a_wrong_secret_takes_nothing(services: Deployment, client: httpx.Client) -> None:
    services.worker("stranger", FAAFO_SECRET="wrong", FAAFO_QUEUE_URL=services.queue_url())
    uuid = client.post("/v1/fractal", json=a_task()).json()["uuid"]
    wait_for("the refusal", lambda: "not the deployment's secret" in services.log("stranger"))
    untouched = {"waiting": 1, "working": 0, "done": 0, "failed": 0, "queue_depth": 1, "dead": 0}
    wait_for("the task in the queue", lambda: counts(client) == untouched)
    services.worker("helper")
    wait_for("the fractal", lambda: done(client, [uuid]))
    assert services.stop("stranger") == 0
