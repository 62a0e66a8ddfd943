"""Nova's servers as they change: rebuild, resize, pause, lock, snapshots, ports, and what is remembered of it."""

import base64
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from faafo_lab.cloud.emulator import control
from faafo_lab.cloud.emulator.control import Running
from faafo_lab.cloud.emulator.system import tree
from tests.waiting import wait_for

from .conftest import Api

SERVERS = "/compute/v2.1/servers"


def user_data(script: str) -> str:
    return base64.b64encode(f"#!/bin/sh\n{script}".encode()).decode()


def act(api: Api, id: str, action: str, value: Any = None, status: int = 202) -> Any:
    answer = api("POST", f"{SERVERS}/{id}/action", {action: value})
    assert answer.status_code == status, answer.text
    return answer


def events(api: Api, id: str) -> list[tuple[str, str, str]]:
    """What a server's record has, the newest first: actions, their events and results."""
    path, late = f"{SERVERS}/{id}/os-instance-actions", {"headers": {"OpenStack-API-Version": "compute 2.51"}}
    rows = [
        api.get(f"{path}/{row['request_id']}", **late)["instanceAction"] for row in api.get(path)["instanceActions"]
    ]
    return [(row["action"], event["event"], event["result"]) for row in rows for event in row["events"]]


def disk(running: Running, id: str) -> Path:
    return running.state_dir / "instances" / id / "disk"


def processes(id: str) -> list[int]:
    """The instance's processes: those that have its id in their environment."""
    mark = f"{tree.INSTANCE_VARIABLE}={id}".encode()
    pids = [int(entry) for entry in os.listdir("/proc") if entry.isdigit()]
    return [pid for pid in pids if mark in tree.read(f"/proc/{pid}/environ", 1 << 16).split(b"\0")]


def states(id: str) -> set[str]:
    return {seen.state for pid in processes(id) if (seen := tree.stat(pid))}


def counted(running: Running, id: str) -> int:
    try:
        return (disk(running, id) / "tmp/count").stat().st_size
    except FileNotFoundError:
        return 0


COUNTING = 'while true; do printf x >> "$INSTANCE_ROOT/tmp/count"; sleep 0.02; done &\n'


def test_a_rebuilt_server_has_a_new_disk_and_its_old_addresses(api: Api, running: Running) -> None:
    id = api.boot("rebuilt", user_data=user_data('echo again >> "$INSTANCE_ROOT/booted"'))
    before = api.server(id)["addresses"]
    wait_for("the user data", (disk(running, id) / "booted").exists)
    (disk(running, id) / "mine").write_text("gone soon")
    answer = act(api, id, "rebuild", {"imageRef": api.image(), "name": "new", "metadata": {"a": "b"}})
    shown = answer.json()["server"]
    assert (shown["status"], shown["name"], shown["metadata"]) == ("REBUILD", "new", {"a": "b"})
    assert shown["adminPass"]
    assert "key_name" not in shown
    assert api.until(id, "ACTIVE")["addresses"] == before
    assert not (disk(running, id) / "mine").exists()
    wait_for("the user data again", (disk(running, id) / "booted").exists)
    act(api, id, "rebuild", {"imageRef": "nope"}, 400)
    act(api, id, "rebuild", {"imageRef": api.image(), "personality": [{"path": "/x", "contents": ""}]}, 400)
    act(api, id, "os-stop")
    api.until(id, "SHUTOFF")
    act(api, id, "rebuild", {"imageRef": api.image()})
    assert api.until(id, "SHUTOFF")["OS-EXT-STS:power_state"] == 4
    api.remove(id)


