"""Cinder: volumes and snapshots, where their content comes from, and its own words for what is wrong."""

import io
import tarfile
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from faafo_lab.cloud.emulator.control import Running
from tests.waiting import wait_for

from .conftest import Api
from .volumes_room import Volumes

VOLUME_KEYS = {  # as Cinder 3.0 shows them to a member
    *("id", "name", "description", "size", "status", "availability_zone", "bootable", "created_at", "updated_at"),
    *("attachments", "consistencygroup_id", "encrypted", "links", "metadata", "multiattach", "replication_status"),
    *("snapshot_id", "source_volid", "user_id", "volume_type"),
}
SNAPSHOT_KEYS = {
    *("id", "volume_id", "status", "size", "metadata", "name", "description", "created_at", "updated_at"),
}


@pytest.fixture
def volumes(api: Api) -> Iterator[Volumes]:
    volumes = Volumes(api)
    yield volumes
    volumes.clear()


def refused(volumes: Volumes, **wanted: Any) -> tuple[int, str]:
    """The status and the message for a volume that cannot be."""
    answer = volumes("POST", "/volumes", {"volume": wanted})
    kind, error = next(iter(answer.json().items()))
    assert kind == {400: "badRequest", 404: "itemNotFound", 413: "overLimit"}[answer.status_code], answer.text
    assert error["code"] == answer.status_code
    return answer.status_code, error["message"]


def test_versions_are_discovered_without_a_token(api: Api) -> None:
    answer = api("GET", "/volume/", headers={"X-Auth-Token": ""})
    assert answer.status_code == 300
    version = answer.json()["versions"][0]
    assert (version["id"], version["min_version"], version["version"]) == ("v3.0", "3.0", "3.70")
    assert api.get("/volume/v3/") == answer.json()


def test_the_catalogue_has_it_under_both_names(api: Api) -> None:
    catalog = api.get("/identity/v3/auth/catalog")["catalog"]
    named = {(each["type"], each["name"]): each["endpoints"][0]["url"] for each in catalog}
    url = f"{api.root}/volume/v3/{api.project}"
    assert named["volumev3", "cinderv3"] == named["block-storage", "cinder"] == url


def test_a_volume_is_made_shown_changed_and_deleted(volumes: Volumes) -> None:
    wanted = {"size": 2, "name": "data", "description": "a word", "metadata": {"role": "db"}}
    answer = volumes("POST", "/volumes", {"volume": wanted})
    assert answer.status_code == 202
    created = answer.json()["volume"]
    assert set(created) == VOLUME_KEYS
    assert (created["status"], created["size"], created["bootable"]) == ("creating", 2, "false")
    id = created["id"]
    volume = volumes.status("volume", id, "available")
    assert set(volume) == VOLUME_KEYS | {"os-vol-tenant-attr:tenant_id"}
    assert volumes.place(id).stat().st_mode & 0o777 == 0o700
    changed = volumes("PUT", f"/volumes/{id}", {"volume": {"display_name": " new ", "metadata": {}}}).json()["volume"]
    assert (changed["name"], changed["description"], changed["metadata"]) == ("new", "a word", {})
    volumes.remove("volume", id)
    assert not list(volumes.place(id).parent.glob(f"{id}*"))


def test_a_clone_and_a_volume_from_a_snapshot_have_their_own_content(volumes: Volumes) -> None:
    origin = volumes.make(name="origin")
    (volumes.place(origin) / "file").write_text("first")
    snapshot = volumes.snap(origin, name="snap", metadata={"a": "b"})
    (volumes.place(origin) / "file").write_text("second")
    clone = volumes.make(source_volid=origin, size=None)
    restored = volumes.make(snapshot_id=snapshot, size=3)
    assert (volumes.place(clone) / "file").read_text() == "second"
    assert (volumes.place(restored) / "file").read_text() == "first"
    (volumes.place(restored) / "file").write_text("third")
    assert (volumes.place(snapshot, "snapshot") / "file").read_text() == "first"
    shown = volumes.get(f"/volumes/{restored}")["volume"]
    assert (shown["snapshot_id"], shown["size"]) == (snapshot, 3)
    assert volumes.get(f"/volumes/{clone}")["volume"]["source_volid"] == origin
    assert volumes("DELETE", f"/volumes/{origin}").status_code == 400
    assert volumes("DELETE", f"/volumes/{origin}?cascade=true").status_code == 202
    wait_for("the volume to go", lambda: volumes("GET", f"/volumes/{origin}").status_code == 404)
    wait_for("its snapshot to go, too", lambda: not volumes.get("/snapshots")["snapshots"])
    assert (volumes.place(restored) / "file").read_text() == "third"


