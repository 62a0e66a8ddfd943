"""The metadata service: tells each instance of itself, and nobody else anything.

A real cloud knows an instance by the network that its request comes from; here all share the loopback network, so it
is known by the process that owns the connection. Whoever is no process of a running instance (another program, another
user of this machine) is answered 404, whatever they ask; 503 where it is not known who asks. The link-local
169.254.169.254 needs root: the address is the cloud's own 127.N.169.254, and the instance finds it in METADATA_URL and
in /etc/cloud/cloud.cfg.d, where cloud-init looks for it.
"""

from __future__ import annotations

import asyncio
import errno
import json
import logging
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tornado.http1connection import HTTP1Connection
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

from faafo_lab.cloud.emulator.common.service import JSON
from faafo_lab.cloud.emulator.machinery.hypervisor.client import Hypervisor, HypervisorError
from faafo_lab.cloud.emulator.site import Site
from faafo_lab.cloud.emulator.system.peers import peer_socket

log = logging.getLogger(__name__)

PORT = 80
_BLOCK, _HOST = 169, 254
_MAX_BODY_BYTES = 1 << 16
_ASKED_AT_ONCE = 4  # questions to the hypervisor about a connection's owner; its beat goes first


@dataclass(frozen=True)
class Document:
    """An object that is served as JSON."""

    value: JSON


Node = dict[str, Any] | Document | str | bytes  # a directory, or a document: an object, text, or bytes


class Metadata:
    """The service, from `start` to `stop`."""

    def __init__(self, site: Site, hypervisor: Hypervisor, told: Callable[[str], Node | None]) -> None:
        """`told` says all that an instance is told, by its id; None where it is not there any more."""
        self._site = site
        self._hypervisor = hypervisor
        self._told = told
        self._server: HTTPServer | None = None
        self._asking = asyncio.Semaphore(_ASKED_AT_ONCE)

    def start(self) -> None:
        """Listen on port 80, published as an instance's would be, or on a free one where that is taken."""
        host = f"{self._site.block(_BLOCK)}.{_HOST}"
        sockets = _bind(host, PORT + self._site.port_offset)
        application = Application([(r"/.*", Handler, {"metadata": self})], log_function=lambda handler: None)
        self._server = HTTPServer(application, max_body_size=_MAX_BODY_BYTES)
        self._server.add_sockets(sockets)
        port = sockets[0].getsockname()[1]
        self._site.metadata_url = f"http://{host}" if port == PORT else f"http://{host}:{port}"

    async def stop(self) -> None:
        if self._server is not None:
            self._server.stop()
            await self._server.close_all_connections()

    async def told(self, sock: socket.socket) -> Node | None:
        """All that the instance whose process is at the other end of this connection is told; None for others.

        Raises HypervisorError where it is not known whose process it is.
        """
        try:
            found = peer_socket(sock.getpeername(), sock.getsockname())
        except OSError:
            found = None  # it has hung up already
        if found is None:
            return None
        async with self._asking:
            owner = await self._hypervisor.owner(found)
        return None if owner is None else self._told(owner)


def _bind(host: str, port: int) -> list[socket.socket]:
    try:
        return bind_sockets(port, host, family=socket.AF_INET)
    except OSError as error:
        if error.errno not in (errno.EADDRINUSE, errno.EACCES):
            raise
        log.warning("Port %d on %s is taken: the metadata service listens on another.", port, host)
        return bind_sockets(0, host, family=socket.AF_INET)


class Handler(RequestHandler):
    """Answers one request."""

    SUPPORTED_METHODS = ("GET", "HEAD")

    def initialize(self, metadata: Metadata) -> None:
        """Called by Tornado for each request."""
        self._metadata = metadata

    def set_default_headers(self) -> None:
        """No word about the server."""
        self.clear_header("Server")

    async def get(self) -> None:
        """A document, or a directory's names."""
        connection = self.request.connection
        assert isinstance(connection, HTTP1Connection)
        sock = connection.stream.socket
        try:
            told = await self._metadata.told(sock) if sock is not None else None
        except HypervisorError as error:
            log.warning("metadata: %s", error)
            self.send_error(503)
            return
        node = None if told is None else _find(told, self.request.path)
        if node is None:
            self.send_error(404)
        elif isinstance(node, Document):
            self.set_header("Content-Type", "application/json")
            self.write(json.dumps(node.value))
        elif isinstance(node, bytes):
            self.set_header("Content-Type", "application/octet-stream")
            self.write(node)
        else:
            self.set_header("Content-Type", "text/plain; charset=UTF-8")
            self.write(node if isinstance(node, str) else _listing(node, self.request.path))

    head = get

    def write_error(self, status_code: int, **details: object) -> None:
        """The status and nothing more."""
        self.set_header("Content-Type", "text/plain; charset=UTF-8")
        self.finish(f"{status_code}: {self._reason}")


def _find(node: Node, path: str) -> Node | None:
    """What is at a path; extra slashes are ignored, as Nova does."""
    for name in filter(None, path.split("/")):
        if not isinstance(node, dict):
            return None
        # public-keys lists its members as NUMBER=NAME and has them at NUMBER
        found = node.get(name, next((each for key, each in node.items() if key.startswith(f"{name}=")), None))
        if found is None:
            return None
        node = found
    return node


def _listing(directory: dict[str, Node], path: str) -> str:
    """A directory's names, one a line. In the EC2 form, all but the versions that are directories end in a slash."""
    parts = path.strip("/").split("/")
    if parts == [""]:
        return "\n".join(name for name in directory if name != "openstack")
    if parts[0] == "openstack":
        return "\n".join(directory)
    ends = {name: "/" if isinstance(node, dict) and "=" not in name else "" for name, node in directory.items()}
    return "\n".join(name + end for name, end in ends.items())
