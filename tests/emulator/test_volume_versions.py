"""Cinder's microversions: each is there, shows what it should, and refuses what older ones had not."""

from collections.abc import Iterator
from typing import Any

import pytest

from .conftest import Api
from .volumes_room import Volumes

ADDED = [  # since which version a volume and a snapshot show a field
    ("volumes", "3.13", "group_id", None),
    ("volumes", "3.48", "shared_targets", False),
    ("volumes", "3.65", "consumes_quota", True),
    ("snapshots", "3.14", "group_snapshot_id", None),
    ("snapshots", "3.65", "consumes_quota", True),
]


@pytest.fixture
def volumes(api: Api) -> Iterator[Volumes]:
    volumes = Volumes(api)
    yield volumes
    volumes.clear()


def before(version: str) -> str:
    """The microversion before this one."""
    major, minor = version.split(".")
    return f"{major}.{int(minor) - 1}"


def test_every_microversion_is_accepted_and_others_are_refused(volumes: Volumes) -> None:
    def asked(text: str) -> tuple[int, str]:
        answer = volumes("GET", "/volumes", headers={"OpenStack-API-Version": text})
        return answer.status_code, answer.headers["OpenStack-API-Version"]

    assert asked("volume 3.0") == asked("compute 2.90") == (200, "volume 3.0")
    assert asked("volume 3.27") == (200, "volume 3.27")
    assert asked("volume latest") == asked("compute 2.1, volume 3.70") == (200, "volume 3.70")
    assert (asked("volume 3.71")[0], asked("volume three")[0]) == (406, 400)


@pytest.mark.parametrize(("kind", "version", "field", "value"), ADDED)
def test_a_field_is_shown_since_its_version(
    volumes: Volumes, kind: str, version: str, field: str, value: object
) -> None:
    volume = volumes.make()
    id = volume if kind == "volumes" else volumes.snap(volume)
    for path, key in ((f"/{kind}/{id}", kind.removesuffix("s")), (f"/{kind}/detail", kind)):

        def shown(asked: str, path: str = path, key: str = key) -> dict[str, Any]:
            found = volumes.get(path, asked)[key]
            return dict(found[0] if isinstance(found, list) else found)

        assert field not in shown(before(version))
        assert shown(version)[field] == value


def test_a_volume_names_its_types_id_and_a_snapshot_its_user(volumes: Volumes) -> None:
    volume = volumes.make()
    snapshot = volumes.snap(volume)
    type = volumes.get("/types/default")["volume_type"]["id"]
    assert volumes.get(f"/volumes/{volume}", "3.63")["volume"]["volume_type_id"] == type
    assert "user_id" not in volumes.get(f"/snapshots/{snapshot}", "3.40")["snapshot"]
    assert volumes.get(f"/snapshots/{snapshot}", "3.41")["snapshot"]["user_id"] == volumes.api.user


def test_a_filter_that_there_is_none_of_is_refused(volumes: Volumes) -> None:
    id = volumes.make(name="one")
    assert len(volumes.get("/volumes?nonsense=7", "3.30")["volumes"]) == 1
    answer = volumes("GET", "/volumes?nonsense=7", version="3.31")
    assert (answer.status_code, "nonsense" in answer.text) == (400, True)
    assert len(volumes.get("/volumes?all_tenants=1&name=one&limit=5", "3.70")["volumes"]) == 1
    assert volumes("GET", "/volumes?bootable=perhaps", version="3.2").status_code == 400
    assert volumes.get("/volumes?bootable=0", "3.2")["volumes"][0]["id"] == id
    assert volumes.get("/volumes?bootable=1", "3.2")["volumes"] == []
    filters = {
        each["resource"]: each["filters"] for each in volumes.get("/resource_filters", "3.33")["resource_filters"]
    }
    assert set(filters) >= {"volume", "snapshot", "backup", "attachment"}
    for name in filters["volume"]:
        value = {"created_at": "gt:2020-01-01", "updated_at": "lt:2020-01-01", "bootable": "true"}.get(name, "1")
        assert volumes("GET", f"/volumes?{name}={value}", version="3.70").status_code == 200, name
    assert list(volumes.get("/resource_filters?resource=backup", "3.70")["resource_filters"][0]["filters"])


