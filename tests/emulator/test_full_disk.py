"""State that cannot be written or read: a clear word, nothing damaged, and all is well when there is room again."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from faafo_lab.cloud.emulator import control
from faafo_lab.cloud.emulator.control import Running
from faafo_lab.cloud.emulator.errors import StateError
from faafo_lab.cloud.emulator.system import tree
from tests.programs import possible
from tests.waiting import wait_for

from .conftest import Api
from .test_control import one_sentence

MEGABYTE = 1 << 20
GROUPS = "/networking/v2.0/security-groups"

Start = Callable[..., Running]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of its own, of eight megabytes."""
    place = tmp_path / "disk"
    place.mkdir()
    if not possible("mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(place)):
        pytest.skip("only root can mount a small disk here")
    try:
        yield place
    finally:
        control.stop(place / "cloud")
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill(place: Path) -> Path:
    """Fill the disk to the last byte; returns the file to remove."""
    ballast = place / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (MEGABYTE, 4096, 1):
            try:
                while file.write(bytes(size)):
                    pass
            except OSError:
                continue
    return ballast


def _image(api: Api) -> str:
    wanted = {"name": "large", "disk_format": "raw", "container_format": "bare"}
    return str(api.make("/image/v2/images", wanted)["id"])


def _upload(api: Api, id: str, size: int) -> int:
    headers = {"Content-Type": "application/octet-stream"}
    return api("PUT", f"/image/v2/images/{id}/file", content=bytes(size), headers=headers).status_code


def test_a_full_disk_refuses_and_loses_nothing(disk: Path) -> None:
    api = Api(control.start(disk / "cloud"))
    api.make(GROUPS, {"security_group": {"name": "before"}})
    server, image = api.boot("before"), _image(api)
    assert _upload(api, image, 20 * MEGABYTE) == 507  # it fills the disk by itself, and gives it back
    assert api.get(f"/image/v2/images/{image}")["status"] == "queued"
    assert len(list((disk / "cloud" / "images").iterdir())) == 2
    ballast = fill(disk)
    answers = [api("POST", GROUPS, {"security_group": {"name": f"late-{number}"}}) for number in range(100)]
    made = {answer.json()["security_group"]["name"] for answer in answers if answer.status_code == 201}
    refused = [answer for answer in answers if answer.status_code != 201]
    assert refused
    assert {answer.status_code for answer in refused} == {507}
    assert "is the disk full?" in refused[0].json()["NeutronError"]["message"]
    assert api.server(server)["status"] == "ACTIVE"  # reading goes on, and so do the instances
    wanted = {"name": "late", "imageRef": api.image(), "flavorRef": "1"}
    assert api("POST", "/compute/v2.1/servers", {"server": wanted}).status_code == 507
    os.kill(api.running.pid, signal.SIGKILL)
    wait_for("the end of every process", lambda: not tree.leftovers(disk / "cloud"))
    ballast.unlink()
    control.start(disk / "cloud")
    names = {each["name"] for each in api.get(GROUPS)["security_groups"]}
    assert names == {"default", "before", *made}
    api.until(server, "ACTIVE")
    assert [each["name"] for each in api.get("/compute/v2.1/servers")["servers"]] == ["before"]
    assert _upload(api, image, MEGABYTE) == 204
    api.make(GROUPS, {"security_group": {"name": "after"}})


def test_what_a_server_was_doing_when_the_disk_was_full_ends_in_a_fault(disk: Path) -> None:
    api = Api(control.start(disk / "cloud"))
    server = api.boot("victim")
    ballast = fill(disk)
    answers = [api("PUT", f"/compute/v2.1/servers/{server}/metadata", {"metadata": {"a": "b" * 255}})]
    while answers[-1].status_code == 200:
        answers.append(api("PUT", f"/compute/v2.1/servers/{server}/metadata", {"metadata": {"a": "b" * 255}}))
    pid = _init_of(api, server)
    os.kill(pid, signal.SIGKILL)  # its end cannot be noted
    wait_for("the end of its processes", lambda: not Path(f"/proc/{pid}").exists())
    ballast.unlink()
    wait_for("a word about it", lambda: api.server(server)["status"] in ("ERROR", "SHUTOFF"))
    assert api.server(server)["OS-EXT-STS:task_state"] is None
    assert api("POST", f"/compute/v2.1/servers/{server}/action", {"reboot": {"type": "HARD"}}).status_code == 202
    wait_for("the server", lambda: api.server(server)["status"] == "ACTIVE")


def _init_of(api: Api, server: str) -> int:
    mark = f"INSTANCE_PORTS={control.sockets.sockets_dir(api.running.state_dir) / server}".encode()
    directory = str(api.running.state_dir / "instances" / server)
    for pid in tree.leftovers(api.running.state_dir):
        links = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
        if f"{directory}/console.log" in links or mark in tree.read(f"/proc/{pid}/environ", 1 << 17):
            return pid
    raise AssertionError("the server has no init")


def test_no_room_at_the_start_is_said_and_a_later_start_is_well(disk: Path) -> None:
    ballast = fill(disk)
    with pytest.raises(StateError) as raised:
        control.start(disk / "cloud")
    one_sentence(raised.value)
    ballast.unlink()
    Api(control.start(disk / "cloud")).boot("late")


def test_a_disk_that_may_only_be_read_is_said(disk: Path) -> None:
    api = Api(control.start(disk / "cloud"))
    api.make(GROUPS, {"security_group": {"name": "kept"}})
    control.stop(disk / "cloud")
    wait_for("the last writer's end", lambda: not _remount(disk, "ro"))
    try:
        with pytest.raises(StateError) as raised:
            control.start(disk / "cloud")
        one_sentence(raised.value)
    finally:
        assert not _remount(disk, "rw")
    again = Api(control.start(disk / "cloud"))
    assert "kept" in {each["name"] for each in again.get(GROUPS)["security_groups"]}


def _remount(disk: Path, how: str) -> int:
    return subprocess.run(["mount", "-o", f"remount,{how}", str(disk)], capture_output=True).returncode


def test_a_second_emulator_on_the_same_state_is_refused(start: Start) -> None:
    running = start()
    command = [sys.executable, "-m", "faafo_lab.cloud.emulator", "--state-dir", str(running.state_dir)]
    second = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert second.returncode == 1
    assert f"Another emulator runs on {running.state_dir}" in second.stderr
    assert "Traceback" not in second.stderr
    assert control.status(running.state_dir) == running
    Api(running).make(GROUPS, {"security_group": {"name": "still"}})


@pytest.mark.parametrize("damage", ["header", "page", "row", "table"])
def test_a_corrupted_state_is_named_and_left_as_it_is(start: Start, damage: str) -> None:
    running = start()
    api = Api(running)
    for number in range(40):
        api.make(GROUPS, {"security_group": {"name": f"group-{number}", "description": "x" * 200}})
    control.stop(running.state_dir)
    path = running.state_dir / "state.sqlite"
    if damage in ("row", "table"):
        with sqlite3.connect(path) as database:
            database.execute("UPDATE row SET body = '{' WHERE kind = 'security_group'" if damage == "row" else
                             "DROP TABLE row")  # fmt: skip
        database.close()
    else:
        data = bytearray(path.read_bytes())
        for place in range(0 if damage == "header" else 2 * 4096, len(data), 4096):
            data[place : place + 64] = b"\xff" * 64
        path.write_bytes(data)
    before = path.read_bytes()
    with pytest.raises(StateError, match="cannot be read") as raised:
        start()
    one_sentence(raised.value)
    assert path.read_bytes() == before
    assert tree.leftovers(running.state_dir) == []
