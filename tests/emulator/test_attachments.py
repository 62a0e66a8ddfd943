"""Volumes in servers: a directory that comes and goes with its attachment, and outlives server, cloud and kill."""

import base64
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from faafo_lab.cloud.emulator.control import Running
from faafo_lab.cloud.emulator.system import tree
from tests.waiting import wait_for

from .conftest import Api
from .volumes_room import Volumes

N = "/compute/v2.1/servers"
COUNT = b"""#!/bin/sh
cat > "$INSTANCE_ROOT/bin/count" <<'END'
#!/bin/sh
while sleep 0.05; do
  for volume in "$INSTANCE_VOLUMES"/*/; do echo "$HOSTNAME" >> "$volume/seen"; done
done
END
chmod +x "$INSTANCE_ROOT/bin/count"
printf '[Service]\\nExecStart=count\\n[Install]\\nWantedBy=multi-user.target\\n' \
  > "$INSTANCE_ROOT/etc/systemd/system/count.service"
systemctl enable --now count
"""  # writes into every volume that the instance has, for as long as it runs


def counting() -> str:
    return base64.b64encode(COUNT).decode()


@pytest.fixture
def volumes(api: Api) -> Iterator[Volumes]:
    volumes = Volumes(api)
    yield volumes
    for server in api.get(N)["servers"]:
        api.remove(server["id"])
    volumes.clear()


def seen(place: Path) -> int:
    """How often the instance has written into a volume."""
    return len((place / "seen").read_text().splitlines()) if (place / "seen").exists() else 0


def writes(place: Path) -> None:
    """Await that the instance goes on to write into a volume."""
    before = seen(place)
    wait_for(f"writing into {place.name}", lambda: seen(place) > before)


def console(api: Api, server: str) -> str:
    return str(api.make(f"{N}/{server}/action", {"os-getConsoleOutput": {}})["output"])


def test_a_volume_is_in_its_server_while_it_is_attached(volumes: Volumes, api: Api) -> None:
    volume, server = volumes.make(name="data"), api.boot("db", user_data=counting())
    attachment = volumes.attach(volume, server)
    assert attachment == {"id": volume, "volumeId": volume, "serverId": server, "device": "/dev/vdb"}
    writes(volumes.place(volume))
    assert api.server(server)["os-extended-volumes:volumes_attached"] == [{"id": volume}]
    shown = volumes.get(f"/volumes/{volume}")["volume"]
    assert (shown["status"], shown["attachments"][0]["server_id"]) == ("in-use", server)
    assert (shown["attachments"][0]["device"], shown["attachments"][0]["volume_id"]) == ("/dev/vdb", volume)
    path = f"{N}/{server}/os-volume_attachments"
    assert api.get(path) == {"volumeAttachments": [attachment]}
    assert api.get(f"{path}/{volume}") == {"volumeAttachment": attachment}
    wait_for("a word in the console", lambda: "virtio_blk: vdb: volume data is" in console(api, server))
    volumes.detach(volume, server)
    link = api.running.state_dir / "instances" / server / "volumes/vdb"
    assert not link.exists()
    assert volumes.get(f"/volumes/{volume}")["volume"]["attachments"] == []
    assert api.get(path) == {"volumeAttachments": []}
    assert api("DELETE", f"{path}/{volume}").status_code == 404
    record = [row["action"] for row in api.get(f"{N}/{server}/os-instance-actions")["instanceActions"]]
    assert record == ["detach_volume", "attach_volume", "create"]


def test_what_was_written_comes_along_to_the_next_server(volumes: Volumes, api: Api) -> None:
    volume, first = volumes.make(), api.boot("first", user_data=counting())
    volumes.attach(volume, first)
    writes(volumes.place(volume))
    api.remove(first)
    assert volumes.get(f"/volumes/{volume}")["volume"]["status"] == "available"
    second = api.boot("second", user_data=counting())
    volumes.attach(volume, second)
    hosts = volumes.place(volume) / "seen"
    wait_for("the second server's lines", lambda: {"first", "second"} <= set(hosts.read_text().split()))


