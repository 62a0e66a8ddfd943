"""One thread's way to the servers: timed requests on connections that are kept, and that another thread can cut.

Python's own http.client, because the load generator shares the machine with what it measures: a request costs it a
fraction of the CPU time that a larger library takes, and its socket can be closed under it when a run ends.

Who wants to know of each request of this process as it ends adds a function to `listeners`.
"""

import http.client
import json
import select
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

READ_BYTES = 65536
SHORTEST_TIMEOUT_SECONDS = 0.001
CUT_OFF = "cut off"  # the error of a request in flight when its run ended


@dataclass(frozen=True)
class Answer:
    """How a request ended: the HTTP status (None: no answer), the server that answered, the error otherwise."""

    status: int | None
    server: str
    error: str = ""


@dataclass(frozen=True)
class Sent:
    """A request that is over: when it began and ended (seconds since 1970), who sent what to which endpoint, for which
    order ("": none), and how it ended."""

    began: float
    ended: float
    sender: str
    method: str
    endpoint: str
    path: str
    order: str
    answer: Answer


listeners: list[Callable[[Sent], object]] = []  # each called in the thread that sent it, which it should not keep


class Client:
    """Connections to each server that was asked, for one thread. Proxies and redirects are not followed.

    `sender` says in whose name it sends, to `listeners`.
    """

    def __init__(self, timeout_seconds: float, sender: str = "load") -> None:
        self.timeout_seconds, self.sender = timeout_seconds, sender
        self._connections: dict[str, http.client.HTTPConnection] = {}
        self._is_cut = False

    def send(self, method: str, endpoint: str, path: str, body: bytes | None = None, order: str = "") -> Answer:
        """Send one request and read the whole answer, within the client's time limit; never raises for what fails.

        `order` is the uuid of what it orders, if it does, for `listeners`.
        """
        if not listeners:
            return self._send(method, endpoint, path, body)
        began = time.time()
        answer = self._send(method, endpoint, path, body)
        sent = Sent(began, time.time(), self.sender, method, endpoint, path, order, answer)
        for listener in tuple(listeners):
            listener(sent)
        return answer

    def _send(self, method: str, endpoint: str, path: str, body: bytes | None) -> Answer:
        deadline = time.monotonic() + self.timeout_seconds
        headers = {"Content-Type": "application/json"} if body is not None else {}
        try:
            connection = self._connection(endpoint)
            if connection.sock is None:
                connection.connect()
            held = connection.sock
            assert held is not None
            if self._is_cut:
                raise ConnectionAbortedError
            held.settimeout(max(SHORTEST_TIMEOUT_SECONDS, deadline - time.monotonic()))
            connection.request(method, urlsplit(endpoint).path.rstrip("/") + path, body, headers)
            response = connection.getresponse()
            while not response.isclosed():
                held.settimeout(max(SHORTEST_TIMEOUT_SECONDS, deadline - time.monotonic()))
                if not response.read1(READ_BYTES):
                    break
            response.close()
            return Answer(response.status, response.headers.get("X-Served-By") or endpoint)
        except (OSError, http.client.HTTPException, ValueError) as problem:
            self._forget(endpoint)
            name = CUT_OFF if self._is_cut else "timed out" if isinstance(problem, TimeoutError) else ""
            return Answer(None, endpoint, name or type(problem).__name__)

    def cut(self) -> None:
        """Cut off the request in flight, from any thread."""
        self._is_cut = True
        for connection in list(self._connections.values()):
            held = connection.sock
            if held is not None:
                try:
                    held.shutdown(socket.SHUT_RDWR)
                except OSError:
                    continue  # it ended by itself

    def close(self) -> None:
        """Close every connection."""
        for endpoint in list(self._connections):
            self._forget(endpoint)

    def _connection(self, endpoint: str) -> http.client.HTTPConnection:
        connection = self._connections.get(endpoint)
        if connection is not None and connection.sock is not None and _readable(connection.sock):
            connection.close()  # the server closed the idle connection
        if connection is None:
            url = urlsplit(endpoint)
            kind = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
            connection = kind(url.hostname or "", url.port, timeout=self.timeout_seconds)
            self._connections[endpoint] = connection
        return connection

    def _forget(self, endpoint: str) -> None:
        connection = self._connections.pop(endpoint, None)
        if connection is not None:
            connection.close()


def body_of(task: Mapping[str, Any]) -> bytes:
    """The body of the request that orders this fractal."""
    return json.dumps(dict(task)).encode()


def _readable(held: socket.socket) -> bool:
    """Whether there is something to read, or the end: on an idle connection there must be neither."""
    poll = select.poll()
    poll.register(held, select.POLLIN)
    return bool(poll.poll(0))
