"""Swift's accounts and containers: metadata, lists in their forms, limits."""

import json
from typing import Any
from xml.etree import ElementTree

import pytest

from faafo_lab.cloud.emulator.services.object_store.listing import Wanted, select

from . import swift
from .conftest import Api
from .swift import Container

box = swift.box


def test_the_store_says_what_it_can_do(api: Api) -> None:
    answer = api("GET", "/info", headers={"X-Auth-Token": ""})
    assert answer.status_code == 200
    assert {"swift", "slo", "dlo", "tempurl", "bulk_delete", "versioned_writes"} <= set(answer.json())
    assert api("GET", "/healthcheck", headers={"X-Auth-Token": ""}).text == "OK"


def test_what_the_store_has_not_is_refused_and_not_promised(api: Api, box: Container) -> None:
    assert "strict_cors_mode" not in api.get("/info")["swift"]
    for header in ("X-Container-Sync-To", "X-Versions-Enabled"):
        assert box("POST", headers={header: "true"}).status_code == 400, header
    assert box("PUT", "link", headers={"X-Symlink-Target": "a/b"}, content=b"").status_code == 400
    assert box("PUT", query="extract-archive=tar", content=b"").status_code == 400
    assert box("GET", "link").status_code == 404


def test_a_containers_sync_key_is_kept_for_its_owner(api: Api, alt: Api, box: Container) -> None:
    assert (
        box("POST", headers={"X-Container-Sync-Key": "secret", "X-Container-Read": ".r:*,.rlistings"}).status_code
        == 204
    )
    assert box("HEAD").headers["X-Container-Sync-Key"] == "secret"
    assert "X-Container-Sync-Key" not in alt("HEAD", box.path).headers
    box("POST", headers={"X-Remove-Container-Sync-Key": "x"})
    assert "X-Container-Sync-Key" not in box("HEAD").headers


def test_an_account_counts_what_is_in_it(api: Api, box: Container) -> None:
    before = api("HEAD", box.account).headers
    box.put("a", b"12345")
    box.put("a", b"123")
    after = api("HEAD", box.account).headers
    assert int(after["X-Account-Object-Count"]) == int(before["X-Account-Object-Count"]) + 1
    assert int(after["X-Account-Bytes-Used"]) == int(before["X-Account-Bytes-Used"]) + 3
    entry = {"name": box.name, "count": 1, "bytes": 3}
    listed = api.get(f"{box.account}?format=json")
    assert entry in [{key: each[key] for key in entry} for each in listed]
    assert api("GET", f"{box.account}?prefix={box.name}").text == f"{box.name}\n"


def test_an_account_s_metadata_is_set_kept_and_removed(api: Api, box: Container) -> None:
    for headers, left in (
        ({"X-Account-Meta-Color": "blue", "X-Account-Meta-Size": "L"}, {"color": "blue", "size": "L"}),
        ({"X-Account-Meta-Color": "gr\u00fcn".encode()}, {"color": "gr\u00fcn", "size": "L"}),
        ({"X-Account-Meta-Color": "", "X-Remove-Account-Meta-Size": "x"}, {}),
    ):
        assert api("POST", box.account, headers=headers).status_code == 204
        found = {
            name.decode().lower().removeprefix("x-account-meta-"): value.decode()
            for name, value in api("HEAD", box.account).headers.raw
            if name.lower().startswith(b"x-account-meta-")
        }
        assert found == left
    assert api("POST", box.account, headers={"X-Account-Meta-Quota-Bytes": "7"}).status_code == 403
    assert api("DELETE", box.account).status_code == 403


def test_a_container_is_made_once_and_deleted_when_it_is_empty(api: Api) -> None:
    box = Container(api, "with space/…".replace("/", ""), **{"X-Container-Meta-One": "1"})
    assert box("PUT", headers={"X-Container-Meta-Two": "2"}).status_code == 202
    headers = box("HEAD").headers
    assert (headers["X-Container-Meta-One"], headers["X-Container-Meta-Two"]) == ("1", "2")
    assert (headers["Content-Type"], headers["X-Storage-Policy"]) == ("text/plain; charset=utf-8", "Policy-0")
    box.put("it")
    assert box("DELETE").status_code == 409
    assert box("DELETE", "it").status_code == 204
    assert box("DELETE").status_code == 204
    for method in ("GET", "HEAD", "POST", "DELETE"):
        assert box(method).status_code == 404
    missing = box("GET")
    assert missing.text == "<html><h1>Not Found</h1><p>The resource could not be found.</p></html>"
    assert missing.headers["X-Trans-Id"].startswith("tx")
    assert box("PUT", "it", content=b"x").status_code == 404


NAMES = ["a", "b/1", "b/2", "b/c/3", "b/c/4", "bb", "d/", "d/5", "ä"]


