"""Block storage, through each backend; another one is the witness, and the server itself where content matters."""

from __future__ import annotations

import datetime
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from faafo_lab.cloud import connect, keys
from faafo_lab.cloud.base import Cloud
from faafo_lab.cloud.errors import (
    BadRequest,
    CloudError,
    CloudFailed,
    Interrupted,
    InUse,
    NoService,
    NotFound,
    QuotaExceeded,
)
from faafo_lab.cloud.marks import CREATED
from faafo_lab.cloud.model import Server, Snapshot, Volume, VolumeLimits
from tests.waiting import wait_for

from .test_verbs import new_server

GONE = "6f70656e-7374-4163-8b00-000000000000"


def reachable(cloud: Cloud, name: str = "one") -> Server:
    """A server that runs commands."""
    keys.ensure_key_pair(cloud)
    group = cloud.get_or_create_security_group("ssh")
    cloud.get_or_create_rule(group, 22)
    return new_server(cloud, name, key_pair=keys.KEY_PAIR_NAME, security_groups=["ssh"])


def make(cloud: Cloud, name: str = "data", gigabytes: int = 1, **more: str) -> Volume:
    return cloud.create_volume(name, gigabytes, progress=False, **more)


def test_a_volume_comes_and_goes(cloud: Cloud, other: Cloud) -> None:
    started = datetime.datetime.now(datetime.UTC)
    made = make(cloud, gigabytes=2)
    assert (made.name, made.gigabytes, made.status, made.description) == ("data", 2, "available", CREATED)
    assert (made.server_id, made.device, made.snapshot_id) == (None, None, None)
    assert made.created is not None
    assert abs(made.created - started) < datetime.timedelta(minutes=1)
    assert [made] == cloud.volumes() == other.volumes()
    assert cloud.volume("data") == cloud.volume(made.id) == made
    cloud.delete_volume("data", progress=False)
    assert cloud.volumes() == other.volumes() == []


def test_what_a_server_wrote_moves_with_the_volume_to_the_next_one(cloud: Cloud, other: Cloud) -> None:
    one, two = reachable(cloud), reachable(cloud, "two")
    volume = make(cloud)
    device = cloud.attach_volume(one, volume, progress=False)
    assert device == "/dev/vdb"
    there = other.volume("data")
    assert (there.status, there.server_id, there.device) == ("in-use", one.id, "/dev/vdb")
    assert cloud.attach_volume("one", "data", progress=False) == device  # again: it is attached, that is all
    cloud.run(one, "echo kept >$INSTANCE_VOLUMES/vdb/file", check=True)
    with pytest.raises(InUse, match=rf"'data' is attached to another server \({one.id}\): detach it first"):
        cloud.attach_volume(two, volume)
    assert cloud.detach_volume(there, progress=False) == other.volume("data")
    assert cloud.detach_volume("data", progress=False).server_id is None
    cloud.attach_volume(two, volume, progress=False)
    assert cloud.run(two, "cat $INSTANCE_VOLUMES/vdb/file", check=True).stdout == "kept\n"
    cloud.delete_servers([two], progress=False)
    assert other.volume("data").status == "available"


def test_a_snapshot_has_what_the_volume_had_at_its_moment(cloud: Cloud, other: Cloud) -> None:
    one = reachable(cloud)
    volume = make(cloud)
    cloud.attach_volume(one, volume, progress=False)
    cloud.run(one, "echo before >$INSTANCE_VOLUMES/vdb/file", check=True)
    taken = cloud.create_snapshot("data", "then", progress=False)  # of an attached volume
    assert (taken.name, taken.status, taken.gigabytes, taken.volume_id) == ("then", "available", 1, volume.id)
    assert [taken] == cloud.snapshots() == other.snapshots()
    assert cloud.snapshot("then") == other.snapshot(taken.id) == taken
    cloud.run(one, "echo after >$INSTANCE_VOLUMES/vdb/file", check=True)
    copy = cloud.create_volume("copy", 2, snapshot=taken, progress=False)
    assert (copy.snapshot_id, copy.gigabytes) == (taken.id, 2)
    assert cloud.attach_volume(one, copy, progress=False) == "/dev/vdc"
    assert cloud.run(one, "cd $INSTANCE_VOLUMES; cat vdb/file vdc/file", check=True).stdout == "after\nbefore\n"
    cloud.delete_snapshot(taken, progress=False)
    assert other.snapshots() == []
    assert [each.name for each in other.volumes()] == ["data", "copy"]


def test_get_or_create_volume_makes_one(cloud: Cloud) -> None:
    volume, made = cloud.get_or_create_volume("data", 1)
    assert made
    assert cloud.get_or_create_volume("data", 3) == (volume, False)
    assert len(cloud.volumes()) == 1


