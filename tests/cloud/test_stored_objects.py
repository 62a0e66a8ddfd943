"""The object store, through each backend: containers, objects of any bytes, temporary URLs."""

from __future__ import annotations

import hashlib
import hmac
import http.server
import io
import math
import re
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import requests
import yaml

from faafo_lab.cloud import connect, objects
from faafo_lab.cloud.base import Cloud, temporary_key
from faafo_lab.cloud.errors import BadRequest, CloudFailed, InUse, NotFound
from faafo_lab.cloud.model import Container
from faafo_lab.cloud.progress import listener
from faafo_lab.cloud.streams import CHUNK_BYTES
from faafo_lab.paths import embedded_state_dir
from tests.waiting import wait_for

BINARY = bytes(range(256)) * 500  # no text in any encoding
LONG = bytes(range(250)) * 32_000  # eight million
CONTAINER, OBJECT = "a b", "sub dir/ö?.whl"


def test_an_object_is_stored_served_by_a_temporary_url_and_deleted(cloud: Cloud, other: Cloud) -> None:
    with pytest.raises(NotFound, match="There is no container 'a b'"):
        cloud.upload_object(CONTAINER, OBJECT, BINARY)
    for _ in range(2):
        cloud.create_container(CONTAINER)
    assert (cloud.containers(), other.containers()) == ([CONTAINER], [CONTAINER])
    cloud.upload_object(CONTAINER, OBJECT, b"before")
    cloud.upload_object(CONTAINER, OBJECT, BINARY)
    with pytest.raises(InUse):
        cloud.delete_container(CONTAINER)
    url = cloud.temporary_url(CONTAINER, OBJECT, 60)
    assert requests.get(url, timeout=30).content == BINARY
    assert requests.get(url.partition("?")[0], timeout=30).status_code == 401, "without its signature"
    assert requests.put(url, data=b"x", timeout=30).status_code == 401, "it is for reading"
    assert requests.get(other.temporary_url(CONTAINER, OBJECT, 60), timeout=30).content == BINARY
    with pytest.raises(NotFound, match="404"):
        cloud.temporary_url(CONTAINER, "missing", 60)
    for _ in range(2):
        cloud.delete_object(CONTAINER, OBJECT)
    for _ in range(2):
        cloud.delete_container(CONTAINER)
    assert cloud.containers() == []
    cloud.create_container(CONTAINER)  # not what was seen before: it is there again
    assert other.containers() == [CONTAINER]
    cloud.delete_container(CONTAINER)


def test_a_temporary_url_ends(cloud: Cloud) -> None:
    cloud.create_container(CONTAINER)
    cloud.upload_object(CONTAINER, OBJECT, BINARY)
    try:
        url = cloud.temporary_url(CONTAINER, OBJECT, 1)
        over = threading.Event()
        for _ in range(300):
            if requests.get(url, timeout=30).status_code == 401:
                break
            over.wait(0.1)
        else:
            pytest.fail("it never ended")
    finally:
        cloud.delete_object(CONTAINER, OBJECT)
        cloud.delete_container(CONTAINER)


