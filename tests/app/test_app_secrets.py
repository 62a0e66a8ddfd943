"""The secret, and every password in an address, is in no log and in no message, whatever goes wrong."""

import json
import signal
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest

from faafo_lab.app.errors import SettingsError
from faafo_lab.app.images import Images, open_images
from faafo_lab.app.store import Store
from faafo_lab.app.tasks import Publisher
from tests.app import swift
from tests.app.deployment import AUTHORIZED, SECRET, Deployment, a_task, status
from tests.app.test_app_images import a_png, put
from tests.waiting import wait_for

# What a secret looks like in an address, in JSON, in Python's quotes
WRITTEN = {
    SECRET,
    quote(SECRET),
    quote(SECRET, safe=""),
    quote_plus(SECRET),
    json.dumps(SECRET)[1:-1],
    repr(SECRET)[1:-1],
}
HUSH = "hush-hush"


def told(deployment: Deployment) -> dict[str, list[str]]:
    """The secrets in each log of a deployment."""
    logs = {path.name: path.read_text(errors="replace") for path in deployment.place.glob("*.log")}
    assert {"database.log", "messaging.log", "api.log", "worker.log"} <= set(logs)
    known = WRITTEN | {HUSH, swift.PASSWORD, quote(swift.PASSWORD, safe="")}
    return {name: found for name, text in logs.items() if (found := [form for form in known if form in text])}


def test_no_log_of_a_deployment_has_the_secret_whatever_breaks(deployment: Deployment) -> None:
    verbose = {"FAAFO_LOG_LEVEL": "debug"}
    with swift.running() as server:
        client = deployment.api(FAAFO_IMAGES_URL=server.url(), **verbose)
        deployment.worker("worker", **verbose)
        uuid = client.post("/v1/fractal", json=a_task()).json()["uuid"]
        wait_for("the fractal", lambda: client.get(f"/v1/fractal/{uuid}").json()["checksum"])
        # requests that are wrong in every way that mentions the secret
        for headers in ({"Authorization": f"Basic {SECRET}"}, {"Authorization": f"Bearer {SECRET}x"}, AUTHORIZED):
            client.put(f"/v1/fractal/{quote(SECRET, safe='')}", headers=headers, params={"x": SECRET}, content=b"{")
            client.delete(f"/v1/node/{quote(SECRET, safe='')}?run={quote(SECRET)}", headers=headers)
        client.get(f"/{quote(SECRET)}")
        deployment.stop("messaging", signal.SIGKILL)
        wait_for("both to miss the broker", lambda: all("broker" in deployment.log(one) for one in ("api", "worker")))
        assert deployment.stop("worker") == 0
    other = client.post("/v1/fractal", json=a_task()).json()["uuid"]
    assert put(client, other, a_png(1000)).status_code == 503  # the object store is away
    deployment.stop("database", signal.SIGKILL)
    wait_for("a request to fail", lambda: status(client, f"/v1/stats?x={quote(SECRET)}") == 503)
    assert deployment.stop("api") == 0
    # what is there, and refuses the password; and what is not there
    deployment.database()
    deployment.messaging()
    database, broker = deployment.database_url(), deployment.queue_url()
    for name, urls in {
        "refused": (database.replace(quote(SECRET, safe=""), HUSH), broker.replace(quote(SECRET, safe=""), HUSH)),
        "nowhere": (f"postgresql://faafo:{HUSH}@127.0.0.1:9/faafo", f"amqp://faafo:{HUSH}@127.0.0.1:9//"),
    }.items():
        environment = {"FAAFO_DATABASE_URL": urls[0], "FAAFO_QUEUE_URL": urls[1], **verbose}
        deployment.start(name, "api", "--listen", f"unix:{deployment.ports / '81'}", **environment)
        wait_for("the API to miss its database", lambda name=name: "waiting for the database" in deployment.log(name))
        deployment.stop(name)
    deployment.start("astray", "worker", FAAFO_ENDPOINT_URL="http://127.0.0.1:9", **verbose)
    wait_for("the worker to miss its API", lambda: "waiting for the API" in deployment.log("astray"))
    deployment.stop("astray")
    assert told(deployment) == {}


def an_object_store(url: str) -> Images:
    return open_images(url, Store("postgresql://host/faafo"), "host")


@pytest.mark.parametrize(
    ("make", "url"),
    [
        (Store, "postgresql://faafo:{}@host:port/faafo"),
        (Store, "mysql://faafo:{}#@host:/faafo"),
        (Store, "{}"),
        (Publisher, "redis://:{}/x@host:port/0"),
        (Publisher, "redis://:{}@host:port/0"),
        (Publisher, "redis://:{}[@host/0"),
        (Publisher, "amqp://faafo:{}/x@host//"),
        (Publisher, "{}"),
        (an_object_store, "swift://u:{}/x@host/c?project=p"),
        (an_object_store, "swift://u:{}[@host/c?project=p"),
        (an_object_store, "swift://u:{}@host:port/c?project=p"),
    ],
)
def test_an_address_that_is_none_is_refused_without_its_password(make: Callable[[str], object], url: str) -> None:
    with pytest.raises(SettingsError) as refused:
        make(url.format(HUSH))
    assert HUSH not in str(refused.value)
