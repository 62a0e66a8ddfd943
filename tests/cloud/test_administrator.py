"""An administrator's lab: the cloud's lists have every project's things, the lab's have its own project's alone."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from faafo_lab.cloud import connect
from faafo_lab.cloud.base import Cloud
from faafo_lab.cloud.emulator import control
from faafo_lab.cloud.marks import DESCRIPTION
from faafo_lab.topology import Topology
from tests.emulator.conftest import Api

from .conftest import clear


@pytest.fixture
def neighbour(embedded: Path, clouds_yaml: Path, backend: str) -> Iterator[Cloud]:
    """Another project, with a group of the lab's, a free floating IP and a network of its own."""
    shutil.copy(embedded / "clouds.yaml", clouds_yaml)
    cloud = connect("embedded-alt", backend)
    try:
        cloud.create_security_group("theirs", f"{DESCRIPTION}theirs")
        cloud.create_floating_ip()
        yield cloud
    finally:
        clear(cloud)


@pytest.fixture
def admin(neighbour: Cloud, cloud: Cloud, backend: str) -> Cloud:
    """The administrator, in the project of `cloud`, whose fixture removes what is left there."""
    return connect("embedded-admin", backend)


def test_the_clouds_own_lists_have_everybodys(embedded: Path, neighbour: Cloud) -> None:
    running = control.status(embedded)
    assert running is not None
    api = Api(running, "embedded-admin")
    for kind in ("security-groups", "floatingips", "networks"):
        rows = next(iter(api.get(f"/networking/v2.0/{kind}").values()))
        assert {row["project_id"] for row in rows} > ({api.project} if kind != "floatingips" else set()), kind


def test_every_list_is_of_ones_own_project(admin: Cloud, neighbour: Cloud, cloud: Cloud) -> None:
    assert admin.security_groups() == cloud.security_groups()
    assert admin.floating_ips() == []
    assert sorted(network.name for network in admin.networks()) == ["private", "public"]
    assert admin.network("private") == cloud.network("private") != neighbour.network("private")
    used = admin.limits()
    assert used == cloud.limits()
    assert (used.floating_ips_used, used.security_groups_used) == (0, 1)
    server = neighbour.create_server("theirs", image="plain-linux", flavor="m1.tiny")
    neighbour.wait_for(server, timeout_seconds=60, progress=False)
    assert admin.servers() == []


def test_a_free_address_is_ones_own(admin: Cloud, neighbour: Cloud) -> None:
    [theirs] = neighbour.floating_ips()
    mine = admin.free_floating_ip()
    assert mine.address != theirs.address
    assert admin.floating_ips() == [mine]
    assert neighbour.floating_ips() == [theirs]


def test_clearing_up_leaves_other_projects_alone(admin: Cloud, neighbour: Cloud) -> None:
    admin.create_security_group("mine", f"{DESCRIPTION}mine")
    assert admin.receipt().left == {"security groups": ("mine",)}
    said: list[str] = []
    Topology(admin, say=said.append).remove_old_app()
    assert said == ["security group mine: deleted"]
    assert [group.name for group in admin.security_groups()] == ["default"]
    assert [group.name for group in neighbour.security_groups()] == ["default", "theirs"]
