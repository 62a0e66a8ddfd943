"""Old clients fit: the original's formats, as recorded examples, and a worker that speaks nothing else.

The examples are written by hand from the formats that DESIGN.md states; nothing here is made by the code under test.
"""

import base64
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.app import original_worker
from tests.app.deployment import Deployment, a_task, counts, done, lasting
from tests.app.engines import every_pair
from tests.waiting import wait_for

pytestmark = every_pair

UUID = "5fe9b4c6-6ad6-4c7b-9a42-3d5a2c1f7e90"
HEADERS = {"Content-type": "application/json", "Accept": "text/plain"}  # as the original's programs send

POST = """{"uuid": "5fe9b4c6-6ad6-4c7b-9a42-3d5a2c1f7e90", "width": 1, "height": 1, "iterations": 255,
           "xa": -2.5, "xb": 2.25, "ya": -1.5, "yb": 1.75}"""

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGNQEOAAAACMADk7RHFDAAAAAElFTkSuQmCC"

PUT = """{"uuid": "5fe9b4c6-6ad6-4c7b-9a42-3d5a2c1f7e90", "duration": 0.5, "image":
          "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGNQEOAAAACMADk7RHFDAAAAAElFTkSuQmCC",
          "checksum": "d0f478c02ac5186481aaefc722db0ba30114fcc41feb83fe626331bc31f29f38", "size": 69,
          "generated_by": "app-worker-1"}"""

# What the original's columns are in every answer, before and after the worker's PUT
WAITING = {
    "uuid": "5fe9b4c6-6ad6-4c7b-9a42-3d5a2c1f7e90",
    "width": 1,
    "height": 1,
    "iterations": 255,
    "xa": -2.5,
    "xb": 2.25,
    "ya": -1.5,
    "yb": 1.75,
    "duration": None,
    "checksum": None,
    "size": None,
    "generated_by": None,
}
MADE = WAITING | {
    "duration": 0.5,
    "checksum": "d0f478c02ac5186481aaefc722db0ba30114fcc41feb83fe626331bc31f29f38",
    "size": 69,
    "generated_by": "app-worker-1",
}

LIST = """\
+--------------------------------------+--------------+----------+
|                 UUID                 |  Dimensions  | Filesize |
+--------------------------------------+--------------+----------+
| 5fe9b4c6-6ad6-4c7b-9a42-3d5a2c1f7e90 | 1 x 1 pixels | 69 bytes |
+--------------------------------------+--------------+----------+
"""

SHOW = """\
+--------------+------------------------------------------------------------------+
| Parameter    | Value                                                            |
+--------------+------------------------------------------------------------------+
| uuid         | 5fe9b4c6-6ad6-4c7b-9a42-3d5a2c1f7e90                             |
| duration     | 0.500000 seconds                                                 |
| dimensions   | 1 x 1 pixels                                                     |
| iterations   | 255                                                              |
| xa           | -2.5                                                             |
| xb           | 2.25                                                             |
| ya           | -1.5                                                             |
| yb           | 1.75                                                             |
| size         | 69 bytes                                                         |
| checksum     | d0f478c02ac5186481aaefc722db0ba30114fcc41feb83fe626331bc31f29f38 |
| generated_by | app-worker-1                                                     |
+--------------+------------------------------------------------------------------+
"""

NO_SECRET_PORT = 81


def without_secret(services: Deployment) -> dict[str, str]:
    return {"FAAFO_SECRET": "", "FAAFO_DATABASE_URL": services.database_url(), "FAAFO_QUEUE_URL": services.queue_url()}


@pytest.fixture
def api(services: Deployment, client: httpx.Client) -> Iterator[httpx.Client]:
    """A client of a deployment without a secret; it has no fractals."""
    api = services.api("open-api", NO_SECRET_PORT, **without_secret(services))
    yield api
    api.close()


def original(services: Deployment, name: str) -> None:
    """Start the original's worker, and wait until it takes tasks."""
    socket = str(services.ports / str(NO_SECRET_PORT))
    program = str(Path(original_worker.__file__))
    services.launch(name, sys.executable, program, QUEUE_URL=services.queue_url(), SOCKET=socket)


def original_columns(shown: dict[str, Any]) -> dict[str, Any]:
    return {name: shown[name] for name in WAITING}


