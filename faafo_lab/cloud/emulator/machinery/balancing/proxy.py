"""A listener of HTTP: each request goes to a member of its own choosing, however long the client keeps its connection.

What is common passes through `express`; here is what is odd. h11 reads and writes the messages of both sides, so what a
member gets here is framed anew and never a client's own framing. Bodies pass in pieces, no faster than the other side
takes them. Where a member cannot be reached the next one is asked, and once it has a request, its failure is a 502, its
silence a 504. When a member agrees to upgrade a connection (WebSocket), and not before, that becomes a tunnel.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie
from typing import cast

import h11

from faafo_lab.cloud.emulator.machinery.balancing.dial import Dialer, Way
from faafo_lab.cloud.emulator.machinery.balancing.express import SAFE, Express, Odd
from faafo_lab.cloud.emulator.machinery.balancing.listeners import Frontend
from faafo_lab.cloud.emulator.machinery.balancing.pools import NobodyThere
from faafo_lab.cloud.emulator.machinery.balancing.tunnel import tunnel

_READ_BYTES = 1 << 16
_HEAD_BYTES = 1 << 16  # a longer request line is refused, and so are longer header fields
# So long what a client still sends is read after the last answer: unread, it would cost the client that answer
_LINGER_SECONDS = 2.0
_STEPS = 64  # after so many parts of a body, other tasks of the event loop have their turn
_REQUEST_LINE = re.compile(rb"([!#-'*+.^_`|~0-9A-Za-z-]+) ([!-~\x80-\xff]+) HTTP/(\d)\.(\d)\r?")
_ABSOLUTE = re.compile(rb"(?i:https?)://([^/?#]+)(.*)")
_HOST = re.compile(rb"[!$&-.0-;=A-Z_a-z~%\[\]]*")

_HOP_BY_HOP = {b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"transfer-encoding", b"upgrade"}
# What `Connection` cannot take away, whoever sends it: only fields that HTTP does not know are a hop's own
_END_TO_END = re.compile(
    rb"(host|content-.+|cookie|set-cookie|authorization|cache-control|pragma|accept.*|if-.+|range|expect|date|origin"
    rb"|referer|user-agent|via|forwarded|x-forwarded-.+|location|etag|vary|www-authenticate)"
)
_WORDS = {
    400: "This request is malformed.",
    408: "This request was not complete in time.",
    414: "The first line of this request is too long.",
    431: "The header fields of this request are too long.",
    501: "No server does what this request asks for.",
    502: "The server returned an invalid or incomplete response.",
    503: "No server is available to handle this request.",
    504: "The server didn't respond in time.",
    505: "Only HTTP/1.0 and HTTP/1.1 are spoken here.",
}
_MEMBERS = (502, 503, 504)  # those that are not the client's fault

Fields = list[tuple[bytes, bytes]]


async def serve(dialer: Dialer, front: Frontend, connection: socket.socket, client: str) -> None:
    """Serve a client's connection until it ends. The socket does not block, and whoever calls closes it."""
    rest: bytes | None = b""
    while rest is not None and (odd := await Express(dialer, front, connection, client).run(rest)) is not None:
        rest = await Exchange(dialer, front, connection, client, odd).run()


class Refused(Exception):
    """The balancer answers in the member's place, with this status."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class Side:
    """The client or the member: a socket that does not block, and what is said there.

    Both directions are independent: who no longer takes anything may have answered before.
    """

    def __init__(self, sock: socket.socket, seconds: float, role: type[h11.CLIENT | h11.SERVER]) -> None:
        """`role` is the balancer's own; `seconds` is how long the other may be silent."""
        self.sock = sock
        self.http = h11.Connection(role, max_incomplete_event_size=_HEAD_BYTES)
        self._seconds = seconds
        self._broken, self._silent = (502, 504) if role is h11.CLIENT else (400, 408)
        self._loop = asyncio.get_running_loop()
        self._moved = 0.0
        self.heard = False

    @property
    def clean(self) -> bool:
        """Whether all is said, on both sides, and the connection may serve again."""
        return self.http.our_state is self.http.their_state is h11.DONE and not self.http.trailing_data[0]

    async def read(self) -> bytes:
        """What comes next; nothing at the end. Raises Refused where it fails, or nothing has moved for too long."""
        self._moved = self._loop.time()
        while True:
            try:
                async with asyncio.timeout_at(self._moved + self._seconds):
                    data = await self._loop.sock_recv(self.sock, _READ_BYTES)
                self.heard = self.heard or data != b""
                return data
            except TimeoutError:
                if self._moved + self._seconds <= self._loop.time():
                    raise Refused(self._silent) from None
            except OSError:
                raise Refused(self._broken) from None

    def next(self) -> h11.Event | type[h11.NEED_DATA | h11.PAUSED]:
        """What it has said next. Raises Refused where that is no HTTP."""
        try:
            return self.http.next_event()
        except h11.RemoteProtocolError as error:
            raise Refused(error.error_status_hint if self._broken == 400 else self._broken) from None

    async def event(self) -> h11.Event | type[h11.NEED_DATA | h11.PAUSED]:
        """What it says next. Raises Refused."""
        while (event := self.next()) is h11.NEED_DATA:
            self.http.receive_data(await self.read())
        return event

    async def write(self, data: bytes) -> None:
        """Send it all. Raises OSError."""
        sent = 0
        with contextlib.suppress(BlockingIOError):
            sent = self.sock.send(data)
        if sent < len(data):
            async with asyncio.timeout(self._seconds):
                await self._loop.sock_sendall(self.sock, data[sent:])
        self._moved = self._loop.time()


