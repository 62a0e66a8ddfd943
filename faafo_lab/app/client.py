"""How the worker and the command speak with the API: HTTP/1.1 over one kept connection, standard library only.

An endpoint is ``http://HOST[:PORT]``, or ``unix:PATH``. On an instance of the embedded cloud ``http://localhost``
is the instance's own port 80.
"""

import hashlib
import http.client
import json
import socket
from collections.abc import Callable
from typing import IO, Any
from urllib.parse import urlencode, urlsplit

from faafo_lab.app import settings
from faafo_lab.app.errors import ApiAway, ApiRefused, SettingsError

TIMEOUT_SECONDS = 10.0
CONNECT_SECONDS = 3.0  # to a machine that does not answer
SLOWEST_BYTES_PER_SECOND = 500_000  # at which an API on a small machine puts a large image away
BLOCK_BYTES = 64 * 1024
CREATED = 201
SERVED_BY = "X-Served-By"  # the header of every answer of a Fractals API


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
        self._headers: dict[str, str | bytes] = {"Authorization": f"Bearer {secret}".encode()} if secret else {}
        self._seconds = timeout_seconds
        self._connection = _connection(self.endpoint, timeout_seconds)
        self._connection.blocksize = BLOCK_BYTES
        self._prefix = urlsplit(self.endpoint).path if "://" in self.endpoint else ""

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Ask the API; its JSON answer ({} where it has none).

        Raises ``ApiAway`` where nobody answers or the API is not able to now, ``ApiRefused`` where it will not.
        """
        headers = {} if body is None else {"Content-Type": "application/json"}
        response = self._send(method, path, None if body is None else json.dumps(body).encode(), headers)
        return self._answer(method, path, response)

    def order(self, task: dict[str, Any]) -> bool:
        """Ask for a fractal: whether it is new, and not known to the API already. Raises as ``call``."""
        path = "/v1/fractal"
        response = self._send("POST", path, json.dumps(task).encode(), {"Content-Type": "application/json"})
        self._answer("POST", path, response)
        return response.status == CREATED

    def upload(self, path: str, fields: dict[str, object], png: IO[bytes], size: int) -> dict[str, Any]:
        """PUT a PNG of ``size`` bytes, read from the file as it is sent, and say in the address what it is.

        The answer and the errors are those of ``call``.
        """
        headers = {"Content-Type": "image/png", "Content-Length": str(size)}
        seconds = self._seconds + size / SLOWEST_BYTES_PER_SECOND
        return self._answer("PUT", path, self._send("PUT", f"{path}?{urlencode(fields)}", png, headers, seconds))

    def download(self, path: str, file: IO[bytes], progress: Callable[[int, int], object] | None = None) -> None:
        """Write an image to ``file``, from its beginning; one that breaks off is resumed as long as more of it comes.

        ``progress`` is told how many bytes are there, and of how many. Raises as ``call``, and ``ApiAway`` where the
        image does not have the checksum that its ETag says.
        """
        there, etag, checksum = 0, "", hashlib.sha256()
        file.seek(0)
        file.truncate()
        while True:
            rest = {"Range": f"bytes={there}-", "If-Range": etag} if there else {}
            response = self._send("GET", path, None, rest)
            if response.status not in (200, 206):
                self._answer("GET", path, response)  # raises, with the API's words
            if response.status == 200 and there:  # another image by now
                there, checksum = 0, hashlib.sha256()
                file.seek(0)
                file.truncate()
            etag, before = response.headers.get("ETag", ""), there
            total = there + int(response.headers.get("Content-Length", 0))
            while piece := _some(response):
                file.write(piece)
                checksum.update(piece)
                there += len(piece)
                if progress:
                    progress(there, total)
            if there >= total:
                break
            self._connection.close()
            if there == before:
                raise ApiAway(f"{self.endpoint} broke off after {there} of {total} bytes: try again.")
        if etag.strip('"') != checksum.hexdigest():
            raise ApiAway(f"The image has not arrived as it was sent: {self.endpoint} says its SHA-256 is {etag}.")

    def close(self) -> None:
        """Close the connection; the next call opens it again."""
        self._connection.close()

    def _answer(self, method: str, path: str, response: http.client.HTTPResponse) -> dict[str, Any]:
        try:
            content = response.read()
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            raise self._nobody(error) from None
        try:
            answer = json.loads(content) if content else {}
        except ValueError:
            answer = None
        status = response.status
        if 200 <= status < 300 and isinstance(answer, dict):
            return answer
        said = answer.get("error") if isinstance(answer, dict) else None
        if 400 <= status < 500 and SERVED_BY in response.headers:
            raise ApiRefused(status, str(said or f"The API at {self.endpoint} refuses {method} {path}: {status}."))
        raise ApiAway(str(said or f"This is not the answer of a Fractals API: {self.endpoint} says {status}."))

    def _send(
        self, method: str, path: str, body: bytes | IO[bytes] | None, headers: dict[str, str], seconds: float = 0.0
    ) -> http.client.HTTPResponse:
        """Send a request and wait for the head of its answer; ``seconds`` is how long, if longer than usual."""
        seconds = seconds or self._seconds
        self._connection.timeout = min(seconds, CONNECT_SECONDS)
        for last in (False, True):
            kept = self._connection.sock is not None
            try:
                if not kept:
                    self._connection.connect()
                self._connection.sock.settimeout(seconds)
                if body is not None and not isinstance(body, bytes):
                    body.seek(0)
                self._connection.request(method, self._prefix + path, body, {**self._headers, **headers})
                return self._connection.getresponse()
            except (OSError, http.client.HTTPException) as error:
                self._connection.close()
                # a kept connection may have been closed since; every request of ours may be repeated
                if last or not kept or isinstance(error, TimeoutError):
                    raise self._nobody(error) from None
        raise AssertionError("unreachable")

    def _nobody(self, error: Exception) -> ApiAway:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return ApiAway(f"No API answers at {self.endpoint}: {reason}.")


def _some(response: http.client.HTTPResponse) -> bytes:
    """The next bytes of an answer; b"" at its end, wherever that is."""
    try:
        return response.read(BLOCK_BYTES)
    except (OSError, http.client.HTTPException):
        return b""


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
