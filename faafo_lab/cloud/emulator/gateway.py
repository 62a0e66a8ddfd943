"""The entry to all services: routes each request to its service, with the body in pieces if a route streams it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from urllib.parse import parse_qs

from tornado.http1connection import HTTP1Connection
from tornado.iostream import StreamClosedError
from tornado.web import RequestHandler, stream_request_body

from faafo_lab.cloud.emulator.common.numbers import whole
from faafo_lab.cloud.emulator.common.service import MAX_JSON_BYTES, Answer, Fault, Request, Service, unquoted

MAX_UPLOAD_BYTES = 1 << 40


@stream_request_body
class Gateway(RequestHandler):
    """Takes every request to its service, by the path's first segment."""

    SUPPORTED_METHODS = ("GET", "HEAD", "POST", "DELETE", "PATCH", "PUT", "OPTIONS", "COPY")

    def initialize(self, services: Sequence[Service]) -> None:
        """Called by Tornado for each request."""
        self.services = services
        self.body = bytearray()
        self.pieces: asyncio.Queue[bytes | None] = asyncio.Queue(maxsize=4)
        self.working: asyncio.Task[Answer] | None = None
        self.sending: asyncio.Task[None] | None = None

    def set_default_headers(self) -> None:
        """No word about the server; no type where there is no body."""
        self.clear_header("Server")
        self.clear_header("Content-Type")

    def prepare(self) -> None:
        """The headers are here: find the service, and, where the route streams, let it begin."""
        own = unquoted(self.request.path)
        head, _, rest = own[1:].partition("/")
        found = (each for each in self.services if each.prefix == f"/{head}" or own in each.roots)
        self.service = next(found, None)
        if self.service is None:
            return
        query = parse_qs(self.request.query, keep_blank_values=True, errors="replace")
        path = self.service.path(own if own in self.service.roots else "/" + rest)
        self.asked = Request(self.request.method or "GET", path, query, self.request.headers)
        self.found = self.service.find(self.asked.method, path)
        if self.found.route.stream:
            connection = self.request.connection
            assert isinstance(connection, HTTP1Connection)
            connection.set_max_body_size(MAX_UPLOAD_BYTES)
            self.asked.chunks = self._chunks()
            self.working = asyncio.ensure_future(self.service.handle(self.asked, self.found))
            return
        if (whole(self.request.headers.get("Content-Length", "0")) or 0) > MAX_JSON_BYTES:
            self.set_header("Connection", "close")
            self._send(self.service.refuse(Fault(413, f"The body may have {MAX_JSON_BYTES} bytes at most.")))
            self.finish()

    async def _chunks(self) -> AsyncIterator[bytes]:
        while (piece := await self.pieces.get()) is not None:
            yield piece

    async def data_received(self, chunk: bytes) -> None:
        """A piece of the body: for the route that streams, or to be collected."""
        if self.working is None:
            self.body += chunk
        elif not self.working.done():
            put = asyncio.ensure_future(self.pieces.put(chunk))
            await asyncio.wait([put, self.working], return_when=asyncio.FIRST_COMPLETED)
            put.cancel()

    def on_connection_close(self) -> None:
        """The client has gone: an upload or a download stops here."""
        for task in (self.working, self.sending):
            if task is not None:
                task.cancel()

    async def _answer(self) -> None:
        if self.service is None:
            self.set_status(404)
            self.set_header("Content-Type", "application/json")
            self.write({"error": {"code": 404, "title": "Not Found", "message": f"There is no {self.request.path}."}})
            return
        if self.working is not None:
            if not self.working.done():
                await self.pieces.put(None)
            answer = await self.working
        else:
            self.asked.body = bytes(self.body)
            answer = await self.service.handle(self.asked, self.found)
        self._send(answer)
        with contextlib.suppress(StreamClosedError):
            if isinstance(answer.body, AsyncGenerator):
                self.sending = asyncio.ensure_future(self._send_pieces(answer.body))
                await asyncio.wait([self.sending])
                if not self.sending.cancelled():
                    self.sending.result()

    def _send(self, answer: Answer) -> None:
        self.set_status(answer.status)
        if isinstance(answer.body, dict):
            self.set_header("Content-Type", "application/json")
        for name, value in answer.headers.items():
            self.set_header(name, value)
        if isinstance(answer.body, (dict, bytes)):
            self.write(answer.body)
        elif answer.status in (204, 304) and "Content-Type" in answer.headers:
            self.flush()  # Tornado would take the type away

    async def _send_pieces(self, pieces: AsyncGenerator[bytes]) -> None:
        async with contextlib.aclosing(pieces):
            async for piece in pieces:
                self.write(piece)
                await self.flush()

    get = post = put = patch = delete = head = options = copy = _answer

    def compute_etag(self) -> None:
        """No ETags: the services have none."""
