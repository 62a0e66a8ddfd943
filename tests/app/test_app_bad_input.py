"""Bad input: a 4xx, and a sentence that names the field and the bound. The API goes on."""

import json
from typing import Any

import httpx
import pytest

from faafo_lab.app import validation
from tests.app.deployment import AUTHORIZED, a_task
from tests.app.test_app_rest import a_result


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"uuid": None}, "'uuid'"),
        ({"uuid": 7}, "'uuid'"),
        ({"uuid": "not-a-uuid"}, "'uuid'"),
        ({"uuid": "{0b8a1f2e-3c4d-4e5f-8a9b-1c2d3e4f5a6b}"}, "'uuid'"),
        ({"width": 0}, "'width' must be a whole number from 1 to 10000"),
        ({"width": 10_001}, "'width' must be a whole number from 1 to 10000"),
        ({"width": "100"}, "'width'"),
        ({"width": 100.5}, "'width'"),
        ({"width": True}, "'width'"),
        ({"height": -1}, "'height' must be a whole number from 1 to 10000"),
        ({"height": None}, "'height'"),
        ({"iterations": 0}, "'iterations' must be a whole number from 1 to 10000"),
        ({"iterations": 10_001}, "'iterations'"),
        ({"xa": "left"}, "'xa' must be a number from -1000 to 1000"),
        ({"xa": float("nan")}, "'xa'"),
        ({"xb": float("inf")}, "'xb'"),
        ({"xb": 10**400}, "'xb'"),
        ({"ya": [1]}, "'ya'"),
        ({"yb": False}, "'yb'"),
        ({"xa": 2.0, "xb": 2.0}, "'xa' must be less than 'xb'"),
        ({"ya": 1, "yb": -1}, "'ya' must be less than 'yb'"),
        ({"widht": 100}, "'widht'"),
    ],
)
def test_a_bad_task_is_refused_by_name(client: httpx.Client, changes: dict[str, Any], says: str) -> None:
    answer = client.post("/v1/fractal", content=json.dumps(a_task(**changes)))
    assert answer.status_code == 400
    assert says in answer.json()["error"]
    assert client.get("/v1/fractal").json()["num_results"] == 0


@pytest.mark.parametrize("name", ["uuid", "width", "height", "iterations", "xa", "xb", "ya", "yb"])
def test_a_missing_field_is_named(client: httpx.Client, name: str) -> None:
    task = a_task()
    del task[name]
    answer = client.post("/v1/fractal", json=task)
    assert (answer.status_code, f"'{name}'" in answer.json()["error"]) == (400, True)


@pytest.mark.parametrize("body", [b"", b"width=3", b"[1, 2]", b'"x"', b"null", b"\xff\xfe", b"{", b"[" * 60_000])
def test_a_body_that_is_no_json_object_is_refused(client: httpx.Client, body: bytes) -> None:
    answer = client.post("/v1/fractal", content=body)
    assert (answer.status_code, "JSON" in answer.json()["error"]) == (400, True)


def test_a_body_that_is_too_long_is_refused(client: httpx.Client) -> None:
    answer = client.post("/v1/fractal", json=a_task(uuid="x" * validation.TASK_BODY_MAX_BYTES))
    assert answer.status_code == 413
    assert str(validation.TASK_BODY_MAX_BYTES) in answer.json()["error"]


@pytest.mark.parametrize("length", [validation.TASK_BODY_MAX_BYTES + 1, 5_000_000])
@pytest.mark.parametrize(("method", "path"), [("POST", "/v1/fractal"), ("POST", "/v1/node"), ("GET", "/v1/stats")])
def test_a_body_that_does_not_say_how_long_it_is_is_bounded_too(
    client: httpx.Client, method: str, path: str, length: int
) -> None:
    pieces = (b"x" * min(50_000, length - start) for start in range(0, length, 50_000))
    answer = client.request(method, path, content=pieces, headers=AUTHORIZED)
    assert "Content-Length" not in answer.request.headers
    assert answer.status_code == 413
    assert f"at most {validation.TASK_BODY_MAX_BYTES} bytes" in answer.json()["error"]


def test_a_body_in_pieces_is_read(client: httpx.Client) -> None:
    body = json.dumps(a_task()).encode()
    assert client.post("/v1/fractal", content=iter([body[:20], body[20:]])).status_code == 201


