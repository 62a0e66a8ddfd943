"""The requests of this process's load, as events: whose endpoint each went to, and who answered.

sent = SentRequests()
load.wire.listeners.append(sent.take)
sent.know({"http://127.5.2.4": ("app-api-1", False)})     # endpoints by their URLs; True: the load balancer's
sent.events()                                            # those that have ended since
"""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Mapping

from faafo_lab.living.events import LOAD, Event, RequestEvent, rounded
from faafo_lab.load.wire import Sent

STRANGER_SECONDS = 5.0  # how long a request is kept whose endpoint nobody knows so far


class SentRequests:
    """Requests to one application. Any thread may add some; one asks for the events."""

    def __init__(self) -> None:
        self._sent: deque[Sent] = deque()
        self._names: dict[str, tuple[str, bool]] = {}
        self._numbers = itertools.count(1)
        self.take = self._sent.append  # what load.wire calls with each request: it costs next to nothing

    def know(self, names: Mapping[str, tuple[str, bool]]) -> None:
        """The application has these endpoints. Earlier ones stay known: requests to them may be under way."""
        self._names = {**self._names, **names}

    def events(self) -> list[Event]:
        """The requests that have ended since the last call, in that order. Those to endpoints that are unknown wait for
        STRANGER_SECONDS: a server may be new. Then they are another application's."""
        found: list[Event] = []
        unknown: list[Sent] = []
        for _ in range(len(self._sent)):
            sent = self._sent.popleft()
            if sent.endpoint.rstrip("/") in self._names:
                found.append(self._event(sent))
            elif time.time() - sent.ended < STRANGER_SECONDS:
                unknown.append(sent)
        self._sent.extendleft(reversed(unknown))
        return found

    def _event(self, sent: Sent) -> RequestEvent:
        name, via = self._names[sent.endpoint.rstrip("/")]
        server = sent.answer.server
        if server == sent.endpoint:  # nobody said who it is
            server = "" if via else name
        event: RequestEvent = {
            "k": "request",
            "t": rounded(sent.began),
            "end": rounded(sent.ended),
            "id": f"r{next(self._numbers)}",
            "method": sent.method,
            "path": sent.path,
            "to": server,
            "status": sent.answer.status,
        }
        if sent.sender != LOAD:
            event["from"] = sent.sender
        if via:
            event["via"] = True
        if sent.answer.error:
            event["error"] = sent.answer.error
        if sent.order:
            event["uuid"] = sent.order
        return event
