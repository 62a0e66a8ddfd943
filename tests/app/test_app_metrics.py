"""``/metrics``, read as Prometheus reads it."""

import signal
from contextlib import closing

import httpx
from prometheus_client.parser import text_string_to_metric_families

from faafo_lab.app import rest, web
from faafo_lab.app.metrics import OTHER
from tests.app.deployment import AUTHORIZED, SECRET, Deployment, a_task, done, lasting, node, status
from tests.app.test_app_rest import a_result
from tests.waiting import wait_for

ROUTES = {handler.route for _, handler in (*rest.ROUTES, *web.ROUTES)} | {OTHER}


class Scrape:
    """One answer of `/metrics`."""

    def __init__(self, client: httpx.Client):
        answer = client.get("/metrics")
        assert answer.status_code == 200
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        self.text = answer.text
        self.families = {family.name: family for family in text_string_to_metric_families(answer.text)}
        self.samples = {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in self.families.values()
            for sample in family.samples
        }

    def __call__(self, name: str, **labels: str) -> float:
        """The value of a series; 0 where there is none, as in Prometheus' sums."""
        return self.samples.get((name, frozenset(labels.items())), 0.0)

    def has(self, name: str) -> bool:
        return any(name == known for known, _ in self.samples)


def test_requests_are_counted_by_method_route_and_status(client: httpx.Client) -> None:
    task = a_task()
    before = Scrape(client)
    client.post("/v1/fractal", json=task)
    client.post("/v1/fractal", json=task | {"width": 0})
    client.get(f"/v1/fractal/{task['uuid']}")
    client.get("/fractal/nonsense")
    client.request("BREW", "/v1/fractal")
    client.get("/a/b/c")
    client.get("/index/1")
    after = Scrape(client)
    for labels in (
        {"method": "POST", "route": "/v1/fractal", "status": "201"},
        {"method": "POST", "route": "/v1/fractal", "status": "400"},
        {"method": "GET", "route": "/v1/fractal/{uuid}", "status": "200"},
        {"method": "GET", "route": "/fractal/{uuid}", "status": "404"},
        {"method": "other", "route": "/v1/fractal", "status": "405"},
        {"method": "GET", "route": "other", "status": "404"},
        {"method": "GET", "route": "/index/{page}", "status": "200"},
        {"method": "GET", "route": "/metrics", "status": "200"},
    ):
        name = "faafo_http_requests_total"
        assert after(name, **labels) == before(name, **labels) + 1, labels
        del labels["status"]
        name = "faafo_http_request_duration_seconds"
        assert after(f"{name}_count", **labels) >= before(f"{name}_count", **labels) + 1
        assert after(f"{name}_bucket", **labels, le="+Inf") == after(f"{name}_count", **labels)
        assert after(f"{name}_sum", **labels) > before(f"{name}_sum", **labels)
    routes = {dict(labels)["route"] for name, labels in after.samples if name == "faafo_http_requests_total"}
    assert routes <= ROUTES
    assert after("faafo_http_requests_in_flight") == 1  # the one that asks


def test_fractals_are_counted_on_their_way(client: httpx.Client) -> None:
    before = Scrape(client)
    tasks = [a_task() for _ in range(3)]
    for task in tasks:
        client.post("/v1/fractal", json=task)
    client.post("/v1/fractal", json=tasks[0])  # once more: it is accepted already
    for _ in range(2):
        client.put(f"/v1/fractal/{tasks[0]['uuid']}", json=a_result(tasks[0]), headers=AUTHORIZED)
    after = Scrape(client)
    for name, more in (("fractals_accepted", 3), ("fractals_completed", 1), ("results_dropped", 1)):
        assert after(f"faafo_{name}_total") == before(f"faafo_{name}_total") + more, name
    assert after("faafo_fractals", state="waiting") == 2
    assert after("faafo_fractals", state="working") == 0
    assert after("faafo_fractals", state="done") == 1
    wait_for("the messages", lambda: Scrape(client)("faafo_queue_messages", queue="normal") == 3)

    def apis_are_counted() -> bool:  # other tests' APIs may not be forgotten yet
        nodes = client.get("/v1/node").json()["objects"]
        serving = [node for node in nodes if (node["role"], node["state"]) == ("api", "serving")]
        return Scrape(client)("faafo_nodes", role="api", state="serving") == len(serving) > 0

    wait_for("the same APIs as are listed", apis_are_counted)


def test_workers_are_counted_by_state_and_an_expired_lease_is_counted(deployment: Deployment) -> None:
    with closing(deployment.api()) as client:
        deployment.worker("worker-1")
        wait_for("an idle worker", lambda: Scrape(client)("faafo_nodes", role="worker", state="idle") == 1)
        client.post("/v1/fractal", json=lasting(10.0))  # nobody ends it
        wait_for("it to work", lambda: Scrape(client)("faafo_fractals", state="working") == 1)
        deployment.stop("worker-1", signal.SIGKILL)
        wait_for("its lease to expire", lambda: Scrape(client)("faafo_leases_expired_total") == 1)
        wait_for("it to be lost", lambda: Scrape(client)("faafo_nodes", role="worker", state="lost") == 1)
        assert node(client, "worker-1")["state"] == "lost"


def test_without_database_and_broker_it_still_tells_of_the_process(deployment: Deployment) -> None:
    with closing(deployment.api()) as client:
        deployment.worker("worker-1")
        task = a_task()
        client.post("/v1/fractal", json=task)
        wait_for("a fractal", lambda: done(client, [task["uuid"]]))
        assert Scrape(client)("faafo_dependency_up", dependency="database") == 1
        deployment.stop("messaging", signal.SIGKILL)
        wait_for("no broker", lambda: not Scrape(client).has("faafo_queue_messages"))
        deployment.stop("database", signal.SIGKILL)
        wait_for("no database", lambda: status(client, "/v1/stats") == 503)
        away = Scrape(client)
        assert not any(away.has(name) for name in ("faafo_fractals", "faafo_nodes", "faafo_queue_messages"))
        for dependency in ("database", "broker"):
            assert away("faafo_dependency_up", dependency=dependency) == 0
        assert away("faafo_fractals_accepted_total") == 1
        assert away("process_resident_memory_bytes") > 10e6
        assert away("process_cpu_seconds_total") > 0
        assert SECRET not in away.text


def test_names_follow_the_conventions_of_prometheus(client: httpx.Client) -> None:
    ours = {name: family for name, family in Scrape(client).families.items() if name.startswith("faafo_")}
    assert len(ours) >= 12
    for name, family in ours.items():
        assert family.documentation.endswith("."), name
        assert family.type in ("counter", "gauge", "histogram"), name
        counted = [sample.name for sample in family.samples if family.type == "counter"]
        assert all(one.endswith("_total") for one in counted), name
        assert not any(sample.name.endswith("_created") for sample in family.samples), name
