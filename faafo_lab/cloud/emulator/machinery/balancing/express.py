"""The common request of an HTTP listener, on its way to a member and back.

Reading a request and its answer by h11 costs ten times what all the rest does. So what nearly all of them look like
passes here as it has come: a head in canonical form, framed by at most one Content-Length. Whatever differs in anything
is odd, and goes from the point where it does to `proxy`, which judges it.

Measured beside HAProxy, in CPU time per request: 0.35 to 0.5 of its speed, as the client's heads are longer or shorter
(`make bench`, balanced_http_vs_haproxy). The limit is Python's: a relay of two callbacks that reads nothing at all
costs as much as HAProxy; the rest is the reading of two heads, the choice of a member and the check of its kept
connection.
"""

from __future__ import annotations

import asyncio
import re
import socket
from dataclasses import dataclass
from functools import lru_cache

from faafo_lab.cloud.emulator.machinery.balancing.dial import Dialer, Way
from faafo_lab.cloud.emulator.machinery.balancing.listeners import Frontend
from faafo_lab.cloud.emulator.machinery.balancing.pools import NobodyThere

_READ_BYTES = 1 << 16
_HEAD_BYTES = 1 << 12  # a longer head is odd
_REQUEST = re.compile(rb"(GET|HEAD|OPTIONS|POST|PUT|PATCH|DELETE) /[!-~]* HTTP/1\.1")
_ANSWER = re.compile(rb"HTTP/1\.1 ([2-5]\d\d) [\t -~]*")
_FIELD = re.compile(rb"[!#-'*+.^_`|~0-9A-Za-z-]+: [!-~](?:[\t -~]*[!-~])?")
_SPECIAL = re.compile(
    rb"(?i)(host: [-.0-9:a-z\[\]]+)|(content-length: \d{1,15})|(connection: keep-alive|keep-alive: .*)"
    rb"|(?:host|content-length|connection|proxy-connection|te|trailer|transfer-encoding|upgrade|expect"
    rb"|x-forwarded-.*): .*"
)
# Kinds of fields: two that say something, those that stay behind, those that make a head odd, and all others
_PLAIN, _HOST, _LENGTH, _HOP, _ODD = range(5)
SAFE = (b"GET", b"HEAD", b"OPTIONS")  # what may be sent again, where it has no body


@dataclass
class Odd:
    """Where something odd begins."""

    asked: bytes = b""  # a request as far as it has come, and what has come behind it
    way: Way | None = None  # the member that has it already, all of it
    said: bytes = b""  # the beginning of that one's answer
    status: int | None = None  # what the client is told in the member's place


