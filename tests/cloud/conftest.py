"""One embedded cloud for all tests of this room; each test through every backend."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from faafo_lab.cloud import BACKENDS, connect
from faafo_lab.cloud.base import Cloud

STRANGE = "a b'c%d$HOME e\\f?g#h \"é"  # a directory's name
QUOTAS = {"instances": 3, "floatingip": 2, "security_group": 4}


@pytest.fixture(scope="package")
def embedded(lab_home: Path) -> Iterator[Path]:
    """The embedded cloud, running; its state directory."""
    from faafo_lab.cloud.emulator import control

    state_dir = lab_home / "embedded"
    try:
        control.start(state_dir, quotas=QUOTAS)
        yield state_dir
    finally:
        control.stop(state_dir)
        shutil.rmtree(state_dir, ignore_errors=True)


@pytest.fixture(scope="package")
def clouds(embedded: Path) -> dict[str, Cloud]:
    return {backend: connect("embedded", backend) for backend in BACKENDS}


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def other(clouds: dict[str, Cloud], backend: str) -> Cloud:
    """The same project through another backend: an independent witness."""
    return clouds[next(name for name in BACKENDS if name != backend)]


@pytest.fixture
def cloud(clouds: dict[str, Cloud], backend: str) -> Iterator[Cloud]:
    """The embedded cloud through one backend; whatever a test leaves there is removed."""
    cloud = clouds[backend]
    try:
        yield cloud
    finally:
        clear(cloud)


def clear(cloud: Cloud) -> None:
    """Remove everything of the project."""
    cloud.delete_servers(cloud.servers(), timeout_seconds=60, progress=False)
    for snapshot in cloud.snapshots():
        cloud.delete_snapshot(snapshot, progress=False)
    for volume in cloud.volumes():
        cloud.delete_volume(volume, progress=False)
    for ip in cloud.floating_ips():
        cloud.delete_floating_ip(ip)
    for key in cloud.key_pairs():
        cloud.delete_key_pair(key)
    for container in cloud.containers():
        for stored in cloud.objects(container):
            cloud.delete_object(container, stored.name)
    for container in cloud.containers():
        cloud.delete_container(container)
    for group in cloud.security_groups():
        if group.name != "default":
            cloud.delete_security_group(group)
    assert [group.name for group in cloud.security_groups()] == ["default"]


ENTRY = """
  {name}:
    auth: {{auth_url: "{url}", username: demo, password: secret, project_name: demo,
           user_domain_id: default, project_domain_id: default}}
    region_name: RegionOne
    faafo_lab: {lab}
"""


@pytest.fixture
def clouds_yaml(lab_home: Path) -> Iterator[Path]:
    """A clouds.yaml of the user's, with the entries `lost` (nothing listens there) and `other`."""
    path = lab_home / "clouds.yaml"
    path.write_text(
        "clouds:"
        + ENTRY.format(name="lost", url="http://127.0.0.1:9/identity", lab="{}")
        + ENTRY.format(name="other", url="http://127.0.0.1:9/identity/v3", lab="{ssh_user: debian}")
    )
    try:
        yield path
    finally:
        path.unlink()
