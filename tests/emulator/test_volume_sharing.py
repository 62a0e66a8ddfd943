"""Cinder's attachments, which are notes of its own, and transfers to another project."""

from collections.abc import Iterator
from typing import Any

import pytest

from .conftest import Api
from .odd import NOWHERE
from .volumes_room import Volumes

CONNECTOR = {"host": "somewhere", "mountpoint": "/dev/vdx", "initiator": "iqn"}


@pytest.fixture
def volumes(api: Api) -> Iterator[Volumes]:
    volumes = Volumes(api)
    yield volumes
    volumes.clear()


def attach(volumes: Volumes, version: str = "3.44", **wanted: Any) -> dict[str, Any]:
    answer = volumes("POST", "/attachments", {"attachment": wanted}, version=version)
    assert answer.status_code == 200, answer.text
    return dict(answer.json()["attachment"])


def test_a_volume_is_reserved_connected_completed_and_freed(volumes: Volumes) -> None:
    id = volumes.make()
    made = attach(volumes, volume_uuid=id, instance_uuid=NOWHERE)
    assert (made["status"], made["instance"], made["connection_info"]) == ("reserved", NOWHERE, {})
    assert volumes.status("volume", id, "reserved")["attachments"] == []
    path = f"/attachments/{made['id']}"
    again = {"attachment": {"volume_uuid": id, "instance_uuid": NOWHERE}}
    assert volumes("POST", "/attachments", again, version="3.27").status_code == 400
    assert volumes("POST", f"{path}/action", {"os-complete": {}}, version="3.44").status_code == 400
    connected = volumes("PUT", path, {"attachment": {"connector": CONNECTOR}}, version="3.27").json()["attachment"]
    assert connected["connection_info"]["attachment_id"] == made["id"]
    volumes.status("volume", id, "attaching")
    assert volumes("POST", f"{path}/action", {"os-complete": {}}, version="3.43").status_code == 404
    assert volumes("POST", f"{path}/action", {"os-complete": {}}, version="3.44").status_code == 204
    [shown] = volumes.status("volume", id, "in-use")["attachments"]
    assert (shown["attachment_id"], shown["device"], shown["host_name"]) == (made["id"], "/dev/vdx", "somewhere")
    assert volumes.get("/attachments", "3.27")["attachments"] == [
        {"id": made["id"], "status": "attached", "volume_id": id, "instance": NOWHERE}
    ]
    [whole] = volumes.get(f"/attachments/detail?volume_id={id}", "3.70")["attachments"]
    assert whole == volumes.get(path, "3.70")["attachment"]
    assert volumes.get("/attachments?attach_status=reserved", "3.70")["attachments"] == []
    assert volumes("DELETE", f"/volumes/{id}").status_code == 400
    assert volumes("DELETE", path, version="3.27").json() == {"attachments": []}
    volumes.status("volume", id, "available")
    assert volumes("GET", path, version="3.27").status_code == 404


def test_a_connector_at_once_and_a_mode(volumes: Volumes) -> None:
    id = volumes.make()
    made = attach(volumes, "3.54", volume_uuid=id, connector=CONNECTOR, mode="ro")
    assert (made["status"], made["attach_mode"], made["instance"]) == ("attaching", "ro", None)
    assert made["connection_info"]["access_mode"] == "ro"
    body = {"attachment": {"volume_uuid": volumes.make(), "mode": "ro"}}
    assert volumes("POST", "/attachments", body, version="3.53").status_code == 400
    volumes("DELETE", f"/attachments/{made['id']}", version="3.54")


def test_novas_attachments_are_listed_and_end_in_nova(volumes: Volumes, api: Api) -> None:
    server, id = api.boot("holder"), volumes.make()
    volumes.attach(id, server)
    [listed] = volumes.get("/attachments", "3.27")["attachments"]
    assert (listed["status"], listed["instance"]) == ("attached", server)
    answer = volumes("DELETE", f"/attachments/{listed['id']}", version="3.27")
    assert (answer.status_code, "using the Compute API" in answer.text) == (409, True)
    assert volumes("PUT", f"/attachments/{listed['id']}", {"attachment": {}}, version="3.27").status_code == 409
    answer = volumes("POST", f"/volumes/{id}/action", {"os-detach": {}})
    assert (answer.status_code, f"from instance {server} using the Compute API" in answer.text) == (409, True)
    volumes.detach(id, server)
    # A note of Cinder's own brings the volume to no server
    note = attach(volumes, volume_uuid=id, instance_uuid=server, connector=CONNECTOR)
    volumes("POST", f"/attachments/{note['id']}/action", {"os-complete": {}}, version="3.44")
    assert api.get(f"/compute/v2.1/servers/{server}/os-volume_attachments")["volumeAttachments"] == []
    api.remove(server)
    assert volumes("POST", f"/volumes/{id}/action", {"os-detach": {}}).status_code == 202
    assert volumes.status("volume", id, "available")["attachments"] == []
    assert volumes("GET", "/attachments", version="3.26").status_code == 404