def test_a_list_is_filtered_by_time_and_counted(volumes: Volumes) -> None:
    ids = [volumes.make(name=name) for name in ("one", "two")]
    then = volumes.get(f"/volumes/{ids[1]}")["volume"]["created_at"]

    def names(query: str) -> list[str]:
        return [each["name"] for each in volumes.get(f"/volumes?{query}", "3.60")["volumes"]]

    assert names(f"created_at=lt:{then}") == names(f"created_at=gte:2020-01-01T00:00:00Z,neq:{then}") == ["one"]
    assert names(f"created_at=gte:{then}") == names(f"created_at=eq:{then}") == ["two"]
    for wrong in ("2020-01-01", "about:2020-01-01", "gt:yesterday"):
        assert volumes("GET", f"/volumes?created_at={wrong}", version="3.60").status_code == 400, wrong
    page = volumes.get("/volumes/detail?limit=1&with_count=True", "3.45")
    assert (len(page["volumes"]), page["count"]) == (1, 2)
    assert "count" not in volumes.get("/volumes?with_count=true", "3.44")
    assert volumes("GET", "/volumes?with_count=x", version="3.45").status_code == 400


def test_the_summary_counts_and_has_the_metadata(volumes: Volumes) -> None:
    volumes.make(size=2, metadata={"role": "db", "tier": "1"})
    volumes.make(size=1, metadata={"role": "web", "tier": "1"})
    assert volumes.get("/volumes/summary", "3.12") == {"volume-summary": {"total_count": 2, "total_size": 3}}
    assert volumes.get("/volumes/summary?size=2&nonsense=1", "3.36")["volume-summary"] == {
        "total_count": 1,
        "total_size": 2,
        "metadata": {"role": ["db"], "tier": ["1"]},
    }
    assert volumes.get("/volumes/summary", "3.70")["volume-summary"]["metadata"]["role"] == ["db", "web"]
    assert volumes("GET", "/volumes/summary", version="3.11").status_code == 404


def test_a_stale_change_of_metadata_is_refused(volumes: Volumes) -> None:
    path = f"/volumes/{volumes.make(metadata={'a': '1'})}/metadata"
    assert "ETag" not in volumes("GET", path, version="3.14").headers
    etag = volumes("GET", path, version="3.15").headers["ETag"]
    headers = {"OpenStack-API-Version": "volume 3.15", "If-Match": etag}
    assert volumes("PUT", path, {"metadata": {"a": "2"}}, headers=headers).status_code == 200
    for body, key in (({"metadata": {"a": "3"}}, ""), ({"meta": {"a": "3"}}, "/a")):
        assert volumes("PUT", path + key, body, headers=headers).status_code == 412
    assert volumes.get(path) == {"metadata": {"a": "2"}}


def test_new_forms_are_strict(volumes: Volumes) -> None:
    assert volumes("POST", "/volumes", {"volume": {"size": 1, "status": "error"}}, version="3.53").status_code == 400
    id = volumes.make(status="error")
    assert volumes("PUT", f"/volumes/{id}", {"volume": {}}, version="3.53").status_code == 400
    assert volumes("PUT", f"/volumes/{id}", {"volume": {"name": "n"}}, version="3.53").status_code == 200
    assert volumes("PUT", f"/volumes/{id}", {"volume": {}}, version="3.52").status_code == 200