def test_a_resized_server_has_the_other_flavors_share_until_it_is_reverted(api: Api) -> None:
    id = api.boot("resized")

    def said() -> str:
        return str(act(api, id, "os-getConsoleOutput", {"length": None}, 200).json()["output"])

    assert "CPU: 0.25 cores; memory: 512 MB" in said()
    act(api, id, "confirmResize", None, 409)
    act(api, id, "resize", {"flavorRef": "1"}, 400)
    act(api, id, "resize", {"flavorRef": "nope"}, 400)
    act(api, id, "resize", {"flavorRef": "2", "OS-DCF:diskConfig": "AUTO"})
    assert api.server(id)["status"] in ("RESIZE", "VERIFY_RESIZE")
    shown = api.until(id, "VERIFY_RESIZE")
    assert (shown["flavor"]["id"], shown["OS-DCF:diskConfig"]) == ("2", "AUTO")
    assert "CPU: 0.5 cores; memory: 1024 MB" in said()
    act(api, id, "os-stop", None, 409)
    act(api, id, "revertResize")
    assert api.until(id, "ACTIVE")["flavor"]["id"] == "1"
    assert said().count("CPU: 0.25 cores") == 2
    act(api, id, "os-stop")
    api.until(id, "SHUTOFF")
    act(api, id, "resize", {"flavorRef": "3"})
    assert api.until(id, "VERIFY_RESIZE")["OS-EXT-STS:power_state"] == 4
    act(api, id, "confirmResize", None, 204)
    assert api.until(id, "SHUTOFF")["flavor"]["id"] == "3"
    api.remove(id)


@pytest.mark.parametrize(
    ("stop", "go", "status", "power"), [("pause", "unpause", "PAUSED", 3), ("suspend", "resume", "SUSPENDED", 4)]
)
def test_a_paused_servers_processes_stand_still_and_go_on(
    api: Api, running: Running, stop: str, go: str, status: str, power: int
) -> None:
    id = api.boot(stop, user_data=user_data(COUNTING))
    wait_for("the counting to begin", lambda: counted(running, id))
    act(api, id, go, None, 409)
    act(api, id, stop)
    assert api.until(id, status)["OS-EXT-STS:power_state"] == power
    still = wait_for("all to be stopped", lambda: counted(running, id) if states(id) <= {"T", "S"} else 0)
    act(api, id, "os-stop", None, 409)
    assert counted(running, id) == still
    act(api, id, go)
    api.until(id, "ACTIVE")
    wait_for("the counting to go on", lambda: counted(running, id) > still)
    act(api, id, stop)
    api.until(id, status)
    act(api, id, "reboot", {"type": "HARD"})
    api.until(id, "ACTIVE")
    act(api, id, stop)
    api.until(id, status)
    api.remove(id)
    assert processes(id) == []


def test_a_locked_server_refuses_until_it_is_unlocked(api: Api) -> None:
    id = api.boot("locked")
    act(api, id, "lock")
    for action, value in (("os-stop", None), ("reboot", {"type": "HARD"}), ("resize", {"flavorRef": "2"})):
        assert "is locked" in act(api, id, action, value, 409).text
    assert api("DELETE", f"{SERVERS}/{id}").status_code == 409
    assert api("PUT", f"{SERVERS}/{id}/metadata", {"metadata": {}}).status_code == 409
    assert api.get(f"{SERVERS}/{id}", headers={"OpenStack-API-Version": "compute 2.9"})["server"]["locked"] is True
    act(api, id, "unlock")
    api.remove(id)