@pytest.mark.parametrize(("path", "version"), [("os-volume-transfer", "3.0"), ("volume-transfers", "3.55")])
def test_a_volume_becomes_another_projects(volumes: Volumes, alt: Api, path: str, version: str) -> None:
    id, other = volumes.make(name="gift"), Volumes(alt)
    (volumes.place(id) / "file").write_text("whole")
    snapshot = volumes.snap(id)
    offer = {"transfer": {"volume_id": id, "name": "offer"}}
    made = volumes("POST", f"/{path}", offer, version=version).json()["transfer"]
    volumes.status("volume", id, "awaiting-transfer")
    for body in (offer, {"transfer": {"volume_id": id, "nonsense": 1}}, {"transfer": {}}):
        assert volumes("POST", f"/{path}", body, version=version).status_code == 400
    assert volumes("DELETE", f"/volumes/{id}").status_code == 400
    [listed] = volumes.get(f"/{path}", version)["transfers"]
    assert set(listed) == {"id", "name", "volume_id", "links"}
    assert other.get(f"/{path}", version)["transfers"] == []
    shown = volumes.get(f"/{path}/{made['id']}", version)["transfer"]
    assert "auth_key" not in shown
    assert ("no_snapshots" in shown) == (version == "3.55")
    wrong = {"accept": {"auth_key": "wrong"}}
    assert other("POST", f"/{path}/{made['id']}/accept", wrong, version=version).status_code == 400
    key = {"accept": {"auth_key": made["auth_key"]}}
    assert other("POST", f"/{path}/{NOWHERE}/accept", key, version=version).status_code == 404
    assert other("POST", f"/{path}/{made['id']}/accept", key, version=version).status_code == 202
    volume = other.status("volume", id, "available")
    assert (volume["name"], volume["user_id"], volume["os-vol-tenant-attr:tenant_id"]) == (
        "gift",
        alt.user,
        alt.project,
    )
    assert other.get(f"/snapshots/{snapshot}")["snapshot"]["volume_id"] == id
    assert volumes("GET", f"/volumes/{id}").status_code == 404
    assert (volumes.place(id) / "file").read_text() == "whole"
    other.clear()


def test_a_volume_goes_without_its_snapshots_and_an_offer_is_taken_back(volumes: Volumes, alt: Api) -> None:
    id, other = volumes.make(), Volumes(alt)
    snapshot = volumes.snap(id)
    offer = {"transfer": {"volume_id": id, "no_snapshots": True}}
    first = volumes("POST", "/volume-transfers", offer, version="3.57").json()["transfer"]
    assert (first["source_project_id"], first["accepted"]) == (volumes.api.project, False)
    assert other("DELETE", f"/volume-transfers/{first['id']}", version="3.57").status_code == 404
    assert volumes("DELETE", f"/volume-transfers/{first['id']}", version="3.57").status_code == 202
    volumes.status("volume", id, "available")
    made = volumes("POST", "/volume-transfers", offer, version="3.57").json()["transfer"]
    body = {"accept": {"auth_key": made["auth_key"]}}
    assert other("POST", f"/volume-transfers/{made['id']}/accept", body, version="3.57").status_code == 202
    assert volumes.get("/snapshots")["snapshots"][0]["id"] == snapshot
    assert other.get("/snapshots")["snapshots"] == []
    assert other("DELETE", f"/volumes/{id}?cascade=true").status_code == 400  # the snapshot is somebody else's
    volumes.remove("snapshot", snapshot)
    other.clear()
    assert volumes("GET", "/volume-transfers", version="3.54").status_code == 404