class Exchange:
    """One request, on its way to a member, and the answer on its way back."""

    def __init__(self, dialer: Dialer, front: Frontend, connection: socket.socket, client: str, odd: Odd) -> None:
        self._dialer = dialer
        self._front = front
        self._client = client
        self._odd = odd
        self._near = Side(connection, front.listener.client_seconds, h11.SERVER)
        self._fault: int | None = None  # the status that the client's own failure in the midst of its body deserves
        self._method = self._target = b""
        self._http10 = self._bodiless = False

    async def run(self) -> bytes | None:
        """Serve it. Returns what has come of the next one, or None where there is none.

        Raises OSError where the client has gone.
        """
        http = self._near.http
        try:
            request = await self._head(self._odd.asked)
            if request is None:
                return None
            await self._pass(self._checked(request))
        except Refused as refused:
            await self._refuse(refused.status)
        finally:
            if self._odd.way is not None:
                self._dialer.leave(self._odd.way, clean=False)
        if http.our_state is h11.DONE and http.their_state is h11.DONE:
            return http.trailing_data[0]
        if http.our_state in (h11.DONE, h11.MUST_CLOSE):
            await self._linger()
        return None

    # The request

    async def _head(self, early: bytes) -> h11.Request | None:
        """The request's head; None where the client has no more requests. Raises Refused."""
        try:
            async with asyncio.timeout(self._front.listener.client_seconds):
                while b"\n" not in (early := early.lstrip(b"\r\n")) and len(early) <= _HEAD_BYTES:
                    if not (data := await self._near.read()):
                        raise Refused(400)
                    early += data
                self._first_line(early)
                return cast(h11.Request, await self._near.event())
        except (TimeoutError, Refused) as error:
            if not early:
                return None
            raise error if isinstance(error, Refused) else Refused(408) from None

    def _first_line(self, data: bytes) -> None:
        """Read the request line. h11 gets one without the target, of which it would take ASCII only: a balancer passes
        on every byte that no member can take for a separator."""
        line, _, rest = data.partition(b"\n")
        if len(line) > _HEAD_BYTES:
            raise Refused(414)
        found = _REQUEST_LINE.fullmatch(line)
        if found is None:
            raise Refused(400)
        self._method, self._target, major, minor = found.groups()
        if major != b"1":
            raise Refused(505)
        self._http10 = minor == b"0"
        self._near.http.receive_data(b"%s / HTTP/1.%d\r\n%s" % (self._method, not self._http10, rest))

    def _checked(self, request: h11.Request) -> Fields:
        """The fields of a request that can be understood in one way only (RFC 9112, sections 3.2, 6.1 and 6.3)."""
        self._bodiless = self._method == b"HEAD"
        if sum(len(name) + len(value) for name, value in request.headers) > _HEAD_BYTES:
            raise Refused(431)
        fields = dict(request.headers)
        if b"transfer-encoding" in fields and (self._http10 or b"content-length" in fields):
            raise Refused(400)
        if self._method == b"CONNECT":
            raise Refused(501)
        listener = self._front.listener
        host = fields.get(b"host", f"{listener.addresses[0]}:{listener.port}".encode())
        if found := _ABSOLUTE.fullmatch(self._target):
            host, path = found.groups()
            self._target = path if path.startswith(b"/") else b"/" + path
        elif not self._target.startswith(b"/") and (self._method, self._target) != (b"OPTIONS", b"*"):
            raise Refused(400)
        if not _HOST.fullmatch(host):
            raise Refused(400)
        return [(b"Host", host), *(each for each in request.headers.raw_items() if each[0].lower() != b"host")]

    async def _pass(self, fields: Fields) -> None:
        """Give the request to a member, and its answer to the client. Raises Refused, and OSError as `run` does."""
        if self._odd.status is not None:
            raise Refused(self._odd.status)
        first = self._near.next()
        key = self._key(fields)
        whole = isinstance(first, h11.EndOfMessage)
        kept = whole and self._method in SAFE
        request = h11.Request(method=self._method, target=b"/", headers=self._forwarded(fields, whole=whole))
        while True:
            way, self._odd.way = self._odd.way, None
            asked = way is not None
            try:
                way = way or await self._dialer.dial(self._front, self._client, key, kept=kept)
            except NobodyThere:
                raise Refused(503) from None
            way.forsake()
            far = Side(way.sock, self._front.listener.member_seconds, h11.CLIENT)
            head = b"%s %s HTTP/1.1\r\n" % (self._method, self._target) + far.http.send(request).partition(b"\r\n")[2]
            cookie = None
            if way.backend.pool.persistence == "HTTP_COOKIE" and key != way.member.id:
                cookie = f"{way.backend.pool.cookie}={way.member.id}; path=/".encode()
            upload = None
            try:
                if asked:
                    self._has(far, first)
                elif whole:
                    await self._upload(far, head, first)
                else:
                    upload = asyncio.get_running_loop().create_task(self._upload(far, head, first))
                await self._answer(far, way, cookie)
                return
            except Refused:
                if not way.kept or far.heard:
                    raise
                kept = False  # the member has ended it meanwhile
            finally:
                if upload is not None:
                    upload.cancel()
                    await asyncio.wait([upload])
                self._dialer.leave(way, clean=far.clean)

    def _has(self, far: Side, event: h11.Event | type[h11.NEED_DATA | h11.PAUSED]) -> None:
        """The member has the request already, which has come whole, and has begun to answer."""
        while isinstance(event, h11.Data):
            far.http.send(event)
            event = self._near.next()
        far.http.send(h11.EndOfMessage())
        far.http.receive_data(self._odd.said)
        far.heard = True

    async def _upload(self, far: Side, head: bytes, first: h11.Event | type[h11.NEED_DATA | h11.PAUSED]) -> None:
        try:
            await self._body(self._near, far, head, first)
        except OSError:
            pass  # it takes no more: its answer may say why
        except Refused as refused:
            self._fault = refused.status
            with contextlib.suppress(OSError):
                far.sock.shutdown(socket.SHUT_RDWR)

    async def _body(
        self, source: Side, sink: Side, data: bytes, event: h11.Event | type[h11.NEED_DATA | h11.PAUSED]
    ) -> None:
        """Pass a body on: behind `data`, its head, comes `event`, its first part. Trailers stay behind.

        Raises Refused where the source fails, OSError where the sink does.
        """
        steps = 0
        while not isinstance(event, h11.EndOfMessage):
            if isinstance(event, h11.Data):
                if source is self._near:
                    self._front.stats.bytes_in += len(event.data)
                else:
                    self._front.stats.bytes_out += len(event.data)
                data += sink.http.send(h11.Data(data=event.data))
            if event is h11.NEED_DATA or len(data) > _READ_BYTES:
                await sink.write(data)
                data = b""
            if event is h11.NEED_DATA:
                source.http.receive_data(await source.read())
            event = source.next()
            steps += 1
            if steps % _STEPS == 0:
                await asyncio.sleep(0)
        await sink.write(data + sink.http.send(h11.EndOfMessage()))

    def _key(self, fields: Fields) -> str | None:
        """What binds this client to a member."""
        backend = self._dialer.backend(self._front)
        if backend is None or backend.pool.persistence is None:
            return None
        if backend.pool.persistence == "SOURCE_IP":
            return self._client
        with contextlib.suppress(CookieError):
            cookies = b";".join(value for name, value in fields if name.lower() == b"cookie").decode("latin1")
            found = SimpleCookie(cookies).get(backend.pool.cookie)
            return found.value if found is not None else None
        return None

    def _forwarded(self, fields: Fields, *, whole: bool) -> Fields:
        """The fields that the member gets. `whole`: the request has no body."""
        listener = self._front.listener
        ours = {name.lower().encode() for name in listener.insert_headers if name != "X-Forwarded-For"}  # a list
        if self._http10:
            ours.add(b"expect")
        passed = [each for each in _end_to_end(fields) if each[0].lower() not in ours]
        passed += listener.forwarded(self._client)
        kinds = {name.lower(): value for name, value in fields}
        if b"transfer-encoding" in kinds:
            passed.append((b"Transfer-Encoding", b"chunked"))
        if whole and not self._http10 and b"upgrade" in kinds and b"upgrade" in _connection(fields):
            passed += [(b"Connection", b"Upgrade"), (b"Upgrade", kinds[b"upgrade"])]
        return passed

    # The answer

    async def _answer(self, far: Side, way: Way, cookie: bytes | None) -> None:
        """Give the client the member's answer, and `cookie` if any. Raises Refused, and OSError as `run` does."""
        near = self._near
        try:
            while isinstance(event := await far.event(), h11.InformationalResponse):
                if event.status_code == HTTPStatus.SWITCHING_PROTOCOLS:
                    way.heard = True
                    await self._upgrade(far, event)
                    return
                if not self._http10:
                    interim = h11.InformationalResponse(
                        status_code=event.status_code, headers=_end_to_end(event.headers.raw_items())
                    )
                    await near.write(near.http.send(interim))
            kinds = dict(event.headers) if isinstance(event, h11.Response) else {}
            if not isinstance(event, h11.Response) or {b"transfer-encoding", b"content-length"} <= set(kinds):
                raise Refused(502)
        except Refused as refused:
            raise Refused(self._fault or refused.status) from None
        way.heard = True
        fields = _end_to_end(event.headers.raw_items())
        pool = way.backend.pool
        if pool.persistence == "APP_COOKIE":
            for each, value in event.headers:
                name, _, rest = value.decode("latin1").partition("=")
                if each == b"set-cookie" and name.strip() == pool.cookie:
                    way.backend.bind(rest.split(";")[0].strip().strip('"'), way.member)
        if cookie is not None:
            fields += [(b"Set-Cookie", cookie), (b"Cache-Control", b"private")]
        if near.http.their_state is h11.SEND_BODY:
            fields.append((b"Connection", b"close"))  # what the client goes on to send is no further request
        answer = h11.Response(status_code=event.status_code, headers=fields, reason=event.reason)
        await self._body(far, near, near.http.send(answer), far.next())

    async def _upgrade(self, far: Side, event: h11.InformationalResponse) -> None:
        """From here on it is bytes in both directions."""
        near = self._near
        switch = h11.InformationalResponse(
            status_code=event.status_code, headers=event.headers.raw_items(), reason=event.reason
        )
        await near.write(near.http.send(switch) + far.http.trailing_data[0])
        await far.write(near.http.trailing_data[0])
        await tunnel(self._front, near.sock, far.sock)

    async def _refuse(self, status: int) -> None:
        """Answer in the member's place, and ask the client to hang up; nothing where an answer has begun.

        Raises OSError.
        """
        http = self._near.http
        if http.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            return
        if status not in _MEMBERS:
            self._front.stats.request_errors += 1
        title = HTTPStatus(status).phrase
        body = f"<html><body><h1>{status} {title}</h1>\n{_WORDS[status]}\n</body></html>\n".encode()
        fields = [
            ("Content-Type", "text/html"),
            ("Cache-Control", "no-cache"),
            ("Content-Length", str(len(body))),
            ("Connection", "close"),
        ]
        data = http.send(h11.Response(status_code=status, headers=fields, reason=title))
        if not self._bodiless:
            data += http.send(h11.Data(data=body))
        await self._near.write(data + http.send(h11.EndOfMessage()))

    async def _linger(self) -> None:
        """Let the client read its answer, whatever it still sends."""
        with contextlib.suppress(OSError):
            self._near.sock.shutdown(socket.SHUT_WR)
            async with asyncio.timeout(_LINGER_SECONDS):
                while await asyncio.get_running_loop().sock_recv(self._near.sock, _READ_BYTES):
                    await asyncio.sleep(0)


def _connection(fields: Fields) -> set[bytes]:
    """What the connection is to do, in small letters."""
    values = (value for name, value in fields if name.lower() == b"connection")
    return {each.strip().lower() for value in values for each in value.split(b",")}


def _end_to_end(fields: Fields) -> Fields:
    """What does not concern one connection only."""
    gone = _HOP_BY_HOP | {name for name in _connection(fields) if not _END_TO_END.fullmatch(name)}
    return [each for each in fields if each[0].lower() not in gone]