def test_a_snapshot_is_an_image_that_boots(api: Api, alt: Api, running: Running) -> None:
    script = 'cd "$INSTANCE_ROOT" && echo kept > kept && ln -s /usr/bin/env outside && ln -s "$INSTANCE_ROOT/kept" own'
    id = api.boot("original", user_data=user_data(script))
    wait_for("the user data", (disk(running, id) / "own").is_symlink)
    answer = act(api, id, "createImage", {"name": "snap ☃", "metadata": {"purpose": "test"}})
    image = answer.headers["Location"].rsplit("/", 1)[-1]
    assert answer.content == b""
    shown = wait_for("the image", lambda: (v := api.get(f"/image/v2/images/{image}"))["status"] == "active" and v)
    assert (shown["name"], shown["purpose"], shown["visibility"]) == ("snap ☃", "test", "private")
    assert (shown["image_type"], shown["instance_uuid"], shown["base_image_ref"]) == ("snapshot", id, api.image())
    assert (shown["min_disk"], shown["os_distro"]) == (1, "plain-linux")
    assert alt("GET", f"/image/v2/images/{image}").status_code == 404
    old = api.until(id, "ACTIVE")
    assert old["OS-EXT-STS:task_state"] is None
    copy = api.boot("copy", imageRef=image, user_data=user_data('echo "again on $HOSTNAME" > "$INSTANCE_ROOT/again"'))
    assert (disk(running, copy) / "kept").read_text() == "kept\n"
    assert os.readlink(disk(running, copy) / "outside") == "/usr/bin/env"
    assert os.readlink(disk(running, copy) / "own") == "kept"
    wait_for("its own user data", lambda: (disk(running, copy) / "again").exists())
    for each in (copy, id):
        api.remove(each)
    assert api("DELETE", f"/image/v2/images/{image}").status_code == 204


SERVICE = """cd "$INSTANCE_ROOT"
printf '#!/bin/sh\\necho "$HOSTNAME" > "$INSTANCE_ROOT/served"\\nexec sleep 1000\\n' > bin/serve
chmod 755 bin/serve
printf '[Service]\\nExecStart=%s/bin/serve\\n[Install]\\nWantedBy=multi-user.target\\n' "$PWD" \\
    > etc/systemd/system/serve.service
echo 1 > run/serve.pid
systemctl enable --now serve
"""


def test_a_service_of_the_original_is_one_of_its_snapshot_too(api: Api, running: Running) -> None:
    id = api.boot("first", user_data=user_data(SERVICE))
    wait_for("the service", (disk(running, id) / "served").exists)
    image = act(api, id, "createImage", {"name": "served"}).headers["Location"].rsplit("/", 1)[-1]
    wait_for("the image", lambda: api.get(f"/image/v2/images/{image}")["status"] == "active")
    api.until(id, "ACTIVE")
    api.remove(id)
    copy = api.boot("second", imageRef=image)
    served = disk(running, copy) / "served"
    wait_for("the service of the copy", lambda: served.read_text() == "second\n")
    assert str(disk(running, copy)) in (disk(running, copy) / "etc/systemd/system/serve.service").read_text()
    assert not (disk(running, copy) / "run/serve.pid").exists()
    api.remove(copy)
    api("DELETE", f"/image/v2/images/{image}")


def test_deleting_a_server_ends_its_snapshot_and_leaves_no_image(api: Api, running: Running) -> None:
    id = api.boot("big")
    (disk(running, id) / "big").write_bytes(os.urandom(64 << 20))
    act(api, id, "createImage", {"name": "never"})
    act(api, id, "createImage", {"name": "second"}, 409)
    api.remove(id)
    assert api.get("/image/v2/images?name=never")["images"] == []
    here = {path.name for path in (running.state_dir / "images").iterdir()}
    assert here == {each["id"] for each in api.get("/image/v2/images")["images"]}