@pytest.mark.parametrize(("path", "says"), [("/v1/fractal?page=%ff", "page"), ("/v1/fractal/%ff", "unicode in url")])
def test_an_address_that_is_no_text_is_refused_by_its_part(client: httpx.Client, path: str, says: str) -> None:
    answer = client.get(path)
    assert (answer.status_code, says in answer.json()["error"]) == (400, True), answer.text


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"checksum": "0" * 64}, "'checksum'"),
        ({"checksum": "short"}, "'checksum'"),
        ({"checksum": None}, "'checksum'"),
        ({"image": "not base64!"}, "'image'"),
        ({"image": "bm8gcG5n"}, "'image'"),
        ({"image": None}, "'image'"),
        ({"size": 3}, "'size'"),
        ({"duration": -1}, "'duration'"),
        ({"duration": "long"}, "'duration'"),
        ({"generated_by": ""}, "'generated_by'"),
        ({"generated_by": "a\x00b"}, "'generated_by'"),
        ({"generated_by": "a\ud800b"}, "'generated_by'"),
        ({"generated_by": "x" * 256}, "'generated_by'"),
        ({"uuid": "0b8a1f2e-3c4d-4e5f-8a9b-1c2d3e4f5a6b"}, "'uuid'"),
        ({"c": [1]}, "'c'"),
        ({"c": ["a", "b"]}, "'c'"),
        ({"generation": 0}, "'generation'"),
        ({"generation": "1"}, "'generation'"),
    ],
)
def test_a_bad_result_is_refused_and_the_fractal_stays_to_do(
    client: httpx.Client, changes: dict[str, Any], says: str
) -> None:
    task = a_task()
    client.post("/v1/fractal", json=task)
    body = json.dumps(a_result(task, **changes))
    answer = client.put(f"/v1/fractal/{task['uuid']}", content=body, headers=AUTHORIZED)
    assert answer.status_code == 400
    assert says in answer.json()["error"]
    assert client.get(f"/v1/fractal/{task['uuid']}").json()["checksum"] is None


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "../x"},
        {"name": None},
        {"run": "7"},
        {"state": "asleep"},
        {"working_on": "all"},
        {"working_on": ["x"]},
        {"load_average": [1]},
        {"cpu_percent": 101},
        {"cores": 0},
        {"generations": ["x"]},
        {"generations": {"x": 1}},
    ],
)
def test_a_bad_heartbeat_is_refused_by_name(client: httpx.Client, changes: dict[str, Any]) -> None:
    good = {"name": "w", "run": a_task()["uuid"], "state": "idle", "working_on": []}
    answer = client.post("/v1/node", json=good | changes, headers=AUTHORIZED)
    assert (answer.status_code, f"'{next(iter(changes))}'" in answer.json()["error"]) == (400, True)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/fractal?page=0", 400),
        ("GET", "/v1/fractal?page=x", 400),
        ("GET", "/v1/fractal?page=%D9%A1", 400),  # an Arabic 1
        ("GET", "/v1/fractal?page=1%00", 400),
        ("GET", "/v1/fractal?page=%201", 400),
        ("GET", "/v1/fractal?page=1_0", 400),
        ("GET", "/v1/fractal?results_per_page=%EF%BC%95", 400),  # a wide 5
        ("GET", "/v1/fractal?results_per_page=-1%00", 400),
        ("GET", "/v1/fractal?order=newest%00", 400),
        ("DELETE", "/v1/node/nobody?run=0b8a1f2e-3c4d-4e5f-8a9b-1c2d3e4f5a6b%00", 400),
        ("GET", "/v1/fractal?results_per_page=0", 400),
        ("GET", "/v1/fractal?results_per_page=-2", 400),
        ("GET", "/v1/fractal?results_per_page=99999", 400),
        ("GET", "/v1/fractal?page=999999999", 200),
        ("GET", "/v1/fractal?order=sideways", 400),
        ("GET", "/v1/fractal?pages=2", 400),
        ("GET", "/v1/fractal/0b8a1f2e-3c4d-4e5f-8a9b-1c2d3e4f5a6b", 404),
        ("GET", "/v1/fractal/nonsense", 404),
        ("GET", "/fractal/nonsense", 404),
        ("DELETE", "/v1/fractal/0b8a1f2e-3c4d-4e5f-8a9b-1c2d3e4f5a6b", 404),
        ("PUT", "/v1/fractal/0b8a1f2e-3c4d-4e5f-8a9b-1c2d3e4f5a6b", 404),
        ("PUT", "/v1/node/nobody", 404),
        ("PUT", "/v1/node/no%00body", 404),
        ("DELETE", "/v1/node/no%00body?run=0b8a1f2e-3c4d-4e5f-8a9b-1c2d3e4f5a6b", 404),
        ("PATCH", "/v1/fractal", 405),
        ("DELETE", "/v1/fractal", 405),
        ("GET", "/v2", 404),
    ],
)
def test_a_bad_address_is_refused_in_json(client: httpx.Client, method: str, path: str, status: int) -> None:
    body = None
    if method == "PUT":
        body = {"drain": True} if "node" in path else a_result(a_task(uuid=path.rpartition("/")[2]))
    answer = client.request(method, path, json=body, headers=AUTHORIZED)
    assert answer.status_code == status
    assert status == 200 or set(answer.json()) == {"error"}
