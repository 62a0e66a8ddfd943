"""`results_per_page=-1`: all fractals at once, however many there are."""

import uuid

import httpx
import pytest

from faafo_lab.app.julia import Task
from faafo_lab.app.listing import PART
from faafo_lab.app.store import Store
from tests.app.deployment import Deployment, status
from tests.app.engines import every_pair
from tests.waiting import wait_for


def _fill(deployment: Deployment, count: int) -> list[str]:
    """So many fractals, in the database alone; their uuids."""
    store = Store(deployment.database_url())
    tasks = [Task(str(uuid.uuid4()), 8, 8, 16, -1.0, 1.0, -1.0, 1.0) for _ in range(count)]
    if tasks:
        store.add_many(tasks)
    store.close()
    return [task.uuid for task in tasks]


@every_pair
def test_a_list_of_all_has_each_fractal_once_in_either_order(deployment: Deployment) -> None:
    client = deployment.api()
    uuids: list[str] = []
    for count in (0, PART - 1, PART, PART + 1, 2 * PART + 1):
        uuids += _fill(deployment, count - len(uuids))
        for order, wanted in (("oldest", uuids), ("newest", uuids[::-1])):
            answer = client.get(f"/v1/fractal?results_per_page=-1&order={order}")
            assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
            told = answer.json()
            assert [one["uuid"] for one in told["objects"]] == wanted
            assert told | {"objects": []} == {"num_results": count, "objects": [], "page": 1, "total_pages": 1}
    assert client.get("/v1/fractal?results_per_page=-1&order=any").status_code == 400


def test_a_list_that_cannot_be_told_to_its_end_is_broken_off(deployment: Deployment) -> None:
    client = deployment.api()
    uuids = _fill(deployment, 10 * PART)
    with client.stream("GET", "/v1/fractal?results_per_page=-1") as answer:
        parts = answer.iter_raw()
        assert uuids[0] in next(parts).decode()
        deployment.stop("database")
        with pytest.raises(httpx.RemoteProtocolError):
            list(parts)
    wait_for("the log to say so", lambda: "the list is broken off after" in deployment.log("api"))
    deployment.database()
    wait_for("the API to be healthy", lambda: status(client, "/health") == 200)
    assert client.get("/v1/fractal?results_per_page=-1").json()["num_results"] == len(uuids)
