"""Swift's objects: data and metadata, ranges and conditions, copies; nothing half-made, all in its place."""

import contextlib
import hashlib
import os
import random
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from faafo_lab.cloud.emulator.control import Running
from tests.waiting import wait_for

from . import swift
from .conftest import Api
from .swift import Container

box, other_box = swift.box, swift.other_box


def md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def files(running: Running) -> set[str]:
    return {path.name for path in Path(running.state_dir, "objects").iterdir()}


def test_an_object_is_uploaded_read_changed_and_deleted(box: Container, running: Running) -> None:
    before, data = files(running), os.urandom(3_000_000)
    answer = box.put("a/b c.png", data, **{"X-Object-Meta-Color": "blue", "Content-Encoding": "x"})
    assert answer.headers["Etag"] == md5(data)
    assert answer.headers["Last-Modified"]
    read = box("GET", "a/b c.png", headers={"Accept-Encoding": "identity"})
    assert (read.status_code, md5(read.content)) == (200, md5(data))
    assert (read.headers["Content-Type"], read.headers["X-Object-Meta-Color"]) == ("image/png", "blue")
    head = box("HEAD", "a/b c.png")
    assert (head.status_code, head.headers["Content-Length"], head.content) == (200, "3000000", b"")
    changed = {"X-Object-Meta-Size": "L", "Content-Disposition": "attachment"}
    assert box("POST", "a/b c.png", headers=changed).status_code == 202
    headers = box("HEAD", "a/b c.png").headers
    assert (headers["X-Object-Meta-Size"], headers["Content-Disposition"]) == ("L", "attachment")
    assert "X-Object-Meta-Color" not in headers
    assert "Content-Encoding" not in headers
    assert (headers["Etag"], headers["Content-Type"]) == (md5(data), "image/png")
    box.put("a/b c.png", b"other")
    assert box("GET", "a/b c.png").content == b"other"
    assert len(files(running) - before) == 1
    assert box("DELETE", "a/b c.png").status_code == 204
    assert files(running) == before
    for method in ("GET", "HEAD", "POST", "DELETE"):
        assert box(method, "a/b c.png").status_code == 404


def test_an_upload_in_chunks_needs_no_length(box: Container) -> None:
    def chunks() -> Iterator[bytes]:
        for number in range(20):
            yield bytes([number]) * 100_000

    data = b"".join(chunks())
    answer = box("PUT", "chunked", content=chunks())
    assert (answer.status_code, answer.headers["Etag"]) == (201, md5(data))
    assert box("GET", "chunked").content == data
    empty = box.put("empty", b"", **{"Content-Type": "text/x-nothing"})
    assert empty.headers["Etag"] == md5(b"")
    assert box("GET", "empty").content == b""


def test_what_is_not_what_its_etag_says_is_not_kept(box: Container, running: Running) -> None:
    before = files(running)
    assert box("PUT", "x", content=b"data", headers={"Etag": md5(b"other")}).status_code == 422
    assert box("GET", "x").status_code == 404
    assert files(running) == before
    box.put("x", b"data", Etag=md5(b"data"))
    assert box("PUT", "x", content=b"more", headers={"If-None-Match": "*"}).status_code == 412
    assert box("GET", "x").content == b"data"


@pytest.mark.parametrize(
    ("wanted", "status", "content"),
    [
        ("bytes=0-3", 206, b"0123"),
        ("bytes=4-", 206, b"456789"),
        ("bytes=-2", 206, b"89"),
        ("bytes=-20", 206, b"0123456789"),
        ("bytes=8-100", 206, b"89"),
        ("bytes=10-", 416, None),
        ("bytes=-0", 416, None),
        ("bytes=3-2", 200, b"0123456789"),
        ("bytes=x", 200, b"0123456789"),
        ("lines=1-2", 200, b"0123456789"),
        (",".join(["bytes=0-9", *["0-9"] * 60]), 416, None),
    ],
)
def test_a_range_is_what_it_says(box: Container, wanted: str, status: int, content: bytes | None) -> None:
    box.put("digits", b"0123456789")
    answer = box("GET", "digits", headers={"Range": wanted})
    assert answer.status_code == status
    if content is not None:
        assert answer.content == content
    else:
        assert answer.headers["Content-Range"] == "bytes */10"