def test_get_or_create_waits_for_what_an_interrupted_call_began(
    cloud: Cloud, other: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    requested = cloud._make_volume

    def then_interrupt(*arguments: object) -> str:
        requested(*arguments)  # type: ignore[arg-type]
        raise KeyboardInterrupt

    monkeypatch.setattr(cloud, "_make_volume", then_interrupt)
    with pytest.raises(Interrupted, match="create_volume was in progress"):
        cloud.get_or_create_volume("data", 1)
    monkeypatch.undo()
    volume, made = cloud.get_or_create_volume("data", 1)
    assert (volume.status, made) == ("available", False)
    assert other.volumes() == [volume]


def test_limits_count_volumes_and_their_snapshots(cloud: Cloud, other: Cloud) -> None:
    assert cloud.volume_limits() == VolumeLimits(10, 0, 10, 0, 1000, 0)
    cloud.create_snapshot(make(cloud, gigabytes=2), "then", progress=False)
    assert cloud.volume_limits() == other.volume_limits() == VolumeLimits(10, 1, 10, 1, 1000, 4)


def test_what_is_in_use_stays(cloud: Cloud) -> None:
    server, volume = new_server(cloud), make(cloud)
    cloud.attach_volume(server, volume, progress=False)
    with pytest.raises(InUse, match="Detach it, delete its snapshots"):
        cloud.delete_volume(volume)
    cloud.create_snapshot(volume, "then", progress=False)
    cloud.detach_volume(volume, progress=False)
    with pytest.raises(InUse, match="Detach it, delete its snapshots"):
        cloud.delete_volume("data")
    assert [each.status for each in cloud.volumes()] == ["available"]


def test_a_volume_that_cinder_could_not_make_is_told(cloud: Cloud, embedded: Path) -> None:
    taken = cloud.create_snapshot(make(cloud), "then", progress=False)
    place = embedded / "snapshots" / taken.id
    place.rename(place.with_name("away"))
    try:
        with pytest.raises(CloudFailed, match="Volume 'copy' failed, its status is error: delete it and try again"):
            cloud.create_volume("copy", 1, snapshot="then", progress=False)
    finally:
        place.with_name("away").rename(place)
    cloud.delete_volume("copy", progress=False)


WRONG: list[tuple[Callable[[Cloud], object], type[CloudError], str]] = [
    (lambda c: c.create_volume("", 1), BadRequest, "A volume needs a name"),
    (lambda c: c.create_volume("x", 0), BadRequest, "gigabytes must be at least 1, not 0"),
    (lambda c: c.create_volume("x", 1, snapshot="thn"), NotFound, "no snapshot 'thn'. Did you mean 'then'"),
    (lambda c: c.create_volume("x", 1, snapshot="then"), BadRequest, "(?i)size '1'GB cannot be smaller than the snap"),
    (lambda c: c.create_volume("x", 5000), QuotaExceeded, "exceeds allowed gigabytes quota"),
    (lambda c: c.create_snapshot("data", ""), BadRequest, "A snapshot needs a name"),
    (lambda c: c.create_snapshot("dat", "x"), NotFound, "no volume 'dat'. Did you mean 'data'"),
    (lambda c: c.attach_volume("one", "data"), NotFound, "no server 'one'"),
    (lambda c: c.attach_volume(Server(GONE, "old", "ACTIVE"), "data"), NotFound, GONE),
    (lambda c: c.detach_volume("dta"), NotFound, "no volume 'dta'. Did you mean 'data'"),
    (lambda c: c.delete_volume(Volume(GONE, "old", "available", 1)), NotFound, "no volume 'old' any more"),
    (lambda c: c.delete_snapshot(Snapshot(GONE, "old", "available", 1, GONE)), NotFound, "no snapshot 'old' any more"),
    (lambda c: c.delete_snapshot("x"), NotFound, "no snapshot 'x'"),
]


def test_a_wrong_value_is_told_in_one_sentence_and_changes_nothing(cloud: Cloud) -> None:
    cloud.create_snapshot(make(cloud, gigabytes=2), "then", progress=False)
    before = cloud.volumes(), cloud.snapshots()
    for call, kind, words in WRONG:
        with pytest.raises(kind, match=words) as caught:
            call(cloud)
        assert "\n" not in str(caught.value)
    assert (cloud.volumes(), cloud.snapshots()) == before


def test_a_wait_ends_when_the_volume_is_deleted_by_somebody_else(
    cloud: Cloud, other: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    requested = cloud._make_volume

    def then_delete(*arguments: object) -> str:
        id = requested(*arguments)  # type: ignore[arg-type]
        wait_for("the volume", lambda: other.volume(id).status == "available")
        other.delete_volume(id, progress=False)
        return id

    monkeypatch.setattr(cloud, "_make_volume", then_delete)
    with pytest.raises(NotFound, match="There is no volume 'data' any more: it was deleted"):
        make(cloud)


def test_threads_may_make_volumes_at_once(cloud: Cloud) -> None:
    threads = [threading.Thread(target=make, args=(cloud, f"v{number}")) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(each.name for each in cloud.volumes()) == ["v0", "v1", "v2"]


def test_a_cloud_without_block_storage_is_told(cloud: Cloud, backend: str, embedded: Path, clouds_yaml: Path) -> None:
    entry = yaml.safe_load((embedded / "clouds.yaml").read_text())["clouds"]["embedded"]
    for kind in ("volume", "volumev3", "block_storage"):
        entry[f"{kind}_service_type"] = "no-block-storage"
    clouds_yaml.write_text(yaml.safe_dump({"clouds": {"bare": entry}}))
    bare = connect("bare", backend)
    with pytest.raises(NoService, match=r"The cloud has no volumes \(block storage\) in this region"):
        bare.volumes()
    assert bare.receipt().nothing_left


def test_the_tape_shows_the_calls_of_a_snapshot(cloud: Cloud) -> None:
    make(cloud)
    cloud.tape()
    cloud.create_snapshot("data", "then", progress=False)
    rows = cloud.tape().rows
    assert {row.service for row in rows} == {"block-storage"}
    assert [row.method for row in rows][:3] == ["GET", "POST", "GET"]