def test_a_cloud_without_an_object_store_is_told_so(
    embedded: Path, backend: str, clouds_yaml: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = yaml.safe_load((embedded_state_dir() / "clouds.yaml").read_text())["clouds"]["embedded"]
    entry |= {"region_name": "elsewhere"}  # where the catalog has no service at all
    clouds_yaml.write_text(yaml.safe_dump({"clouds": {"elsewhere": entry}}))
    cloud = connect("elsewhere", backend)
    for call in (cloud.containers, lambda: cloud.create_container("x"), lambda: cloud.temporary_url("x", "y", 60)):
        with pytest.raises(NotFound, match=r"no (object store|such service)"):
            call()


def test_what_the_store_keeps_is_on_the_receipt(cloud: Cloud, backend: str) -> None:
    fresh = connect("embedded", backend)
    fresh.create_container("faafo-lab-x")
    assert connect("embedded", backend).receipt().left == {"containers": ("faafo-lab-x",)}, "by its name"
    assert "1 container (faafo-lab-x)" in repr(fresh.receipt())
    fresh.delete_container("faafo-lab-x")
    fresh.create_container("mine")
    assert connect("embedded", backend).receipt().nothing_left
    assert fresh.receipt().left == {"containers": ("mine",)}, "who made it knows"
    fresh.delete_container("mine")
    assert fresh.receipt().nothing_left
    assert ("containers", "2 created, 2 deleted") in fresh.receipt().rows


def test_the_signature_is_not_on_the_tape(cloud: Cloud) -> None:
    cloud.create_container(CONTAINER)
    cloud.upload_object(CONTAINER, OBJECT, BINARY)
    try:
        signature = urlsplit(cloud.temporary_url(CONTAINER, OBJECT, 60)).query.partition("&")[0].partition("=")[2]
        tape = cloud.tape(last=10)
        assert signature not in repr(tape) + tape._repr_html_() + "".join(call.url for call in tape.calls)
    finally:
        cloud.delete_object(CONTAINER, OBJECT)
        cloud.delete_container(CONTAINER)


@pytest.mark.parametrize("name", ["a b", "50%", "what?#", "Å…/ß", "dir/", "a//b", "+&=;:@", "servers/1/action"])
def test_a_name_may_have_any_characters(cloud: Cloud, other: Cloud, name: str) -> None:
    container = name.replace("/", ":")
    cloud.create_container(container)
    cloud.upload_object(container, name, name.encode())
    assert other.read_object(container, name) == name.encode()
    assert [stored.name for stored in cloud.objects(container)] == [name]
    assert cloud.object(container, name).bytes == len(name.encode())
    assert requests.get(cloud.temporary_url(container, name, 60), timeout=30).content == name.encode()
    cloud.delete_object(container, name)
    assert other.objects(container) == []


def test_an_object_is_described(cloud: Cloud, other: Cloud) -> None:
    cloud.create_container(CONTAINER)
    cloud.upload_object(CONTAINER, "one.png", BINARY, metadata={"Farbe": "grün, Å … 象", "size-in-mm": "3"})
    cloud.upload_object(CONTAINER, "two", b"", content_type="text/x-empty")
    one = cloud.object(CONTAINER, "one.png")
    assert (one.name, one.bytes, one.content_type) == ("one.png", len(BINARY), "image/png")
    assert one.checksum == hashlib.md5(BINARY, usedforsecurity=False).hexdigest()
    assert one.metadata == {"farbe": "grün, Å … 象", "size-in-mm": "3"}
    assert (one.expires, one.segments) == (None, 0)
    assert abs(one.modified - datetime.now(UTC)) < timedelta(minutes=1)
    assert one == other.object(CONTAINER, "one.png")
    listed = cloud.objects(CONTAINER)
    assert listed == other.objects(CONTAINER)
    assert listed == [replace(one, metadata={}), cloud.object(CONTAINER, "two")]
    assert listed[1].content_type == "text/x-empty"
    assert cloud.read_object(CONTAINER, "two") == b""


def test_a_container_has_metadata_and_a_size(cloud: Cloud, other: Cloud) -> None:
    cloud.create_container(CONTAINER, {"Owner": "Åsa"})
    cloud.upload_object(CONTAINER, "one", b"12345")
    assert cloud.container(CONTAINER) == Container(CONTAINER, 1, 5, {"owner": "Åsa"}) == other.container(CONTAINER)
    cloud.create_container(CONTAINER, {"colour": "red"})
    assert other.container(CONTAINER).metadata == {"owner": "Åsa", "colour": "red"}


def test_a_list_of_several_pages_is_whole_and_a_prefix_shortens_it(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objects, "PAGE_NAMES", 2)
    cloud.create_container(CONTAINER)
    names = ["a/1", "a/2 ü", "a/3", "b", "c"]
    for name in reversed(names):
        cloud.upload_object(CONTAINER, name, b"")
    cloud.tape()
    assert [stored.name for stored in cloud.objects(CONTAINER)] == names
    assert len(cloud.tape()) == 4, "three pages and the empty one at the end"
    assert [stored.name for stored in cloud.objects(CONTAINER, "a/")] == names[:3]
    assert cloud.objects(CONTAINER, "z") == []
    for number in range(3):
        cloud.create_container(f"more {number}")
    assert cloud.containers() == [CONTAINER, "more 0", "more 1", "more 2"]


class NoWayBack:
    """A stream that can't be rewound, such as a socket's: it notes how much was asked of it at most."""

    def __init__(self, data: bytes, breaks_at: int | None = None) -> None:
        self._file, self._breaks_at = io.BytesIO(data), breaks_at
        self.most = 0

    def read(self, size: int) -> bytes:
        self.most = max(self.most, size)
        if self._breaks_at is not None and self._file.tell() >= self._breaks_at:
            raise ConnectionResetError(104, "Connection reset by peer")
        return self._file.read(size)


class Measure:
    """A stream to write to, which keeps a checksum and the longest piece alone."""

    def __init__(self) -> None:
        self.most, self.md5 = 0, hashlib.md5(usedforsecurity=False)

    def write(self, data: bytes) -> None:
        self.most = max(self.most, len(data))
        self.md5.update(data)


@pytest.mark.parametrize("segment_bytes", [None, 3_000_000])
@pytest.mark.parametrize("kind", ["file", "stream"])
def test_a_long_object_is_never_whole_in_memory(
    cloud: Cloud, tmp_path: Path, kind: str, segment_bytes: int | None
) -> None:
    data, file, stream = LONG, tmp_path / "long", NoWayBack(LONG)
    file.write_bytes(data)
    cloud.create_container(CONTAINER)
    measure = Measure()
    tracemalloc.start()
    try:
        source = file if kind == "file" else stream
        cloud.upload_object(CONTAINER, "long", source, segment_bytes=segment_bytes)
        cloud.download_object(CONTAINER, "long", measure, progress=False)
        cloud.download_object(CONTAINER, "long", tmp_path / "came", progress=False)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < len(data) / 4
    assert stream.most <= CHUNK_BYTES >= measure.most
    assert (tmp_path / "came").read_bytes() == data
    assert measure.md5.digest() == hashlib.md5(data, usedforsecurity=False).digest()
    assert cloud.object(CONTAINER, "long").segments == (3 if segment_bytes else 0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["came", "long"]


def test_a_stream_is_read_from_where_it_is(cloud: Cloud) -> None:
    cloud.create_container(CONTAINER)
    stream = io.BytesIO(b"0123456789")
    stream.seek(4)
    cloud.upload_object(CONTAINER, "one", stream)
    assert cloud.read_object(CONTAINER, "one") == b"456789"
    stream.seek(4)
    cloud.upload_object(CONTAINER, "one", stream, segment_bytes=4)
    assert cloud.read_object(CONTAINER, "one") == b"456789"


def test_progress_is_told_in_megabytes(cloud: Cloud, tmp_path: Path) -> None:
    cloud.create_container(CONTAINER)
    lines: list[str] = []
    token = listener.set(lines.append)
    try:
        cloud.upload_object(CONTAINER, "long", LONG, segment_bytes=3_000_000, progress=True)
        assert re.match(r"0\.0/8\.0 MB of 'long' uploaded", lines[0])
        assert re.match(r"8\.0/8\.0 MB of 'long' uploaded", lines[-1])
        cloud.upload_object(CONTAINER, "long", NoWayBack(LONG), progress=True)
        assert re.match(r"\d\.\d MB of 'long' uploaded", lines[-1])
        cloud.download_object(CONTAINER, "long", tmp_path / "long")
        assert re.match(r"8\.0/8\.0 MB of 'long' downloaded", lines[-1])
    finally:
        listener.reset(token)


def test_a_large_object_takes_its_segments_along(cloud: Cloud, other: Cloud) -> None:
    cloud.create_container(CONTAINER)
    cloud.upload_object(CONTAINER, "large", b"0123456789", segment_bytes=4, metadata={"a": "b"})
    large = cloud.object(CONTAINER, "large")
    assert (large.bytes, large.segments, large.metadata) == (10, 3, {"a": "b"})
    assert cloud.objects(CONTAINER) == other.objects(CONTAINER) == [replace(large, metadata={}, segments=0)]
    assert [stored.bytes for stored in cloud.objects(f"{CONTAINER}_segments")] == [4, 4, 2]
    assert other.read_object(CONTAINER, "large") == b"0123456789"
    assert requests.get(cloud.temporary_url(CONTAINER, "large", 60), timeout=30).content == b"0123456789"
    cloud.upload_object(CONTAINER, "large/0.000000/00000001", b"abc", segment_bytes=2)
    cloud.upload_object(CONTAINER, "large", b"other", segment_bytes=4)
    assert cloud.read_object(CONTAINER, "large") == b"other"
    assert len(cloud.objects(f"{CONTAINER}_segments", "large/")) == 4, "none of the version before"
    cloud.upload_object(CONTAINER, "large", b"small")
    assert cloud.read_object(CONTAINER, "large/0.000000/00000001") == b"abc", "another object's stay"
    cloud.delete_object(CONTAINER, "large/0.000000/00000001")
    assert cloud.objects(f"{CONTAINER}_segments") == []
    cloud.upload_object(CONTAINER, "large", b"0123456789", segment_bytes=4)
    for _ in range(2):
        cloud.delete_object(CONTAINER, "large")
    assert other.objects(f"{CONTAINER}_segments") == other.objects(CONTAINER) == []
    cloud.delete_container(CONTAINER)
    assert other.containers() == []


def test_an_upload_that_breaks_off_leaves_what_was_there(cloud: Cloud) -> None:
    cloud.create_container(CONTAINER)
    cloud.upload_object(CONTAINER, "one", b"before", segment_bytes=4)
    for segment_bytes in (None, 1_000_000):
        stream = NoWayBack(LONG, breaks_at=2_500_000)
        with pytest.raises(BadRequest, match="The data can't be read: Connection reset by peer"):
            cloud.upload_object(CONTAINER, "one", stream, segment_bytes=segment_bytes)
        assert cloud.read_object(CONTAINER, "one") == b"before"
        assert len(cloud.objects(f"{CONTAINER}_segments")) == 2
    with pytest.raises(BadRequest, match=r"more than 1,000 segments.*choose a larger segment_bytes"):
        cloud.upload_object(CONTAINER, "one", b"x" * 1001, segment_bytes=1)
    assert len(cloud.objects(f"{CONTAINER}_segments")) == 2


def test_what_a_killed_upload_left_goes_with_the_next_one(cloud: Cloud) -> None:
    cloud.create_container(CONTAINER)
    left = "one/1700000000.000000/00000001"
    for finish in (
        lambda: cloud.upload_object(CONTAINER, "one", b"12345", segment_bytes=4),
        lambda: cloud.delete_object(CONTAINER, "one"),
        lambda: cloud.delete_object(CONTAINER, "one"),
    ):
        cloud.create_container(f"{CONTAINER}_segments")
        cloud.upload_object(f"{CONTAINER}_segments", left, b"half")
        finish()
        assert left not in [stored.name for stored in cloud.objects(f"{CONTAINER}_segments")]
    assert cloud.objects(f"{CONTAINER}_segments") == []


def test_an_update_changes_what_is_named_and_nothing_else(cloud: Cloud, other: Cloud) -> None:
    cloud.create_container(CONTAINER)
    cloud.upload_object(CONTAINER, "one", b"1", content_type="text/plain", metadata={"a": "ä"}, expires_seconds=1000)
    before = cloud.object(CONTAINER, "one")
    assert before.expires is not None
    assert 900 < before.expires - time.time() <= 1001
    cloud.update_object(CONTAINER, "one", metadata={"b": "2"})
    assert other.object(CONTAINER, "one") == replace(cloud.object(CONTAINER, "one"), metadata={"b": "2"})
    assert other.object(CONTAINER, "one").expires == before.expires
    cloud.update_object(CONTAINER, "one", expires_seconds=2000)
    changed = other.object(CONTAINER, "one")
    assert (changed.metadata, changed.content_type) == ({"b": "2"}, "text/plain")
    assert (changed.expires or 0) > before.expires + 900
    cloud.update_object(CONTAINER, "one", expires_seconds=math.inf)
    assert other.object(CONTAINER, "one").expires is None
    cloud.update_object(CONTAINER, "one", metadata={})
    assert other.object(CONTAINER, "one").metadata == {}
    assert cloud.read_object(CONTAINER, "one") == b"1"


def test_an_object_ends_when_it_should_with_its_segments(cloud: Cloud, other: Cloud) -> None:
    cloud.create_container(CONTAINER)
    cloud.upload_object(CONTAINER, "kept", b"1", expires_seconds=1000)
    cloud.upload_object(CONTAINER, "small", b"1", expires_seconds=0.5)
    cloud.upload_object(CONTAINER, "large", b"12345", segment_bytes=2, expires_seconds=1)
    cloud.upload_object(CONTAINER, "later", b"12345", segment_bytes=2)
    cloud.update_object(CONTAINER, "later", expires_seconds=1)
    wait_for("the end", lambda: [stored.name for stored in other.objects(CONTAINER)] == ["kept"])
    wait_for("the segments' end", lambda: other.objects(f"{CONTAINER}_segments") == [])
    with pytest.raises(NotFound, match=r"There is no object 'small' in container 'a b': `cloud\.objects\('a b'\)`"):
        cloud.object(CONTAINER, "small")


def damage(embedded: Path, data: bytes) -> None:
    """Change a byte of stored data on the disk."""
    [path] = [path for path in embedded.rglob("objects/*") if path.read_bytes() == data]
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))


