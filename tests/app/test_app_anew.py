"""A uuid that is deleted and ordered anew: an order's generation says which one is meant, not its uuid."""

import hashlib
import signal
import sys
import uuid
from pathlib import Path
from typing import Any

import httpx

from tests.app import original_worker
from tests.app.deployment import AUTHORIZED, Deployment, a_task, counts, done, lasting, node, picture
from tests.app.engines import every_pair
from tests.waiting import wait_for

pytestmark = every_pair

IDLE = {"waiting": 0, "working": 0, "failed": 0, "queue_depth": 0, "dead": 0}


def order(client: httpx.Client, task: dict[str, Any]) -> int:
    """The generation of a new order."""
    answer = client.post("/v1/fractal", json=task)
    assert answer.status_code == 201, answer.text
    generation: int = answer.json()["generation"]
    return generation


def order_anew(client: httpx.Client, task: dict[str, Any]) -> int:
    """Delete an order, and place this one."""
    assert client.delete(f"/v1/fractal/{task['uuid']}", headers=AUTHORIZED).status_code == 204
    return order(client, task)


def drain(client: httpx.Client, name: str, wish: bool) -> None:
    assert client.put(f"/v1/node/{name}", json={"drain": wish}, headers=AUTHORIZED).status_code == 200


def result_of(png: bytes, **more: Any) -> dict[str, Any]:
    """What the address of a result says."""
    told = {"duration": 0.5, "checksum": hashlib.sha256(png).hexdigest(), "size": len(png), "generated_by": "somebody"}
    return told | more


def put(client: httpx.Client, task: dict[str, Any], png: bytes, **more: Any) -> dict[str, Any]:
    """The answer to a worker's result."""
    answer = client.put(
        f"/v1/fractal/{task['uuid']}",
        content=png,
        params=result_of(png, **more),
        headers={**AUTHORIZED, "Content-Type": "image/png"},
    )
    assert answer.status_code == 200, answer.text
    shown: dict[str, Any] = answer.json()
    return shown


def beat(client: httpx.Client, run: str, state: str = "working", **more: Any) -> dict[str, Any]:
    """The answer to the heartbeat of a worker that is called "beater"."""
    body = {"name": "beater", "run": run, "state": state, **more}
    answer = client.post("/v1/node", json=body, headers=AUTHORIZED)
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


def test_whoever_orders_a_deleted_uuid_anew_gets_the_newer_orders_picture(
    services: Deployment, client: httpx.Client
) -> None:
    services.worker("anew")
    wait_for("the worker", lambda: node(client, "anew").get("state") == "idle")
    drain(client, "anew", True)
    wait_for("the worker to be drained", lambda: node(client, "anew")["state"] == "drained")
    older = [a_task() for _ in range(8)]
    newer = [task | {"width": 80, "height": 30} for task in older]
    for task in older:
        order(client, task)
    for task in newer:
        order_anew(client, task)
    drain(client, "anew", False)
    wait_for("all to be made", lambda: done(client, [task["uuid"] for task in newer]))
    for task in newer:
        assert client.get(f"/fractal/{task['uuid']}").content == picture(task)
    # the earlier orders' messages were acknowledged and dropped
    wait_for("nothing to be left", lambda: counts(client) == IDLE | {"done": 8})


def test_a_result_of_an_earlier_order_is_dropped(client: httpx.Client) -> None:
    older = a_task()
    newer = older | {"width": 64}  # fewer iterations may draw the same
    first = order(client, older)
    second = order_anew(client, newer)
    assert second > first
    assert put(client, older, picture(older), generation=first)["checksum"] is None
    assert put(client, older, picture(older))["checksum"] is None, "it may be of any order of this uuid"
    assert client.get(f"/fractal/{older['uuid']}").status_code == 404
    made = put(client, newer, picture(newer), generation=second)
    assert made["checksum"] == hashlib.sha256(picture(newer)).hexdigest()
    assert client.get(f"/fractal/{older['uuid']}").content == picture(newer)


