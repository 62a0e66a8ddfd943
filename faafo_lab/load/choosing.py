"""Which API a request goes to: the strategies of clients that know several.

    turns    each API in turn, whatever becomes of the requests
    first    always the first
    random   any
    own      each connection keeps to one API, half of them to the first of two
    fastest  of two random APIs, the one with less to wait for: its recent latency times the requests that are there

"fastest" is Finagle's and Linkerd's default, the power of two choices (Mitzenmacher 2001) with a moving average of the
latency (Peak EWMA). A failure counts as FAILED_SECONDS at least. An API's average fades without new
requests, so that a slow or dead one is asked again after a while: there is no other way to learn that it is back.
"""

import math
import random
import threading
import time
from collections import Counter
from collections.abc import Sequence
from typing import Literal, get_args

Clients = Literal["turns", "first", "random", "own", "fastest"]
CLIENTS: tuple[Clients, ...] = get_args(Clients)

FAILED_SECONDS = 1.0
FADES_SECONDS = 2.0  # after which an average weighs a third
SHORTEST_SECONDS = 0.001  # of an average: where APIs are all as fast, only the requests in flight count


class Chooser:
    """One run's choice of APIs; `ended` tells it how each request went. Safe for threads."""

    def __init__(self, clients: Clients) -> None:
        self.clients = clients
        self._lock = threading.Lock()
        self._in_flight = Counter[str]()
        self._latency: dict[str, tuple[float, float]] = {}  # the average in seconds, and when it was updated

    def choose(self, urls: Sequence[str], turn: int, connection: int) -> str:
        """The API for the try with this number, on this connection; "" where there is none."""
        if not urls:
            return ""
        with self._lock:
            url = self._pick(urls, turn, connection)
            self._in_flight[url] += 1
            return url

    def ended(self, url: str, seconds: float, ok: bool) -> None:
        """A request to this API ended after so many seconds."""
        with self._lock:
            self._in_flight[url] -= 1
            now = time.monotonic()
            before, at = self._latency.get(url, (seconds, now))
            kept = math.exp((at - now) / FADES_SECONDS)
            average = before * kept + seconds * (1 - kept)
            self._latency[url] = (average if ok else max(average, seconds, FAILED_SECONDS), now)

    def _pick(self, urls: Sequence[str], turn: int, connection: int) -> str:
        if self.clients == "random":
            return random.choice(urls)
        if self.clients == "fastest":
            return min(random.sample(urls, min(2, len(urls))), key=self._wait_at)
        return urls[{"turns": turn, "first": 0, "own": connection}[self.clients] % len(urls)]

    def _wait_at(self, url: str) -> float:
        average, at = self._latency.get(url, (0.0, 0.0))
        faded = average * math.exp((at - time.monotonic()) / FADES_SECONDS)
        return max(SHORTEST_SECONDS, faded) * (self._in_flight[url] + 1)
