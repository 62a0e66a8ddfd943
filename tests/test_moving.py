"""Existing pictures move to another place, on the embedded cloud: nothing is lost when an API is replaced."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

import faafo_lab
from faafo_lab import load
from faafo_lab.cloud import ssh
from faafo_lab.topology import Topology, TopologyError
from faafo_lab.topology.api import LOST

DISK = "file:///var/lib/faafo/images"


@pytest.fixture
def said() -> list[str]:
    """What the application says of its changes."""
    return []


@pytest.fixture
def app(backend_home: tuple[str, Path], said: list[str]) -> Iterator[Topology]:
    app = Topology(faafo_lab.connect(), say=said.append)
    try:
        yield app.deploy(api=2, worker=1, images=DISK)
    finally:
        app.destroy()


def pictures(app: Topology, number: int) -> dict[str, bytes]:
    """So many fractals' pictures, by uuid, each from the API that has it."""
    load.create(app.endpoints, load.same_tasks(number, seed=3), progress=False)
    load.watch(app, done=number)
    return {one["uuid"]: app.api.picture(one["uuid"], str(one["checksum"])) for one in app.fractals()}


def everywhere(app: Topology, made: dict[str, bytes]) -> bool:
    """Whether every API shows every picture."""
    return all(
        requests.get(f"{url}/fractal/{uuid}", timeout=30).content == png
        for url in app.endpoints.values()
        for uuid, png in made.items()
    )


def test_pictures_on_the_disks_of_apis_are_moved_and_a_deploy_with_another_place_loses_none(
    app: Topology, said: list[str]
) -> None:
    made = pictures(app, 8)
    assert {one["image_at"] for one in app.fractals()} == {"file://app-api-1", "file://app-api-2"}
    assert not everywhere(app, made)
    moved = app.move_images("database")
    assert (moved.number, moved.bytes, moved.missing) == (8, sum(map(len, made.values())), ())
    assert {one["image_at"] for one in app.fractals()} == {"database"}
    assert everywhere(app, made)
    assert (app.move_images("database").number, app.images) == (0, DISK)
    # new ones go to the disks, which a deploy that changes the place does not lose
    load.create(app.endpoints, load.same_tasks(6, seed=4), progress=False)
    load.watch(app, done=14)
    assert len({one["image_at"] for one in app.fractals()}) == 3
    made = {one["uuid"]: app.api.picture(one["uuid"], str(one["checksum"])) for one in app.fractals()}
    [damaged] = [one["uuid"] for one in app.fractals() if one["image_at"] == "file://app-api-2"][:1]
    assert (
        ssh.run(
            app.cloud, app.servers["app-api-2"], f"truncate -s 9 $INSTANCE_ROOT/var/lib/faafo/images/{damaged}*"
        ).exit_code
        == 0
    )
    with pytest.raises(TopologyError, match=f"1 pictures are damaged .*{damaged}"):
        app.deploy(api=1, worker=1, images="database")
    assert not any("not undone" in line for line in said), said
    app.wait_serving()  # the APIs were started again
    assert {node["name"] for node in app.nodes() if node["drain"] and node["state"] != LOST} == set()
    app.api.delete([damaged])
    del made[damaged]
    app.deploy(api=1, worker=1, images="database")
    assert list(app.endpoints) == ["app-api-1"]
    assert not any("not drained" in line for line in said), said
    assert everywhere(app, made)
