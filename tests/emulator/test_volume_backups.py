"""Cinder's backups: they are objects of the project's own, and become volumes again."""

import io
import os
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from faafo_lab.cloud.emulator import control
from faafo_lab.cloud.emulator.control import Running
from tests.waiting import wait_for

from .conftest import Api
from .odd import NOWHERE
from .volumes_room import Volumes

BACKUP_KEYS = {
    *("id", "status", "size", "object_count", "availability_zone", "container", "created_at", "updated_at", "name"),
    *("description", "fail_reason", "volume_id", "links", "is_incremental", "has_dependent_backups", "snapshot_id"),
    "data_timestamp",
}


@pytest.fixture
def volumes(api: Api) -> Iterator[Volumes]:
    volumes = Volumes(api)
    yield volumes
    volumes.clear()


def objects(volumes: Volumes, container: str = "volumebackups") -> list[str]:
    """The names of a container's objects."""
    answer = volumes.api("GET", f"/v1/AUTH_{volumes.api.project}/{container}")
    assert answer.status_code in (200, 204), answer.text
    return str(answer.text).split()


def restore(volumes: Volumes, backup: str, **wanted: object) -> tuple[int, dict[str, str]]:
    answer = volumes("POST", f"/backups/{backup}/restore", {"restore": wanted})
    return answer.status_code, answer.json().get("restore", {})


def test_a_volume_is_backed_up_and_restored(volumes: Volumes) -> None:
    id = volumes.make(name="data", size=2)
    (volumes.place(id) / "deep").mkdir(mode=0o750)
    (volumes.place(id) / "deep/file").write_bytes(os.urandom(1 << 20))
    (volumes.place(id) / "deep/link").symlink_to("/nowhere/else")
    whole = (volumes.place(id) / "deep/file").read_bytes()
    backup = volumes.back_up(id, name="nightly", description="d")
    shown = volumes.get(f"/backups/{backup}")["backup"]
    assert set(shown) == BACKUP_KEYS
    assert (shown["size"], shown["container"], shown["object_count"]) == (2, "volumebackups", 1)
    assert volumes.status("volume", id, "available")
    data, about = objects(volumes)
    assert data.startswith(f"volume_{id}/")
    assert data.endswith(f"_backup_{backup}-00001")
    assert about.endswith(f"_backup_{backup}_metadata")
    volumes.remove("volume", id)
    status, restored = restore(volumes, backup, name="again")
    assert (status, restored["volume_name"]) == (202, "again")
    new = volumes.status("volume", restored["volume_id"], "available")
    assert new["size"] == 2
    assert (volumes.place(new["id"]) / "deep/file").read_bytes() == whole
    assert (volumes.place(new["id"]) / "deep").stat().st_mode & 0o777 == 0o750
    assert os.readlink(volumes.place(new["id"]) / "deep/link") == "/nowhere/else"
    volumes.status("backup", backup, "available")
    volumes.remove("backup", backup)
    assert objects(volumes) == []
    assert (volumes.place(new["id"]) / "deep/file").read_bytes() == whole


def test_a_backup_takes_the_place_of_a_volumes_content(volumes: Volumes) -> None:
    id, small = volumes.make(size=2), volumes.make(size=1)
    (volumes.place(id) / "file").write_text("first")
    backup = volumes.back_up(id)
    (volumes.place(id) / "file").write_text("second")
    (volumes.place(id) / "more").write_text("more")
    assert [restore(volumes, backup, volume_id=each)[0] for each in (small, NOWHERE)] == [400, 404]
    assert restore(volumes, backup, volume_id=id)[0] == 202
    volumes.status("volume", id, "available")
    assert [path.name for path in volumes.place(id).iterdir()] == ["file"]
    assert (volumes.place(id) / "file").read_text() == "first"
    names = volumes("POST", f"/backups/{backup}/restore", {"restore": {"nonsense": 1}})
    assert names.status_code == 400


def test_a_backup_in_pieces_in_another_container(volumes: Volumes) -> None:
    id = volumes.make()
    noise = os.urandom((50 << 20) + 1000)
    (volumes.place(id) / "noise").write_bytes(noise)
    backup = volumes.back_up(id, container="mine")
    assert volumes.get(f"/backups/{backup}")["backup"]["object_count"] == 2
    assert len(objects(volumes, "mine")) == 3
    again = restore(volumes, backup)[1]["volume_id"]
    volumes.status("volume", again, "available")
    assert (volumes.place(again) / "noise").read_bytes() == noise
    volumes.remove("backup", backup)
    assert objects(volumes, "mine") == []
    assert volumes.api("DELETE", f"/v1/AUTH_{volumes.api.project}/mine").status_code == 204


