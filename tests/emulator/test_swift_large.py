"""Swift's large objects, dynamic and static: one object that consists of others."""

import hashlib
import json
from typing import Any

import pytest

from . import swift
from .conftest import Api
from .swift import Container

box, other_box = swift.box, swift.other_box

PARTS = [b"first " * 50_000, b"second", b"third " * 30]


def md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


@pytest.fixture
def segments(other_box: Container) -> Container:
    for number, data in enumerate(PARTS):
        other_box.put(f"big/{number:03}", data)
    return other_box


def manifest(segments: Container) -> list[dict[str, Any]]:
    return [
        {"path": f"/{segments.name}/big/{number:03}", "etag": md5(data), "size_bytes": len(data)}
        for number, data in enumerate(PARTS)
    ]


def put(box: Container, name: str, entries: Any, **headers: str) -> Any:
    return box("PUT", name, "multipart-manifest=put", content=json.dumps(entries), headers=headers)


def test_a_dynamic_one_has_what_begins_with_its_prefix_now(box: Container, segments: Container) -> None:
    box.put("big", **{"X-Object-Manifest": f"{segments.name}/big/"})
    answer = box("GET", "big")
    assert answer.content == b"".join(PARTS)
    assert answer.headers["Etag"] == f'"{md5("".join(map(md5, PARTS)).encode())}"'
    assert answer.headers["X-Object-Manifest"] == f"{segments.name}/big/"
    assert box("HEAD", "big").headers["Content-Length"] == str(len(b"".join(PARTS)))
    ranged = box("GET", "big", headers={"Range": f"bytes={len(PARTS[0]) - 2}-{len(PARTS[0]) + 1}"})
    assert (ranged.status_code, ranged.content) == (206, b"t se"[:1] + b" " + b"se")
    segments.put("big/1", b"fourth")
    assert box("GET", "big").content == b"".join([*PARTS, b"fourth"])
    assert box("GET", "big", "multipart-manifest=get").content == b""
    assert box("COPY", "big", headers={"Destination": f"{box.name}/flat"}).status_code == 201
    flat = box("GET", "flat")
    assert flat.content == b"".join([*PARTS, b"fourth"])
    assert "X-Object-Manifest" not in flat.headers
    for wrong in ("nothing", "/x", "a/b?c"):
        assert box("PUT", "wrong", headers={"X-Object-Manifest": wrong}).status_code == 400


def test_a_static_one_has_the_segments_of_its_manifest(box: Container, segments: Container) -> None:
    answer = put(box, "big", manifest(segments), **{"X-Object-Meta-Color": "blue"})
    assert answer.status_code == 201, answer.text
    etag = f'"{md5("".join(map(md5, PARTS)).encode())}"'
    assert answer.headers["Etag"] == etag
    read = box("GET", "big")
    assert read.content == b"".join(PARTS)
    assert (read.headers["Etag"], read.headers["X-Static-Large-Object"]) == (etag, "True")
    assert read.headers["X-Object-Meta-Color"] == "blue"
    ranged = box("GET", "big", headers={"Range": "bytes=-185"})
    assert ranged.content == b"".join(PARTS)[-185:]
    entry = box("GET", query="format=json").json()[0]
    assert (entry["bytes"], entry["slo_etag"]) == (len(b"".join(PARTS)), etag)
    shown = box("GET", "big", "multipart-manifest=get").json()
    assert [each["hash"] for each in shown] == list(map(md5, PARTS))
    raw = box("GET", "big", "multipart-manifest=get&format=raw").json()
    assert raw == manifest(segments)
    assert put(box, "again", raw, Etag=etag).status_code == 201
    assert box("POST", "big", headers={"X-Object-Meta-Color": "red"}).status_code == 202
    assert box("GET", "big").content == b"".join(PARTS)