def test_a_volume_becomes_an_image_and_the_image_a_volume_and_a_server(volumes: Volumes, api: Api) -> None:
    origin = volumes.make(imageRef=api.image(), size=1)
    shown = volumes.get(f"/volumes/{origin}")["volume"]
    assert shown["bootable"] == "true"
    assert shown["volume_image_metadata"]["image_name"] == "plain-linux"
    (volumes.place(origin) / "etc").mkdir(exist_ok=True)
    (volumes.place(origin) / "etc/motd").write_text("from a volume")
    body = {"os-volume_upload_image": {"image_name": "packed", "disk_format": "raw", "container_format": "bare"}}
    answer = volumes("POST", f"/volumes/{origin}/action", body)
    assert answer.status_code == 202
    image = answer.json()["os-volume_upload_image"]["image_id"]
    body["os-volume_upload_image"]["container_format"] = "barrel"  # Cinder reads Glance's words
    assert "barrel" in volumes("POST", f"/volumes/{volumes.make()}/action", body).json()["badRequest"]["message"]
    volumes.status("volume", origin, "available")
    assert api.get(f"/image/v2/images/{image}")["status"] == "active"
    again = volumes.make(imageRef=image, size=1)
    assert (volumes.place(again) / "etc/motd").read_text() == "from a volume"
    server = api.boot("from-packed", imageRef=image)
    assert (api.running.state_dir / "instances" / server / "disk/etc/motd").read_text() == "from a volume"
    api.remove(server)
    api("DELETE", f"/image/v2/images/{image}")


def test_a_volumes_image_metadata_are_set_and_unset(volumes: Volumes) -> None:
    id = volumes.make()

    def told(action: str, value: Any) -> Any:
        return volumes("POST", f"/volumes/{id}/action", {f"os-{action}_image_metadata": value})

    assert told("set", {"metadata": {"os_type": "linux", "a": "b"}}).json()["metadata"]["os_type"] == "linux"
    assert told("unset", {"key": "a"}).status_code == 200
    assert told("show", {}).json() == {"metadata": {"os_type": "linux"}}
    assert volumes.get(f"/volumes/{id}")["volume"]["volume_image_metadata"] == {"os_type": "linux"}
    assert [told("unset", {"key": key}).status_code for key in ("a", 7)] == [404, 400]
    assert [told("set", value).status_code for value in ({}, {"metadata": {"x": 1}}, {"metadata": None})] == [400] * 3


def test_an_image_that_is_no_archive_is_a_file_of_the_volume(volumes: Volumes, api: Api) -> None:
    fields = {"name": "blob", "disk_format": "qcow2", "container_format": "bare", "min_disk": 2}
    image = api.make("/image/v2/images", fields)["id"]
    api("PUT", f"/image/v2/images/{image}/file", content=b"no archive")
    status, message = refused(volumes, imageRef=image, size=1)
    assert (status, "minDisk" in message) == (400, True)
    volume = volumes.make(imageRef=image, size=2)
    assert (volumes.place(volume) / "disk.qcow2").read_bytes() == b"no archive"
    api("DELETE", f"/image/v2/images/{image}")


def test_an_archive_that_leaves_its_place_makes_a_volume_in_error(volumes: Volumes, api: Api) -> None:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as tar:
        member = tarfile.TarInfo("../../outside")
        member.size = 3
        tar.addfile(member, io.BytesIO(b"bad"))
    image = api.make("/image/v2/images", {"name": "evil", "disk_format": "raw", "container_format": "bare"})["id"]
    api("PUT", f"/image/v2/images/{image}/file", content=data.getvalue())
    volume = volumes("POST", "/volumes", {"volume": {"size": 1, "imageRef": image}}).json()["volume"]["id"]
    volumes.status("volume", volume, "error")
    assert [path.name for path in volumes.place("").glob(f"{volume}*")] == []
    api("DELETE", f"/image/v2/images/{image}")


def test_a_volume_is_extended_marked_and_never_by_an_administrators_way(volumes: Volumes) -> None:
    id = volumes.make()

    def told(action: str, value: Any) -> int:
        return int(volumes("POST", f"/volumes/{id}/action", {action: value}).status_code)

    assert told("os-extend", {"new_size": 2}) == 202
    assert told("os-update_readonly_flag", {"readonly": True}) == 202
    assert told("os-set_bootable", {"bootable": "True"}) == 200
    volume = volumes.get(f"/volumes/{id}")["volume"]
    assert (volume["size"], volume["metadata"], volume["bootable"]) == (2, {"readonly": "True"}, "true")
    for size in (2, 1, 0, -1, None, "abc", 1.5, True, 2**40):
        assert told("os-extend", {"new_size": size}) == 400, size
    for action in ("os-reset_status", "os-force_delete", "os-force_detach"):
        assert told(action, {"status": "error"}) == 403
    assert told("os-nothing", {}) == told("os-set_bootable", {"bootable": 7}) == told("os-set_bootable", None) == 400
    assert volumes("POST", "/volumes/nope/action", {"os-extend": {"new_size": 9}}).status_code == 404
    assert volumes("DELETE", f"/volumes/{id}?force=true").status_code == 403