@pytest.mark.parametrize("segment_bytes", [None, 4])
def test_what_was_damaged_in_the_store_is_not_taken_for_the_object(
    cloud: Cloud, embedded: Path, tmp_path: Path, segment_bytes: int | None
) -> None:
    cloud.create_container(CONTAINER)
    cloud.upload_object(CONTAINER, "one", b"\0good data", segment_bytes=segment_bytes)
    damage(embedded, b"\0goo" if segment_bytes else b"\0good data")
    path = tmp_path / "one"
    path.write_bytes(b"before")
    for read in (
        lambda: cloud.read_object(CONTAINER, "one"),
        lambda: cloud.download_object(CONTAINER, "one", path, progress=False),
    ):
        with pytest.raises(CloudFailed, match=r"'one' in container 'a b' arrived damaged: .*checksum is [0-9a-f]{32}"):
            read()
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]
    path.unlink()
    with pytest.raises(CloudFailed):
        cloud.download_object(CONTAINER, "one", path, progress=False)
    assert list(tmp_path.iterdir()) == []


class Gateway(http.server.BaseHTTPRequestHandler):
    """Stands between a client and the object store, and spoils what goes through."""

    store = ""  # the object store's host and port

    def _relay(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = body.replace(b"sent", b"bent")
        keep = {name: value for name, value in self.headers.items() if name.lower() not in ("host", "connection")}
        answer = requests.request(self.command, f"http://{self.store}{self.path}", data=body, headers=keep, timeout=30)
        self.send_response(answer.status_code)
        for name, value in answer.headers.items():
            if name.lower() not in ("connection", "transfer-encoding"):
                self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer.content[:-2] if b"cut short" in answer.content else answer.content)
        self.close_connection = True

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _relay

    def log_message(self, format: str, *args: object) -> None:
        """Be quiet."""


