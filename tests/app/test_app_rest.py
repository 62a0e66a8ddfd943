"""The REST API's wire formats, against examples written by hand from the original application's."""

import base64
import hashlib
import json
import re
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from faafo_lab.app import tasks
from faafo_lab.app.settings import WAITING_MAX
from tests.app.deployment import AUTHORIZED, MEASURES, Deployment, a_task, node, picture
from tests.app.engines import every_pair
from tests.waiting import wait_for

pytestmark = every_pair

UUID = "7c1f4a7e-9a0e-4c3b-8a65-2f1d3c0b9e11"


def a_result(task: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """What the original worker sends."""
    image = picture(task)
    return {
        "uuid": task["uuid"],
        "duration": 0.25,
        "image": base64.b64encode(image).decode(),
        "checksum": hashlib.sha256(image).hexdigest(),
        "size": len(image),
        "generated_by": "app-worker-1",
    } | changes


def test_a_fractal_is_accepted_with_201_and_read_again(client: httpx.Client) -> None:
    task = a_task(uuid=UUID)
    answer = client.post("/v1/fractal", json=task)
    assert answer.status_code == 201
    assert answer.headers["Location"] == f"/v1/fractal/{UUID}"
    assert answer.headers["X-Served-By"] == "api"
    shown = client.get(f"/v1/fractal/{UUID}").json()
    assert {key: shown[key] for key in task} == task
    assert all(shown[key] is None for key in ("duration", "size", "checksum", "generated_by", "completed_at", "c"))
    assert shown["attempts"] == 0
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00", shown["created_at"])
    assert abs(datetime.fromisoformat(shown["created_at"]) - datetime.now(UTC)) < timedelta(minutes=5)


def test_a_whole_number_may_be_written_with_a_point(client: httpx.Client) -> None:
    task = a_task(width=60)
    answer = client.post("/v1/fractal", content=json.dumps(task | {"width": 60.0, "xa": -2}))
    assert (answer.status_code, answer.json()["width"]) == (201, 60)
    assert client.post("/v1/fractal", json=task).status_code == 200  # it is the same


def test_the_queue_gets_what_the_original_worker_reads(services: Deployment, client: httpx.Client) -> None:
    task = a_task()
    with tasks.connection(services.queue_url()) as broker:
        queue = tasks.NORMAL(broker.channel())
        queue.purge()
        client.post("/v1/fractal", json=task)
        message = wait_for("the message", lambda: queue.get(accept=["json"]))
        message.ack()
    assert message.payload == task
    assert message.content_type == "application/json"
    assert message.delivery_info["exchange"] == "tasks"
    assert message.delivery_info["routing_key"] == "normal"


def test_lists_have_pages_of_ten_unless_asked(client: httpx.Client) -> None:
    empty = {"num_results": 0, "objects": [], "page": 1, "total_pages": 0}
    assert client.get("/v1/fractal").json() == empty
    uuids = [client.post("/v1/fractal", json=a_task()).json()["uuid"] for _ in range(12)]

    def listed(arguments: str) -> tuple[int, int, int, list[str]]:
        body = client.get(f"/v1/fractal{arguments}").json()
        assert set(body) == {"num_results", "objects", "page", "total_pages"}
        return body["num_results"], body["page"], body["total_pages"], [one["uuid"] for one in body["objects"]]

    assert listed("") == (12, 1, 2, uuids[:10])
    assert listed("?page=2") == (12, 2, 2, uuids[10:])
    assert listed("?page=3") == (12, 3, 2, [])
    assert listed("?page=2&results_per_page=5") == (12, 2, 3, uuids[5:10])
    assert listed("?results_per_page=-1") == (12, 1, 1, uuids)
    assert listed("?results_per_page=3&order=newest") == (12, 1, 4, uuids[:-4:-1])


def test_the_image_is_never_in_a_list_and_is_served_as_png_with_an_etag(client: httpx.Client) -> None:
    task = a_task()
    client.post("/v1/fractal", json=task)
    assert client.get(f"/fractal/{task['uuid']}").status_code == 404
    result = a_result(task, c=[-0.5, 0.25])
    answer = client.put(f"/v1/fractal/{task['uuid']}", json=result, headers=AUTHORIZED)
    assert answer.status_code == 200
    shown = answer.json()
    assert {key: shown[key] for key in ("duration", "size", "checksum", "generated_by", "c")} == {
        key: result[key] for key in ("duration", "size", "checksum", "generated_by", "c")
    }
    assert shown["completed_at"] >= shown["created_at"]
    assert "image" not in client.get("/v1/fractal").json()["objects"][0]
    picture = client.get(f"/fractal/{task['uuid']}")
    assert picture.headers["Content-Type"] == "image/png"
    assert picture.content == base64.b64decode(result["image"])
    assert picture.headers["ETag"] == f'"{result["checksum"]}"'
    again = client.get(f"/fractal/{task['uuid']}", headers={"If-None-Match": picture.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_the_first_result_wins_and_a_second_is_acknowledged_and_dropped(client: httpx.Client) -> None:
    task = a_task()
    client.post("/v1/fractal", json=task)
    address = f"/v1/fractal/{task['uuid']}"
    first = a_result(task, generated_by="first")
    second = a_result(a_task(uuid=task["uuid"], width=10), generated_by="second")
    assert client.put(address, json=first, headers=AUTHORIZED).json()["generated_by"] == "first"
    assert client.put(address, json=second, headers=AUTHORIZED).status_code == 200
    assert client.get(address).json()["generated_by"] == "first"
    assert client.get(f"/fractal/{task['uuid']}").content == base64.b64decode(first["image"])


def test_the_same_fractal_again_is_no_new_one_and_another_with_its_uuid_is_refused(client: httpx.Client) -> None:
    task = a_task()
    first, again = (client.post("/v1/fractal", json=task) for _ in range(2))
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.headers["Location"] == first.headers["Location"]
    assert {name: again.json()[name] for name in task} == task
    refused = client.post("/v1/fractal", json=task | {"width": 61})
    assert refused.status_code == 409
    assert "uuid" in refused.json()["error"]
    assert client.get("/v1/fractal").json()["num_results"] == 1


def test_results_and_deletions_need_the_secret(client: httpx.Client) -> None:
    task = a_task()
    client.post("/v1/fractal", json=task)
    address = f"/v1/fractal/{task['uuid']}"
    wrong = {"Authorization": "Bearer wrong"}
    requests: list[tuple[str, str, Any]] = [
        ("PUT", address, a_result(task)),
        ("DELETE", address, None),
        ("POST", "/v1/node", {}),
        ("PUT", "/v1/node/somebody", {"drain": True}),
        ("DELETE", "/v1/node/somebody", None),
    ]
    for method, path, body in requests:
        without = client.request(method, path, json=body)
        assert (without.status_code, "secret" in without.json()["error"]) == (401, True)
        assert client.request(method, path, json=body, headers=wrong).status_code == 403
    assert client.get(address).json()["checksum"] is None
    assert client.delete(address, headers=AUTHORIZED).status_code == 204
    assert client.get(address).status_code == 404


def test_a_deployment_without_a_secret_accepts_the_original_workers_result(services: Deployment) -> None:
    own = {"FAAFO_SECRET": "", "FAAFO_DATABASE_URL": services.database_url(), "FAAFO_QUEUE_URL": services.queue_url()}
    open_client = services.api("open-api", 81, **own)
    try:
        task = a_task()
        open_client.post("/v1/fractal", json=task)
        answer = open_client.put(f"/v1/fractal/{task['uuid']}", json=a_result(task))
        assert (answer.status_code, answer.json()["generated_by"]) == (200, "app-worker-1")
    finally:
        open_client.close()
        assert services.stop("open-api") == 0


def test_two_apis_serve_the_same_fractals_and_say_who_answered(services: Deployment, client: httpx.Client) -> None:
    other = services.api("api-2", 82)
    try:
        task = a_task()
        assert client.post("/v1/fractal", json=task).headers["X-Served-By"] == "api"
        answer = other.get(f"/v1/fractal/{task['uuid']}")
        assert answer.headers["X-Served-By"] == "api-2"
        assert {key: answer.json()[key] for key in task} == task
        for name in ("api", "api-2"):
            shown = wait_for(f"{name} in the list", lambda name=name: node(other, name))
            assert (shown["role"], shown["state"]) == ("api", "serving")
    finally:
        other.close()
        assert services.stop("api-2") == 0


def test_of_500_orders_at_once_as_many_are_refused_as_are_beyond_the_bound(deployment: Deployment) -> None:
    with closing(deployment.api(FAAFO_WAITING_MAX="300")) as client, ThreadPoolExecutor(20) as pool:
        orders = [a_task() for _ in range(500)]
        answers = list(pool.map(lambda task: client.post("/v1/fractal", json=task), orders))
        assert Counter(answer.status_code for answer in answers) == {201: 300, 503: 200}
        refused = [answer for answer in answers if answer.status_code == 503]
        assert {answer.headers["Retry-After"] for answer in refused} == {"1"}
        assert {answer.json()["error"].split(" (")[0] for answer in refused} == {
            "300 fractals are waiting, and no more are accepted"
        }
        stats = client.get("/v1/stats").json()
        assert (stats["waiting"], stats["waiting_max"]) == (300, 300)
        again = list(pool.map(lambda task: client.post("/v1/fractal", json=task), orders))
        assert [answer.status_code for answer in again] == [200 if a.status_code == 201 else 503 for a in answers]


def test_load_health_and_stats(client: httpx.Client) -> None:
    load = client.get("/v1/load").json()
    assert set(load) == {"hostname", "load_average", "cpu_percent", "cores"}
    assert load["hostname"] == "api"
    assert len(load["load_average"]) == 3
    assert load["cpu_percent"] is None or 0 <= load["cpu_percent"] <= 100
    assert client.get("/health").json() == {"status": "ok", "hostname": "api", "database": "ok", "broker": "ok"}
    stats = client.get("/v1/stats").json()
    assert set(stats) == {"waiting", "working", "done", "failed", "queue_depth", "dead", *MEASURES}
    assert (stats["oldest_waiting_seconds"], stats["waiting_max"]) == (0.0, WAITING_MAX)


def test_load_is_that_of_the_instance(bare: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    from faafo_lab.app.machine import LoadMeter

    stat = bare.place / "stat"
    (bare.place / "loadavg").write_text("1.50 0.75 0.25 2/40 999\n")
    stat.write_text("cpu  100 0 50 800 50 0 0 0\ncpu0 100 0 50 800 50 0 0 0\n")
    monkeypatch.setenv("PROCFS", str(bare.place))
    machine = LoadMeter()
    assert machine.read().cpu_percent is None
    stat.write_text("cpu  160 0 70 810 60 0 0 0\ncpu0 160 0 70 810 60 0 0 0\n")
    load = machine.read()
    assert (load.load_average, load.cpu_percent, load.cores) == ((1.5, 0.75, 0.25), 80.0, 1)


def test_the_page_shows_five_finished_fractals_the_newest_first(client: httpx.Client) -> None:
    assert "No fractal is made yet" in client.get("/").text
    uuids = []
    for _ in range(7):
        task = a_task()
        client.post("/v1/fractal", json=task)
        client.put(f"/v1/fractal/{task['uuid']}", json=a_result(task, generated_by="<b>me</b>"), headers=AUTHORIZED)
        uuids.append(task["uuid"])
    first, second = client.get("/"), client.get("/index/2")
    assert first.headers["Content-Type"].startswith("text/html")
    for page, shown in ((first, uuids[2:][::-1]), (second, uuids[:2][::-1])):
        assert re.findall(r'<img src="\.{1,2}/fractal/([^"?]+)\?checksum=', page.text) == shown
    assert "<b>me</b>" not in first.text
    assert "http" not in first.text.replace("<!doctype html>", "")  # nothing from another host
    assert client.get("/index/3").status_code == 404
    assert client.get("/index/0").status_code == 404
