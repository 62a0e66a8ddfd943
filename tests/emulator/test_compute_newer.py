"""Nova's microversions from 2.61 to 2.93, Zed's: what each adds, and what is refused in a clear sentence."""

import base64
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from faafo_lab.cloud.emulator.control import Running
from tests.waiting import wait_for

from .conftest import Api
from .test_compute_versions import N, at
from .test_metadata import ASK, Instance
from .volumes_room import Volumes


@pytest.fixture(scope="module")
def server(api: Api) -> Iterator[str]:
    id = api.boot("newer")
    yield id
    api.remove(id)


def wanted(api: Api, **more: Any) -> dict[str, Any]:
    return {"server": {"name": "wanted", "imageRef": api.image(), "flavorRef": "1", "networks": "none", **more}}


def test_a_server_shows_more_with_each_newer_microversion(api: Api, server: str) -> None:
    seen = set(api.get(f"{N}/servers/{server}", **at("2.60"))["server"])
    for version, more in (
        ("2.63", {"trusted_image_certificates"}),
        ("2.71", {"server_groups"}),
        ("2.73", {"locked_reason"}),
        ("2.90", {"OS-EXT-SRV-ATTR:hostname"}),
        ("2.93", set[str]()),
    ):
        shown = api.get(f"{N}/servers/{server}", **at(version))["server"]
        assert set(shown) == seen | more, version
        seen |= more
    [listed] = api.get(f"{N}/servers/detail", **at("2.93"))["servers"]
    assert set(listed) == seen - {"server_groups"}
    assert (shown["server_groups"], shown["OS-EXT-SRV-ATTR:hostname"]) == ([], "newer")


def test_a_change_answers_all_that_a_server_shows_from_2_75_on(api: Api, server: str) -> None:
    body = {"server": {"name": "newer"}}
    old = api("PUT", f"{N}/servers/{server}", body, **at("2.74")).json()["server"]
    assert "OS-EXT-STS:vm_state" not in old
    new = api("PUT", f"{N}/servers/{server}", body, **at("2.75")).json()["server"]
    assert new == api.get(f"{N}/servers/{server}", **at("2.75"))["server"]


def test_an_unknown_parameter_is_refused_from_2_75_on(api: Api, server: str) -> None:
    for path in ("servers", "servers/detail", "flavors", "os-keypairs", "os-server-groups", "limits"):
        assert api("GET", f"{N}/{path}?colour=red", **at("2.74")).status_code == 200, path
        refused = api("GET", f"{N}/{path}?colour=red", **at("2.75"))
        assert refused.json()["badRequest"]["message"] == (
            "Additional properties are not allowed ('colour' was unexpected)"
        ), path
    assert api("GET", f"{N}/servers?limit=1&tags=a&changes-before={day(1)}", **at("2.75")).status_code == 200


def test_flavors_show_their_specs_from_2_61_on_and_no_swap_as_a_number_from_2_75_on(api: Api) -> None:
    old, new = (api.get(f"{N}/flavors/1", **at(version))["flavor"] for version in ("2.60", "2.75"))
    assert ("extra_specs" in old, old["swap"]) == (False, "")
    assert (new["extra_specs"], new["swap"]) == (api.get(f"{N}/flavors/1/os-extra_specs")["extra_specs"], 0)
    [listed] = api.get(f"{N}/flavors/detail?limit=1", **at("2.61"))["flavors"]
    assert listed["extra_specs"]


def test_a_group_has_one_policy_and_its_rules_from_2_64_on(api: Api) -> None:
    def make(version: str, **group: Any) -> Any:
        return api("POST", f"{N}/os-server-groups", {"server_group": {"name": "two", **group}}, **at(version))

    rules = {"max_server_per_host": 2}
    assert make("2.63", policy="affinity").status_code == 400
    assert make("2.64", policies=["affinity"]).status_code == 400
    for wrong in ({"max_server_per_host": 0}, {"more": 1}):
        assert make("2.64", policy="anti-affinity", rules=wrong).status_code == 400
    assert "Only anti-affinity" in make("2.64", policy="affinity", rules=rules).text
    group = make("2.64", policy="anti-affinity", rules=rules).json()["server_group"]
    assert (group["policy"], group["rules"]) == ("anti-affinity", rules)
    assert set(group) == {"id", "name", "policy", "rules", "members", "project_id", "user_id"}
    assert api.get(f"{N}/os-server-groups/{group['id']}")["server_group"]["policies"] == ["anti-affinity"]
    servers = []
    for status in ("ACTIVE", "ACTIVE", "ERROR"):
        body = {**wanted(api), "os:scheduler_hints": {"group": group["id"]}}
        servers.append(api("POST", f"{N}/servers", body, **at("2.64")).json()["server"]["id"])
        shown = api.until(servers[-1], status)
    assert "No valid host" in shown["fault"]["message"]
    assert api.get(f"{N}/servers/{servers[0]}", **at("2.71"))["server"]["server_groups"] == [group["id"]]
    for each in servers:
        api.remove(each)
    assert api("DELETE", f"{N}/os-server-groups/{group['id']}").status_code == 204


