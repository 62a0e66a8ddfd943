"""Servers whose disk is a volume, and what else block_device_mapping_v2 may and may not ask for."""

import base64
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from faafo_lab.cloud.emulator import control
from faafo_lab.cloud.emulator.control import Running
from tests.waiting import wait_for

from .conftest import Api

SERVERS = "/compute/v2.1/servers"
SCRIPT = b'#!/bin/sh\ncd "$INSTANCE_ROOT"\necho "$PWD" > place\necho "$HOSTNAME" >> marks\n'
MARK = base64.b64encode(SCRIPT).decode()


def boot(api: Api, name: str, *devices: dict[str, Any], **more: Any) -> str:
    """A server with these devices, active."""
    mapping = {"imageRef": "", "block_device_mapping_v2": list(devices)}
    return api.boot(name, user_data=MARK, **{**mapping, **more})


def root(source: str, uuid: str, **more: Any) -> dict[str, Any]:
    return {"boot_index": 0, "source_type": source, "uuid": uuid, "destination_type": "volume", **more}


def volumes(api: Api, server: str) -> list[dict[str, Any]]:
    path = f"{SERVERS}/{server}/os-volume_attachments"
    found: list[dict[str, Any]] = api.get(path)["volumeAttachments"]
    return found


def status(api: Api, volume: str) -> Any:
    answer = api("GET", f"/volume/v3/{api.project}/volumes/{volume}")
    return answer.json()["volume"]["status"] if answer.status_code == 200 else None


@pytest.fixture
def kept(api: Api, running: Running) -> Iterator[str]:
    """A volume from which a server has booted, and that has stayed."""
    server = boot(api, "first", root("image", api.image(), volume_size=1))
    [attachment] = volumes(api, server)
    volume = attachment["volumeId"]
    marks = running.state_dir / "volumes" / volume / "marks"
    wait_for("the user data", lambda: marks.exists() and marks.read_text() == "first\n")
    api.remove(server)
    assert status(api, volume) == "available"
    yield volume
    wait_for("the volume gone", lambda: api("DELETE", f"/volume/v3/{api.project}/volumes/{volume}").status_code == 404)


def test_a_server_boots_from_a_volume_and_leaves_it_to_the_next(api: Api, running: Running, kept: str) -> None:
    server = boot(api, "second", root("volume", kept))
    shown = api.server(server)
    assert shown["image"] == ""
    assert shown["os-extended-volumes:volumes_attached"] == [{"id": kept}]
    later = api.get(f"{SERVERS}/{server}", headers={"OpenStack-API-Version": "compute 2.3"})["server"]
    assert later["os-extended-volumes:volumes_attached"] == [{"id": kept, "delete_on_termination": False}]
    [attachment] = volumes(api, server)
    assert (attachment["device"], status(api, kept)) == ("/dev/vda", "in-use")
    marks = running.state_dir / "volumes" / kept / "marks"
    wait_for("the user data of both", lambda: marks.read_text() == "first\nsecond\n")
    answer = api("DELETE", f"{SERVERS}/{server}/os-volume_attachments/{kept}")
    assert (answer.status_code, "root device" in answer.text) == (400, True)
    assert api("POST", f"{SERVERS}/{server}/action", {"rebuild": {"imageRef": api.image()}}).status_code == 400
    assert api("POST", f"{SERVERS}/{server}/action", {"reboot": {"type": "HARD"}}).status_code == 202
    api.until(server, "ACTIVE")
    api.remove(server)
    assert marks.read_text() == "first\nsecond\n"


def test_a_volume_from_a_snapshot_goes_with_its_server_where_that_was_asked_for(api: Api, kept: str) -> None:
    body = {"snapshot": {"volume_id": kept}}
    snapshot = api.make(f"/volume/v3/{api.project}/snapshots", body)["snapshot"]["id"]
    path = f"/volume/v3/{api.project}/snapshots/{snapshot}"
    wait_for("the snapshot", lambda: api.get(path)["snapshot"]["status"] == "available")
    extra = {"source_type": "blank", "destination_type": "volume", "volume_size": 1, "boot_index": -1}
    server = boot(api, "third", root("snapshot", snapshot, delete_on_termination=True), extra)
    disk, data = volumes(api, server)
    assert (disk["device"], data["device"]) == ("/dev/vda", "/dev/vdb")
    api.remove(server)
    wait_for("the disk gone", lambda: status(api, disk["volumeId"]) is None)
    assert status(api, data["volumeId"]) == "available"
    assert api("DELETE", f"/volume/v3/{api.project}/volumes/{data['volumeId']}").status_code == 202
    assert api("DELETE", path).status_code == 202
    wait_for("the snapshot gone", lambda: api("GET", path).status_code == 404)


