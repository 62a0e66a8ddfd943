"""The API against its own description: what is described exists, what exists is described, every answer conforms."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest
import schemathesis

from faafo_lab.app import dead, failures, openapi, rest, tasks, validation
from tests.app.deployment import AUTHORIZED, SECRET, Deployment, a_task, status, wait_for
from tests.app.test_app_failures import Clock
from tests.app.test_app_rest import a_result

ROOT = Path(__file__).resolve().parents[2]

EXAMPLES = 12  # of each operation, and of each phase
SEED = 58  # of all that is made up; FAAFO_TEST_SEED is another one. It is printed at the end of the output.
FUZZING_LIMIT_SECONDS = 240
CONFIGURATION = """
[generation]
max-examples = {examples}
allow-x00 = true

# No schema says that the checksum must be that of the image
[[operations]]
include-name = "PUT /v1/fractal/{{uuid}}"
[operations.checks.positive_data_acceptance]
expected-statuses = ["2xx", "400", "404"]
"""


def test_every_address_and_method_is_described_and_nothing_else() -> None:
    described = {
        (path, method)
        for path, operations in openapi.described()["paths"].items()
        for method in operations
        if method != "parameters"
    }
    there = {(handler.route, method.lower()) for _, handler in rest.ROUTES for method in handler.methods()}
    assert there == described
    for pattern, handler in rest.ROUTES:
        assert re.fullmatch(pattern, re.sub(r"\{\w+\}", "x", handler.route)), handler


def test_every_schema_is_one_and_the_bounds_are_those_of_the_validation() -> None:
    schemas = openapi.described()["components"]["schemas"]
    for schema in schemas.values():
        jsonschema.Draft202012Validator.check_schema(schema)
    task = schemas["Task"]["properties"]
    assert task["width"]["maximum"] == task["height"]["maximum"] == validation.SIZE_MAX_PIXELS
    assert task["iterations"]["maximum"] == validation.ITERATIONS_MAX
    assert task["xa"]["minimum"] == -validation.COORDINATE_MAX
    assert set(schemas["Heartbeat"]["properties"]["state"]["enum"]) == set(validation.WORKER_STATES)


def test_it_is_served_once_to_who_has_it(client: httpx.Client) -> None:
    answer = client.get("/v1/openapi.json")
    assert answer.json() == openapi.described()
    again = client.get("/v1/openapi.json", headers={"If-None-Match": answer.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")


class Checked:
    """A client whose every answer has to be as described."""

    def __init__(self, client: httpx.Client):
        self._client = client
        self._described = schemathesis.openapi.from_dict(client.get("/v1/openapi.json").json())
        self.statuses: set[tuple[str, str, int]] = set()

    def __call__(self, method: str, route: str, status: int, of: str = "", **more: Any) -> httpx.Response:
        """Ask, with the route's one variable as `of`; `status` is what has to come."""
        answer = self._client.request(method, re.sub(r"\{\w+\}", of, route), **more)
        assert answer.status_code == status, answer.text
        self._described[route][method].validate_response(answer)
        self.statuses.add((method, route, status))
        return answer


