"""All APIs of a deployment, as one: a call goes to any of them, and where that one is away to the next.

Each call draws anew, so the APIs share the load, also with one that comes or is back. One that did not answer is asked
last for a while. A worker begins with the addresses that it was started with; each heartbeat's answer names the APIs
that serve now (``Endpoints.learn``). So APIs come and go, and a worker goes on as long as one answers.
"""

import contextlib
import logging
import random
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any, TypeVar

from faafo_lab.app.client import TIMEOUT_SECONDS, Client
from faafo_lab.app.errors import ApiAway, ApiError, ApiRefused

log = logging.getLogger(__name__)

R = TypeVar("R")

AWAY_SECONDS, AWAY_MAX_SECONDS = 2.0, 60.0  # for which an API that did not answer is asked last: doubles each time
NOT_WELCOME = (401, 403)  # an API that does not know our secret (any more), or is another deployment's


class Endpoints:
    """The addresses of a deployment's APIs, which the clients of one program share, whatever thread they are in."""

    def __init__(self, given: Sequence[str], notes: Path | None = None, *, learns: bool = True):
        """``given``: where to begin. ``notes``: a file that keeps what is learned from there until the next start.

        Without ``learns`` they are all that there is: a load balancer's address stands for every API.
        """
        self._given, self._learns = tuple(dict.fromkeys(given)), learns
        self._notes = notes = notes if learns else None
        self._serving: tuple[str, ...] = ()
        self._away: dict[str, tuple[float, float]] = {}  # until when, and for how long
        self._learning = threading.Lock()
        if notes:
            with contextlib.suppress(OSError, ValueError):  # it is not there, or not whole
                given, *serving = notes.read_text(encoding="utf-8").splitlines()
                self._serving = tuple(serving) if given == str(self) else ()

    def __str__(self) -> str:
        return ", ".join(self._given)

    def learn(self, serving: Sequence[str]) -> None:
        """These APIs serve now; none: it is not known."""
        with self._learning:
            self._learn(serving)

    def _learn(self, serving: Sequence[str]) -> None:
        if not self._learns or not serving or set(serving) == set(self._serving):
            return
        for url in set(serving) - set(self._serving):
            self._away.pop(url, None)
        self._serving = tuple(serving)
        if self._notes:
            try:
                self._notes.parent.mkdir(parents=True, exist_ok=True)
                unfinished = self._notes.with_suffix(".new")
                unfinished.write_text("".join(f"{line}\n" for line in (self, *serving)), encoding="utf-8")
                unfinished.replace(self._notes)
            except OSError as error:
                log.warning("cannot note where the APIs are: %s", error.strerror or error)

    def drawn(self) -> list[str]:
        """All, in the order in which to ask them: first those that serve, shuffled; last those that were away."""
        first = list(self._serving or self._given)
        random.shuffle(first)
        now = time.monotonic()
        return sorted(dict.fromkeys([*first, *self._given]), key=lambda url: self._away.get(url, (0.0, 0.0))[0] > now)

    def answered(self, url: str) -> None:
        """Ask this one as the others from now on."""
        self._away.pop(url, None)

    def away(self, url: str) -> None:
        """Ask this one last for a while."""
        seconds = min(self._away.get(url, (0.0, AWAY_SECONDS / 2))[1] * 2, AWAY_MAX_SECONDS)
        self._away[url] = (time.monotonic() + seconds, seconds)


class Apis:
    """A client of whichever API answers; not for two threads at once."""

    def __init__(self, endpoints: Endpoints, secret: str | None = None, timeout_seconds: float = TIMEOUT_SECONDS):
        """As ``Client``, of several. Raises ``SettingsError`` where one of them is no address."""
        self._endpoints, self._secret, self._seconds = endpoints, secret, timeout_seconds
        self._clients: dict[str, Client] = {}
        for url in endpoints.drawn():
            self._client(url)

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """As ``Client.call``; raises what the last API raises where all are away."""
        return self._ask(lambda client: client.call(method, path, body))

    def order(self, task: dict[str, Any]) -> bool:
        """As ``Client.order``."""
        return self._ask(lambda client: client.order(task))

    def upload(self, path: str, fields: dict[str, object], png: IO[bytes], size: int) -> dict[str, Any]:
        """As ``Client.upload``."""
        return self._ask(lambda client: client.upload(path, fields, png, size))

    def download(self, path: str, file: IO[bytes], progress: Callable[[int, int], object] | None = None) -> None:
        """As ``Client.download``."""
        self._ask(lambda client: client.download(path, file, progress))

    def _client(self, url: str) -> Client:
        if url not in self._clients:
            self._clients[url] = Client(url, self._secret, self._seconds)
        return self._clients[url]

    def _ask(self, ask: Callable[[Client], R]) -> R:
        urls = self._endpoints.drawn()
        for gone in self._clients.keys() - set(urls):
            self._clients.pop(gone).close()
        problem: ApiError = ApiAway("There is no API to ask.")
        for url in urls:
            try:
                answer = ask(self._client(url))
            except ApiAway as error:
                problem = error
            except ApiRefused as error:
                if error.status not in NOT_WELCOME:
                    self._endpoints.answered(url)
                    raise
                problem = error
            else:
                self._endpoints.answered(url)
                return answer
            self._endpoints.away(url)
        raise problem