def test_several_ranges_come_in_parts(box: Container) -> None:
    box.put("digits", b"0123456789", **{"Content-Type": "text/plain"})
    answer = box("GET", "digits", headers={"Range": "bytes=0-1,-1"})
    assert answer.status_code == 206
    kind, _, boundary = answer.headers["Content-Type"].partition(";boundary=")
    assert kind == "multipart/byteranges"
    expected = "".join(
        f"--{boundary}\r\nContent-Type: text/plain\r\nContent-Range: bytes {where}/10\r\n\r\n{data}\r\n"
        for where, data in (("0-1", "01"), ("9-9", "9"))
    )
    assert answer.text == f"{expected}--{boundary}--"


def test_conditions_hold_or_are_answered(box: Container) -> None:
    headers = box.put("x", b"data").headers
    etag, modified = headers["Etag"], headers["Last-Modified"]
    old = "Thu, 01 Jan 2015 00:00:00 GMT"
    for asked, status in (
        ({"If-Match": f'"{etag}"'}, 200),
        ({"If-Match": "other"}, 412),
        ({"If-None-Match": etag}, 304),
        ({"If-None-Match": f'"other", "{etag}"'}, 304),
        ({"If-None-Match": "other"}, 200),
        ({"If-Modified-Since": modified}, 304),
        ({"If-Modified-Since": old}, 200),
        ({"If-Unmodified-Since": old}, 412),
        ({"If-Unmodified-Since": modified}, 200),
        ({"If-Modified-Since": "yesterday"}, 200),
        ({"Range": "bytes=0-0", "If-Range": etag}, 206),
        ({"Range": "bytes=0-0", "If-Range": "other"}, 200),
    ):
        assert box("GET", "x", headers=asked).status_code == status, asked
        assert box("HEAD", "x", headers=asked).status_code == (200 if status == 206 else status), asked


def test_an_object_is_copied_both_ways(box: Container, other_box: Container) -> None:
    box.put("from ä", b"data", **{"X-Object-Meta-Color": "blue", "Content-Type": "text/x-a"})
    copied = box("COPY", "from ä", headers={"Destination": f"{other_box.name}/to%20%C3%A4"})
    assert (copied.status_code, copied.headers["Etag"]) == (201, md5(b"data"))
    assert copied.headers["X-Copied-From"] == f"{box.name}/from%20%C3%A4"
    found = other_box("GET", "to ä")
    assert (found.content, found.headers["X-Object-Meta-Color"]) == (b"data", "blue")
    assert found.headers["Content-Type"] == "text/x-a"
    fresh = {"X-Copy-From": f"/{box.name}/from%20%C3%A4", "X-Fresh-Metadata": "true", "X-Object-Meta-Size": "L"}
    assert other_box("PUT", "again", headers=fresh).status_code == 201
    headers = other_box("HEAD", "again").headers
    assert "X-Object-Meta-Color" not in headers
    assert headers["X-Object-Meta-Size"] == "L"
    itself = {"X-Copy-From": f"{box.name}/from%20%C3%A4", "X-Object-Meta-Size": "M"}
    assert box("PUT", "from ä", headers=itself).status_code == 201
    assert box("GET", "from ä").content == b"data"
    for headers, status in (
        ({"Destination": "nowhere"}, 412),
        ({"Destination": "nowhere/x"}, 404),
        ({"Destination": f"{other_box.name}/%ff"}, 412),
    ):
        assert box("COPY", "from ä", headers=headers).status_code == status
    assert box("PUT", "x", headers={"X-Copy-From": f"{box.name}/missing"}).status_code == 404


@pytest.mark.parametrize(
    "name",
    [
        "..",
        "../../etc/passwd",
        "/",
        "//x",
        "a/../b",
        "a//b/",
        "~",
        "%2e%2e",
        "a\nb",
        "ä" * 512,
        "?#&",
        "\U0001f600",
        " ",
    ],
)
def test_names_never_leave_their_place(box: Container, running: Running, name: str) -> None:
    before = files(running)
    box.put(name, b"data")
    assert box("GET", name).content == b"data"
    assert [each["name"] for each in box("GET", query="format=json").json()] == [name]
    made = files(running) - before
    assert len(made) == 1
    assert all(each.isalnum() for each in made)
    assert box("DELETE", name).status_code == 204