def test_a_snapshot_and_a_volume_in_use_are_backed_up(volumes: Volumes, api: Api) -> None:
    id = volumes.make()
    (volumes.place(id) / "file").write_text("first")
    snapshot = volumes.snap(id)
    (volumes.place(id) / "file").write_text("second")
    of_snapshot = volumes.back_up(id, snapshot_id=snapshot)
    assert volumes.get(f"/snapshots/{snapshot}")["snapshot"]["status"] == "available"
    shown = volumes.get(f"/backups/{of_snapshot}")["backup"]
    assert (shown["snapshot_id"], shown["data_timestamp"]) == (
        snapshot,
        volumes.get(f"/snapshots/{snapshot}")["snapshot"]["created_at"],
    )
    server = api.boot("keeper")
    volumes.attach(id, server)
    assert volumes("POST", "/backups", {"backup": {"volume_id": id}}).status_code == 400
    forced = volumes.back_up(id, force=True)
    volumes.status("volume", id, "in-use")
    for backup, content in ((of_snapshot, "first"), (forced, "second")):
        new = volumes("POST", "/volumes", {"volume": {"backup_id": backup}}, version="3.47").json()["volume"]
        volumes.status("volume", new["id"], "available")
        assert (volumes.place(new["id"]) / "file").read_text() == content
    api.remove(server)


def test_backups_are_listed_changed_and_refused(volumes: Volumes, alt: Api) -> None:
    id, other = volumes.make(), Volumes(alt)
    backup = volumes.back_up(id, "3.43", name="b", metadata={"a": "b"})
    [listed] = volumes.get(f"/backups?volume_id={id}&name=b")["backups"]
    assert set(listed) == {"id", "name", "links"}
    assert set(volumes.get("/backups/detail")["backups"][0]) == BACKUP_KEYS
    assert volumes.get(f"/backups/{backup}", "3.43")["backup"]["metadata"] == {"a": "b"}
    change = {"backup": {"name": "c", "metadata": {}}}
    assert volumes("PUT", f"/backups/{backup}", change, version="3.8").status_code == 404
    assert volumes("PUT", f"/backups/{backup}", change, version="3.43").json()["backup"]["name"] == "c"
    assert volumes("GET", f"/backups/{backup}/metadata").status_code == 404
    for wanted, status in (
        *(({"volume_id": NOWHERE}, 404), ({"volume_id": id, "snapshot_id": NOWHERE}, 404), ({}, 400)),
        *(({"volume_id": id, "incremental": True}, 400), ({"volume_id": id, "container": "a/b"}, 400)),
        *(({"volume_id": id, "metadata": {}}, 400), ({"volume_id": id, "nonsense": 1}, 400)),
    ):
        assert volumes("POST", "/backups", {"backup": wanted}).status_code == status, wanted
    assert volumes("POST", f"/backups/{backup}/action", {"os-reset_status": {}}).status_code == 403
    assert volumes("GET", f"/backups/{backup}/export_record").status_code == 403
    assert other.get("/backups")["backups"] == []
    for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/restore"), ("POST", "/action")):
        assert other(method, f"/backups/{backup}{path}", {"restore": {}}).status_code == 404, (method, path)
    usage = volumes.get(f"/os-quota-sets/{volumes.api.project}?usage=True")["quota_set"]
    assert (usage["backups"]["in_use"], usage["backup_gigabytes"]["in_use"]) == (1, 1)


def test_a_backup_whose_objects_are_gone_or_others_restores_nothing(volumes: Volumes) -> None:
    backup = volumes.back_up(volumes.make())
    outside = io.BytesIO()
    with tarfile.open(fileobj=outside, mode="w:gz") as tar:
        tar.addfile(tarfile.TarInfo("../outside"))
    place = f"/v1/AUTH_{volumes.api.project}/volumebackups/{objects(volumes)[0]}"
    for spoil in ({"content": outside.getvalue()}, {"content": b"no archive"}, {}):
        assert volumes.api("PUT" if spoil else "DELETE", place, **spoil).status_code in (201, 204)
        target = volumes.make()
        (volumes.place(target) / "file").write_text("kept")
        assert restore(volumes, backup, volume_id=target)[0] == 202
        volumes.status("volume", target, "error_restoring")
        assert [path.read_text() for path in volumes.place(target).iterdir()] == ["kept"]
        assert sorted(path.name for path in volumes.place("").iterdir() if not path.is_dir()) == []
        volumes.status("backup", backup, "available")


def test_a_backup_that_finds_no_room_says_so(start: Callable[..., Running]) -> None:
    volumes = Volumes(Api(start(quotas={"object_store_bytes": 100, "backups": 1})))
    id = volumes.make()
    (volumes.place(id) / "noise").write_bytes(os.urandom(10_000))
    made = volumes("POST", "/backups", {"backup": {"volume_id": id}}).json()["backup"]["id"]
    assert "quota" in volumes.status("backup", made, "error")["fail_reason"]
    volumes.status("volume", id, "available")
    assert volumes("POST", "/backups", {"backup": {"volume_id": id}}).status_code == 413
    volumes.remove("backup", made)


def test_a_backup_that_the_clouds_end_cut_short_is_made_after_its_next_start(
    start: Callable[..., Running], tmp_path: Path
) -> None:
    running = start()
    volumes = Volumes(Api(running))
    id = volumes.make()
    (volumes.place(id) / "noise").write_bytes(os.urandom(40 << 20))
    backup = volumes("POST", "/backups", {"backup": {"volume_id": id}}).json()["backup"]["id"]
    control.stop(running.state_dir)
    again = Volumes(Api(start()))
    wait_for("the backup", lambda: again.get(f"/backups/{backup}")["backup"]["status"] == "available")
    restored = restore(again, backup)[1]["volume_id"]
    again.status("volume", restored, "available")
    assert (again.place(restored) / "noise").stat().st_size == 40 << 20
