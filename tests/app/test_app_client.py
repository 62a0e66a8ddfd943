"""The client: images in both directions, also where the connection breaks."""

import hashlib
import io
import random
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from faafo_lab.app.client import Client
from faafo_lab.app.errors import ApiAway, ApiRefused
from tests.app.deployment import SECRET, Deployment, a_task
from tests.app.test_app_images import a_png, told

IMAGE = random.Random(1).randbytes(500_000)


class Breaking(ThreadingHTTPServer):
    """Serves `image`, and breaks each answer off after as many bytes as `breaks` says next (None: not at all)."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.image, self.breaks = IMAGE, list[int | None]()
        self.asked: list[str | None] = []
        self.etag: str | None = None
        self.uploads: list[bytes] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Breaking

    def do_GET(self) -> None:
        asked, server = self.headers.get("Range"), self.server
        server.asked.append(asked)
        etag = server.etag or f'"{hashlib.sha256(server.image).hexdigest()}"'
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and self.headers["If-Range"] == etag else 0
        content = server.image[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("ETag", etag)
        self.end_headers()
        broken = server.breaks.pop(0) if server.breaks else None
        self.wfile.write(content[:broken])
        self.close_connection = broken is not None

    def do_PUT(self) -> None:
        broken = self.server.breaks.pop(0) if self.server.breaks else None
        if broken is not None:
            self.rfile.read(broken)
            self.close_connection = True
            return
        self.server.uploads.append(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *arguments: Any) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[Breaking]:
    with Breaking() as server:
        thread = Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join(30)


def test_a_download_that_breaks_off_is_resumed_where_it_stopped(server: Breaking) -> None:
    server.breaks = [200_000, 100_000, None]
    file, seen = io.BytesIO(), list[tuple[int, int]]()
    Client(server.url).download("/fractal/x", file, lambda there, total: seen.append((there, total)))
    assert file.getvalue() == IMAGE
    assert server.asked == [None, "bytes=200000-", "bytes=300000-"]
    assert seen == sorted(seen)
    assert seen[-1] == (500_000, 500_000)


def test_an_image_that_is_another_by_now_is_downloaded_from_its_beginning(server: Breaking) -> None:
    server.breaks = [200_000, None]
    file = io.BytesIO()

    def replaced(there: int, total: int) -> None:
        server.image = IMAGE[::-1][:400_000]

    Client(server.url).download("/fractal/x", file, replaced)
    assert file.getvalue() == IMAGE[::-1][:400_000]


def test_a_download_of_which_nothing_more_comes_is_given_up(server: Breaking) -> None:
    server.breaks = [1000, 0]
    with pytest.raises(ApiAway, match="broke off after 1000 of 500000 bytes"):
        Client(server.url).download("/fractal/x", io.BytesIO())


def test_a_damaged_download_is_noticed(server: Breaking) -> None:
    server.etag = f'"{"0" * 64}"'
    with pytest.raises(ApiAway, match="has not arrived as it was sent"):
        Client(server.url).download("/fractal/x", io.BytesIO())


def test_an_upload_on_a_connection_that_has_died_is_sent_again_whole(server: Breaking) -> None:
    client = Client(server.url)
    client.upload("/x", {}, io.BytesIO(b"first"), 5)
    server.breaks = [100_000]
    client.upload("/x", {}, io.BytesIO(IMAGE), len(IMAGE))
    assert server.uploads == [b"first", IMAGE]
    server.breaks = [100_000]
    client.close()
    with pytest.raises(ApiAway):
        client.upload("/x", {}, io.BytesIO(IMAGE), len(IMAGE))


def test_the_api_takes_what_the_client_sends_and_its_refusals_are_heard(services: Deployment) -> None:
    client = Client(f"unix:{services.ports / '80'}", SECRET)
    png, path = a_png(3_000_000), f"/v1/fractal/{client.call('POST', '/v1/fractal', a_task())['uuid']}"
    with pytest.raises(ApiRefused, match="'size'"):
        client.upload(path, told(png, size=5), io.BytesIO(png), len(png))
    with pytest.raises(ApiRefused, match="secret"):
        Client(client.endpoint, "wrong").upload(path, told(png), io.BytesIO(png), len(png))
    assert client.upload(path, told(png), io.BytesIO(png), len(png))["size"] == len(png)
    file = io.BytesIO()
    client.download(path.removeprefix("/v1"), file)
    assert file.getvalue() == png


def test_get_leaves_no_half_a_file(services: Deployment, server: Breaking) -> None:
    uuid = a_task()["uuid"]
    server.breaks = [1000, 0]
    done = services.run("cli", "--endpoint-url", server.url, "get", uuid)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("faafo: ")
    assert done.stderr.count("\n") == 1
    assert "broke off after 1000 of 500000 bytes" in done.stderr
    assert not list(services.place.glob(f"{uuid}*"))
    done = services.run("cli", "--endpoint-url", server.url, "get", uuid, "--output", "/nowhere/x.png")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert not Path("/nowhere").exists()
