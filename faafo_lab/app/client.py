"""How the worker and the command speak with the API: HTTP/1.1 over one kept connection, standard library only.

An endpoint is ``http://HOST[:PORT]``, or ``unix:PATH``. On an instance of the embedded cloud ``http://localhost``
is the instance's own port 80.
"""

import http.client
import json
import socket
from typing import Any
from urllib.parse import urlsplit

from faafo_lab.app import settings
from faafo_lab.app.errors import ApiAway, ApiRefused, SettingsError

TIMEOUT_SECONDS = 10.0


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str, timeout: float):
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Client:
    """The API at one endpoint; not for two threads at once."""

    def __init__(self, endpoint: str, secret: str | None = None, timeout_seconds: float = TIMEOUT_SECONDS):
        """``secret`` is sent with every request. Raises ``SettingsError`` for an endpoint that is no address."""
        self.endpoint = endpoint.rstrip("/")
        self._headers = {"Authorization": f"Bearer {secret}"} if secret else {}
        self._connection = _connection(self.endpoint, timeout_seconds)
        self._prefix = urlsplit(self.endpoint).path if "://" in self.endpoint else ""

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Ask the API; its JSON answer ({} where it has none).

        Raises ``ApiAway`` where nobody answers or the API is not able to now, ``ApiRefused`` where it will not.
        """
        status, content = self._exchange(method, path, None if body is None else json.dumps(body).encode())
        try:
            answer = json.loads(content) if content else {}
        except ValueError:
            answer = None
        if 200 <= status < 300 and isinstance(answer, dict):
            return answer
        said = answer.get("error") if isinstance(answer, dict) else None
        if 400 <= status < 500:
            raise ApiRefused(status, str(said or f"The API at {self.endpoint} refuses {method} {path}: {status}."))
        raise ApiAway(str(said or f"This is not the answer of a Fractals API: {self.endpoint} says {status}."))

    def download(self, path: str) -> bytes:
        """The content at ``path``; raises as ``call``."""
        status, content = self._exchange("GET", path, None)
        if status != 200:
            self.call("GET", path)  # raises, with the API's words
        return content

    def close(self) -> None:
        """Close the connection; the next call opens it again."""
        self._connection.close()

    def _exchange(self, method: str, path: str, body: bytes | None) -> tuple[int, bytes]:
        headers = dict(self._headers)
        if body is not None:
            headers["Content-Type"] = "application/json"
        for last in (False, True):
            kept = self._connection.sock is not None
            try:
                self._connection.request(method, self._prefix + path, body, headers)
                response = self._connection.getresponse()
                return response.status, response.read()
            except (OSError, http.client.HTTPException) as error:
                self._connection.close()
                # a kept connection may have been closed since; every request of ours may be repeated
                if last or not kept or isinstance(error, TimeoutError):
                    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
                    raise ApiAway(f"No API answers at {self.endpoint}: {reason}.") from None
        raise AssertionError("unreachable")


def _connection(endpoint: str, timeout: float) -> http.client.HTTPConnection:
    if endpoint.startswith("unix:"):
        return _UnixConnection(endpoint.removeprefix("unix:"), timeout)
    try:
        url = urlsplit(endpoint)
        host, port = url.hostname, url.port
    except ValueError:
        host, url, port = None, urlsplit(""), None
    if not host or url.scheme not in ("http", "https"):
        raise SettingsError(f"The endpoint must look like http://HOST or http://HOST:8080: got '{endpoint}'.")
    own = settings.port_socket(port or settings.HTTP_PORT)
    if host == "localhost" and own:
        return _UnixConnection(str(own), timeout)
    if url.scheme == "https":
        return http.client.HTTPSConnection(host, port, timeout=timeout)
    return http.client.HTTPConnection(host, port, timeout=timeout)