class Express:
    """A client's connection, until something is odd or it ends.

    Sockets are read by callbacks of the loop, without transports, tasks and a timer for each request, all of which
    would cost more than the request does. The one timer looks at when something has moved last.
    """

    def __init__(self, dialer: Dialer, front: Frontend, near: socket.socket, client: str) -> None:
        self._dialer = dialer
        self._front = front
        self._near = near
        self._client = client
        self._loop = asyncio.get_running_loop()
        self._end: asyncio.Future[Odd | None] = self._loop.create_future()
        self._timer: asyncio.TimerHandle | None = None
        self._moved = self._loop.time()
        self._deaf = False  # the client has said more than its request: that waits
        self._asked = self._method = b""
        self._way: Way | None = None  # who has the request
        self._begun = False  # the answer's head has passed
        self._left = 0  # bytes of the answer that are to come from the member
        self._clean = True  # the member has said the answer and nothing else
        self._unsent = b""  # what the client has yet to take
        self._slow = False  # it does not take it at once

    async def run(self, early: bytes) -> Odd | None:
        """Serve; `early` has come already. Returns None where the connection has ended."""
        try:
            self._watch()
            self._loop.add_reader(self._near, self._client_said)
            if early:
                self._request(early)
            return await self._end
        finally:
            self._finish(None)

    def _finish(self, odd: Odd | None) -> None:
        self._loop.remove_reader(self._near)
        self._loop.remove_writer(self._near)
        if self._timer is not None:
            self._timer.cancel()
        if self._way is not None:
            if odd is not None and odd.way is not None:
                self._way.forsake()
            else:
                self._dialer.leave(self._way, clean=False)
            self._way = None
        if not self._end.done():
            self._end.set_result(odd)

    def _watch(self) -> None:
        """End it when whose turn it is has been silent for too long."""
        listener = self._front.listener
        theirs = self._way is not None and not self._unsent
        end = self._moved + (listener.member_seconds if theirs else listener.client_seconds)
        now = self._loop.time()
        if end > now:
            soon = now + min(listener.member_seconds, listener.client_seconds)  # the turn may change
            self._timer = self._loop.call_at(min(end, soon), self._watch)
        else:
            self._finish(Odd(self._asked, status=504) if theirs and not self._begun else None)

    # The request

    def _client_said(self) -> None:
        if self._way is not None:
            self._loop.remove_reader(self._near)
            self._deaf = True
            return
        try:
            data = self._near.recv(_READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self._request(data)
        else:
            self._finish(None)

    def _request(self, data: bytes) -> None:
        """Send it to a member."""
        self._moved = self._loop.time()
        lines, kinds, end = _head(data)
        first = _REQUEST.fullmatch(lines[0])
        backend = self._dialer.backend(self._front)
        if first is None or backend is None or kinds.count(_HOST) != 1 or "COOKIE" in (backend.pool.persistence or ""):
            self._finish(Odd(data))
            return
        length = int(lines[kinds.index(_LENGTH) + 1][16:]) if _LENGTH in kinds else 0
        if len(data) != end + length:
            self._finish(Odd(data))
            return
        self._asked, self._method = data, first[1]
        safe = self._method in SAFE and not length
        sticky = self._client if backend.pool.persistence else None
        try:
            way = self._dialer.dial_at_once(self._front, self._client, sticky, kept=safe)
        except (NobodyThere, BlockingIOError):
            self._finish(Odd(data))
            return
        self._way, self._begun, self._clean = way, False, True
        if _HOP in kinds or self._front.listener.insert_headers:
            more = self._front.listener.forwarded(self._client)
            data = _without_hops(lines, kinds, more) + data[end:]
        try:
            sent = way.sock.send(data)
        except OSError:
            sent = 0
        if sent < len(data):
            self._finish(Odd(self._asked, status=502 if sent else None))
            return
        self._front.stats.bytes_in += length
        way.attend(self._member_said)

    # The answer

    def _member_said(self) -> None:
        way = self._way
        assert way is not None
        try:
            data = body = way.sock.recv(_READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = body = b""
        if not data:
            if self._begun:
                self._finish(None)
            else:  # a kept connection may have ended before the request came
                self._finish(Odd(self._asked, status=None if way.kept else 502))
            return
        way.heard = True
        if not self._begun:
            lines, kinds, end = _head(data)
            first = _ANSWER.fullmatch(lines[0])
            bodiless = first is not None and (self._method == b"HEAD" or first[1] in (b"204", b"304"))
            if first is None or (_LENGTH not in kinds and not bodiless):
                self._finish(Odd(self._asked, way, data))
                return
            self._begun = True
            self._left = 0 if bodiless else int(lines[kinds.index(_LENGTH) + 1][16:])
            body = data[end:]
            if _HOP in kinds:
                data = _without_hops(lines, kinds, []) + body
        if (excess := len(body) - self._left) > 0:
            self._clean = False
            data, body = data[:-excess], body[:-excess]
        self._left -= len(body)
        self._front.stats.bytes_out += len(body)
        self._unsent = data
        self._tell()

    def _tell(self) -> None:
        """Let the client have what it takes; before it has taken all, the member is asked for no more."""
        way = self._way
        assert way is not None
        try:
            sent = self._near.send(self._unsent)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._finish(None)
            return
        self._moved = self._loop.time()
        if sent < len(self._unsent):
            self._unsent = self._unsent[sent:]
            if not self._slow:
                way.forsake()
                self._loop.add_writer(self._near, self._tell)
                self._slow = True
            return
        self._unsent = b""
        if self._slow:
            self._loop.remove_writer(self._near)
            self._slow = False
        if self._left:
            way.attend(self._member_said)
            return
        self._way = None
        self._dialer.leave(way, clean=self._clean)
        if self._deaf:
            self._loop.add_reader(self._near, self._client_said)
            self._deaf = False


@lru_cache(512)
def _kind(line: bytes) -> int:
    """What a field's line is: most come again and again."""
    special = _SPECIAL.fullmatch(line)
    if not _FIELD.fullmatch(line):
        return _ODD
    return _PLAIN if special is None else special.lastindex or _ODD


def _head(data: bytes) -> tuple[list[bytes], list[int], int]:
    """A head's lines, the kinds of its fields, and where it ends; [b""] where it is odd."""
    end = data.find(b"\r\n\r\n", 0, _HEAD_BYTES)
    lines = data[: max(end, 0)].split(b"\r\n")
    kinds = [_kind(line) for line in lines[1:]]
    if _ODD in kinds or kinds.count(_LENGTH) > 1:
        lines = [b""]
    return lines, kinds, end + 4


def _without_hops(lines: list[bytes], kinds: list[int], more: list[tuple[bytes, bytes]]) -> bytes:
    """A head with more fields, and without those that concern one connection only."""
    passed = [lines[0], *(line for line, kind in zip(lines[1:], kinds, strict=True) if kind != _HOP)]
    return b"\r\n".join([*passed, *(b"%s: %s" % field for field in more), b"", b""])