@pytest.fixture
def spoiled(cloud: Cloud, backend: str, clouds_yaml: Path) -> Iterator[Cloud]:
    """The same project, through a gateway that spoils things."""
    url = urlsplit(cloud.object_url("x", "y"))
    handler = type("Spoiling", (Gateway,), {"store": url.netloc})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        entry = yaml.safe_load((embedded_state_dir() / "clouds.yaml").read_text())["clouds"]["embedded"]
        account = url.path.removesuffix("/x/y")
        entry["object_store_endpoint_override"] = f"http://127.0.0.1:{server.server_port}{account}"
        clouds_yaml.write_text(yaml.safe_dump({"clouds": {"spoiled": entry}}))
        try:
            yield connect("spoiled", backend)
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("segment_bytes", [None, 100])
def test_what_was_damaged_on_its_way_there_is_not_kept(cloud: Cloud, spoiled: Cloud, segment_bytes: int | None) -> None:
    cloud.create_container(CONTAINER)
    with pytest.raises(CloudFailed, match=r"upload of '.*' was damaged on its way: its checksum is .*upload it again"):
        spoiled.upload_object(CONTAINER, "one", b"as it was sent", segment_bytes=segment_bytes)
    assert cloud.objects(CONTAINER) == []
    if segment_bytes:
        assert cloud.objects(f"{CONTAINER}_segments") == []