def test_the_recorded_requests_get_the_originals_answers(services: Deployment, api: httpx.Client) -> None:
    posted = api.post("/v1/fractal", content=POST, headers=HEADERS)
    assert (posted.status_code, original_columns(posted.json())) == (201, WAITING)
    listed = api.get("/v1/fractal").json()
    assert set(listed) == {"num_results", "objects", "page", "total_pages"}
    assert (listed["num_results"], listed["page"], listed["total_pages"]) == (1, 1, 1)
    assert [original_columns(one) for one in listed["objects"]] == [WAITING]
    put = api.put(f"/v1/fractal/{UUID}", content=PUT, headers=HEADERS)
    assert (put.status_code, original_columns(put.json())) == (200, MADE)
    assert original_columns(api.get(f"/v1/fractal/{UUID}").json()) == MADE
    assert [original_columns(one) for one in api.get("/v1/fractal?page=1").json()["objects"]] == [MADE]
    picture = api.get(f"/fractal/{UUID}")
    assert (picture.headers["Content-Type"], picture.content) == ("image/png", base64.b64decode(PIXEL))
    command = {"FAAFO_ENDPOINT_URL": f"http://localhost:{NO_SECRET_PORT}"}
    assert services.run("cli", "list", **command).stdout == LIST
    assert services.run("cli", "show", UUID, **command).stdout == SHOW
    assert api.delete(f"/v1/fractal/{UUID}", headers=HEADERS).status_code == 204
    assert api.get(f"/v1/fractal/{UUID}").status_code == 404


def test_an_original_worker_makes_fractals_alone_and_beside_ours(services: Deployment, api: httpx.Client) -> None:
    original(services, "old")
    alone = [api.post("/v1/fractal", json=a_task(width=20, height=20)).json()["uuid"] for _ in range(3)]
    wait_for("it alone to make them", lambda: done(api, alone))
    assert {api.get(f"/v1/fractal/{one}").json()["generated_by"] for one in alone} == {"original-worker"}
    own = without_secret(services) | {"FAAFO_ENDPOINT_URL": f"http://localhost:{NO_SECRET_PORT}"}
    services.worker("ours", **own)
    makers = {"original-worker"}
    made = len(alone)

    def made_by_both() -> bool:
        nonlocal made
        some = [api.post("/v1/fractal", json=a_task(width=80, height=80)).json()["uuid"] for _ in range(6)]
        wait_for("both to make them", lambda: done(api, some))
        makers.update(api.get(f"/v1/fractal/{one}").json()["generated_by"] for one in some)
        made += len(some)
        return makers == {"original-worker", "ours"}

    wait_for("ours to take some, too", made_by_both)
    idle = {"waiting": 0, "working": 0, "done": made, "failed": 0, "queue_depth": 0, "dead": 0}
    wait_for("nothing to be left", lambda: counts(api) == idle)
    assert services.log("old").count("answer 200") == services.log("old").count("answer")


def test_an_original_worker_that_takes_long_keeps_its_result(services: Deployment, api: httpx.Client) -> None:
    """It tells nobody that it is at work: its task is queued again, and that does no harm."""
    lost = "the queue has lost 1 tasks"
    before = sum(services.log(name).count(lost) for name in ("api", "open-api"))
    original(services, "slow")
    task = lasting(0.5, original_worker.picture)
    api.post("/v1/fractal", json=task)
    wait_for("it to begin", lambda: f"processing task {task['uuid']}" in services.log("slow"))
    services.processes["slow"].send_signal(signal.SIGSTOP)
    logs = ("api", "open-api")
    wait_for("it to be missed", lambda: sum(services.log(name).count(lost) for name in logs) > before)
    services.processes["slow"].send_signal(signal.SIGCONT)
    wait_for("its result", lambda: done(api, [task["uuid"]]))
    first = api.get(f"/fractal/{task['uuid']}").content
    idle = {"waiting": 0, "working": 0, "done": 1, "failed": 0, "queue_depth": 0, "dead": 0}
    wait_for("the second message to be taken", lambda: counts(api) == idle)
    wait_for("its second result", lambda: services.log("slow").count("answer 200") == 2)
    assert api.get(f"/fractal/{task['uuid']}").content == first, "the first result wins"


def test_what_a_killed_original_worker_had_is_made_by_ours(services: Deployment, api: httpx.Client) -> None:
    original(services, "killed")
    task = lasting(0.5, original_worker.picture)
    api.post("/v1/fractal", json=task)
    wait_for("it to begin", lambda: f"processing task {task['uuid']}" in services.log("killed"))
    services.stop("killed", signal.SIGKILL)
    own = without_secret(services) | {"FAAFO_ENDPOINT_URL": f"http://localhost:{NO_SECRET_PORT}"}
    services.worker("ours", **own)
    wait_for("ours to make it", lambda: done(api, [task["uuid"]]))
    assert api.get(f"/v1/fractal/{task['uuid']}").json()["generated_by"] == "ours"
