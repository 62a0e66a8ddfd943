"""What Swift keeps and for how long: quotas, expiry, old versions, and deleting many at once."""

import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest

from faafo_lab.cloud.emulator.control import Running
from tests.waiting import wait_for

from . import swift
from .conftest import Api
from .swift import Container

box, other_box = swift.box, swift.other_box


def test_a_container_s_quotas_hold(box: Container) -> None:
    box("POST", headers={"X-Container-Meta-Quota-Bytes": "10", "X-Container-Meta-Quota-Count": "2"})
    box.put("a", b"12345")
    assert box("PUT", "b", content=b"123456").status_code == 413
    assert box("PUT", "b", content=iter([b"123", b"456"])).status_code == 413  # its length is not said
    assert box("COPY", "a", headers={"Destination": f"{box.name}/b"}).status_code == 201
    assert box("PUT", "c", content=b"").status_code == 413
    assert box.names() == ["a", "b"]


def test_an_account_s_quota_is_shown_and_holds(start: Callable[..., Running]) -> None:
    api = Api(start(quotas={"object_store_bytes": 10}))
    box = Container(api)
    assert api("HEAD", box.account).headers["X-Account-Meta-Quota-Bytes"] == "10"
    box.put("a", b"123456")
    assert box("PUT", "b", content=b"123456").status_code == 413


def test_an_object_is_gone_when_its_time_has_come(box: Container, running: Running) -> None:
    soon = int(time.time()) + 2
    box.put("at", b"1", **{"X-Delete-At": str(soon)})
    box.put("after", b"2", **{"X-Delete-After": "2"})
    box.put("later", b"3", **{"X-Delete-After": "2"})
    assert box("HEAD", "at").headers["X-Delete-At"] == str(soon)
    assert box("POST", "later", headers={"X-Delete-After": "1000"}).status_code == 202
    wait_for(
        "the objects' time to come", lambda: box("GET", "at").status_code == box("GET", "after").status_code == 404
    )
    wait_for("the list to follow", lambda: box.names() == ["later"])
    assert box("HEAD").headers["X-Container-Object-Count"] == "1"
    for headers in ({"X-Delete-At": "1"}, {"X-Delete-At": "soon"}, {"X-Delete-After": "-1"}):
        assert box("PUT", "x", content=b"", headers=headers).status_code == 400


def test_what_has_expired_while_the_cloud_was_down_is_removed(start: Callable[..., Running]) -> None:
    from faafo_lab.cloud.emulator import control

    running = start()
    box = Container(Api(running), "box")
    box.put("x", b"data", **{"X-Delete-After": "1"})
    control.stop(running.state_dir)
    running = start()
    box.api = Api(running)
    wait_for("the list to be empty", lambda: box.names() == [])
    assert list(Path(running.state_dir, "objects").iterdir()) == []


@pytest.fixture
def versioned(box: Container, other_box: Container) -> tuple[Container, Container]:
    assert box("POST", headers={"X-Versions-Location": quote(other_box.name)}).status_code == 204
    assert box("HEAD").headers["X-Versions-Location"] == other_box.name
    return box, other_box


def test_deleting_a_versioned_object_brings_back_the_one_before(versioned: tuple[Container, Container]) -> None:
    box, old = versioned
    for data in (b"1", b"22", b"333"):
        box.put("x", data)
    assert [name.rpartition("/")[0] for name in old.names()] == ["001x", "001x"]
    assert [old("GET", name).content for name in old.names()] == [b"1", b"22"]
    for data in (b"333", b"22", b"1"):
        assert box("GET", "x").content == data
        assert box("DELETE", "x").status_code == 204
    assert box("DELETE", "x").status_code == 404
    assert box.names() == old.names() == []


def test_a_history_keeps_what_is_deleted_too(box: Container, other_box: Container) -> None:
    box("POST", headers={"X-History-Location": other_box.name})
    box.put("x", b"1")
    box.put("x", b"2")
    assert box("DELETE", "x").status_code == 204
    assert box("GET", "x").status_code == 404
    kept = other_box("GET", query="format=json").json()
    assert [each["bytes"] for each in kept] == [1, 1, 0]
    assert kept[-1]["content_type"] == "application/x-deleted;swift_versions_deleted=1"
    assert other_box("GET", kept[1]["name"]).content == b"2"


def test_versions_need_their_place(box: Container) -> None:
    box.put("x", b"1")
    box("POST", headers={"X-Versions-Location": "missing"})
    assert box("PUT", "x", content=b"2").status_code == 412
    assert box("GET", "x").content == b"1"


@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_many_are_deleted_at_once(api: Api, box: Container, method: str) -> None:
    names = [f"dir/{number} ä" for number in range(120)]
    for name in names:
        box.put(name)
    body = "".join(f"/{box.name}/{quote(name)}\n" for name in names) + f"/{box.name}/missing\n"
    answer = api(
        method,
        f"{box.account}?bulk-delete",
        content=body,
        headers={"Content-Type": "text/plain", "Accept": "application/json"},
    )
    assert answer.status_code == 200
    report = answer.json()
    assert (report["Number Deleted"], report["Number Not Found"], report["Errors"]) == (120, 1, [])
    assert box.names() == []
    box.put("left")
    full = api(method, f"{box.account}?bulk-delete", content=box.name, headers={"Accept": "application/json"}).json()
    assert full["Errors"] == [[box.name, "409 Conflict"]]
    assert full["Response Status"] == "400 Bad Request"