def test_a_volume_in_use_is_extended_and_copied_in_new_versions_alone(volumes: Volumes, api: Api) -> None:
    server, id = api.boot("user"), volumes.make()
    volumes.attach(id, server)
    extend = {"os-extend": {"new_size": 2}}
    snapshot = {"snapshot": {"volume_id": id}}
    assert volumes("POST", f"/volumes/{id}/action", extend, version="3.41").status_code == 400
    assert volumes("POST", f"/volumes/{id}/action", extend, version="3.42").status_code == 202
    assert (volumes.get(f"/volumes/{id}")["volume"]["size"], volumes.status("volume", id, "in-use")["size"]) == (2, 2)
    assert volumes("POST", "/snapshots", snapshot, version="3.65").status_code == 400
    forced = {"snapshot": {"volume_id": id, "force": False}}
    assert volumes("POST", "/snapshots", forced, version="3.66").status_code == 400
    taken = volumes("POST", "/snapshots", snapshot, version="3.66").json()["snapshot"]["id"]
    volumes.status("snapshot", taken, "available")
    api.remove(server)


def test_a_volume_goes_back_to_its_latest_snapshot(volumes: Volumes) -> None:
    id = volumes.make()
    revert = {"revert": {"snapshot_id": None}}
    assert volumes("POST", f"/volumes/{id}/action", revert, version="3.40").status_code == 400
    (volumes.place(id) / "file").write_text("first")
    old, latest = volumes.snap(id), volumes.snap(id)
    (volumes.place(id) / "file").write_text("second")
    (volumes.place(id) / "other").write_text("new")

    def back(snapshot: str, version: str = "3.40") -> int:
        body = {"revert": {"snapshot_id": snapshot}}
        return int(volumes("POST", f"/volumes/{id}/action", body, version=version).status_code)

    assert (back(old), back(latest, "3.39")) == (400, 404)
    assert back(latest) == 202
    volumes.status("volume", id, "available")
    assert (volumes.place(id) / "file").read_text() == "first"
    assert not (volumes.place(id) / "other").exists()


def test_a_volume_is_given_an_images_content_anew(volumes: Volumes, api: Api) -> None:
    id = volumes.make()
    (volumes.place(id) / "mine").write_text("gone")

    def reimage(image: str, version: str = "3.68") -> int:
        body = {"os-reimage": {"image_id": image}}
        return int(volumes("POST", f"/volumes/{id}/action", body, version=version).status_code)

    assert (reimage(api.image(), "3.67"), reimage("nope")) == (404, 400)
    assert reimage(api.image()) == 202
    volume = volumes.status("volume", id, "available")
    assert (volume["bootable"], volume["volume_image_metadata"]["image_name"]) == ("true", "plain-linux")
    assert not (volumes.place(id) / "mine").exists()
    assert any(volumes.place(id).iterdir())


def test_an_uploaded_image_is_as_visible_as_asked(volumes: Volumes, api: Api) -> None:
    id = volumes.make()
    body = {"os-volume_upload_image": {"image_name": "shared", "visibility": "shared", "protected": True}}
    image = volumes("POST", f"/volumes/{id}/action", body, version="3.1").json()["os-volume_upload_image"]
    assert (image["visibility"], image["protected"]) == ("shared", True)
    volumes.status("volume", id, "available")
    shown = api.get(f"/image/v2/images/{image['image_id']}")
    assert (shown["visibility"], shown["protected"]) == ("shared", True)
    change = [{"op": "replace", "path": "/protected", "value": False}]
    headers = {"Content-Type": "application/openstack-images-v2.1-json-patch"}
    assert api("PATCH", f"/image/v2/images/{image['image_id']}", change, headers=headers).status_code == 200
    assert api("DELETE", f"/image/v2/images/{image['image_id']}").status_code == 204


def test_the_project_may_be_left_out_of_the_path(volumes: Volumes, api: Api) -> None:
    id = volumes.make()

    def status(path: str, version: str) -> int:
        return api("GET", f"/volume/v3{path}", headers={"OpenStack-API-Version": f"volume {version}"}).status_code

    for path in ("/volumes", "/volumes/detail", f"/volumes/{id}", f"/volumes/{id}/metadata", "/types", "/limits"):
        assert (status(path, "3.67"), status(path, "3.0")) == (200, 200), path  # as Zed: no version is asked for it
    other = f"/{'0' * 32}/volumes"
    assert status(other, "3.67") == 400
