"""The network between clients and APIs, which loses answers on request.

A server that dies after it has stored an order and before it has answered leaves its client in doubt. That moment is
too short to hit by chance, so a drill leads its clients through here: each API has an address on this machine, which
relays connections unchanged, until answers are held and lost.

    network = Network(app.endpoints.values(), loses=1)
    requests.post(network.urls[0] + "/v1/fractal", json=task)     # ConnectionError; but the API has the order
    network.answers                                               # what the APIs said, the lost answer included
"""

import contextlib
import socket
import socketserver
import threading
from collections.abc import Iterable
from urllib.parse import urlsplit

READ_BYTES = 65536
CONNECT_SECONDS = 5.0
ACCEPTED = b"HTTP/1.1 201 "


class Network:
    """Ways to these URLs (http). `urls` are their addresses here, in the same order; `close` ends it.

    `loses`: so many orders are accepted (201) without an answer that arrives.
    """

    def __init__(self, urls: Iterable[str], loses: int = 0) -> None:
        self.answers: list[bytes] = []  # the APIs', as far as they came, those that were lost included
        self.held = 0  # answers that came since `hold`
        self._loses = loses
        self._is_holding, self._changed = False, threading.Condition()
        self._ways = [_Way(self, url) for url in urls]
        self.urls = [f"http://127.0.0.1:{way.server_address[1]}" for way in self._ways]
        for way in self._ways:
            threading.Thread(target=way.serve_forever, name="network", daemon=True).start()

    def hold(self) -> None:
        """Keep back every answer from now on; `held` counts them."""
        with self._changed:
            self._is_holding = True

    def lose(self) -> None:
        """Cut the connections whose answers are held; later answers pass again."""
        with self._changed:
            self._is_holding = False
            self._changed.notify_all()

    def close(self) -> None:
        """Stop listening, and release the held answers."""
        self.lose()
        for way in self._ways:
            way.shutdown()
            way.server_close()

    def passes(self, answer: bytes) -> bool:
        """Whether an answer, or a piece of one, passes: at once, or, if it was held and lost, not at all."""
        with self._changed:
            self._note(answer)
            if self._loses and answer.startswith(ACCEPTED):
                self._loses -= 1
                return False
            if not self._is_holding:
                return True
            self.held += 1
            self._changed.wait_for(lambda: not self._is_holding)
            return False

    def _note(self, answer: bytes) -> None:
        if answer.startswith(b"HTTP/") or not self.answers:
            self.answers.append(answer)
        else:
            self.answers[-1] += answer


class _Way(socketserver.ThreadingTCPServer):
    """One API's address here."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, network: Network, url: str) -> None:
        parts = urlsplit(url)
        self.network, self.api = network, (parts.hostname or "", parts.port or 80)
        super().__init__(("127.0.0.1", 0), _Connection)


class _Connection(socketserver.BaseRequestHandler):
    """One client's connection; it ends when the API's ends or fails."""

    server: _Way

    def handle(self) -> None:
        with contextlib.suppress(OSError), socket.create_connection(self.server.api, CONNECT_SECONDS) as api:
            api.settimeout(None)
            threading.Thread(target=self._pass_on, args=(api,), name="network", daemon=True).start()
            while (answer := api.recv(READ_BYTES)) and self.server.network.passes(answer):
                self.request.sendall(answer)

    def _pass_on(self, api: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while request := self.request.recv(READ_BYTES):
                api.sendall(request)
            api.shutdown(socket.SHUT_WR)
