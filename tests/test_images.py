"""Pictures in the project's object store: every API shows all of them, and its credential opens nothing else."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

import faafo_lab
from faafo_lab import credentials, load
from faafo_lab.cloud import direct
from faafo_lab.cloud.marks import IMAGES_CONTAINER
from faafo_lab.topology import Layout, Topology, TopologyError, discover, objects

DISK = "file:///var/lib/faafo/images"


@pytest.fixture
def app(backend_home: tuple[str, Path]) -> Iterator[Topology]:
    app = Topology(faafo_lab.connect(), say=lambda line: None)
    try:
        yield app
    finally:
        app.destroy()


def shown(app: Topology) -> set[int]:
    """The status codes of all pictures, asked of every API."""
    return {
        requests.get(f"{url}/fractal/{one['uuid']}", timeout=30).status_code
        for url in app.endpoints.values()
        for one in app.fractals()
    }


def draw(app: Topology, number: int, seed: int) -> None:
    made = app.stats()["done"]
    load.create(app.endpoints, load.same_tasks(number, seed=seed), progress=False)
    load.watch(app, done=made + number)


def test_pictures_move_from_disks_to_the_object_store_and_outlive_every_api(app: Topology) -> None:
    cloud = app.cloud
    app.deploy(api=2, worker=1, images=DISK)
    draw(app, 6, seed=5)
    assert shown(app) == {200, 404}
    app.deploy(api=2, worker=1, images="objects")
    assert {one["image_at"] for one in app.fractals()} == {f"swift://{IMAGES_CONTAINER}"}
    draw(app, 2, seed=6)
    assert shown(app) == {200}
    assert len(cloud.objects(IMAGES_CONTAINER)) == 8
    cloud.delete_servers(app.apis)
    found = discover(faafo_lab.connect(), say=lambda line: None)
    found.deploy(api=2, worker=1, images="objects")
    assert shown(found) == {200}
    assert not found.plan(Layout.scaled_out(api=2, worker=1)).changes
    left = cloud.receipt().left
    assert IMAGES_CONTAINER in left["containers"]
    assert len(left["application credentials"]) == 1

    # no password of the user's is on a server, nor a secret in a process's arguments
    password = str(cloud.config.auth["password"])
    for server in found.servers.values():
        assert password not in found.user_data(server.metadata["faafo-lab"])
    secret = objects.url(cloud).partition("@")[0].rpartition(":")[2]
    for arguments in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            assert secret.encode() not in arguments.read_bytes()
        except OSError:
            continue

    # the credential opens the object store alone, and nothing once the application is removed
    [name] = left["application credentials"]
    made = credentials.find(cloud, name)
    assert made is not None
    assert made.restricted
    login = {
        "auth": {
            "identity": {
                "methods": ["application_credential"],
                "application_credential": {"id": made.id, "secret": secret},
            }
        }
    }
    tokens = f"{str(cloud.config.auth_url).removesuffix('/v3')}/v3/auth/tokens"
    answer = direct.request("POST", tokens, json=login, timeout=30)
    assert answer.status_code == 201
    token = {"X-Auth-Token": answer.headers["X-Subject-Token"]}
    container = cloud.object_url(IMAGES_CONTAINER, "x").rpartition("/")[0]
    assert direct.get(container, headers=token, timeout=30).status_code == 200
    assert direct.get(f"{cloud.services['compute']}/v2.1/servers", headers=token, timeout=30).status_code == 401
    found.destroy()
    assert direct.request("POST", tokens, json=login, timeout=30).status_code == 401
    assert IMAGES_CONTAINER not in cloud.containers()
    assert cloud.receipt().nothing_left


def test_a_deploy_that_fails_leaves_no_credential_and_no_container(app: Topology) -> None:
    app.cloud.create_security_group("api", "somebody else's")
    with pytest.raises(TopologyError, match="exists that the lab did not make"):
        app.deploy(api=1, worker=0, images="objects")
    app.cloud.delete_security_group("api")
    assert app.images == "database"
    assert IMAGES_CONTAINER not in app.cloud.containers()
    assert "application credentials" not in app.cloud.receipt().left