def test_what_there_is_none_of_is_an_empty_list_and_cannot_be_made(volumes: Volumes) -> None:
    for kind in ("cgsnapshots", "consistencygroups", "group_snapshots", "group_types", "groups", "messages"):
        assert volumes.get(f"/{kind}", "3.70") == volumes.get(f"/{kind}/detail", "3.70") == {kind: []}
        assert volumes("GET", f"/{kind}/nope", version="3.70").status_code == 404
    assert [volumes("GET", f"/{kind}").status_code for kind in ("groups", "group_types", "messages")] == [404] * 3
    answer = volumes("POST", "/groups", {"group": {"name": "g"}}, version="3.13")
    assert (answer.status_code, answer.json()["overLimit"]["message"][:18]) == (413, "GroupLimitExceeded")
    for path in ("qos-specs", "scheduler-stats/get_pools", "clusters", "default-types", "manageable_volumes"):
        assert volumes("GET", f"/{path}", version="3.70").status_code == 403, path
    assert volumes("POST", "/consistencygroups", {}).status_code == 403
    assert volumes("GET", "/nothing").status_code == volumes("GET", "/nothing/detail").status_code == 404
    type = volumes.get("/types/default")["volume_type"]["id"]
    assert volumes.get(f"/types/{type}/extra_specs") == {"extra_specs": {}}


def test_a_volume_is_given_the_type_that_there_is_and_no_other(volumes: Volumes) -> None:
    id = volumes.make()
    for type, policy, status in (
        *(("__DEFAULT__", None, 202), ("__DEFAULT__", "never", 202), ("__DEFAULT__", "now", 400)),
        *(("gold", "on-demand", 400), (None, None, 400)),
    ):
        body = {"os-retype": {"new_type": type, "migration_policy": policy}}
        assert volumes("POST", f"/volumes/{id}/action", body).status_code == status, (type, policy)
    assert volumes.get(f"/volumes/{id}")["volume"]["volume_type"] == "__DEFAULT__"


@pytest.mark.parametrize("kind", ["volume", "snapshot"])
def test_metadata_are_set_replaced_and_removed(volumes: Volumes, kind: str) -> None:
    volume = volumes.make(metadata={"a": "1"})
    id = volume if kind == "volume" else volumes.snap(volume, metadata={"a": "1"})
    path = f"/{kind}s/{id}/metadata"
    assert volumes("POST", path, {"metadata": {"b": "2"}}).json() == {"metadata": {"a": "1", "b": "2"}}
    assert volumes("PUT", f"{path}/c", {"meta": {"c": "3"}}).json() == {"meta": {"c": "3"}}
    assert volumes("DELETE", f"{path}/a").status_code == 200
    assert volumes.get(path) == {"metadata": {"b": "2", "c": "3"}}
    assert volumes("PUT", path, {"metadata": {"d": "4"}}).json() == {"metadata": {"d": "4"}}
    assert volumes.get(f"{path}/d") == {"meta": {"d": "4"}}
    assert volumes("GET", f"{path}/a").status_code == 404
    for wrong in ({"metadata": {"": "x"}}, {"metadata": {"x": 1}}, {"metadata": {"x": "y" * 256}}, {"x": {}}):
        assert volumes("PUT", path, wrong).status_code == 400, wrong
    assert volumes("PUT", f"{path}/e", {"meta": {"f": "1"}}).status_code == 400