def day(days: int) -> str:
    return (datetime.now(UTC) + timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%SZ")


def test_what_changed_before_a_moment_is_listed_from_2_66_on(api: Api, server: str) -> None:
    actions = f"{N}/servers/{server}/os-instance-actions"
    for path, kind in ((f"{N}/servers", "servers"), (f"{N}/servers/detail", "servers"), (actions, "instanceActions")):
        assert api.get(f"{path}?changes-before={day(-1)}", **at("2.65"))[kind], path
        assert api.get(f"{path}?changes-before={day(-1)}", **at("2.66"))[kind] == [], path
        assert api.get(f"{path}?changes-before={day(1)}&changes-since={day(-1)}", **at("2.66"))[kind], path
        for wrong in (f"changes-before={day(-1)}&changes-since={day(1)}", "changes-before=never"):
            assert api("GET", f"{path}?{wrong}", **at("2.66")).status_code == 400, path


def test_a_lock_says_why_from_2_73_on_and_locked_servers_are_found(api: Api, server: str) -> None:
    def act(action: dict[str, Any], version: str) -> int:
        return api("POST", f"{N}/servers/{server}/action", action, **at(version)).status_code

    assert act({"lock": {"locked_reason": ""}}, "2.73") == 400
    assert act({"lock": {"locked_reason": "in use"}}, "2.73") == 202
    shown = api.get(f"{N}/servers/{server}", **at("2.73"))["server"]
    assert (shown["locked"], shown["locked_reason"]) == (True, "in use")
    for query, found in (("locked=true", 1), ("locked=1", 1), ("locked=False", 0)):
        assert len(api.get(f"{N}/servers?{query}", **at("2.73"))["servers"]) == found, query
    assert act({"unlock": None}, "2.73") == 202
    assert api.get(f"{N}/servers/{server}", **at("2.73"))["server"]["locked_reason"] is None
    assert act({"lock": None}, "2.73") == act({"unlock": None}, "2.73") == 202


def test_more_filters_are_obeyed_from_2_83_on(api: Api, server: str) -> None:
    shown = api.server(server)
    for query, found in (
        *(("vm_state=active", 1), ("vm_state=stopped", 0), ("power_state=1", 1), ("power_state=4", 0)),
        *((f"user_id={api.user}", 1), ("user_id=other", 0), ("config_drive=true", 0), ("config_drive=false", 1)),
        *((f"created_at={shown['created']}", 1), ("availability_zone=nova", 1), ("availability_zone=mars", 0)),
        *((f"launched_at={shown['OS-SRV-USG:launched_at']}", 1), ("key_name=none", 0)),
        *(("progress=100", 1), ("progress=5", 0), ("terminated_at=2020-01-01", 0)),
    ):
        assert len(api.get(f"{N}/servers?{query}", **at("2.83"))["servers"]) == found, query
    assert len(api.get(f"{N}/servers?vm_state=stopped", **at("2.82"))["servers"]) == 1  # as Nova ignores it


def test_a_hostname_is_ones_own_from_2_90_on(api: Api, running: Running) -> None:
    for version, more, expected in (
        ("2.89", {"hostname": "mine"}, 400),
        ("2.90", {"hostname": "not_mine"}, 400),
        ("2.90", {"hostname": "-mine"}, 400),
        ("2.90", {"hostname": "mine", "max_count": 2}, 400),
    ):
        assert api("POST", f"{N}/servers", wanted(api, **more), **at(version)).status_code == expected, more
    made = api("POST", f"{N}/servers", wanted(api, hostname="mine"), **at("2.90"))
    id = made.json()["server"]["id"]
    api.until(id, "ACTIVE")
    hostname = running.state_dir / "instances" / id / "disk/etc/hostname"
    assert hostname.read_text() == "mine\n"
    path = f"{N}/servers/{id}"
    assert api("PUT", path, {"server": {"hostname": "other"}}, **at("2.89")).status_code == 400
    changed = api("PUT", path, {"server": {"hostname": "other", "name": "renamed"}}, **at("2.90")).json()["server"]
    assert (changed["name"], changed["OS-EXT-SRV-ATTR:hostname"]) == ("renamed", "other")
    body = {"rebuild": {"imageRef": api.image(), "hostname": "third"}}
    rebuilt = api("POST", f"{path}/action", body, **at("2.90")).json()["server"]
    assert rebuilt["OS-EXT-SRV-ATTR:hostname"] == "third"
    api.until(id, "ACTIVE")
    assert hostname.read_text() == "third\n"
    api.remove(id)


def test_what_this_cloud_cannot_do_is_refused_in_a_clear_sentence(api: Api, server: str) -> None:
    for version, more, expected, words in (
        ("2.62", {"trusted_image_certificates": ["one"]}, 400, "Additional properties"),
        ("2.63", {"trusted_image_certificates": ["one"]}, 400, "verifies no image signatures"),
        ("2.74", {"host": "one"}, 403, "requested_destination"),
        ("2.74", {"hypervisor_hostname": "one"}, 403, "requested_destination"),
    ):
        answer = api("POST", f"{N}/servers", wanted(api, **more), **at(version))
        assert (answer.status_code, words in answer.text) == (expected, True), answer.text
    rebuild = {"rebuild": {"imageRef": api.image(), "trusted_image_certificates": ["one"]}}
    answer = api("POST", f"{N}/servers/{server}/action", rebuild, **at("2.63"))
    assert (answer.status_code, "verifies no image signatures" in answer.text) == (400, True)
    assert api("GET", f"{N}/servers/{server}/topology", **at("2.77")).status_code == 404
    assert api.get(f"{N}/servers/{server}/topology", **at("2.78")) == {"nodes": [], "pagesize_kb": None}


def test_key_pairs_are_only_imported_from_2_92_on(api: Api) -> None:
    path = f"{N}/os-keypairs"
    assert api("POST", path, {"keypair": {"name": "made"}}, **at("2.92")).status_code == 400
    public = api("POST", path, {"keypair": {"name": "made"}}, **at("2.91")).json()["keypair"]["public_key"]
    mine = {"name": "me@host.example", "public_key": public}
    assert api("POST", path, {"keypair": mine}, **at("2.91")).status_code == 400
    assert api("POST", path, {"keypair": mine}, **at("2.92")).status_code == 201
    for name in ("made", "me@host.example"):
        assert api("DELETE", f"{path}/{name}", **at("2.92")).status_code == 204


def test_tags_of_ports_and_volumes_are_shown_from_2_70_on_and_told_to_the_server(
    api: Api, server: str, running: Running
) -> None:
    volumes = Volumes(api)
    network = api.network()["id"]
    device = {"boot_index": 0, "uuid": api.image(), "source_type": "image", "destination_type": "volume"}
    device |= {"volume_size": 1, "delete_on_termination": True, "tag": "root", "volume_type": "lvmdriver-1"}
    more = {"block_device_mapping_v2": [device], "imageRef": "", "user_data": base64.b64encode(ASK.encode()).decode()}
    body = wanted(api, networks=[{"uuid": network, "tag": "web"}], **more)
    assert api("POST", f"{N}/servers", body, **at("2.66")).status_code == 400
    refused = api("POST", f"{N}/servers", body, **at("2.67"))
    assert (refused.status_code, "lvmdriver-1 could not be found" in refused.text) == (400, True)
    device["volume_type"] = volumes.get("/types")["volume_types"][0]["name"]
    id = api("POST", f"{N}/servers", body, **at("2.67")).json()["server"]["id"]
    api.until(id, "ACTIVE")
    [port] = api.get(f"{N}/servers/{id}/os-interface", **at("2.70"))["interfaceAttachments"]
    [volume] = api.get(f"{N}/servers/{id}/os-volume_attachments", **at("2.70"))["volumeAttachments"]
    assert (port["tag"], volume["tag"]) == ("web", "root")
    attach = {"interfaceAttachment": {"net_id": network, "tag": "back"}}
    assert api("POST", f"{N}/servers/{id}/os-interface", attach, **at("2.48")).status_code == 400
    made = api("POST", f"{N}/servers/{id}/os-interface", attach, **at("2.70")).json()["interfaceAttachment"]
    assert made["tag"] == "back"
    old = api.get(f"{N}/servers/{id}/os-interface/{made['port_id']}", **at("2.69"))["interfaceAttachment"]
    assert "tag" not in old
    asker = Instance(running.state_dir, id)
    told = json.loads(asker.text("/openstack/latest/meta_data.json"))["devices"]
    assert [(each["type"], each["tags"]) for each in told] == [("disk", ["root"]), ("nic", ["web"]), ("nic", ["back"])]
    assert "devices" not in json.loads(asker.text("/openstack/2015-10-15/meta_data.json"))
    assert api("DELETE", f"{N}/servers/{id}/os-interface/{made['port_id']}").status_code == 202
    api.remove(id)
    wait_for("the volume gone", lambda: volumes.get("/volumes")["volumes"] == [])


def test_an_attachment_says_from_2_79_on_whether_its_volume_goes_and_from_2_85_on_that_is_changed(
    api: Api, server: str
) -> None:
    volumes = Volumes(api)
    kept, going = volumes.make(), volumes.make()
    path = f"{N}/servers/{server}/os-volume_attachments"

    def attach(volume: str, version: str, **more: Any) -> Any:
        return api("POST", path, {"volumeAttachment": {"volumeId": volume, **more}}, **at(version))

    assert attach(going, "2.78", delete_on_termination=True).status_code == 400
    made = attach(going, "2.79", delete_on_termination=True, tag="data").json()["volumeAttachment"]
    assert (made["delete_on_termination"], made["tag"], made["id"]) == (True, "data", going)
    assert attach(kept, "2.79").json()["volumeAttachment"]["delete_on_termination"] is False
    shown = api.get(f"{path}/{kept}", **at("2.89"))["volumeAttachment"]
    names = {"volumeId", "serverId", "device", "tag", "delete_on_termination", "attachment_id", "bdm_uuid"}
    assert set(shown) == names
    assert shown["attachment_id"] != shown["bdm_uuid"]
    assert set(api.get(path, **at("2.88"))["volumeAttachments"][0]) == names - {"attachment_id", "bdm_uuid"} | {"id"}

    def change(volume: str, version: str, **more: Any) -> Any:
        return api("PUT", f"{path}/{volume}", {"volumeAttachment": {"volumeId": volume, **more}}, **at(version))

    assert change(kept, "2.84").status_code == 403
    assert change(kept, "2.85", volumeId=going).status_code == 403
    assert "not mutable" in change(kept, "2.85", device="/dev/vdz").text
    assert change(kept, "2.85", delete_on_termination="maybe").status_code == 400
    for which, value in ((kept, True), (kept, False), (going, "yes")):
        assert change(which, "2.85", delete_on_termination=value, serverId=server).status_code == 202
        shown = api.get(f"{path}/{which}", **at("2.85"))["volumeAttachment"]
        assert shown["delete_on_termination"] is (value in (True, "yes"))
    id = api.boot("takes-one-along")
    for volume in (going, kept):
        assert api("DELETE", f"{path}/{volume}").status_code == 202
    other = f"{N}/servers/{id}/os-volume_attachments"
    for volume, delete in ((going, True), (kept, False)):
        body = {"volumeAttachment": {"volumeId": volume, "delete_on_termination": delete}}
        assert api("POST", other, body, **at("2.79")).status_code == 200
    api.remove(id)
    wait_for("the volume gone", lambda: volumes("GET", f"/volumes/{going}").status_code == 404)
    assert volumes.get(f"/volumes/{kept}")["volume"]["status"] == "available"
    volumes.clear()


def test_an_actions_event_names_the_host_by_its_id_from_2_62_on(api: Api, server: str) -> None:
    [created] = [
        each
        for each in api.get(f"{N}/servers/{server}/os-instance-actions")["instanceActions"]
        if each["action"] == "create"
    ]
    path = f"{N}/servers/{server}/os-instance-actions/{created['request_id']}"
    [old] = api.get(path, **at("2.61"))["instanceAction"]["events"]
    [new] = api.get(path, **at("2.62"))["instanceAction"]["events"]
    assert new == {**old, "hostId": api.server(server)["hostId"]}