def test_an_attached_port_is_another_way_in_until_it_is_detached(api: Api, running: Running) -> None:
    id = api.boot("two-legs")
    path = f"{SERVERS}/{id}/os-interface"
    [first] = api.get(path)["interfaceAttachments"]
    network = api.network()["id"]
    made = api.make(path, {"interfaceAttachment": {"net_id": network}})["interfaceAttachment"]
    own = api.make("/networking/v2.0/ports", {"port": {"network_id": network}})["port"]["id"]
    given = api.make(path, {"interfaceAttachment": {"port_id": own}})["interfaceAttachment"]
    addresses = {ip["ip_address"] for each in (first, made, given) for ip in each["fixed_ips"]}
    assert {each["addr"] for each in api.server(id)["addresses"]["private"]} == addresses
    assert api("POST", path, {"interfaceAttachment": {"port_id": own}}).status_code == 409
    assert api("POST", path, {"interfaceAttachment": {"port_id": own, "net_id": network}}).status_code == 400
    for port, left in ((made["port_id"], 404), (own, 200)):
        assert api("DELETE", f"{path}/{port}").status_code == 202
        assert api("GET", f"/networking/v2.0/ports/{port}").status_code == left
    assert [each["port_id"] for each in api.get(path)["interfaceAttachments"]] == [first["port_id"]]
    assert api("DELETE", f"{path}/{own}").status_code == 404
    assert events(api, id)[:2] == [("detach_interface", "compute_detach_interface", "Success")] * 2
    assert events(api, id)[3][:2] == ("attach_interface", "compute_attach_interface")
    api.remove(id)
    api("DELETE", f"/networking/v2.0/ports/{own}")


def test_actions_are_remembered_with_their_events_also_of_deleted_servers(api: Api, alt: Api) -> None:
    id = api.boot("remembered")
    act(api, id, "reboot", {"type": "HARD"})
    api.until(id, "ACTIVE")
    path = f"{SERVERS}/{id}/os-instance-actions"
    newest, oldest = api.get(path)["instanceActions"]
    assert (newest["action"], oldest["action"]) == ("reboot", "create")
    assert set(newest) == {
        *("action", "request_id", "user_id", "project_id", "start_time", "message", "instance_uuid"),
    }
    shown = api.get(f"{path}/{newest['request_id']}", headers={"OpenStack-API-Version": "compute 2.51"})
    [event] = shown["instanceAction"]["events"]
    assert (event["event"], event["result"]) == ("compute_reboot_instance", "Success")
    assert event["start_time"] < event["finish_time"]
    assert alt("GET", path).status_code == 404
    api.remove(id)
    assert api("GET", path).status_code == 404
    later = api.get(path, headers={"OpenStack-API-Version": "compute 2.58"})["instanceActions"]
    assert [each["action"] for each in later] == ["delete", "reboot", "create"]


def test_deleted_servers_are_listed_to_those_who_ask_what_has_changed(api: Api) -> None:
    id = api.boot("short-lived")
    since = api.server(id)["updated"]
    api.remove(id)
    assert id not in [each["id"] for each in api.get(SERVERS)["servers"]]
    [gone] = [each for each in api.get(f"{SERVERS}/detail?changes-since={since}")["servers"] if each["id"] == id]
    assert (gone["status"], gone["OS-EXT-STS:vm_state"]) == ("DELETED", "deleted")
    assert gone["OS-SRV-USG:terminated_at"]
    assert api.get(f"{SERVERS}?changes-since=2999-01-01T00:00:00Z")["servers"] == []
    assert api("GET", f"{SERVERS}?changes-since=yesterday").status_code == 400
    assert api("GET", f"{SERVERS}?status=DELETED").status_code == 403


def test_what_was_being_done_when_the_emulator_was_killed_is_done_at_its_next_start(
    start: Callable[..., Running], tmp_path: Path
) -> None:
    api = Api(start())
    rebuilt, resized, paused = (api.boot(name) for name in ("rebuilt", "resized", "paused"))
    act(api, paused, "pause")
    api.until(paused, "PAUSED")
    act(api, resized, "resize", {"flavorRef": "2"})
    api.until(resized, "VERIFY_RESIZE")
    act(api, rebuilt, "rebuild", {"imageRef": api.image()})
    act(api, resized, "revertResize")
    os.kill(int((tmp_path / "cloud/emulator.pid").read_text()), 9)
    wait_for("its end", lambda: not tree.leftovers(tmp_path / "cloud"))
    api = Api(control.start(tmp_path / "cloud"))
    assert api.until(rebuilt, "ACTIVE")["OS-EXT-STS:power_state"] == 1
    assert api.until(resized, "ACTIVE")["flavor"]["id"] == "1"
    api.until(paused, "SHUTOFF")
