"""A small OpenStack Swift with its Keystone, for the application's tests: tokens, one container's objects, ranges.

It speaks what the API references say of the calls that it knows, over HTTP on the loopback address, and keeps
everything in memory.
"""

import hashlib
import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import quote, unquote, urlsplit

USER, PASSWORD, PROJECT = "learner", "p/w: of @swift", "lab"


class Swift:
    """The server: `containers` are its objects by name, `tokens` the valid ones, `calls` what was asked of it."""

    def __init__(self) -> None:
        self.containers: dict[str, dict[str, bytes]] = {}
        self.tokens: set[str] = set()
        self.calls: list[str] = []
        self.full = False  # refuse what is put
        self.stopped = False
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (_Request,), {"swift": self}))
        self.port = self._server.server_address[1]
        self.root = f"http://127.0.0.1:{self.port}"
        self._thread = Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def url(self, container: str = "fractals") -> str:
        """FAAFO_IMAGES_URL for it."""
        account = f"{USER}:{quote(PASSWORD, safe='')}"
        return f"swift+http://{account}@127.0.0.1:{self.port}/identity/{container}?project={PROJECT}&region=here"

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self.stopped = True
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def running() -> Iterator[Swift]:
    """A Swift for as long as this lasts."""
    swift = Swift()
    swift.start()
    try:
        yield swift
    finally:
        swift.stop()


class _Request(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    swift: Swift

    def parse_request(self) -> bool:
        """A server that has stopped answers nothing on the connections that it has."""
        self.close_connection = True
        return super().parse_request() if not self.swift.stopped else False

    def do_POST(self) -> None:
        """POST /v3/auth/tokens."""
        asked = json.loads(self._body())["auth"]
        user = asked["identity"]["password"]["user"]
        right = (user["name"], user["password"], asked["scope"]["project"]["name"]) == (USER, PASSWORD, PROJECT)
        if self.path != "/identity/v3/auth/tokens" or not right:
            self._answer(401, b'{"error": {"code": 401, "message": "no", "title": "Unauthorized"}}')
            return
        token = secrets.token_hex(8)
        self.swift.tokens.add(token)
        endpoint = {"interface": "public", "region": "here", "region_id": "here", "url": f"{self.swift.root}/v1/AUTH_x"}
        shown: dict[str, Any] = {
            "expires_at": "2099-01-01T00:00:00.000000Z",
            "issued_at": "2026-01-01T00:00:00.000000Z",
            "methods": ["password"],
            "user": {"id": "u", "name": USER, "domain": {"id": "default", "name": "Default"}},
            "project": {"id": "x", "name": PROJECT, "domain": {"id": "default", "name": "Default"}},
            "roles": [{"id": "r", "name": "member"}],
            "catalog": [{"id": "s", "type": "object-store", "name": "swift", "endpoints": [endpoint | {"id": "e"}]}],
        }
        self._answer(201, json.dumps({"token": shown}).encode(), **{"X-Subject-Token": token})

    def do_PUT(self) -> None:
        """Create a container, or an object."""
        body = self._body()
        container, name = self._target()
        if not self._known():
            return
        if not name:
            self.swift.containers.setdefault(container, {})
            self._answer(201)
        elif self.swift.full:
            self._answer(507)
        else:
            self.swift.containers[container][name] = body
            self._answer(201, Etag=hashlib.md5(body, usedforsecurity=False).hexdigest())

    def do_GET(self) -> None:
        """An object or a range of it."""
        content = self._content()
        if content is None:
            return
        wanted = self.headers.get("Range")
        if not wanted:
            self._answer(200, content)
            return
        first, last = (int(part) for part in wanted.removeprefix("bytes=").split("-"))
        self._answer(206, content[first : last + 1], **{"Content-Range": f"bytes {first}-{last}/{len(content)}"})

    def do_HEAD(self) -> None:
        """Is the container there?"""
        container, name = self._target()
        if self._known():
            there = name in self.swift.containers.get(container, {}) if name else container in self.swift.containers
            counts = {"X-Container-Object-Count": "0", "X-Container-Bytes-Used": "0"}
            self._answer(204 if there else 404, **counts)

    def do_DELETE(self) -> None:
        """Delete an object."""
        if self._content() is not None:
            container, name = self._target()
            del self.swift.containers[container][name]
            self._answer(204)

    def _target(self) -> tuple[str, str]:
        container, _, name = unquote(urlsplit(self.path).path).removeprefix("/v1/AUTH_x/").partition("/")
        self.swift.calls.append(f"{self.command} {container} {name}")
        return container, name

    def _known(self) -> bool:
        if known := self.headers.get("X-Auth-Token") in self.swift.tokens:
            return known
        self._answer(401)
        return False

    def _content(self) -> bytes | None:
        container, name = self._target()
        if not self._known():
            return None
        content = self.swift.containers.get(container, {}).get(name)
        if content is None:
            self._answer(404)
        return content

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: Any) -> None:
        """Say nothing."""
