"""A network that loses answers: between a client and an API, whose first answer never arrives.

with Relay(app.endpoint) as relay:
    requests.post(relay.url + "/v1/fractal", json=task)      # ConnectionError; but the API has the order
    relay.statuses                                           # what the API answered, the lost answer included
"""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

from requests import RequestException

from faafo_lab.cloud import direct

LOSES = 1  # answers
LIMIT_SECONDS = 30.0


class Relay:
    """Passes POST requests on to an API, from an address of its own on this machine; the first answer is lost."""

    def __init__(self, endpoint: str) -> None:
        self.statuses: list[int] = []
        self.refusal = ""  # what the API said of a request that it did not accept
        relay = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                try:
                    answer = direct.request(
                        "POST",
                        endpoint + self.path,
                        data=body,
                        headers={"Content-Type": self.headers.get("Content-Type") or "application/json"},
                        timeout=LIMIT_SECONDS,
                    )
                except RequestException as error:
                    self.send_error(502, str(error))
                    return
                relay.statuses.append(answer.status_code)
                if not answer.ok:
                    relay.refusal = answer.text
                elif sum(status < 400 for status in relay.statuses) <= LOSES:
                    self.close_connection = True
                    return
                self.send_response(answer.status_code)
                self.send_header("Content-Type", answer.headers.get("Content-Type", "application/json"))
                self.send_header("Content-Length", str(len(answer.content)))
                self.end_headers()
                self.wfile.write(answer.content)

            def log_message(self, *_: object) -> None:
                """Say nothing: the learner's notebook is no log."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True, name="relay").start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