def test_a_download_that_breaks_off_leaves_no_file(cloud: Cloud, spoiled: Cloud, tmp_path: Path) -> None:
    cloud.create_container(CONTAINER)
    cloud.upload_object(CONTAINER, "one", b"it is cut short")
    with pytest.raises(CloudFailed, match=r"The download of 'one' broke off after \d+ of 15 bytes: download it again"):
        spoiled.download_object(CONTAINER, "one", tmp_path / "one", progress=False)
    assert list(tmp_path.iterdir()) == []


def test_a_temporary_url_is_for_one_method(cloud: Cloud) -> None:
    cloud.create_container(CONTAINER)
    put = cloud.temporary_url(CONTAINER, OBJECT, 60, "PUT")
    assert requests.get(put, timeout=30).status_code == 401
    assert requests.put(put, data=BINARY, timeout=30).status_code == 201
    assert cloud.read_object(CONTAINER, OBJECT) == BINARY
    assert requests.head(cloud.temporary_url(CONTAINER, OBJECT, 60, "HEAD"), timeout=30).status_code == 200
    delete = cloud.temporary_url(CONTAINER, OBJECT, 60, method="DELETE")
    assert requests.get(delete, timeout=30).status_code == 401
    assert requests.delete(delete, timeout=30).status_code == 204
    assert cloud.objects(CONTAINER) == []
    for method in ("GET", "DELETE", "POST", "HEAD"):
        with pytest.raises(NotFound, match="404"):
            cloud.temporary_url(CONTAINER, OBJECT, 60, method)


