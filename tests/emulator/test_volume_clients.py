"""Block storage through clients that know nothing of the embedded cloud: shade, libcloud, openstackclient, the SDK."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from libcloud.compute.types import StorageVolumeState

from faafo_lab.cloud.emulator.control import Running
from tests.waiting import LIMIT_SECONDS, wait_for

from .clients import libcloud, openstack, sdk
from .conftest import Api
from .odd import NOWHERE
from .volumes_room import Volumes

pytestmark = [  # openstacksdk warns of its own doings
    pytest.mark.filterwarnings(f"ignore::{each}") for each in ("DeprecationWarning", "PendingDeprecationWarning")
]


@pytest.fixture(scope="module")
def server(api: Api) -> Iterator[str]:
    id = api.boot("db")
    yield id
    api.remove(id)


@pytest.fixture
def volumes(api: Api) -> Iterator[Volumes]:
    """Nothing is left when a client has walked its path."""
    volumes = Volumes(api)
    yield volumes
    assert volumes.get("/volumes")["volumes"] == volumes.get("/snapshots")["snapshots"] == []


def test_shade_walks_the_path_of_a_volume(
    running: Running, server: str, volumes: Volumes, monkeypatch: pytest.MonkeyPatch
) -> None:
    from faafo_lab.cloud.shade_compat import shade

    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(running.clouds_yaml))
    cloud = shade.openstack_cloud(cloud="embedded")
    volume = cloud.create_volume(1, name="data", description="d", wait=True, timeout=LIMIT_SECONDS)
    assert (volume.name, volume.status, volume.size) == ("data", "available", 1)
    node = cloud.get_server("db")
    attachment = cloud.attach_volume(node, volume, device="/dev/vdb", timeout=LIMIT_SECONDS)
    assert attachment.device == "/dev/vdb"
    volume = cloud.get_volume("data")
    assert cloud.get_volume_attach_device(volume, server) == "/dev/vdb"
    assert [each.name for each in cloud.get_volumes(cloud.get_server("db"))] == ["data"]
    cloud.detach_volume(cloud.get_server("db"), volume, timeout=LIMIT_SECONDS)
    snapshot = cloud.create_volume_snapshot(volume.id, name="snap", wait=True, timeout=LIMIT_SECONDS)
    assert [each.name for each in cloud.list_volume_snapshots()] == ["snap"]
    copy = cloud.create_volume(1, snapshot_id=snapshot.id, name="copy", wait=True, timeout=LIMIT_SECONDS)
    from_image = cloud.create_volume(1, image="plain-linux", wait=True, timeout=LIMIT_SECONDS)
    assert from_image.is_bootable
    assert {each.name for each in cloud.list_volumes()} >= {"data", "copy"}
    assert cloud.delete_volume_snapshot("snap", wait=True, timeout=LIMIT_SECONDS)
    for each in (volume, copy, from_image):
        assert cloud.delete_volume(each.id, wait=True, timeout=LIMIT_SECONDS)
    assert cloud.delete_volume("data") is False


@pytest.mark.parametrize("version", ["2.2", "1.1"])
def test_libcloud_walks_the_path_of_a_volume_with_both_drivers(
    api: Api, server: str, volumes: Volumes, version: str
) -> None:
    driver = libcloud(api, api_version=version)

    def state(id: str) -> str:
        return str(driver.ex_get_volume(id).state)

    volume = driver.create_volume(1, "data")
    wait_for("the volume", lambda: state(volume.id) == StorageVolumeState.AVAILABLE)
    assert [(each.name, each.size) for each in driver.list_volumes()] == [("data", 1)]
    node = driver.ex_get_node_details(server)
    assert driver.attach_volume(node, volume, "/dev/vdb")
    assert state(volume.id) == StorageVolumeState.INUSE
    assert driver.ex_get_volume(volume.id).extra["attachments"][0]["device"] == "/dev/vdb"
    assert driver.detach_volume(driver.ex_get_volume(volume.id))
    assert state(volume.id) == StorageVolumeState.AVAILABLE
    snapshot = driver.create_volume_snapshot(volume, "snap")
    wait_for("the snapshot", lambda: driver.list_volume_snapshots(volume)[0].state == "available")
    assert [each.id for each in driver.list_volume_snapshots(volume)] == [snapshot.id]
    if version == "2.2":
        assert driver.ex_get_volume_quotas(api.project).volumes.in_use == 1
    done = driver.destroy_volume_snapshot(snapshot)
    assert done is (version == "2.2")  # the old one wants 204, and Nova has always answered 202
    wait_for("the snapshot to go", lambda: not driver.list_volume_snapshots(volume))
    assert driver.destroy_volume(volume)
    wait_for("the volume to go", lambda: not driver.list_volumes())


OPENSTACKCLIENT = """\
volume create --size 1 --description d --property a=b data -f value -c status
volume list -f value -c Name -c Size
volume set --name data2 --property c=d data
volume show data2 -f value -c properties
server add volume db data2 -f value -c Device
volume list -f value -c Name -c Status
server volume list db -f value -c Device
server remove volume db data2
volume set --size 2 data2
volume snapshot create --volume data2 snap -f value -c size
volume snapshot list -f value -c Name -c Size
volume snapshot set --property e=f snap
volume snapshot show snap -f value -c properties
volume type list -f value -c Name
volume type show __DEFAULT__ -f value -c is_public
limits show --absolute -f value
quota show -f value
volume summary -f value
volume backup create --name nightly data2 -f value -c name
volume backup list -f value -c Name -c Size
volume attachment list
volume group list
volume transfer request create --name gift data2 -f value -c name
volume transfer request list -f value -c Name
volume snapshot delete snap
availability zone list --volume -f value
volume create --image plain-linux --size 1 boot -f value -c status
volume show nope
"""


def test_openstackclient_walks_the_path_of_a_volume(running: Running, api: Api, server: str, volumes: Volumes) -> None:
    client = openstack(running, OPENSTACKCLIENT)
    said = client.stdout
    for expected in (
        "data 1\n",
        "'c': 'd'",
        "data2 in-use\n",
        "/dev/vdb\n",
        "snap 2\n",
        "'e': 'f'",
        "nightly 2\n",
        "gift\n",
    ):
        assert expected in said, said + client.stderr
    assert len(client.stderr.strip().splitlines()) == 1, client.stderr
    assert "No volume with a name or ID of 'nope' exists" in client.stderr or "nope" in client.stderr, client.stderr
    volumes.clear()


@pytest.fixture
def connection(api: Api) -> Iterator[Any]:
    with sdk(api) as connection:
        yield connection


def test_openstacksdk_makes_attaches_and_uploads_a_volume(
    api: Api, server: str, volumes: Volumes, connection: Any
) -> None:
    storage = connection.block_storage
    volume = storage.create_volume(name="sdk", size=1)
    storage.wait_for_status(volume, "available", interval=0.1, wait=LIMIT_SECONDS)
    connection.compute.create_volume_attachment(server, volume_id=volume.id)
    assert [each.device for each in connection.compute.volume_attachments(server)] == ["/dev/vdb"]
    connection.compute.delete_volume_attachment(server, volume.id)
    storage.extend_volume(volume, 2)
    assert storage.get_volume(volume).size == 2
    image = storage.upload_volume_to_image(volume, "packed", disk_format="raw", container_format="bare")
    wait_for("the image", lambda: api.get(f"/image/v2/images/{image['image_id']}")["status"] == "active")
    connection.image.delete_image(image["image_id"])
    snapshot = storage.create_snapshot(volume_id=volume.id, name="s")
    storage.wait_for_status(snapshot, "available", interval=0.1, wait=LIMIT_SECONDS)
    assert storage.get_limits().absolute.total_snapshots_used == 1
    storage.delete_snapshot(snapshot)
    storage.wait_for_delete(snapshot, interval=0.1, wait=LIMIT_SECONDS)
    storage.delete_volume(volume)
    storage.wait_for_delete(volume, interval=0.1, wait=LIMIT_SECONDS)


def test_openstacksdk_backs_up_reserves_and_offers_a_volume(api: Api, volumes: Volumes, connection: Any) -> None:
    storage = connection.block_storage
    volume = storage.create_volume(name="sdk", size=1)
    storage.wait_for_status(volume, "available", interval=0.1, wait=LIMIT_SECONDS)
    backup = storage.create_backup(volume_id=volume.id, name="nightly", metadata={"a": "b"})
    storage.wait_for_status(backup, "available", interval=0.1, wait=LIMIT_SECONDS)
    assert [each.name for each in storage.backups()] == ["nightly"]
    assert storage.get_backup(backup).metadata == {"a": "b"}
    restored = storage.restore_backup(backup, name="restored")
    storage.wait_for_status(storage.get_volume(restored.volume_id), "available", interval=0.1, wait=LIMIT_SECONDS)
    attachment = storage.create_attachment(volume, instance=NOWHERE)
    assert [each.id for each in storage.attachments()] == [attachment.id]
    storage.update_attachment(attachment, connector={"host": "here", "mountpoint": "/dev/vdb"})
    storage.complete_attachment(attachment)
    assert storage.get_volume(volume).status == "in-use"
    storage.delete_attachment(attachment)
    transfer = storage.create_transfer(volume_id=volume.id, name="gift")
    assert [each.name for each in storage.transfers()] == ["gift"]
    storage.delete_transfer(transfer)
    assert storage.summary(all_projects=False).total_count == 2
    volumes.clear()
    network = connection.network
    assert network.validate_auto_allocated_topology().id == "dry-run=pass"
    assert network.get_auto_allocated_topology().id == network.get_auto_allocated_topology().id
    network.delete_auto_allocated_topology()


def test_openstacksdk_cleans_a_project_of_volumes_and_their_backups(start: Callable[..., Running]) -> None:
    volumes = Volumes(Api(start()))
    volume = volumes.make(name="data")
    volumes.snap(volume)
    volumes.back_up(volume)
    with sdk(volumes.api) as connection:
        connection.project_cleanup(dry_run=False, wait_timeout=LIMIT_SECONDS)
    assert volumes.get("/volumes")["volumes"] == volumes.get("/backups")["backups"] == []
    assert volumes.get("/snapshots")["snapshots"] == []
