"""A listener of HTTP: each request goes to a member of its own choosing, however long the client keeps its connection.

Bodies pass in pieces, no faster than the other side takes them. A member gets a connection for each request, so none
can be stale; where a member cannot be reached the next one is asked, and once it has a request, its failure is a 502,
its silence a 504. A request to upgrade (WebSocket) turns the connection into a relay.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable
from http.cookies import CookieError, SimpleCookie

from tornado.http1connection import HTTP1Connection, HTTP1ConnectionParameters, HTTP1ServerConnection
from tornado.httputil import (
    HTTPConnection,
    HTTPHeaders,
    HTTPInputError,
    HTTPMessageDelegate,
    HTTPServerConnectionDelegate,
    RequestStartLine,
    ResponseStartLine,
)
from tornado.iostream import IOStream, StreamClosedError, UnsatisfiableReadError

from faafo_lab.cloud.emulator.machinery.balancing.dial import Dialer
from faafo_lab.cloud.emulator.machinery.balancing.listeners import Frontend
from faafo_lab.cloud.emulator.machinery.balancing.pools import Backend, Member, NobodyThere

_CHUNK_BYTES = 1 << 16
_BUFFER_BYTES = 1 << 20
_BODY_MAX = 1 << 50
_HOP_BY_HOP = ("Connection", "Keep-Alive", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade")
_WORDS = {
    411: ("Length Required", "The body of this request needs a Content-Length."),
    502: ("Bad Gateway", "The server returned an invalid or incomplete response."),
    503: ("Service Unavailable", "No server is available to handle this request."),
    504: ("Gateway Timeout", "The server didn't respond in time."),
}


async def serve(dialer: Dialer, front: Frontend, connection: socket.socket, client: str) -> None:
    """Serve a client's connection until it ends."""
    stream = Stream(connection, max_buffer_size=_BUFFER_BYTES, read_chunk_size=_CHUNK_BYTES)
    proxy = Proxy(dialer, front, client)
    parameters = HTTP1ConnectionParameters(
        chunk_size=_CHUNK_BYTES, header_timeout=front.listener.client_seconds, max_body_size=_BODY_MAX
    )
    try:
        HTTP1ServerConnection(stream, parameters).start_serving(proxy)
        await proxy.closed
        if proxy.tunnel is not None:
            await proxy.tunnel
    finally:
        stream.close()
        if proxy.tunnel is not None:
            proxy.tunnel.cancel()


class Stream(IOStream):
    """A stream whose socket sends at once, always: Tornado would tell it so and back for each message."""

    def set_nodelay(self, value: bool) -> None:
        """Leave it as it is."""


class Proxy(HTTPServerConnectionDelegate):
    """One client's connection."""

    def __init__(self, dialer: Dialer, front: Frontend, client: str) -> None:
        self.dialer = dialer
        self.front = front
        self.client = client
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.tunnel: asyncio.Task[None] | None = None

    def start_request(self, server_conn: object, request_conn: HTTPConnection) -> Exchange:
        """The next request on the connection."""
        assert isinstance(request_conn, HTTP1Connection)
        return Exchange(self, request_conn)

    def on_close(self, server_conn: object) -> None:
        """The client has gone, or the connection is done with."""
        if not self.closed.done():
            self.closed.set_result(None)


