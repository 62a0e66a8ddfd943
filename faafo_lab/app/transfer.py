"""Images on their way in and out of the API, neither of them held in memory.

In: ``PUT /v1/fractal/UUID`` takes a worker's result, as JSON with the picture in base64 as the original's workers send
it, or as the PNG itself (``Content-Type: image/png``) with the other fields in the address. The body goes to a file
while its SHA-256 is taken, and into the images' place when it is what it says.

Out: ``GET /fractal/UUID`` sends the PNG piece by piece, or a range of it (RFC 9110).
"""

import asyncio
import hashlib
import io
import logging
import tempfile
from typing import IO, Any

from tornado.iostream import StreamClosedError
from tornado.web import stream_request_body

from faafo_lab.app import validation
from faafo_lab.app.backend import Backend
from faafo_lab.app.errors import AppError, ImagesAway, OutOfRange, RequestError, TooLarge
from faafo_lab.app.handler import Handler, known_uuid
from faafo_lab.app.schema import PIECE_BYTES

log = logging.getLogger(__name__)

IN_MEMORY_BYTES = 1024 * 1024  # a body that is longer goes to a temporary file
STALLED_SECONDS = 60.0  # a client that takes no byte for so long has gone
PNG = "image/png"


@stream_request_body
class Upload(Handler):
    """A handler whose body goes to a file, ``picture``, as it comes."""

    def initialize(self, api: Backend) -> None:
        """Begin with nothing."""
        super().initialize(api)
        self.picture = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY_BYTES)  # noqa: SIM115  (on_finish closes it)
        self.told: validation.Result | None = None  # what the address says of a PNG
        self._checksum, self._length = hashlib.sha256(), 0
        self._refused: AppError | None = None
        self._arrived = False

    def prepare(self) -> None:
        """Refuse what can be refused before the body comes."""
        is_png = self.request.headers.get("Content-Type", "").partition(";")[0].strip().lower() == PNG
        if self.request.method == "PUT":
            self.body_max_bytes = validation.IMAGE_MAX_BYTES if is_png else validation.RESULT_BODY_MAX_BYTES
        # twice as much, so that a client that sends too much gets to read why
        self.request.connection.set_max_body_size(2 * self.body_max_bytes)  # type: ignore[union-attr]
        length = self.request.headers.get("Content-Length", "")
        self._bound(int(length) if length.isdecimal() else 0)
        if self.request.method == "PUT":
            self.check_secret()
            if is_png:
                arguments = {name: self.get_query_argument(name) for name in self.request.query_arguments}
                self.told = validation.result_beside_png(arguments)

    def data_received(self, chunk: bytes) -> None:
        """Keep a part of the body."""
        if self._refused:
            return
        self._length += len(chunk)
        try:
            self._bound(self._length)
            self._checksum.update(chunk)
            self.picture.write(chunk)
        except RequestError as error:
            self._refused = error
        except OSError as error:
            self._refused = ImagesAway(f"The disk of '{self.api.name}' takes no more: {error.strerror}.")

    def take(self, of_uuid: str) -> tuple[validation.Result, IO[bytes]]:
        """The result and its PNG, checked, once the body is there. Blocks: the largest takes a while."""
        self.picture.seek(0)
        if self.told is None:
            result, image = validation.result(validation.json_object(self.picture.read()), of_uuid)
            return result, io.BytesIO(image)
        signature = self.picture.read(len(validation.PNG_SIGNATURE))
        validation.check_picture(self.told, signature, self._length, self._checksum.hexdigest())
        return self.told, self.picture

    async def put(self, name: str) -> None:
        """Keep a worker's result."""
        self._arrived = True
        if self._refused:
            raise self._refused
        uuid = known_uuid(name)
        result, picture = await self.api.ask(self.take, uuid)
        fractal, won = await self.api.ask(self.api.images.keep, uuid, result, picture)
        if won:
            self.api.metrics.completed.inc()
            log.debug("completed by %s", result.generated_by)
        else:
            self.api.metrics.dropped.inc()
            log.info("it was done already: the result of %s is dropped", result.generated_by)
        self.send(fractal)

    def on_connection_close(self) -> None:
        """The client has gone: with half a body, there is nothing to answer."""
        super().on_connection_close()
        if not self._arrived:
            self.on_finish()

    def on_finish(self) -> None:
        """Drop the body."""
        if not self.picture.closed:
            self.picture.close()
            super().on_finish()

    def _bound(self, length: int) -> None:
        if length > self.body_max_bytes:
            raise TooLarge(f"The body must be at most {self.body_max_bytes} bytes: got {length} or more.")


class Image(Handler):
    """``/fractal/UUID``: the PNG."""

    route = "/fractal/{uuid}"

    async def head(self, name: str) -> None:
        """What GET would say."""
        await self.get(name)

    async def get(self, name: str) -> None:
        """The PNG or a range of it, or 304 for who has it."""
        uuid = known_uuid(name.removesuffix(".png"))
        checksum, size, image = await self.api.ask(self.api.store.image, uuid)
        self.set_header("Content-Type", PNG)
        self.set_header("Cache-Control", "public, max-age=31536000, immutable")
        self.set_header("Accept-Ranges", "bytes")
        self.set_header("Etag", f'"{checksum}"')
        if self.check_etag_header():
            self.set_status(304)
            return
        start, stop = self._wanted(size)
        piece = await self.api.ask(self.api.images.read, image, start, min(start + PIECE_BYTES, stop))
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
                piece = await self.api.ask(self.api.images.read, image, start, min(start + PIECE_BYTES, stop))
        except (StreamClosedError, TimeoutError):
            log.info("the client went away %d bytes before the end", stop - start)
        except AppError as error:
            log.warning("broken off %d bytes before the end: %s", stop - start, error)
        self.request.connection.stream.close()  # type: ignore[union-attr]

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
