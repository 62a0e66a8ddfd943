"""Servers that are shelved and rescued, and the backups of their disks."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from faafo_lab.cloud.emulator import control
from faafo_lab.cloud.emulator.control import Running
from faafo_lab.cloud.emulator.system import tree
from tests.waiting import wait_for

from .clients import openstack
from .conftest import Api
from .test_boot_from_volume import boot, root, status, volumes
from .test_compute_changes import SERVERS, act, disk, events, processes, user_data

IMAGES = "/image/v2/images"
MARK = 'echo mine > "$INSTANCE_ROOT/mine"; echo again >> "$INSTANCE_ROOT/boots"'


def images(api: Api, query: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = api.get(f"{IMAGES}?{query}")["images"]
    return found


def at(version: str) -> dict[str, Any]:
    return {"headers": {"OpenStack-API-Version": f"compute {version}"}}


@pytest.fixture
def marked(api: Api, running: Running) -> Iterator[str]:
    """A server whose user data has written on its disk."""
    id = api.boot("marked", user_data=user_data(MARK))
    wait_for("the user data", (disk(running, id) / "boots").exists)
    yield id
    if api("GET", f"{SERVERS}/{id}").status_code == 200:
        api.remove(id)


def test_a_shelved_server_leaves_its_host_and_comes_back_with_its_disk(api: Api, running: Running, marked: str) -> None:
    before = api.server(marked)
    act(api, marked, "unshelve", None, 409)
    act(api, marked, "shelve")
    shelved = api.until(marked, "SHELVED_OFFLOADED")
    assert (shelved["OS-EXT-STS:vm_state"], shelved["OS-EXT-STS:power_state"]) == ("shelved_offloaded", 4)
    assert (shelved["hostId"], shelved["image"]) == ("", before["image"])
    assert processes(marked) == []
    assert not (running.state_dir / "instances" / marked).exists()
    [image] = images(api, "name=marked-shelved")
    assert (image["status"], image["image_type"], image["instance_uuid"]) == ("active", "snapshot", marked)
    for action in ("shelve", "os-start", "os-stop", "pause", "rescue", "createImage"):
        value = {"name": "x"} if action == "createImage" else None
        assert "vm_state shelved_offloaded" in act(api, marked, action, value, 409).text
    act(api, marked, "shelveOffload", None, 403)
    act(api, marked, "unshelve")
    after = api.until(marked, "ACTIVE")
    assert after["addresses"] == before["addresses"]
    assert (disk(running, marked) / "mine").read_text() == "mine\n"
    assert (disk(running, marked) / "boots").read_text() == "again\n"  # the user data runs at the first boot only
    assert images(api, "name=marked-shelved") == []
    assert events(api, marked)[:2] == [
        ("unshelve", "compute_unshelve_instance", "Success"),
        ("shelve", "compute_shelve_instance", "Success"),
    ]


@pytest.mark.parametrize("first", ["os-stop", "pause"])
def test_a_server_that_does_not_run_is_shelved_and_runs_when_it_is_unshelved(
    api: Api, running: Running, marked: str, first: str
) -> None:
    act(api, marked, first)
    api.until(marked, {"os-stop": "SHUTOFF", "pause": "PAUSED"}[first])
    act(api, marked, "shelve")
    api.until(marked, "SHELVED_OFFLOADED")
    act(api, marked, "unshelve")
    api.until(marked, "ACTIVE")
    assert (disk(running, marked) / "mine").exists()


def test_a_shelved_server_takes_its_image_along_when_it_is_deleted(api: Api, marked: str) -> None:
    act(api, marked, "shelve")
    api.until(marked, "SHELVED_OFFLOADED")
    api.remove(marked)
    assert images(api, "name=marked-shelved") == []


def test_a_server_without_its_shelved_image_fails_in_a_clear_sentence(api: Api, marked: str) -> None:
    act(api, marked, "shelve")
    api.until(marked, "SHELVED_OFFLOADED")
    [image] = images(api, "name=marked-shelved")
    assert api("DELETE", f"{IMAGES}/{image['id']}").status_code == 204
    act(api, marked, "unshelve")
    assert image["id"] in api.until(marked, "ERROR")["fault"]["message"]


def test_a_zone_is_taken_by_unshelve_from_2_77_on_and_a_host_never(api: Api, marked: str) -> None:
    act(api, marked, "shelve")
    api.until(marked, "SHELVED_OFFLOADED")
    path = f"{SERVERS}/{marked}/action"
    for version, value, expected in (
        ("2.77", {"availability_zone": "mars"}, 400),
        ("2.77", {"availability_zone": None}, 400),
        ("2.77", {"host": "other"}, 400),
        ("2.91", {"host": "other"}, 403),
    ):
        assert api("POST", path, {"unshelve": value}, **at(version)).status_code == expected, (version, value)
    assert api("POST", path, {"unshelve": {"availability_zone": "nova"}}, **at("2.77")).status_code == 202
    api.until(marked, "ACTIVE")


def test_a_server_on_a_volume_is_shelved_without_an_image(api: Api, running: Running) -> None:
    id = boot(api, "on-a-volume", root("image", api.image(), volume_size=1, delete_on_termination=True))
    [attachment] = volumes(api, id)
    volume = running.state_dir / "volumes" / attachment["volumeId"]
    wait_for("the user data", (volume / "marks").exists)
    act(api, id, "shelve")
    api.until(id, "SHELVED_OFFLOADED")
    assert images(api, "name=on-a-volume-shelved") == []
    assert status(api, attachment["volumeId"]) == "in-use"
    act(api, id, "unshelve")
    api.until(id, "ACTIVE")
    assert (volume / "marks").read_text() == "on-a-volume\n"
    assert "volume-backed" in act(api, id, "createBackup", BACKUP, 400).text
    api.remove(id)
    wait_for("the volume gone", lambda: status(api, attachment["volumeId"]) is None)


def test_a_rescued_server_boots_another_disk_and_has_its_own_beside_it(api: Api, running: Running, marked: str) -> None:
    rescued = running.state_dir / "instances" / marked / "volumes/rescued"
    answer = act(api, marked, "rescue", {"adminPass": "secret"}, 200)
    assert answer.json() == {"adminPass": "secret"}
    assert api.until(marked, "RESCUE")["OS-EXT-STS:vm_state"] == "rescued"
    assert (rescued / "mine").read_text() == "mine\n"
    wait_for("the user data of the other disk", (disk(running, marked) / "boots").exists)
    (rescued / "mine").write_text("repaired\n")
    said = act(api, marked, "os-getConsoleOutput", {}, 200).json()["output"]
    assert "rescue: the server's own disk is $INSTANCE_VOLUMES/rescued" in said
    for action in ("rescue", "os-stop", "pause", "shelve", "createBackup"):
        act(api, marked, action, BACKUP if action == "createBackup" else None, 409)
    act(api, marked, "unrescue")
    api.until(marked, "ACTIVE")
    assert (disk(running, marked) / "mine").read_text() == "repaired\n"
    assert (disk(running, marked) / "boots").read_text() == "again\n"
    assert not os.path.lexists(rescued)
    act(api, marked, "unrescue", None, 409)
    assert [event[0] for event in events(api, marked)[:2]] == ["unrescue", "rescue"]


def test_a_rescue_image_that_is_no_disk_leaves_the_server_its_own(api: Api, running: Running, marked: str) -> None:
    image = api.make(IMAGES, {"name": "no disk", "disk_format": "raw", "container_format": "bare"})["id"]
    assert api("PUT", f"{IMAGES}/{image}/file", content=b"no disk").status_code == 204
    act(api, marked, "rescue", {"rescue_image_ref": "nope"}, 400)
    act(api, marked, "rescue", {"rescue_image_ref": image}, 200)
    assert "cannot be unpacked" in api.until(marked, "ERROR")["fault"]["message"]
    assert (disk(running, marked) / "mine").read_text() == "mine\n"
    act(api, marked, "reboot", {"type": "HARD"})
    api.until(marked, "ACTIVE")
    assert api("DELETE", f"{IMAGES}/{image}").status_code == 204


def test_a_server_on_a_volume_is_rescued_from_2_87_on(api: Api, running: Running) -> None:
    id = boot(api, "to-rescue", root("image", api.image(), volume_size=1, delete_on_termination=True))
    place = running.state_dir / "instances" / id
    wait_for("the user data", (place / "disk/marks").exists)
    body = {"rescue": {"rescue_image_ref": api.image()}}
    refused = api("POST", f"{SERVERS}/{id}/action", body, **at("2.86"))
    assert (refused.status_code, "Cannot rescue a volume-backed instance" in refused.text) == (400, True)
    assert api("POST", f"{SERVERS}/{id}/action", body, **at("2.87")).status_code == 200
    api.until(id, "RESCUE")
    assert (place / "volumes/rescued/marks").exists()
    assert not (place / "disk").is_symlink()
    act(api, id, "unrescue")
    api.until(id, "ACTIVE")
    assert (place / "disk/place").exists()
    api.remove(id)


BACKUP = {"name": "saved", "backup_type": "daily", "rotation": 2}


def test_backups_are_images_of_which_the_oldest_go(api: Api, marked: str) -> None:
    taken = []
    for number in range(3):
        body = {**BACKUP, "name": f"saved-{number}", "metadata": {"number": str(number)}}
        answer = api("POST", f"{SERVERS}/{marked}/action", {"createBackup": body}, **at("2.45"))
        taken.append(answer.json()["image_id"])
        api.until(marked, "ACTIVE")
    other = {**BACKUP, "backup_type": "weekly", "rotation": "1"}
    assert act(api, marked, "createBackup", other).headers["Location"]
    api.until(marked, "ACTIVE")
    found = images(api, f"image_type=backup&backup_type=daily&instance_uuid={marked}")
    assert sorted(each["id"] for each in found) == sorted(taken[1:])
    assert {each["number"] for each in found} == {"1", "2"}
    none = act(api, marked, "createBackup", {**BACKUP, "rotation": 0})
    assert "Location" not in none.headers
    api.until(marked, "ACTIVE")
    assert images(api, f"backup_type=daily&instance_uuid={marked}") == []
    assert len(images(api, f"backup_type=weekly&instance_uuid={marked}")) == 1
    for wrong in ({"rotation": -1}, {"backup_type": ""}, {"rotation": "many"}):
        act(api, marked, "createBackup", {**BACKUP, **wrong}, 400)
    assert events(api, marked)[0] == ("createBackup", "compute_backup_instance", "Success")
    for each in images(api, "image_type=backup"):
        assert api("DELETE", f"{IMAGES}/{each['id']}").status_code == 204


def test_shelved_and_rescued_servers_are_so_after_the_cloud_is_killed(
    start: Callable[..., Running], tmp_path: Path
) -> None:
    running = start()
    api = Api(running)
    shelved, rescued, amid = (api.boot(name, user_data=user_data(MARK)) for name in ("shelved", "rescued", "amid"))
    for each in (shelved, rescued, amid):
        wait_for("the user data", (disk(running, each) / "boots").exists)
    act(api, shelved, "shelve")
    api.until(shelved, "SHELVED_OFFLOADED")
    act(api, rescued, "rescue", None, 200)
    api.until(rescued, "RESCUE")
    (disk(running, amid) / "big").write_bytes(os.urandom(64 << 20))
    act(api, amid, "shelve")
    os.kill(int((tmp_path / "cloud/emulator.pid").read_text()), 9)
    wait_for("its end", lambda: not tree.leftovers(tmp_path / "cloud"))
    running = control.start(tmp_path / "cloud")
    api = Api(running)
    assert api.until(amid, "SHUTOFF")["OS-EXT-STS:power_state"] == 4
    assert images(api, "name=amid-shelved") == []
    api.until(rescued, "RESCUE")
    act(api, rescued, "unrescue")
    act(api, amid, "os-start")
    act(api, shelved, "unshelve")
    for each in (shelved, rescued, amid):
        api.until(each, "ACTIVE")
        assert (disk(running, each) / "boots").read_text() == "again\n"


SCRIPT = """\
server shelve --wait marked
server show marked -f value -c status
server unshelve --wait marked
server rescue marked
server unrescue marked
server backup create --name osc-backup --type daily --rotate 1 --wait marked
image show osc-backup -f value -c status
usage show --start 2020-01-01 -f value -c Servers
usage list
"""


def test_openstackclient_shelves_rescues_backs_up_and_reads_the_usage(api: Api, running: Running, marked: str) -> None:
    steps = SCRIPT.splitlines()
    done = openstack(running, "\n".join(steps[:4]) + "\n")
    assert "SHELVED_OFFLOADED" in done.stdout, done.stderr
    api.until(marked, "RESCUE")
    done = openstack(running, steps[4] + "\n")
    api.until(marked, "ACTIVE")
    done = openstack(running, "\n".join(steps[5:]) + "\n")
    assert "\nactive\n" in done.stdout, done.stderr
    assert "Policy doesn't allow os_compute_api:os-simple-tenant-usage:list" in done.stderr
    [image] = images(api, "name=osc-backup")
    assert api("DELETE", f"{IMAGES}/{image['id']}").status_code == 204
