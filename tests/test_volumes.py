"""The database on a volume: moved there, and back at work after app-services is gone, on one embedded cloud."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace

import pytest

import faafo_lab
from faafo_lab import load
from faafo_lab.cloud.base import Cloud
from faafo_lab.cloud.errors import NotReady
from faafo_lab.cloud.marks import ROLE_KEY
from faafo_lab.cloud.model import Server
from faafo_lab.topology import Layout, Topology, TopologyError, discover
from faafo_lab.topology.volumes import DATABASE_KEY, NAME, SERVICES_KEY
from tests.app.deployment import lasting
from tests.waiting import LIMIT_SECONDS

VOLUME, LAYOUT = "volume", Layout.scaled_out(1, 1)

# A deployment that ends, without any clean-up, when it says that app-services is created.
KILLED = """
import os, signal
import faafo_lab
from faafo_lab.topology import Topology

def say(line):
    if line == "server app-services: created":
        os.kill(os.getpid(), signal.SIGKILL)

Topology(faafo_lab.connect(), say=say).deploy(api=1, worker=1)
"""


@pytest.fixture(scope="module")
def app(cloud: Cloud) -> Iterator[Topology]:
    """An API and a worker, and a database on the disk of app-services."""
    app = Topology(cloud, say=lambda line: None)
    yield app.deploy(api=1, worker=1)
    app.destroy()


def order(app: Topology, number: int = 3, seconds: float = 0.05) -> None:
    rows = load.create(app.endpoints, [lasting(seconds) for _ in range(number)], progress=False)
    assert {row.status for row in rows} == {201}


def made(app: Topology) -> set[str]:
    """The fractals, once all that were ordered are made."""
    fractals = {fractal["uuid"] for fractal in app.fractals()}
    load.watch(app, done=len(fractals))
    return fractals


def ids(cloud: Cloud) -> dict[str, str]:
    return {server.name: server.id for server in cloud.servers()}


def deploy(cloud: Cloud, **more: str) -> list[str]:
    """Deploy as another session would; what was said."""
    said: list[str] = []
    Topology(cloud, say=said.append).deploy(api=1, worker=1, **more)  # type: ignore[arg-type]
    return said


def without(app: Topology, name: str = "app-services") -> Topology:
    """The application as a listing without this server would show it."""
    found = discover(app.cloud)
    found.servers = {key: server for key, server in found.servers.items() if key != name}
    return found


def test_what_is_wrong_or_has_no_room_is_told_before_anything_is_built(cloud: Cloud, app: Topology) -> None:
    with pytest.raises(TopologyError, match="database must be 'volume' or None, not 'disk'"):
        app.deploy(api=1, worker=1, database="disk")
    with pytest.raises(TopologyError, match="app-services has the database: a new one would be another application"):
        app.replace("app-services")
    large = cloud.create_volume("large", 999, progress=False)
    with pytest.raises(NotReady, match="5 more GB of volumes are wanted, and the quota of 1000 has 1 left"):
        app.deploy(api=1, worker=1, database=VOLUME)
    cloud.delete_volume(large, progress=False)
    assert cloud.volumes() == []


def test_a_database_moves_to_a_volume_and_nothing_is_lost(cloud: Cloud, app: Topology) -> None:
    order(app)
    before, servers = made(app), ids(cloud)
    cloud.stop_server("app-services")
    cloud.wait_for("app-services", "SHUTOFF", progress=False)
    with pytest.raises(TopologyError, match="app-services is SHUTOFF, so its database can't be moved"):
        deploy(cloud, database=VOLUME)
    cloud.start_server("app-services")
    cloud.wait_for("app-services", progress=False)
    said = deploy(cloud, database=VOLUME)
    assert any(line.startswith(f"database of app-services: moved to volume {NAME} in ") for line in said)
    assert ids(cloud) == servers
    volume = cloud.volume(NAME)
    assert volume.server_id == servers["app-services"]
    assert made(app) == before
    order(app)
    assert len(made(app)) == len(before) + 3
    said = deploy(cloud, database=VOLUME)
    assert f"volume {NAME}: unchanged" in said
    assert "database of app-services: unchanged" in said
    assert (ids(cloud), cloud.volume(NAME)) == (servers, volume)


def test_a_new_server_takes_the_volume_and_everybody_connects_to_it_again(cloud: Cloud, app: Topology) -> None:
    done, before = made(app), ids(cloud)
    order(app, 4, seconds=1.0)  # most of them wait in the queue, which is lost with the server
    cloud.delete_servers(["app-services"], progress=False)
    assert cloud.volume(NAME).status == "available"
    assert str(discover(cloud).plan(LAYOUT)) == "create   app-services\nkeep     app-api-1, app-worker-1"
    with pytest.raises(KeyboardInterrupt):
        Topology(cloud, say=interrupt(f"volume {NAME}: attached to app-services")).deploy(api=1, worker=1)
    assert "app-services" not in ids(cloud)
    said = deploy(cloud)
    assert f"volume {NAME}: attached to app-services" in said
    after = ids(cloud)
    assert {name: before[name] for name in after if before[name] == after[name]}.keys() == {"app-api-1", "app-worker-1"}
    assert len(made(app)) == len(done) + 4
    order(app)
    assert len(made(app)) == len(done) + 7
    assert not [line for line in deploy(cloud) if "unchanged" not in line and not line.startswith("serving")]


def interrupt(at: str) -> faafo_lab.topology.application.Say:
    def say(line: str) -> None:
        if line == at:
            raise KeyboardInterrupt

    return say


def test_a_deployment_that_was_killed_in_between_is_gone_on_with(cloud: Cloud, app: Topology) -> None:
    before, servers = made(app), ids(cloud)
    cloud.delete_servers(["app-services"], progress=False)
    killed = subprocess.run([sys.executable, "-c", KILLED], timeout=LIMIT_SECONDS, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert cloud.volume(NAME).server_id is None
    begun = cloud.server("app-services")
    deploy(cloud)
    assert cloud.volume(NAME).server_id == begun.id == cloud.server("app-services").id
    assert ids(cloud) | {"app-services": servers["app-services"]} == servers
    assert made(app) == before
    order(app)
    made(app)


def test_app_services_can_be_replaced_as_any_other(cloud: Cloud, app: Topology) -> None:
    before, servers = made(app), ids(cloud)
    app.replace("app-services")
    app.wait_serving()
    assert ids(cloud)["app-services"] != servers["app-services"]
    assert made(app) == before


def test_an_address_is_kept_unless_it_is_unknown_or_somebody_elses(cloud: Cloud, app: Topology) -> None:
    address = cloud.server("app-services").addresses[0]
    found = without(app)
    assert {server.metadata[SERVICES_KEY] for server in found.servers.values()} == {found.kept_address} == {address}
    found._taken = {address}
    assert (found.kept_address, found.kept_parts) == ("", ())
    found = without(app)
    found.servers["app-worker-2"] = Server(
        "id", "app-worker-2", "ACTIVE", metadata={ROLE_KEY: "worker", SERVICES_KEY: "x"}
    )
    assert found.kept_address == ""
    found = without(app)
    found.volume = None
    assert found.kept_address == ""


def test_a_volume_that_is_gone_is_told(cloud: Cloud, app: Topology) -> None:
    found = discover(cloud)
    services = found.servers["app-services"]
    assert services.metadata[DATABASE_KEY] == found.volume.id  # type: ignore[union-attr]
    for volume in (None, replace(found.volume, id="another")):  # type: ignore[type-var]
        found.volume = volume  # type: ignore[assignment]
        with pytest.raises(TopologyError, match=rf"The volume {cloud.volume(NAME).id}, which app-services .* is gone"):
            found._move_database(again=True)


def test_what_is_destroyed_leaves_no_volume_and_no_snapshot(cloud: Cloud, app: Topology) -> None:
    cloud.create_snapshot(NAME, "then", progress=False)
    mine = cloud.create_volume("mine", 1, description="not the lab's", progress=False)
    said: list[str] = []
    Topology(cloud, say=said.append).destroy()
    assert {f"volume {NAME}: deleted", "snapshot then: deleted"} <= set(said)
    assert (cloud.volumes(), cloud.snapshots()) == ([mine], [])
    receipt = cloud.receipt()
    assert receipt.left == {"volumes": ("mine",)}
    cloud.delete_volume(mine, progress=False)


def test_a_first_deployment_has_its_database_on_a_new_volume_and_an_interrupted_one_leaves_none(cloud: Cloud) -> None:
    Topology(cloud, say=lambda line: None).destroy()
    with pytest.raises(KeyboardInterrupt):
        Topology(cloud, say=interrupt(f"volume {NAME}: attached to app-services")).deploy(1, 1, database=VOLUME)
    assert (cloud.servers(), cloud.volumes()) == ([], [])
    app = Topology(cloud, say=lambda line: None).deploy(api=1, worker=1, database=VOLUME)
    services = cloud.server("app-services")
    volume = cloud.volume(NAME)
    assert (volume.server_id, services.metadata[DATABASE_KEY]) == (services.id, volume.id)
    order(app)
    assert len(made(app)) == 3
    app.destroy()
    assert (cloud.servers(), cloud.volumes()) == ([], [])