class Exchange(HTTPMessageDelegate):
    """One request, on its way to a member, and the answer on its way back."""

    def __init__(self, proxy: Proxy, client: HTTP1Connection) -> None:
        self.proxy = proxy
        self.client = client
        self.stats = proxy.front.stats
        self.upstream: HTTP1Connection | None = None
        self.started = False
        self.done = False
        self._method = ""
        self.new_cookie: str | None = None
        self._answer: asyncio.Task[None] | None = None
        self._clock: asyncio.Timeout | None = None

    # The request

    async def headers_received(self, start_line: RequestStartLine | ResponseStartLine, headers: HTTPHeaders) -> None:
        """Choose a member and pass the request on. Called by Tornado, as all of these."""
        assert isinstance(start_line, RequestStartLine)
        upgrade = headers.get("Upgrade") if "upgrade" in headers.get("Connection", "").lower() else None
        self._method = start_line.method
        if "Transfer-Encoding" in headers and start_line.method not in ("POST", "PUT", "PATCH"):
            self.stats.request_errors += 1
            self.refuse(411)  # Tornado would send it on without its frame
            return
        key = self._key(headers)
        try:
            backend, member, sock = await self.proxy.dialer.dial(self.proxy.front, self.proxy.client, key)
        except NobodyThere:
            self.refuse(503)
            return
        if backend.pool.persistence == "HTTP_COOKIE" and key != member.id:
            self.new_cookie = f"{backend.pool.cookie}={member.id}; path=/"
        stream = Stream(sock, max_buffer_size=_BUFFER_BYTES, read_chunk_size=_CHUNK_BYTES)
        passed = self._forwarded(headers, upgrade)
        if upgrade is not None:
            self._tunnel(start_line, passed, stream, backend, member)
            return
        parameters = HTTP1ConnectionParameters(chunk_size=_CHUNK_BYTES, max_body_size=_BODY_MAX)
        self.upstream = HTTP1Connection(stream, True, parameters)
        self.client.set_close_callback(stream.close)
        self._answer = asyncio.get_running_loop().create_task(self._relay(backend, member))
        with contextlib.suppress(StreamClosedError):
            await self.upstream.write_headers(start_line, passed)

    async def data_received(self, chunk: bytes) -> None:
        """A piece of the request's body."""
        self.stats.bytes_in += len(chunk)
        self._alive()
        if self.upstream is not None and not self.upstream.stream.closed():
            with contextlib.suppress(StreamClosedError):
                await self.upstream.write(chunk)

    def finish(self) -> None:
        """The request is complete."""
        if self.upstream is not None and not self.upstream.stream.closed():
            self.upstream.finish()

    def on_connection_close(self) -> None:
        """The client has gone before its request was complete."""
        if self.upstream is not None:
            self.upstream.close()

    def _key(self, headers: HTTPHeaders) -> str | None:
        """What binds this client to a member."""
        backend = self.proxy.dialer.backend(self.proxy.front)
        if backend is None or backend.pool.persistence is None:
            return None
        if backend.pool.persistence == "SOURCE_IP":
            return self.proxy.client
        with contextlib.suppress(CookieError):
            found = SimpleCookie(headers.get("Cookie", "")).get(backend.pool.cookie)
            return found.value if found is not None else None
        return None

    def _forwarded(self, headers: HTTPHeaders, upgrade: str | None) -> HTTPHeaders:
        """The headers that the member gets."""
        passed = _end_to_end(headers)
        passed.pop("Expect", None)
        if self._method in ("POST", "PUT", "PATCH") and not {"Content-Length", "Transfer-Encoding"} & set(headers):
            passed["Content-Length"] = "0"
        passed["Connection"] = "close"
        if upgrade is not None:
            passed["Connection"], passed["Upgrade"] = "Upgrade", upgrade
        listener = self.proxy.front.listener
        values = {
            "X-Forwarded-For": self.proxy.client,
            "X-Forwarded-Port": str(listener.port),
            "X-Forwarded-Proto": "http",
        }
        for name in listener.insert_headers:
            if name != "X-Forwarded-For":  # that one is a list
                passed.pop(name, None)
            passed.add(name, values[name])
        return passed

    # The answer

    async def _relay(self, backend: Backend, member: Member) -> None:
        assert self.upstream is not None
        status = 502
        try:
            async with asyncio.timeout(self.proxy.front.listener.member_seconds) as self._clock:
                await self.upstream.read_response(Reply(self, backend, member))
        except TimeoutError:
            status = 504
        except (StreamClosedError, UnsatisfiableReadError, HTTPInputError):
            pass
        finally:
            backend.active[member.id] -= 1
            self.upstream.close()
            if not self.done and not self.started:
                self.refuse(status)
            elif not self.done:
                self.client.close()  # cut short: the client must see that it is

    def refuse(self, status: int) -> None:
        """Answer in the member's place, and ask the client to hang up."""
        self.started = self.done = True
        title, text = _WORDS[status]
        body = f"<html><body><h1>{status} {title}</h1>\n{text}\n</body></html>\n".encode()
        headers = HTTPHeaders({"Content-Type": "text/html", "Cache-Control": "no-cache", "Connection": "close"})
        headers["Content-Length"] = str(len(body))
        if self.client.stream is not None and not self.client.stream.closed():
            content = None if self._method == "HEAD" else body
            self.client.write_headers(ResponseStartLine("HTTP/1.1", status, title), headers, content)
            self.client.finish()

    def _alive(self) -> None:
        """Something has moved: the member's time begins anew."""
        if self._clock is not None:
            with contextlib.suppress(RuntimeError):  # it has just run out
                loop = asyncio.get_running_loop()
                self._clock.reschedule(loop.time() + self.proxy.front.listener.member_seconds)

    # Upgrades

    def _tunnel(
        self, line: RequestStartLine, headers: HTTPHeaders, stream: IOStream, backend: Backend, member: Member
    ) -> None:
        """From here on it is bytes in both directions."""
        client = self.client.detach()
        head = f"{line.method} {line.path} HTTP/1.1\r\n" + "".join(f"{n}: {v}\r\n" for n, v in headers.get_all())

        async def pump(source: IOStream, sink: IOStream) -> None:
            try:
                while True:
                    await sink.write(await source.read_bytes(_CHUNK_BYTES, partial=True))
            except StreamClosedError:
                source.close()
                sink.close()

        async def both() -> None:
            try:
                with contextlib.suppress(StreamClosedError):
                    await stream.write((head + "\r\n").encode("latin1"))
                await asyncio.gather(pump(client, stream), pump(stream, client))
            finally:
                backend.active[member.id] -= 1
                stream.close()
                client.close()

        self.proxy.tunnel = asyncio.get_running_loop().create_task(both())