def test_the_answers_of_everyday_use_are_as_described(services: Deployment, client: httpx.Client) -> None:
    check = Checked(client)
    task = a_task()
    uuid, mine = task["uuid"], {"headers": AUTHORIZED}
    check("POST", "/v1/fractal", 201, json=task)
    check("POST", "/v1/fractal", 200, json=task)
    check("POST", "/v1/fractal", 409, json=task | {"width": 61})
    check("POST", "/v1/fractal", 400, json=task | {"width": 0})
    check("POST", "/v1/fractal", 413, content=b"x" * (validation.TASK_BODY_MAX_BYTES + 1))
    check("GET", "/v1/fractal", 200, params={"results_per_page": -1, "order": "newest"})
    check("GET", "/v1/fractal", 400, params={"page": 0})
    check("GET", "/v1/fractal/{uuid}", 200, uuid)
    check("GET", "/v1/fractal/{uuid}", 404, "nonsense")
    check("GET", "/fractal/{uuid}", 404, uuid)

    beat = {"name": "worker-1", "run": a_task()["uuid"], "state": "working", "working_on": [uuid]}
    check("POST", "/v1/node", 401, json=beat)
    check("POST", "/v1/node", 403, json=beat, headers={"Authorization": "Bearer no"})
    assert check("POST", "/v1/node", 200, json=beat, **mine).json()["leases"] == {uuid: "yours"}
    check("POST", "/v1/node", 200, json=beat | {"load_average": [1, 2, 3], "cpu_percent": 5, "cores": 1}, **mine)
    check("GET", "/v1/fractal/{uuid}", 200, uuid)
    check("GET", "/v1/node", 200)
    check("PUT", "/v1/node/{name}", 200, "worker-1", json={"drain": True}, **mine)
    check("PUT", "/v1/node/{name}", 404, "nobody", json={"drain": True}, **mine)

    failure = {"run": beat["run"], "fault": "task", "reason": "it is odd"}
    check("POST", "/v1/fractal/{uuid}/failure", 401, uuid, json=failure)
    check("POST", "/v1/fractal/{uuid}/failure", 400, uuid, json=failure | {"fault": ""}, **mine)
    check("POST", "/v1/fractal/{uuid}/failure", 404, a_task()["uuid"], json=failure, **mine)
    with closing(Clock(services.database_url())) as clock:
        for number in range(1, failures.FAILURES_MAX + 1):
            assert check("POST", "/v1/node", 200, json=beat, **mine).json()["leases"] == {uuid: "yours"}
            failed = check("POST", "/v1/fractal/{uuid}/failure", 200, uuid, json=failure, **mine).json()
            assert failed["failures"] == number
            clock.pass_by(uuid)  # it is tried again at once
    assert check("POST", "/v1/node", 200, json=beat, **mine).json()["leases"] == {uuid: "failed"}
    assert check("GET", "/v1/fractal/{uuid}", 200, uuid).json()["failed_at"]

    check("PUT", "/v1/fractal/{uuid}", 401, uuid, json=a_result(task))
    check("PUT", "/v1/fractal/{uuid}", 400, uuid, json=a_result(task, size=1), **mine)
    for _ in range(2):
        check("PUT", "/v1/fractal/{uuid}", 200, uuid, json=a_result(task, c=[0.1, 0.2]), **mine)
    picture = check("GET", "/fractal/{uuid}", 200, uuid)
    check("HEAD", "/fractal/{uuid}", 200, uuid)
    for method in ("GET", "HEAD"):
        check(method, "/fractal/{uuid}", 304, uuid, headers={"If-None-Match": picture.headers["ETag"]})
    check("GET", "/fractal/{uuid}", 206, uuid, headers={"Range": "bytes=0-7"})
    check("GET", "/fractal/{uuid}", 416, uuid, headers={"Range": "bytes=999999999-"})
    beside = {name: value for name, value in a_result(task).items() if name not in ("uuid", "image")}
    png = {**AUTHORIZED, "Content-Type": "image/png"}
    check("PUT", "/v1/fractal/{uuid}", 200, uuid, content=picture.content, params=beside, headers=png)
    check("PUT", "/v1/fractal/{uuid}", 400, uuid, content=picture.content, params=beside | {"size": 1}, headers=png)
    check("GET", "/v1/fractal", 200)

    check("DELETE", "/v1/node/{name}", 204, "worker-1", params={"run": beat["run"]}, **mine)
    check("DELETE", "/v1/fractal/{uuid}", 204, uuid, **mine)
    check("DELETE", "/v1/fractal/{uuid}", 404, uuid, **mine)
    with tasks.connection(services.queue_url()) as broker:
        dead.bury(tasks.open_channel(broker), "it is none", "worker-1", b"no task")
    assert check("GET", "/v1/dead", 200, **mine).json()["num_results"] == 1
    check("GET", "/v1/dead", 401)
    assert check("DELETE", "/v1/dead", 200, **mine).json() == {"discarded": 1}
    for after in (0, -1):
        check("GET", "/v1/event", 200, params={"after": after})
    check("GET", "/v1/event", 400, params={"after": "now"})
    for route in ("/v1/load", "/v1/stats", "/health", "/metrics", "/v1/openapi.json"):
        check("GET", route, 200)
    assert {route for _, route, _ in check.statuses} == {handler.route for _, handler in rest.ROUTES}


def test_the_answers_while_broker_and_database_are_away_are_as_described(deployment: Deployment) -> None:
    with closing(deployment.api()) as client:
        check = Checked(client)
        deployment.stop("messaging", signal.SIGKILL)
        wait_for("no broker", lambda: status(client, "/health") == 503)
        check("GET", "/health", 503)
        assert check("GET", "/v1/stats", 200).json()["queue_depth"] is None
        deployment.stop("database", signal.SIGKILL)
        wait_for("no database", lambda: status(client, "/v1/stats") == 503)
        check("GET", "/health", 503)
        check("POST", "/v1/fractal", 503, json=a_task())
        check("GET", "/fractal/{uuid}", 503, a_task()["uuid"])
        check("GET", "/metrics", 200)


@pytest.fixture
def address(services: Deployment, client: httpx.Client) -> Iterator[str]:
    """The URL of an API at a loopback port."""
    yield services.api_at_tcp()
    for one in client.get("/v1/node").json()["objects"]:  # what the requests made up
        client.delete(f"/v1/node/{one['name']}", params={"run": a_task()["uuid"]}, headers=AUTHORIZED)


def test_no_request_made_up_from_the_description_gets_an_answer_outside_of_it(
    address: str, services: Deployment, tmp_path: Path
) -> None:
    seed = int(os.environ.get("FAAFO_TEST_SEED") or SEED)
    (tmp_path / "schemathesis.toml").write_text(CONFIGURATION.format(examples=EXAMPLES))
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(tmp_path / "schemathesis.toml")]
    command += [
        "run",
        f"{address}/v1/openapi.json",
        f"--url={address}",
        f"--seed={seed}",
        "--header",
        f"Authorization: Bearer {SECRET}",
    ]
    command += ["--continue-on-failure", "--no-color", "--output-sanitize=false"]
    ended = subprocess.run(
        command,
        cwd=tmp_path,  # where it keeps what it found
        env={**os.environ, "SCHEMATHESIS_HOOKS": "tests.app.fuzzed", "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=FUZZING_LIMIT_SECONDS,
        check=False,
    )
    print(ended.stdout)
    assert ended.returncode == 0
    assert "Traceback" not in services.log("tcp-api")
    assert int(re.search(r"(\d+) generated", ended.stdout)[1]) > 10 * EXAMPLES