def test_who_has_the_key_may_sign(cloud: Cloud) -> None:
    cloud.create_container(CONTAINER)
    cloud.upload_object(CONTAINER, OBJECT, BINARY)
    url, expires = cloud.object_url(CONTAINER, OBJECT), int(time.time()) + 60
    assert requests.get(url, timeout=30).status_code == 401
    message = f"GET\n{expires}\n{unquote(urlsplit(url).path)}"
    signature = hmac.new(temporary_key().encode(), message.encode(), "sha256").hexdigest()
    signed = requests.get(url, params={"temp_url_sig": signature, "temp_url_expires": expires}, timeout=30)
    assert signed.content == BINARY
    assert temporary_key() not in repr(cloud.container(CONTAINER))


def test_bad_input_gets_one_sentence(cloud: Cloud, tmp_path: Path) -> None:
    cloud.create_container(CONTAINER)
    cloud.upload_object(CONTAINER, "one", b"1")
    text = tmp_path / "text"
    text.write_text("text")
    with text.open() as opened:
        calls: list[tuple[Callable[[], object], str]] = [
            (lambda: cloud.create_container("a/b"), r"must not be empty or have a slash: 'a/b'"),
            (lambda: cloud.delete_container(""), r"must not be empty or have a slash: ''"),
            (lambda: cloud.objects(""), r"must not be empty or have a slash: ''"),
            (lambda: cloud.upload_object(CONTAINER, "", b""), "An object needs a name"),
            (lambda: cloud.upload_object(CONTAINER, "a/../one", b""), r"because of its part '\.' or '\.\.'"),
            (lambda: cloud.read_object(CONTAINER, "a\0b"), "characters that can't be in a URL"),
            (lambda: cloud.read_object(CONTAINER, "\ud800"), "characters that can't be in a URL"),
            (lambda: cloud.upload_object(CONTAINER, "x", opened), "binary stream: open a file with mode 'rb'"),
            (lambda: cloud.upload_object(CONTAINER, "x", "text"), "data must be bytes, a path or a readable stream"),
            (lambda: cloud.upload_object(CONTAINER, "x", tmp_path / "none"), "none' can't be read: No such file"),
            (lambda: cloud.upload_object(CONTAINER, "x", b"", metadata={"a_b": "1"}), "single dashes: 'a_b' can't be"),
            (lambda: cloud.upload_object(CONTAINER, "x", b"", metadata={"a": "1\r\nX: y"}), "text in one line"),
            (lambda: cloud.upload_object(CONTAINER, "x", b"", content_type=" text"), "content_type must be text in"),
            (lambda: cloud.upload_object(CONTAINER, "x", b"", expires_seconds=0), "must be more than 0, not 0"),
            (lambda: cloud.update_object(CONTAINER, "one", expires_seconds=math.nan), "must be more than 0, not nan"),
            (lambda: cloud.upload_object(CONTAINER, "x", b"", segment_bytes=0), "must be at least 1, not 0"),
            (lambda: cloud.temporary_url(CONTAINER, "one", 0), "seconds must be at least 1, not 0"),
            (lambda: cloud.download_object(CONTAINER, "one", tmp_path), "is a directory: name a file in it"),
            (lambda: cloud.download_object(CONTAINER, "one", tmp_path / "no" / "one"), "can't be written: No such"),
        ]
        for call, sentence in calls:
            with pytest.raises(BadRequest, match=sentence):
                call()
    for missing in (
        lambda: cloud.container("a c"),
        lambda: cloud.objects("a c"),
        lambda: cloud.object("a c", "one"),
        lambda: cloud.upload_object("a c", "one", LONG),
        lambda: cloud.upload_object("a c", "one", NoWayBack(b"1"), segment_bytes=1),
    ):
        with pytest.raises(NotFound, match=r"There is no container 'a c'. .*'a b'"):
            missing()
    with pytest.raises(NotFound, match="There is no object 'two' in container 'a b'"):
        cloud.download_object(CONTAINER, "two", tmp_path / "two")
    with pytest.raises(NotFound, match=r"no method of temporary URLs 'get'. Did you mean 'GET'|'get'"):
        cloud.temporary_url(CONTAINER, "one", 60, "get")
    assert [stored.name for stored in cloud.objects(CONTAINER)] == ["one"]
    assert list(tmp_path.iterdir()) == [text]
    assert cloud.containers() == [CONTAINER]