def test_a_static_one_may_have_ranges_data_and_large_objects(box: Container, segments: Container) -> None:
    assert put(box, "inner", manifest(segments)).status_code == 201
    entries = [
        {"data": "aGVsbG8g"},
        {"path": f"/{segments.name}/big/001", "range": "1-3"},
        {"path": f"/{box.name}/inner", "range": "-4"},
        {"path": f"/{box.name}/inner"},
    ]
    assert put(box, "outer", entries).status_code == 201
    assert box("GET", "outer").content == b"hello eco" + PARTS[2][-4:] + b"".join(PARTS)


def test_a_manifest_that_does_not_fit_says_which_segment(box: Container, segments: Container) -> None:
    good = manifest(segments)
    for entries, word in (
        ([], "segment"),
        ({"path": "x"}, "list"),
        ([1], "object"),
        ([{"path": "nothing"}], "path"),
        ([{**good[0], "path": f"/{segments.name}/missing"}], "404 Not Found"),
        ([{**good[0], "size_bytes": 1}], "Size Mismatch"),
        ([{**good[0], "etag": "0" * 32}], "Etag Mismatch"),
        ([{**good[0], "range": "9999999-"}], "Range"),
        ([{**good[0], "colour": "red"}], "colour"),
        ([{"data": "!"}], "base64"),
    ):
        answer = put(box, "big", entries)
        assert answer.status_code == 400
        assert word in answer.text
    assert put(box, "big", good * 334).status_code == 413
    assert put(box, "big", good, Etag="0" * 32).status_code == 422
    assert box("PUT", "big", "multipart-manifest=put", content=b"{").status_code == 400
    assert box("HEAD", "big").status_code == 404


def test_large_objects_in_large_objects_cannot_grow_without_end(box: Container, segments: Container) -> None:
    many = [{"path": f"/{segments.name}/big/001"}] * 1000
    assert put(box, "one", many).status_code == 201
    assert put(box, "two", [{"path": f"/{box.name}/one"}] * 10).status_code == 201
    assert put(box, "three", [{"path": f"/{box.name}/two"}] * 2).status_code == 400
    last = f"/{segments.name}/big/001"
    for deep in range(11):
        answer = put(box, f"deep-{deep}", [{"path": last}])
        last = f"/{box.name}/deep-{deep}"
    assert answer.status_code == 400


def test_a_static_one_whose_segments_have_changed_is_not_read(box: Container, segments: Container) -> None:
    assert put(box, "big", manifest(segments)).status_code == 201
    segments.put("big/001", b"changed")
    assert box("GET", "big").status_code == 409
    assert box("HEAD", "big").headers["Content-Length"] == str(len(b"".join(PARTS))), "what the manifest says"


def test_a_static_one_is_deleted_with_its_segments_where_that_is_asked_for(box: Container, segments: Container) -> None:
    for name in ("one", "two"):
        assert put(box, name, manifest(segments)).status_code == 201
    assert box("DELETE", "one").status_code == 204
    assert len(segments.names()) == len(PARTS)
    answer = box("DELETE", "two", "multipart-manifest=delete", headers={"Accept": "application/json"})
    assert answer.status_code == 200
    assert (answer.json()["Number Deleted"], answer.json()["Errors"]) == (len(PARTS) + 1, [])
    assert segments.names() == box.names() == []
    assert box("DELETE", "two", "multipart-manifest=delete").text.startswith("Number Deleted: 0")


def test_who_may_not_read_the_segments_does_not_read_the_whole(
    api: Api, alt: Api, box: Container, segments: Container
) -> None:
    box("POST", headers={"X-Container-Read": "alt:*,.r:*"})
    box.put("dynamic", **{"X-Object-Manifest": f"{segments.name}/big/"})
    assert put(box, "static", manifest(segments)).status_code == 201
    assert alt("GET", f"{box.path}/dynamic").status_code == 403
    assert alt("GET", f"{box.path}/static").status_code == 409
    segments("POST", headers={"X-Container-Read": "alt:alt"})
    for name in ("dynamic", "static"):
        assert alt("GET", f"{box.path}/{name}").content == b"".join(PARTS)