def test_devices_are_given_in_order_and_stay_over_stop_start_and_reboot(volumes: Volumes, api: Api) -> None:
    one, two, three = volumes.make(), volumes.make(), volumes.make()
    server = api.boot("many", user_data=counting())
    devices = [volumes.attach(each, server)["device"] for each in (one, two)]
    assert devices == ["/dev/vdb", "/dev/vdc"]
    volumes.detach(one, server)
    writes(volumes.place(two))
    api("POST", f"{N}/{server}/action", {"os-stop": None})
    api.until(server, "SHUTOFF")
    assert volumes.attach(three, server)["device"] == "/dev/vdb"
    api("POST", f"{N}/{server}/action", {"os-start": None})
    api.until(server, "ACTIVE")
    writes(volumes.place(two))
    writes(volumes.place(three))
    api("POST", f"{N}/{server}/action", {"reboot": {"type": "HARD"}})
    api.until(server, "ACTIVE")
    writes(volumes.place(three))
    assert f"virtio_blk: vdb: volume {three} is" in console(api, server)
    metadata = api.running.state_dir / "instances" / server / "disk/var/lib/cloud/instance/meta_data.json"
    assert three in metadata.read_text()


def test_a_running_servers_volume_gives_a_snapshot_only_when_forced(volumes: Volumes, api: Api) -> None:
    volume, server = volumes.make(), api.boot("busy", user_data=counting())
    volumes.attach(volume, server)
    writes(volumes.place(volume))
    assert volumes("POST", "/snapshots", {"snapshot": {"volume_id": volume}}).status_code == 400
    snapshot = volumes.snap(volume, force=True)
    assert (volumes.place(snapshot, "snapshot") / "seen").exists()


def test_what_cannot_be_attached_is_refused(volumes: Volumes, api: Api, alt: Api) -> None:
    volume, server = volumes.make(), api.boot("full")
    other = api.boot("other")
    path = f"{N}/{server}/os-volume_attachments"
    volumes.attach(volume, server)

    def attached(place: str, **wanted: object) -> int:
        return api("POST", f"{N}/{place}/os-volume_attachments", {"volumeAttachment": wanted}).status_code

    assert attached(other, volumeId=volume) == attached(server, volumeId=volume) == 400
    assert attached(server, volumeId="nope") == attached(server) == 400
    assert attached(server, volumeId=volume, device="C:") == attached(server, volumeId=volume, more=1) == 400
    assert attached(server, volumeId="00000000-0000-0000-0000-000000000000") == attached("nope", volumeId=volume) == 404
    assert api("GET", f"{N}/{other}/os-volume_attachments/{volume}").status_code == 404
    assert api("PUT", f"{path}/{volume}", {"volumeAttachment": {"volumeId": volume}}).status_code == 403
    assert volumes("DELETE", f"/volumes/{volume}").status_code == 400
    assert volumes("POST", f"/volumes/{volume}/action", {"os-extend": {"new_size": 2}}).status_code == 400
    theirs = Volumes(alt)
    foreign = theirs.make()
    assert attached(server, volumeId=foreign) == 404
    assert alt("GET", path).status_code == alt("DELETE", f"{path}/{volume}").status_code == 404
    theirs.clear()


