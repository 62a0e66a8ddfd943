"""Images on their way in and out of the API, neither of them held in memory.

In: ``PUT /v1/fractal/UUID`` takes a worker's result, as JSON with the picture in base64 as the original's workers send
it, or as the PNG itself (``Content-Type: image/png``) with the other fields in the address. The body goes to a file
while its SHA-256 is taken, and into the images' place when it is what it says.

Out: ``GET /fractal/UUID`` sends the PNG piece by piece, or a range of it (RFC 9110). Whoever has it asks again, with
its ETag, since the uuid may be ordered anew; ``/fractal/UUID?checksum=SHA256``, as the page has it, is that very PNG or
nothing, so that may be kept for a year.
"""

import asyncio
import hashlib
import io
import logging
import tempfile
from typing import IO, Any

from tornado.httputil import HTTPServerRequest
from tornado.iostream import StreamClosedError
from tornado.web import stream_request_body

from faafo_lab.app import validation
from faafo_lab.app.backend import Backend
from faafo_lab.app.errors import AppError, ImagesAway, NotFound, OutOfRange, RequestError, TooLarge
from faafo_lab.app.handler import Handler, known_uuid
from faafo_lab.app.schema import PIECE_BYTES

log = logging.getLogger(__name__)

IN_MEMORY_BYTES = 1024 * 1024  # a body that is longer goes to a temporary file
REFUSED_MAX_BYTES = 4 * validation.IMAGE_MAX_BYTES  # of a body that is too long: read, dropped, and told why
STALLED_SECONDS = 60.0  # a client that takes no byte for so long has gone
PNG = "image/png"


@stream_request_body
class StreamedHandler(Handler):
    """A handler whose body goes to a file as it comes, and is bounded before and meanwhile."""

    def initialize(self, api: Backend) -> None:
        """Begin with nothing."""
        super().initialize(api)
        self.body = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY_BYTES)  # noqa: SIM115  (on_finish closes it)
        self.body_checksum, self.body_length = hashlib.sha256(), 0
        self._refused: AppError | None = None
        self._arrived = False

    def prepare(self) -> None:
        """Find out what cannot be accepted before the body comes: no byte of that is kept."""
        self.request.connection.set_max_body_size(REFUSED_MAX_BYTES)  # type: ignore[union-attr]
        try:
            self.check_head()
        except RequestError as error:
            if "Expect" in self.request.headers:  # the client waits for a word before it sends the body
                raise
            self._refused = (
                error  # said when all has come: a client that still sends would get a reset connection instead
            )

    def check_head(self) -> None:
        """Raise what can be said before the body comes."""
        self._bound(length_of_body(self.request))

    def data_received(self, chunk: bytes) -> None:
        """Keep a part of the body."""
        if self._refused:
            return
        self.body_length += len(chunk)
        try:
            self._bound(self.body_length)
            self.body_checksum.update(chunk)
            self.body.write(chunk)
        except RequestError as error:
            self._refused = error
        except OSError as error:
            self._refused = ImagesAway(f"The disk of '{self.api.name}' takes no more: {error.strerror}.")

    def check_body(self) -> None:
        """All of the body has come; raise where it is refused."""
        self._arrived = True
        if self._refused:
            raise self._refused

    def on_connection_close(self) -> None:
        """The client has gone: with half a body, there is nothing to answer."""
        super().on_connection_close()
        if not self._arrived:
            self.set_status(499, "Client Closed Request")  # nginx's number, for the metrics
            self.on_finish()

    def on_finish(self) -> None:
        """Drop the body."""
        if not self.body.closed:
            self.body.close()
            super().on_finish()

    def _bound(self, length: int) -> None:
        if length > self.body_max_bytes:
            raise TooLarge(f"The body must be at most {self.body_max_bytes} bytes: this one is longer.")


class UploadHandler(StreamedHandler):
    """``PUT /v1/fractal/UUID``."""

    told: validation.Result | None = None  # what the address says of a PNG

    def check_head(self) -> None:
        """Check the secret, the length, and what the address says of a PNG."""
        is_result = self.request.method == "PUT"
        is_png = self.request.headers.get("Content-Type", "").partition(";")[0].strip().lower() == PNG
        if is_result:
            self.check_secret()
            self.body_max_bytes = validation.IMAGE_MAX_BYTES if is_png else validation.RESULT_BODY_MAX_BYTES
        super().check_head()
        if is_result and is_png:
            arguments = {name: self.argument(name, "") for name in self.request.query_arguments}
            self.told = validation.result_beside_png(arguments)

    async def put(self, name: str) -> None:
        """Keep a worker's result."""
        self.check_body()
        uuid = known_uuid(name)
        result, picture = await self.api.ask_patiently(self._result, uuid)
        fractal, won = await self.api.ask_patiently(self.api.images.keep, uuid, result, picture)
        if won:
            self.api.metrics.completed.inc()
            log.debug("completed by %s", result.generated_by)
        else:
            self.api.metrics.dropped.inc()
            log.info("nobody waits for it any more: the result of %s is dropped", result.generated_by)
        self.send(fractal)

    def _result(self, of_uuid: str) -> tuple[validation.Result, IO[bytes]]:
        """The result and its PNG, checked. Blocks: a large one in JSON takes a while."""
        self.body.seek(0)
        if self.told is None:
            result, image = validation.result(validation.json_object(self.body.read()), of_uuid)
            return result, io.BytesIO(image)
        signature = self.body.read(len(validation.PNG_SIGNATURE))
        validation.check_picture(self.told, signature, self.body_length, self.body_checksum.hexdigest())
        return self.told, self.body