def test_a_name_that_is_not_quoted_is_the_quoted_one(box: Container) -> None:
    box.put("ä", b"data")
    host, port = box.api.root.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as client:
        head = f"GET {box.path}/ä HTTP/1.0\r\nX-Auth-Token: {box.api.token}\r\n\r\n"
        client.sendall(head.encode())
        answer = b"".join(iter(lambda: client.recv(65536), b""))
    assert answer.endswith(b"\r\n\r\ndata")


def test_an_upload_that_is_cut_short_leaves_nothing(box: Container, running: Running) -> None:
    before = files(running)
    host, port = box.api.root.removeprefix("http://").split(":")
    for framing, sent in (
        ("Content-Length: 1000000", b"x" * 1000),
        ("Transfer-Encoding: chunked", b"3e8\r\n" + b"x" * 1000),
    ):
        with socket.create_connection((host, int(port))) as client:
            head = f"PUT {box.path}/cut HTTP/1.1\r\nHost: x\r\nX-Auth-Token: {box.api.token}\r\n{framing}\r\n\r\n"
            client.sendall(head.encode() + sent)
            wait_for("the upload to begin", lambda: files(running) != before)
        wait_for("the upload to be given up", lambda: files(running) == before)
        assert box("GET", "cut").status_code == 404


def test_a_download_goes_on_while_its_object_is_deleted(box: Container) -> None:
    data = os.urandom(30_000_000)
    box.put("big", data)
    with box.api.http.stream("GET", f"{box.path}/big") as answer:
        pieces = answer.iter_raw(100_000)
        got = [next(pieces)]
        assert box("DELETE", "big").status_code == 204
        got += pieces
    assert md5(b"".join(got)) == md5(data)


def test_a_download_that_is_given_up_leaves_no_file_open(box: Container, running: Running) -> None:
    def opened() -> list[str]:
        found = []
        for each in os.scandir(f"/proc/{running.pid}/fd"):
            with contextlib.suppress(FileNotFoundError):  # closed since
                found.append(os.readlink(each.path))
        return [each for each in found if "/objects/" in each]

    box.put("big", os.urandom(30_000_000))
    with httpx.Client(base_url=box.api.root, trust_env=False, headers=box.api.http.headers) as client:
        with client.stream("GET", f"{box.path}/big") as answer:
            pieces = answer.iter_raw(1000)  # without a name it would be over after the first
            next(pieces)
            assert len(opened()) == 1
        wait_for("the file to be closed", lambda: not opened())


def test_a_killed_cloud_has_every_object_that_it_said_it_had(start: Callable[..., Running]) -> None:
    seed = random.randrange(1 << 32)
    print("seed", seed)
    numbers = random.Random(seed)
    running = start()
    box = Container(Api(running), "box")
    kept: dict[str, str] = {}
    for round in range(2):
        box.api.running = running
        stop = threading.Event()

        def upload(thread: int, round: int = round, box: Container = box, stop: threading.Event = stop) -> None:
            draw = random.Random(seed + thread)
            api, number = Api(box.api.running), 0
            while not stop.is_set():
                name, data = f"{round}/{thread}/{number % 7}", draw.randbytes(draw.choice((0, 10, 300_000)))
                kept.pop(name, None)  # overwritten or not: who knows
                try:
                    answer = api("PUT", f"{box.path}/{name}", content=data)
                except Exception:
                    return
                assert answer.status_code == 201
                kept[name] = md5(data)
                number += 1

        threads = [threading.Thread(target=upload, args=(thread,)) for thread in range(3)]
        for each in threads:
            each.start()
        goal = len(kept) + numbers.randrange(5, 15)
        wait_for("some uploads", lambda goal=goal: len(kept) >= goal)
        os.kill(running.pid, signal.SIGKILL)
        stop.set()
        for each in threads:
            each.join()
        running = start()
        box.api = Api(running)
        for name, etag in kept.items():
            assert md5(box("GET", name).content) == etag, name
        listed = {each["name"]: each for each in box("GET", query="format=json").json()}
        assert kept.keys() <= listed.keys()
        for name in listed.keys() - kept.keys():
            assert md5(box("GET", name).content) == listed[name]["hash"]
        assert len(files(running)) == sum(each["bytes"] > 0 for each in listed.values())