@pytest.fixture
def full(box: Container) -> Container:
    for name in NAMES:
        box.put(name, name.encode())
    return box


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("", NAMES),
        ("prefix=b/", ["b/1", "b/2", "b/c/3", "b/c/4"]),
        ("prefix=b/&delimiter=/", ["b/1", "b/2", "b/c/"]),
        ("delimiter=/", ["a", "b/", "bb", "d/", "ä"]),
        ("delimiter=/&marker=b/", ["bb", "d/", "ä"]),
        ("delimiter=/&limit=2", ["a", "b/"]),
        ("delimiter=/&reverse=true", ["ä", "d/", "bb", "b/", "a"]),
        ("delimiter=/&reverse=true&limit=2&marker=d/", ["bb", "b/"]),
        ("path=b", ["b/1", "b/2"]),
        ("path=", ["a", "bb", "d/", "ä"]),
        ("path=&reverse=on", ["ä", "d/", "bb", "a"]),
        ("path=d", ["d/5"]),
        ("marker=b/2&end_marker=bb", ["b/c/3", "b/c/4"]),
        ("marker=bb&end_marker=b/2&reverse=1", ["b/c/4", "b/c/3"]),
        ("limit=3", ["a", "b/1", "b/2"]),
        ("limit=0", []),
        ("prefix=nothing", []),
        ("delimiter=c/", ["a", "b/1", "b/2", "b/c/", "bb", "d/", "d/5", "ä"]),
    ],
)
def test_lists_have_what_is_asked_for(full: Container, query: str, names: list[str]) -> None:
    assert full.names(query) == names


def test_a_list_skips_what_it_does_not_show() -> None:
    class Counted(list[str]):
        read = 0

        def __getitem__(self, at: Any) -> Any:
            self.read += 1
            return super().__getitem__(at)

    names = Counted(sorted(f"{number % 3}/{number}" for number in range(30_000)))
    assert [name for name, _ in select(names, Wanted(delimiter="/"))] == ["0/", "1/", "2/"]
    assert names.read < 200


def test_lists_come_as_text_json_and_xml(full: Container) -> None:
    entry = full("GET", query="format=json&limit=1").json()[0]
    assert entry["name"] == "a"
    assert (entry["bytes"], entry["content_type"]) == (1, "application/octet-stream")
    assert entry["hash"] == "0cc175b9c0f1b6a831c399e269772661"
    assert len(entry["last_modified"]) == len("2026-01-31T12:00:00.123456")
    accepted = full("GET", query="prefix=b/&delimiter=/", headers={"Accept": "application/json"})
    assert json.loads(accepted.text)[-1] == {"subdir": "b/c/"}
    xml = ElementTree.fromstring(full("GET", query="delimiter=/&format=xml").content)  # noqa: S314
    assert xml.get("name") == full.name
    assert [each.findtext("name") for each in xml] == ["a", "b/", "bb", "d/", "ä"]
    assert full("GET", headers={"Accept": "image/png"}).status_code == 406
    assert full("GET", query="limit=10001").status_code == 412
    assert full("GET", query="prefix=nothing").status_code == 204
    assert full("GET", query="prefix=nothing&format=json").json() == []


@pytest.mark.parametrize(
    "headers",
    [
        {f"X-Container-Meta-{'n' * 129}": "v"},
        {"X-Container-Meta-Name": "v" * 257},
        {f"X-Container-Meta-{number}": "v" for number in range(91)},
        {f"X-Container-Meta-{number}": "v" * 250 for number in range(20)},
        {"X-Container-Meta-Name": b"\xff\xfe"},
        {"X-Container-Meta-Quota-Bytes": "many"},
        {"X-Container-Read": ".unknown:x"},
        {"X-Container-Write": ".r:*"},
        {"X-Versions-Location": "a", "X-History-Location": "b"},
        {"X-Versions-Location": "a/b"},
        {"X-Storage-Policy": "gold"},
    ],
)
def test_metadata_that_cannot_be_is_refused_and_nothing_changes(box: Container, headers: Any) -> None:
    before = box("HEAD").headers
    assert box("PUT", headers=headers).status_code == 400
    after = box("HEAD").headers
    assert {name for name in after if name.startswith("x-container-meta")} == set()
    assert after["X-Timestamp"] == before["X-Timestamp"]


def test_names_have_limits(api: Api, box: Container) -> None:
    account = box.account
    assert api("PUT", f"{account}/{'n' * 257}").status_code == 400
    assert api("PUT", f"{account}/%ff").status_code == 412
    assert api("PUT", f"{account}/nul%00").status_code == 412
    assert api("PUT", f"{account}/%2e%2e").status_code == 400
    assert box("PUT", "n" * 1025, content=b"").status_code == 400
    assert api("PUT", f"{box.path}/%ff", content=b"").status_code == 412