def test_lists_are_filtered_sorted_and_paged(volumes: Volumes) -> None:
    ids = [volumes.make(name=name, metadata={"n": name}) for name in ("one", "two", "three")]
    snapshots = [volumes.snap(ids[0], name=name) for name in ("s1", "s2")]

    def names(query: str) -> list[str]:
        return [each["name"] for each in volumes.get(f"/volumes/detail?{query}")["volumes"]]

    assert names("") == ["three", "two", "one"]
    assert names("sort=name:asc") == ["one", "three", "two"]
    assert names("sort_key=display_name&sort_dir=desc") == ["two", "three", "one"]
    assert names("name=two") == names("display_name=two") == names("metadata={'n': 'two'}") == ["two"]
    assert names("status=error") == names("metadata=[") == names("metadata={'n': 'four'}") == []
    assert names("bootable=true") == []
    assert len(names("all_tenants=1&nonsense=7")) == 3
    page = volumes.get("/volumes?limit=2&sort=name:asc")
    assert [each["name"] for each in page["volumes"]] == ["one", "three"]
    assert set(page["volumes"][0]) == {"id", "name", "links"}
    rest = volumes.api.get(page["volumes_links"][0]["href"])
    assert [each["name"] for each in rest["volumes"]] == ["two"]
    assert "volumes_links" not in rest
    assert volumes.get("/volumes?limit=0")["volumes"] == []
    listed = volumes.get(f"/snapshots?volume_id={ids[0]}&sort_key=created_at&sort_dir=asc")["snapshots"]
    assert [each["id"] for each in listed] == snapshots
    assert set(listed[0]) == SNAPSHOT_KEYS
    assert volumes.get(f"/snapshots/detail?volume_id={ids[1]}")["snapshots"] == []
    for query in ("limit=x", "limit=-1", "offset=x", "sort=nope:asc", "sort=name:up", "sort=id&sort_key=id"):
        assert volumes("GET", f"/volumes?{query}").status_code == 400, query
    assert volumes("GET", "/volumes?marker=nope").status_code == 404


def test_a_snapshot_is_changed_and_outlives_nothing_that_is_its_own(volumes: Volumes) -> None:
    snapshot = volumes.snap(volumes.make(), name="s")
    changed = volumes("PUT", f"/snapshots/{snapshot}", {"snapshot": {"name": "t", "description": "d"}})
    assert (changed.json()["snapshot"]["name"], changed.json()["snapshot"]["description"]) == ("t", "d")
    shown = volumes.get(f"/snapshots/{snapshot}")["snapshot"]
    assert shown["os-extended-snapshot-attributes:progress"] == "100%"
    assert volumes("POST", f"/snapshots/{snapshot}/action", {"os-reset_status": {}}).status_code == 403
    assert volumes("POST", "/snapshots", {"snapshot": {"volume_id": "nope"}}).status_code == 404
    assert volumes("POST", "/snapshots", {"snapshot": {"name": "x"}}).status_code == 400
    assert volumes("PUT", f"/snapshots/{snapshot}", {"snapshot": {}}).status_code == 400
    volumes.remove("snapshot", snapshot)
    assert not list(volumes.place("", "snapshot").iterdir())


def test_fields_that_cinder_does_not_know_are_refused(volumes: Volumes) -> None:
    """What a client misspells would have no effect; and shade's old word for a description fails on a real cloud."""
    volume = volumes.make()
    snapshot = volumes.snap(volume)
    bodies = [
        ("POST", "/snapshots", {"snapshot": {"volume_id": volume, "force": True, "display_description": "d"}}),
        ("POST", "/snapshots", {"snapshot": {"volume_id": volume}, "other": 1}),
        ("PUT", f"/snapshots/{snapshot}", {"snapshot": {"name": "n", "metadata": {}}}),
        ("PUT", f"/volumes/{volume}", {"volume": {"name": "n", "size": 5}}),
        ("POST", f"/volumes/{volume}/action", {"os-extend": {"new_size": 2, "size": 3}}),
        ("POST", f"/volumes/{volume}/action", {"os-set_bootable": {"bootable": True, "boot": 1}}),
    ]
    for method, path, body in bodies:
        answer = volumes(method, path, body)
        assert answer.status_code == 400, body
        assert "Additional properties are not allowed" in answer.json()["badRequest"]["message"]
    hinted = {"volume": {"size": 1}, "OS-SCH-HNT:scheduler_hints": {}}
    assert volumes("POST", "/volumes", hinted).status_code == 202


