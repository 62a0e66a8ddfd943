"""The secret, and every password in an address, is in no log and in no message, whatever goes wrong."""

import json
import signal
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import httpx
import pytest

from faafo_lab.app.errors import SettingsError
from faafo_lab.app.images import Images, open_images
from faafo_lab.app.store import Store
from faafo_lab.app.tasks import Publisher
from tests.app.deployment import AUTHORIZED, SECRET, Deployment, a_task, status
from tests.app.object_store import running
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


def told(deployment: Deployment, *passwords: str) -> dict[str, list[str]]:
    """The secrets, and these passwords, in each log of a deployment."""
    logs = {path.name: path.read_text(errors="replace") for path in deployment.place.glob("*.log")}
    assert {"database.log", "messaging.log", "api.log", "worker.log"} <= set(logs)
    known = WRITTEN | {HUSH, *passwords}
    return {name: found for name, text in logs.items() if (found := [form for form in known if form in text])}


def test_no_log_of_a_deployment_has_the_secret_whatever_breaks(deployment: Deployment) -> None:
    verbose = {"FAAFO_LOG_LEVEL": "debug"}
    with running() as server:
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
    wait_for("the worker to miss its API", lambda: "waiting for an API" in deployment.log("astray"))
    deployment.stop("astray")
    assert told(deployment, server.password) == {}


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


@pytest.mark.parametrize("secret", ["hush\nhush", " hush", "hush\t", "\x07hush"])
@pytest.mark.parametrize("module", ["api", "worker", "cli", "services"])
def test_a_secret_that_no_header_can_carry_is_refused_without_a_word_of_it(
    bare: Deployment, module: str, secret: str
) -> None:
    words = {"cli": ["list"], "services": ["messaging"]}.get(module, [])
    ended = bare.run(module, *words, FAAFO_SECRET=secret)
    assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (1, "", 1), ended.stderr
    assert "FAAFO_SECRET must be one line" in ended.stderr
    assert "hush" not in ended.stderr


def test_a_secret_may_be_in_any_script(services: Deployment, client: httpx.Client) -> None:
    secret = "kľúč 鍵 €"
    same = {"FAAFO_DATABASE_URL": services.database_url(), "FAAFO_QUEUE_URL": services.queue_url()}
    services.api("other-api", 81, FAAFO_SECRET=secret, **same).close()
    own = same | {"FAAFO_SECRET": secret, "FAAFO_ENDPOINT_URL": "http://localhost:81"}
    services.worker("other", **own)
    uuid = client.post("/v1/fractal", json=a_task()).json()["uuid"]
    wait_for("the fractal", lambda: client.get(f"/v1/fractal/{uuid}").json()["checksum"])
    wrong = services.run("cli", "delete", uuid, **own | {"FAAFO_SECRET": "kluc"})
    assert (wrong.returncode, wrong.stderr) == (1, "faafo: This is not the deployment's secret.\n")
    assert services.run("cli", "delete", uuid, **own).returncode == 0
    assert client.get(f"/v1/fractal/{uuid}").status_code == 404