def test_novas_old_proxies_answer_in_their_own_form(volumes: Volumes, api: Api) -> None:
    wanted = {"display_name": "old", "size": 1, "metadata": {"a": "b"}}
    volume = api.make("/compute/v2.1/os-volumes", {"volume": wanted})["volume"]
    volumes.status("volume", volume["id"], "available")
    shown = api.get(f"/compute/v2.1/os-volumes/{volume['id']}")["volume"]
    assert (shown["displayName"], shown["status"], shown["attachments"]) == ("old", "available", [{}])
    assert api.get("/compute/v2.1/os-volumes")["volumes"] == [shown]
    assert api.get("/compute/v2.1/os-volumes/detail?limit=0")["volumes"] == []
    assert api.get("/compute/v2.1/os-volumes?offset=1")["volumes"] == []
    body = {"snapshot": {"volume_id": volume["id"], "display_name": "s", "force": True}}
    snapshot = api.make("/compute/v2.1/os-snapshots", body)["snapshot"]
    volumes.status("snapshot", snapshot["id"], "available")
    assert api.get(f"/compute/v2.1/os-snapshots/{snapshot['id']}")["snapshot"]["volumeId"] == volume["id"]
    assert [each["displayName"] for each in api.get("/compute/v2.1/os-snapshots/detail")["snapshots"]] == ["s"]
    assert api("DELETE", f"/compute/v2.1/os-snapshots/{snapshot['id']}").status_code == 202
    wait_for("the snapshot to go", lambda: not volumes.get("/snapshots")["snapshots"])
    assert api("DELETE", f"/compute/v2.1/os-volumes/{volume['id']}").status_code == 202
    answer = api("GET", "/compute/v2.1/os-volumes/nope")
    assert (answer.status_code, answer.json()["itemNotFound"]["message"]) == (404, "Volume nope could not be found.")
    assert api("GET", "/compute/v2.1/os-volumes/..%2Flimits").status_code == 404
    assert api("POST", "/compute/v2.1/os-volumes", {"volume": {"size": 0}}).status_code == 400


def test_a_kill_at_any_moment_leaves_volumes_whole_and_attached(start: Callable[..., Running]) -> None:
    running = start(quotas={"volumes": -1, "snapshots": -1})
    state_dir, api = running.state_dir, Api(running)
    volumes = Volumes(api)
    origin, data, doomed = volumes.make(), volumes.make(), volumes.make()
    expected = {f"{number % 40}/{number}": f"content of {number}" for number in range(600)}
    for name, text in expected.items():
        (volumes.place(origin) / name).parent.mkdir(exist_ok=True)
        (volumes.place(origin) / name).write_text(text)
    server = api.boot("db", user_data=counting())
    volumes.attach(data, server)
    writes(volumes.place(data))
    clones, snapshots = [], []
    for milliseconds, end in ((0, signal.SIGKILL), (40, signal.SIGTERM), (120, signal.SIGKILL)):
        clones.append(volumes("POST", "/volumes", {"volume": {"source_volid": origin}}).json()["volume"]["id"])
        snapshots.append(volumes("POST", "/snapshots", {"snapshot": {"volume_id": origin}}).json()["snapshot"]["id"])
        body = {"os-volume_upload_image": {"image_name": "packed"}}
        image = volumes("POST", f"/volumes/{origin}/action", body).json()["os-volume_upload_image"]["image_id"]
        volumes("DELETE", f"/volumes/{doomed}")
        threading.Event().wait(milliseconds / 1000)
        os.kill(running.pid, end)
        wait_for("the end of every process", lambda: not tree.leftovers(state_dir))
        running = start()
        assert volumes.get(f"/volumes/{origin}")["volume"]["status"] == "available"
        answer = api("GET", f"/image/v2/images/{image}")
        assert answer.status_code == 404 or answer.json()["status"] == "active"
    api.until(server, "ACTIVE")
    writes(volumes.place(data))
    for kind, ids in (("volume", clones), ("snapshot", snapshots)):
        for id in ids:
            volumes.status(kind, id, "available")
            copy = volumes.place(id, kind)
            found = {str(each.relative_to(copy)): each.read_text() for each in copy.rglob("*") if each.is_file()}
            assert found == expected
    wait_for("the deletion", lambda: volumes("GET", f"/volumes/{doomed}").status_code == 404)
    assert {path.name for path in volumes.place("").iterdir()} == {origin, data, *clones}
    shown = volumes.get(f"/volumes/{data}")["volume"]
    assert (shown["status"], shown["attachments"][0]["server_id"]) == ("in-use", server)