def test_what_cannot_be_is_said_in_cinders_words(volumes: Volumes, api: Api) -> None:
    volume = volumes.make(size=2)
    for size in (0, -1, "", "0", "-1", "#$%", None, 1.5, True, 2**40, "1\n"):
        assert refused(volumes, size=size)[0] == 400, size
    assert refused(volumes, size=1, volume_type="gold") == (404, "Volume type with name gold could not be found.")
    assert refused(volumes, size=1, snapshot_id="nope") == (404, "Snapshot nope could not be found.")
    assert refused(volumes, size=1, source_volid="nope") == (404, "Volume nope could not be found.")
    assert refused(volumes, size=1, source_volid=volume)[0] == 400
    assert refused(volumes, size=1, imageRef="nope")[0] == 400
    assert refused(volumes, size=1, availability_zone="mars")[1] == "Availability zone 'mars' is invalid."
    assert refused(volumes, size=2, source_volid=volume, imageRef=api.image())[0] == 400
    assert refused(volumes, size=1, multiattach=True)[0] == 400
    assert refused(volumes, size=1, name="x" * 256)[0] == 400
    for method in ("GET", "PUT", "DELETE"):
        assert volumes(method, "/volumes/", {}).status_code == 404
        assert volumes(method, "/volumes/nope", {"volume": {}}).status_code == 404
    assert volumes("POST", "/volumes", content=b"{").status_code == 400
    others = f"/volume/v3/{'0' * 32}/volumes"
    assert api("GET", others).json()["badRequest"]["message"] == "Malformed request url"
    assert api("GET", "/volume/v3/nope/volumes").status_code == 404
    assert volumes("GET", "/volumes", headers={"X-Auth-Token": ""}).status_code == 401


def test_one_project_cannot_see_or_touch_anothers(volumes: Volumes, alt: Api) -> None:
    volume = volumes.make(name="mine")
    snapshot = volumes.snap(volume)
    other = Volumes(alt)
    assert other.get("/volumes")["volumes"] == other.get("/snapshots")["snapshots"] == []
    for kind, id in (("volumes", volume), ("snapshots", snapshot)):
        for method, path in (("GET", ""), ("DELETE", ""), ("PUT", ""), ("GET", "/metadata"), ("POST", "/action")):
            answer = other(method, f"/{kind}/{id}{path}", {"volume": {}, "snapshot": {}})
            assert answer.status_code == 404, (kind, method, path)
    assert refused(other, size=1, source_volid=volume)[0] == refused(other, size=1, snapshot_id=snapshot)[0] == 404
    assert other("POST", "/snapshots", {"snapshot": {"volume_id": volume}}).status_code == 404
    assert alt("GET", f"{volumes.path}/volumes").status_code == 400
    assert alt("GET", f"{other.path}/os-quota-sets/{volumes.api.project}").status_code == 403


def test_types_zones_extensions_limits_and_quotas_are_shown(volumes: Volumes) -> None:
    volume = volumes.make(size=2)
    volumes.snap(volume)
    [type_] = volumes.get("/types")["volume_types"]
    assert volumes.get(f"/types/{type_['id']}")["volume_type"] == volumes.get("/types/default")["volume_type"] == type_
    assert volumes.get(f"/volumes/{volume}")["volume"]["volume_type"] == type_["name"]
    assert volumes.get("/os-availability-zone")["availabilityZoneInfo"][0]["zoneName"] == "nova"
    assert "os-quota-sets" in {each["alias"] for each in volumes.get("/extensions")["extensions"]}
    absolute = volumes.get("/limits")["limits"]["absolute"]
    used = (absolute["totalVolumesUsed"], absolute["totalSnapshotsUsed"], absolute["totalGigabytesUsed"])
    assert used == (1, 1, 4)
    path = f"/os-quota-sets/{volumes.api.project}"
    assert volumes.get(path)["quota_set"]["volumes"] == volumes.get(f"{path}/defaults")["quota_set"]["volumes"] == 10
    assert volumes.get(f"{path}?usage=True")["quota_set"]["gigabytes"] == {"limit": 1000, "in_use": 4, "reserved": 0}
    assert volumes("PUT", path, {"quota_set": {"volumes": 99}}).status_code == 403
    assert volumes("GET", "/os-hosts").status_code == volumes("GET", "/os-services").status_code == 403
    assert volumes("POST", "/types", {"volume_type": {"name": "gold"}}).status_code == 403


def test_quotas_hold(start: Callable[..., Running]) -> None:
    quotas = {"volumes": 2, "snapshots": 1, "gigabytes": 5, "per_volume_gigabytes": 3}
    volumes = Volumes(Api(start(quotas=quotas)))
    assert refused(volumes, size=4)[1].startswith("VolumeSizeExceedsLimit")
    one = volumes.make(size=2)
    volumes.snap(one)
    assert refused(volumes, size=2)[1].startswith("VolumeSizeExceedsAvailableQuota")
    volumes.make(size=1)
    status, message = refused(volumes, size=1)
    assert (status, message) == (
        413,
        "VolumeLimitExceeded: Maximum number of volumes allowed (2) exceeded for quota 'volumes'.",
    )
    answer = volumes("POST", "/snapshots", {"snapshot": {"volume_id": one}})
    assert (answer.status_code, "SnapshotLimitExceeded" in answer.text) == (413, True)
    assert volumes("POST", f"/volumes/{one}/action", {"os-extend": {"new_size": 3}}).status_code == 413