class Reply(HTTPMessageDelegate):
    """A member's answer."""

    def __init__(self, exchange: Exchange, backend: Backend, member: Member) -> None:
        self.exchange = exchange
        self._backend = backend
        self._member = member

    async def headers_received(self, start_line: RequestStartLine | ResponseStartLine, headers: HTTPHeaders) -> None:
        """Pass the head on; interim answers are for this connection alone."""
        assert isinstance(start_line, ResponseStartLine)
        exchange = self.exchange
        exchange._alive()
        if start_line.code < 200:
            return
        if self._backend.pool.persistence == "APP_COOKIE":
            for line in headers.get_list("Set-Cookie"):
                name, _, rest = line.partition("=")
                if name.strip() == self._backend.pool.cookie:
                    self._backend.bind(rest.split(";")[0].strip().strip('"'), self._member)
        passed = _end_to_end(headers)
        if exchange.new_cookie is not None:
            passed.add("Set-Cookie", exchange.new_cookie)
            passed.add("Cache-Control", "private")
        exchange.started = True
        await self._pass(lambda: exchange.client.write_headers(start_line, passed))

    async def data_received(self, chunk: bytes) -> None:
        """A piece of the answer's body."""
        self.exchange.stats.bytes_out += len(chunk)
        self.exchange._alive()
        await self._pass(lambda: self.exchange.client.write(chunk))

    def finish(self) -> None:
        """The answer is complete."""
        self.exchange.done = True
        if self.exchange.client.stream is not None and not self.exchange.client.stream.closed():
            self.exchange.client.finish()

    async def _pass(self, write: Callable[[], Awaitable[None]]) -> None:
        """Write to the client; where it has gone, the member need not go on."""
        try:
            await write()
        except StreamClosedError:
            if self.exchange.upstream is not None:
                self.exchange.upstream.close()


def _end_to_end(headers: HTTPHeaders) -> HTTPHeaders:
    """A copy without what concerns one connection only."""
    passed = headers.copy()
    for name in (*_HOP_BY_HOP, *(name.strip() for name in headers.get("Connection", "").split(","))):
        passed.pop(name, None)
    return passed
