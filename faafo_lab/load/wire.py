"""One thread's way to the servers: timed requests on connections that are kept, and that another thread can cut.

Python's own http.client, because the load generator shares the machine with what it measures: a request costs it a
fraction of the CPU time that a larger library takes, and its socket can be closed under it when a run ends.
"""

import http.client
import select
import socket
import time
from dataclasses import dataclass
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


class Client:
    """Connections to each server that was asked, for one thread. Proxies and redirects are not followed."""

    def __init__(self, timeout_seconds: float) -> None:
        self.timeout_seconds = timeout_seconds
        self._connections: dict[str, http.client.HTTPConnection] = {}
        self._is_cut = False

    def send(self, method: str, endpoint: str, path: str, body: bytes | None = None) -> Answer:
        """Send one request and read the whole answer, within the client's time limit; never raises for what fails."""
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


def _readable(held: socket.socket) -> bool:
    """Whether there is something to read, or the end: on an idle connection there must be neither."""
    poll = select.poll()
    poll.register(held, select.POLLIN)
    return bool(poll.poll(0))
