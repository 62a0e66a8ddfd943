"""Several APIs: a worker goes on as long as one answers, whichever those are."""

import signal
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from faafo_lab.app.apis import AWAY_SECONDS, Apis, Endpoints
from faafo_lab.app.errors import ApiAway, ApiRefused
from faafo_lab.app.settings import LEASE_SECONDS
from tests.app.deployment import SECRET, Deployment, a_task, done, lasting, node
from tests.app.engines import every_pair
from tests.app.test_app_metrics import Scrape
from tests.waiting import wait_for


def address(deployment: Deployment, port: int) -> str:
    return f"unix:{deployment.ports / str(port)}"


@every_pair
def test_an_api_that_dies_for_good_costs_no_fractal_and_no_attempt(deployment: Deployment) -> None:
    """The worker goes on with the other API, and holds the lease that it took from the dead one."""
    first, second = deployment.api("api-1"), deployment.api("api-2", 81)
    deployment.start(
        "worker", "worker", "--name", "worker", "-e", address(deployment, 80), "-e", address(deployment, 81)
    )
    long = lasting(2 * LEASE_SECONDS)
    uuids = [first.post("/v1/fractal", json=task).json()["uuid"] for task in (long, *[a_task() for _ in range(40)])]
    wait_for("the long one in its hands", lambda: second.get(f"/v1/fractal/{long['uuid']}").json()["leased_by"])
    deployment.stop("api-1", signal.SIGKILL)
    uuids += [second.post("/v1/fractal", json=a_task()).json()["uuid"] for _ in range(40)]
    wait_for("all of them", lambda: done(second, uuids))
    made = second.get("/v1/fractal?results_per_page=-1").json()["objects"]
    assert {one["uuid"] for one in made} == set(uuids)
    assert [(one["attempts"], one["lost"]) for one in made] == [(1, [])] * len(uuids)


def test_a_worker_learns_of_an_api_that_is_younger_and_goes_on_when_all_that_it_was_told_are_gone(
    deployment: Deployment,
) -> None:
    def advertised(port: int) -> dict[str, str]:
        return {"FAAFO_ADVERTISED_URL": address(deployment, port)}

    deployment.api("api-1", 80, **advertised(80))
    deployment.start("worker", "worker", "--name", "worker", "-e", address(deployment, 80))
    second = deployment.api("api-2", 81, **advertised(81))
    wait_for("the worker", lambda: node(second, "worker"))
    notes = deployment.root / "var/lib/faafo/endpoints"
    wait_for("it to learn of the second", lambda: notes.exists() and address(deployment, 81) in notes.read_text())
    deployment.stop("api-1", signal.SIGKILL)
    third = deployment.api("api-3", 82, **advertised(82))
    wait_for(
        "it to learn of the third, and forget the first",
        lambda: (
            notes.read_text().split() == [address(deployment, 80), address(deployment, 81), address(deployment, 82)]
        ),
    )
    deployment.stop("api-2", signal.SIGKILL)
    uuid = third.post("/v1/fractal", json=a_task()).json()["uuid"]
    wait_for("a fractal", lambda: done(third, [uuid]))
    deployment.stop("worker", signal.SIGKILL)
    deployment.start("worker", "worker", "--name", "worker", "-e", address(deployment, 80))
    uuid = third.post("/v1/fractal", json=a_task()).json()["uuid"]
    wait_for("another one, after it started again", lambda: done(third, [uuid]))


def test_apis_share_the_requests_also_with_one_that_is_back(deployment: Deployment) -> None:
    clients = [deployment.api("api-1"), deployment.api("api-2", 81)]
    apis = Apis(Endpoints([address(deployment, 80), address(deployment, 81)]), SECRET)

    def answered() -> list[bool]:
        """Whether each has answered, of many requests."""
        before = [requests_answered(client) for client in clients]
        for _ in range(40):
            apis.call("GET", "/v1/stats")
        return [requests_answered(client) > count for client, count in zip(clients, before, strict=True)]

    assert answered() == [True, True]
    deployment.stop("api-1", signal.SIGKILL)
    for _ in range(40):
        apis.call("GET", "/v1/stats")
    clients[0] = deployment.api("api-1")
    wait_for("it to be asked again", lambda: all(answered()), limit_seconds=60 * AWAY_SECONDS)


def requests_answered(client: httpx.Client) -> float:
    """How many requests for the statistics this API has answered."""
    return Scrape(client)("faafo_http_requests_total", method="GET", route="/v1/stats", status="200")


def test_an_api_of_another_deployment_is_as_good_as_away(services: Deployment, client: httpx.Client) -> None:
    there = {"FAAFO_DATABASE_URL": services.database_url(), "FAAFO_QUEUE_URL": services.queue_url()}
    with closing(services.api("foreign", 83, FAAFO_SECRET="another", **there)):
        apis = Apis(Endpoints([address(services, 83), address(services, 80)]), SECRET)
        for _ in range(10):
            assert apis.call("GET", "/v1/dead")["num_results"] == 0
        with pytest.raises(ApiRefused, match="not the deployment's secret"):
            Apis(Endpoints([address(services, 83)]), SECRET).call("GET", "/v1/dead")


def test_where_all_are_away_the_last_ones_words_are_said(tmp_path: Path) -> None:
    apis = Apis(Endpoints([f"unix:{tmp_path / 'one'}", f"unix:{tmp_path / 'two'}"]))
    with pytest.raises(ApiAway, match=r"No API answers at unix:.*: No such file"):
        apis.call("GET", "/health")


def test_one_that_was_away_is_asked_last_and_what_serves_before_what_was_given() -> None:
    endpoints = Endpoints(["http://a", "http://b"])
    endpoints.away("http://a")
    assert endpoints.drawn() == ["http://b", "http://a"]
    endpoints.answered("http://a")
    assert {endpoints.drawn()[0] for _ in range(100)} == {"http://a", "http://b"}
    endpoints.learn(["http://c"])
    assert endpoints.drawn()[0] == "http://c"
    endpoints.learn([])
    assert endpoints.drawn()[0] == "http://c", "an API that does not say it changes nothing"
    endpoints.away("http://c")
    assert endpoints.drawn()[-1] == "http://c"
    endpoints.learn(["http://b", "http://a"])
    endpoints.learn(["http://c"])
    assert endpoints.drawn()[0] == "http://c", "it serves anew"


def test_what_was_learned_is_kept_for_the_same_beginning_only(tmp_path: Path) -> None:
    notes = tmp_path / "var" / "endpoints"
    Endpoints(["http://a"], notes).learn(["http://b", "http://c"])
    assert set(Endpoints(["http://a"], notes).drawn()[:2]) == {"http://b", "http://c"}
    assert Endpoints(["http://x"], notes).drawn() == ["http://x"]
    notes.write_bytes(b"\xff")
    assert Endpoints(["http://a"], notes).drawn() == ["http://a"]
