"""Addresses where an API was once: nothing answers any more, or another program does, with a page of its own.

with Impostors() as urls:
    requests.get(urls[SILENT])         # ConnectionError
    requests.get(urls[OTHER])   # 200, and no picture
"""

import functools
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType

SILENT, OTHER = "app-api-silent", "app-api-other"
POLL_SECONDS = 0.02  # how soon it ends, when it is told to
PAGE = b"<html><title>Welcome</title><h1>It works!</h1></html>"


class _Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(PAGE)))
        self.end_headers()
        self.wfile.write(PAGE)

    def log_message(self, *_: object) -> None:
        """Say nothing: the learner's notebook is no log."""


class Impostors:
    """Two addresses on this machine, by name: at `SILENT` nobody listens, at `OTHER` every page is there, and the
    same."""

    def __enter__(self) -> dict[str, str]:
        self._taken = socket.socket()
        self._taken.bind(("127.0.0.1", 0))  # and never listens: whoever connects is refused
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Page)
        self._server.daemon_threads = True
        serve = functools.partial(self._server.serve_forever, poll_interval=POLL_SECONDS)
        threading.Thread(target=serve, daemon=True, name="another page").start()
        return {
            SILENT: f"http://127.0.0.1:{self._taken.getsockname()[1]}",
            OTHER: f"http://127.0.0.1:{self._server.server_port}",
        }

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._taken.close()