def test_a_server_on_a_volume_is_rebuilt_from_2_93_on(api: Api, running: Running, kept: str) -> None:
    server = boot(api, "rebuilt", root("volume", kept))
    marks = running.state_dir / "volumes" / kept / "marks"
    wait_for("the user data of both", lambda: marks.read_text() == "first\nrebuilt\n")
    body = {"rebuild": {"imageRef": api.image("faafo-lab"), "name": "anew"}}
    path, new = f"{SERVERS}/{server}/action", {"headers": {"OpenStack-API-Version": "compute 2.93"}}
    assert "before microversion 2.93" in api("POST", path, body).json()["badRequest"]["message"]
    shown = api("POST", path, body, **new).json()["server"]
    assert (shown["image"], shown["status"]) == ("", "REBUILD")
    api.until(server, "ACTIVE")
    wait_for("the user data on the new content", lambda: marks.exists() and marks.read_text() == "rebuilt\n")
    volume = api.get(f"/volume/v3/{api.project}/volumes/{kept}")["volume"]
    assert (volume["status"], volume["volume_image_metadata"]["image_name"]) == ("in-use", "faafo-lab")
    assert volumes(api, server)[0]["device"] == "/dev/vda"
    api.remove(server)


def test_an_image_of_a_server_on_a_volume_boots_as_any_other(api: Api, running: Running, kept: str) -> None:
    server = boot(api, "pictured", root("volume", kept))
    path = f"{SERVERS}/{server}/action"
    image = api("POST", path, {"createImage": {"name": "of a volume"}}).headers["Location"].rsplit("/", 1)[-1]
    wait_for("the image", lambda: api.get(f"/image/v2/images/{image}")["status"] == "active")
    api.until(server, "ACTIVE")
    copy = api.boot("copy", imageRef=image)
    disk = running.state_dir / "instances" / copy / "disk"
    assert (disk / "place").read_text() == f"{disk}\n"
    for each in (copy, server):
        api.remove(each)
    assert api("DELETE", f"/image/v2/images/{image}").status_code == 204


@pytest.mark.parametrize(
    ("devices", "words"),
    [
        ([{"source_type": "volume", "uuid": "nope", "destination_type": "volume"}], "Boot sequence"),
        ([root("image", "IMAGE", volume_size=1)] * 2, "Boot sequence"),
        ([root("volume", "nope")], "failed to get volume nope."),
        ([root("volume", "BLANK")], "is not bootable."),
        ([root("image", "IMAGE")], "needs a volume_size above 0."),
        ([root("image", "IMAGE", destination_type="local")], "a local disk is the one of imageRef."),
        ([root("blank", "", volume_size=1)], "nothing boots from a blank volume."),
        ([root("snapshot", "")], "needs its uuid."),
        ([root("image", "IMAGE", volume_size=1), {"source_type": "blank"}], "no ephemeral disks."),
        ([root("tape", "IMAGE")], "'tape' is not one of"),
        ([root("image", "IMAGE", volume_size=1, colour="red")], "'colour' was unexpected"),
    ],
)
def test_a_device_that_cannot_be_is_refused_in_a_clear_sentence(
    api: Api, devices: list[dict[str, Any]], words: str
) -> None:
    volume = api.make(f"/volume/v3/{api.project}/volumes", {"volume": {"size": 1}})["volume"]["id"]
    wait_for("the volume", lambda: status(api, volume) == "available")
    known = {"IMAGE": api.image(), "BLANK": volume}
    mapping = [
        {**each, **({"uuid": known.get(each["uuid"], each["uuid"])} if "uuid" in each else {})} for each in devices
    ]
    body = {"name": "x", "imageRef": "", "flavorRef": "1", "block_device_mapping_v2": mapping}
    answer = api("POST", SERVERS, {"server": body})
    assert (answer.status_code, words in answer.text) == (400, True), answer.text
    assert api("DELETE", f"/volume/v3/{api.project}/volumes/{volume}").status_code == 202
    wait_for("no volumes", lambda: not api.get(f"/volume/v3/{api.project}/volumes")["volumes"])


def test_an_image_and_a_volume_at_once_and_a_volume_for_several_are_refused(api: Api, kept: str) -> None:
    body = {"name": "x", "imageRef": api.image(), "flavorRef": "1", "block_device_mapping_v2": [root("volume", kept)]}
    assert "not from both" in api("POST", SERVERS, {"server": body}).text
    several = {**body, "imageRef": "", "min_count": 2}
    assert "multiple instances" in api("POST", SERVERS, {"server": several}).text
    assert status(api, kept) == "available"


def test_a_server_on_a_volume_boots_again_with_the_cloud(start: Callable[..., Running], tmp_path: Path) -> None:
    api = Api(start())
    server = boot(api, "again", root("image", api.image(), volume_size=1))
    [attachment] = volumes(api, server)
    control.stop(tmp_path / "cloud")
    api = Api(start())
    api.until(server, "ACTIVE")
    assert volumes(api, server) == [attachment]
    assert (tmp_path / "cloud/instances" / server / "disk").resolve().name == attachment["volumeId"]