def test_a_picture_is_kept_for_long_by_its_content_alone(client: httpx.Client) -> None:
    older = a_task()
    newer = older | {"width": 64}  # fewer iterations may draw the same
    pages = []
    for number, task in enumerate((older, newer)):
        generation = order_anew(client, task) if number else order(client, task)
        checksum = put(client, task, picture(task), generation=generation)["checksum"]
        answer = client.get(f"/fractal/{task['uuid']}")
        assert (answer.content, answer.headers["Cache-Control"]) == (picture(task), "public, no-cache")
        again = client.get(f"/fractal/{task['uuid']}", headers={"If-None-Match": answer.headers["ETag"]})
        assert (again.status_code, again.content) == (304, b"")
        # what the page shows need not be loaded again
        address = f"/fractal/{task['uuid']}?checksum={checksum}"
        pages.append(address)
        assert f'<img src=".{address}"' in client.get("/").text
        answer = client.get(address)
        assert answer.content == picture(task)
        assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    gone = client.get(pages[0])
    assert (gone.status_code, "Cache-Control" in gone.headers) == (404, False)


def test_a_lease_or_a_failure_of_an_earlier_order_changes_nothing(client: httpx.Client) -> None:
    task, run = a_task(), str(uuid.uuid4())
    first = order(client, task)
    held = {"working_on": [task["uuid"]], "generations": {task["uuid"]: first}}
    assert beat(client, run, **held)["leases"] == {task["uuid"]: "yours"}
    second = order_anew(client, task)
    assert beat(client, run, **held)["leases"] == {task["uuid"]: "replaced"}
    assert beat(client, run, working_on=[task["uuid"]])["leases"] == {task["uuid"]: "replaced"}, "it does not say which"
    assert client.get(f"/v1/fractal/{task['uuid']}").json()["leased_by"] is None
    held["generations"] = {task["uuid"]: second}
    assert beat(client, run, **held)["leases"] == {task["uuid"]: "yours"}
    failure = {"run": run, "fault": "task", "reason": "It is too hard."}
    for told in (failure, failure | {"generation": first}):
        answer = client.post(f"/v1/fractal/{task['uuid']}/failure", json=told, headers=AUTHORIZED)
        assert (answer.status_code, answer.json()["failures"]) == (200, 0)
    told = failure | {"generation": second}
    answer = client.post(f"/v1/fractal/{task['uuid']}/failure", json=told, headers=AUTHORIZED)
    assert (answer.json()["failures"], answer.json()["failure"]) == (1, "It is too hard.")


def test_what_an_original_worker_makes_of_an_earlier_order_is_dropped(
    services: Deployment, client: httpx.Client
) -> None:
    port = 81
    settings = {"FAAFO_SECRET": "", "FAAFO_DATABASE_URL": services.database_url()}
    services.api("open-api", port, FAAFO_QUEUE_URL=services.queue_url(), **settings)
    program = str(Path(original_worker.__file__))
    socket = str(services.ports / str(port))
    services.launch("old", sys.executable, program, QUEUE_URL=services.queue_url(), SOCKET=socket)
    older = lasting(0.5, original_worker.picture)
    newer = older | {"width": 80, "height": 30}
    order(client, older)
    wait_for("it to begin", lambda: f"processing task {older['uuid']}" in services.log("old"))
    services.processes["old"].send_signal(signal.SIGSTOP)
    order_anew(client, newer)
    services.processes["old"].send_signal(signal.SIGCONT)
    wait_for("its result", lambda: "answer 200" in services.log("old"))
    services.worker("ours")
    wait_for("ours to make the newer one", lambda: done(client, [newer["uuid"]]))
    assert client.get(f"/fractal/{newer['uuid']}").content == picture(newer)


def test_a_new_run_of_a_worker_begins_anew_and_the_old_one_does_not_come_back(client: httpx.Client) -> None:
    task, old, new = a_task(), str(uuid.uuid4()), str(uuid.uuid4())
    generation = order(client, task)
    held = {"working_on": [task["uuid"]], "generations": {task["uuid"]: generation}}
    assert beat(client, old, **held)["leases"] == {task["uuid"]: "yours"}
    drain(client, "beater", True)
    assert beat(client, old, **held)["drain"] is True
    assert beat(client, new, state="idle")["drain"] is False
    assert beat(client, new, **held)["leases"] == {task["uuid"]: "taken"}
    drain(client, "beater", True)
    # such as a machine that was paused, and whose name another machine has by now
    assert beat(client, old, **held)["leases"] == {task["uuid"]: "yours"}
    shown = node(client, "beater")
    assert (shown["drain"], shown["working_on"]) == (True, [task["uuid"]])
    assert beat(client, new, state="drained")["drain"] is True, (
        "the new run is asked to drain, whatever the old one says"
    )
    assert [one["state"] for one in client.get("/v1/node").json()["objects"] if one["name"] == "beater"] == ["drained"]
    assert client.delete(f"/v1/node/beater?run={new}", headers=AUTHORIZED).status_code == 204
    assert node(client, "beater") == {}