class TooLongHandler(StreamedHandler):
    """What answers, in place of a handler that holds its body in memory, where the body is too long for that."""

    def initialize(self, api: Backend, bound: int = 0) -> None:
        """``bound`` is the other handler's, in bytes."""
        super().initialize(api)
        self.body_max_bytes = bound

    async def refuse(self, *arguments: str) -> None:
        """Answer 413, whatever the method is."""
        self.check_body()

    head = get = post = put = delete = patch = options = refuse


class ImageHandler(Handler):
    """``/fractal/UUID``: the PNG."""

    route = "/fractal/{uuid}"
    _image = ""  # where it is

    async def head(self, name: str) -> None:
        """What GET would say."""
        await self.get(name)

    async def get(self, name: str) -> None:
        """The PNG or a range of it, or 304 for a client that has it."""
        uuid = known_uuid(name.removesuffix(".png"))
        checksum, size, self._image = await self.api.ask(self.api.store.image, uuid)
        self.set_header("Content-Type", PNG)
        asked = self.argument("checksum", None)
        if asked not in (None, checksum):
            raise NotFound(f"Fractal {uuid} has another checksum by now, or this is none.")
        self.set_header("Cache-Control", "public, max-age=31536000, immutable" if asked else "public, no-cache")
        self.set_header("Accept-Ranges", "bytes")
        self.set_header("Etag", f'"{checksum}"')
        if self.check_etag_header():
            self.set_status(304)
            return
        start, stop = self._wanted(size)
        piece = await self._piece(uuid, checksum, start, stop)
        self.set_header("Content-Length", str(stop - start))
        if self.request.method == "HEAD":
            return
        try:
            while True:
                self.write(piece)
                start += len(piece)
                await asyncio.wait_for(self.flush(), STALLED_SECONDS)
                if start >= stop:
                    return
                piece = await self._piece(uuid, checksum, start, stop)
        except (StreamClosedError, TimeoutError):
            log.info("the client went away %d bytes before the end", stop - start)
        except AppError as error:
            log.warning("broken off %d bytes before the end: %s", stop - start, error)
        self.request.connection.stream.close()  # type: ignore[union-attr]

    async def _piece(self, uuid: str, checksum: str, start: int, stop: int) -> bytes:
        """The next bytes of ``[start, stop)``, at least one."""
        while True:
            try:
                piece = await self.api.ask(self.api.images.read, self._image, start, min(start + PIECE_BYTES, stop))
            except NotFound:  # unless it has just been moved
                now, _, image = await self.api.ask(self.api.store.image, uuid)
                if now != checksum or image == self._image:
                    raise
                self._image = image
                continue
            if not piece:
                raise ImagesAway(f"The image ends after {start} bytes: some of it got lost.")
            return piece

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Answer with one sentence; where the range is outside, with the image's size."""
        error = kwargs["exc_info"][1] if "exc_info" in kwargs else None
        if isinstance(error, OutOfRange):
            self.set_header("Content-Range", f"bytes */{error.size}")
        super().write_error(status_code, **kwargs)

    def _wanted(self, size: int) -> tuple[int, int]:
        """The bytes ``[start, stop)`` to send; sets the status and the header that go with a range."""
        asked, condition = self.request.headers.get("Range"), self.request.headers.get("If-Range")
        found = None
        if asked and self.request.method == "GET" and condition in (None, self._headers["Etag"]):
            found = validation.byte_range(asked, size)
        if found is None:
            return 0, size
        start, stop = found
        self.set_status(206)
        self.set_header("Content-Range", f"bytes {start}-{stop - 1}/{size}")
        return start, stop


def length_of_body(request: HTTPServerRequest) -> int:
    """How long a request's body will be, in bytes; 0 where it does not say."""
    text = request.headers.get("Content-Length", "")
    return int(text) if text.isascii() and text.isdecimal() else 0
