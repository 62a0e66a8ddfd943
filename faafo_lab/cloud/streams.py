"""The bytes that go to the object store and come from it: in pieces, with checksums, never whole in memory."""

from __future__ import annotations

import hashlib
import io
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Protocol, cast, runtime_checkable

from faafo_lab.cloud.errors import BadRequest
from faafo_lab.cloud.progress import Progress

CHUNK_BYTES = 1 << 18  # the most that is in memory at a time
PAUSE_SECONDS = 0.2  # between two changes of a progress line


@runtime_checkable
class ReadableStream(Protocol):
    """A binary file that is open for reading, or anything else that can be read like one."""

    def read(self, size: int, /) -> bytes:
        """Up to `size` bytes; none at the end."""


@runtime_checkable
class WritableStream(Protocol):
    """A binary file that is open for writing, or anything else that can be written like one."""

    def write(self, data: bytes, /) -> object:
        """Write all of the data."""


class Transfer(Progress):
    """A progress line that counts megabytes: "3.5/12.0 MB of 'name' uploaded, 1.2 s"."""

    def __init__(self, what: str, total: int, *, show: bool) -> None:
        """`total` is in bytes; 0: unknown."""
        super().__init__(what, total, show=show)
        self._moved_at = float("-inf")

    @property
    def how_far(self) -> str:
        """The megabytes, such as "3.5/12.0 MB"."""
        return f"{self.done / 1e6:.1f}{f'/{self.total / 1e6:.1f}' if self.total else ''} MB"

    def move(self, done: int) -> None:
        """So many bytes have moved."""
        self.done = done
        if done == self.total or time.monotonic() - self._moved_at >= PAUSE_SECONDS:
            self._moved_at = time.monotonic()
            self.update(done)


class Source:
    """The data of an upload: bytes, a file, or a binary stream from where it is. Use it as a context manager.

    Raises BadRequest for a file or a stream that can't be read.
    """

    def __init__(self, data: bytes | Path | ReadableStream) -> None:
        self._name = f"The file {str(data)!r}" if isinstance(data, Path) else "The data"
        self._ahead = b""  # what was read of a stream to see whether it goes on
        self._at = 0  # how many bytes were handed on
        self.moved: Callable[[int], None] = lambda done: None  # is told how many bytes were handed on
        with self._local():
            if isinstance(data, bytes):
                data = io.BytesIO(data)
            self._own = data.open("rb") if isinstance(data, Path) else None
            self._stream = cast(IO[bytes], self._own or data)
            seekable = getattr(self._stream, "seekable", None)
            self._start = self._stream.tell() if seekable is not None and seekable() else None
            self.size = self._measured()  # in bytes; None: it shows at the end

    def __enter__(self) -> Source:
        return self

    def __exit__(self, *_: object) -> None:
        if self._own is not None:
            self._own.close()

    def goes_on(self) -> bool:
        """Whether there is more."""
        if self.size is not None:
            return self._at < self.size
        self._ahead = self._ahead or self._read(CHUNK_BYTES)
        return bool(self._ahead)

    def piece(self, most_bytes: int | None = None) -> Piece:
        """What comes next, or at most so many bytes of it, as a request's body."""
        left = None if self.size is None else self.size - self._at
        return Piece(self, most_bytes if left is None else min(left, most_bytes or left))

    def take(self, most_bytes: int, required: bool) -> bytes:
        """The next bytes; none at the end. Raises BadRequest where the end comes although bytes are `required`."""
        data, self._ahead = (self._ahead or self._read(most_bytes)), b""
        data, self._ahead = data[:most_bytes], data[most_bytes:]
        if not data and required:
            raise BadRequest(f"{self._name} became shorter during the upload: upload it again.")
        self._at += len(data)
        self.moved(self._at)
        return data

    def back_to(self, position: int) -> None:
        """Hand on the bytes from this position again. Raises BadRequest for a stream that only goes forward."""
        if position == self._at:
            return
        if self._start is None:
            raise BadRequest(f"{self._name} is a stream that can't be read twice, and the cloud asked for it again.")
        with self._local():
            self._stream.seek(self._start + position)
        self._at, self._ahead = position, b""

    @property
    def position(self) -> int:
        """How many bytes were handed on."""
        return self._at

    def _measured(self) -> int | None:
        if self._start is None:
            return None
        size = self._stream.seek(0, os.SEEK_END) - self._start
        self._stream.seek(self._start)
        return max(size, 0)

    def _read(self, most_bytes: int) -> bytes:
        with self._local():
            data: Any = self._stream.read(most_bytes)
        if not isinstance(data, bytes) or len(data) > most_bytes:
            raise BadRequest(f"{self._name} must be a binary stream: open a file with mode 'rb'.")
        return data

    @contextmanager
    def _local(self) -> Iterator[None]:
        """Report this machine's errors as such, not as the cloud's."""
        try:
            yield
        except OSError as error:
            raise BadRequest(f"{self._name} can't be read: {error.strerror or error}.") from error


class Piece:
    """Bytes of a source as the body of a request, which a client library may iterate over again.

    `len` is their number where it is known in advance (requests looks for this attribute); `bytes` and `checksum`
    (MD5 in hexadecimal) say what was sent.
    """

    def __init__(self, source: Source, most_bytes: int | None) -> None:
        self._source, self._most, self._begin = source, most_bytes, source.position
        self.bytes, self._md5 = 0, hashlib.md5(usedforsecurity=False)
        if source.size is not None:
            self.len = most_bytes

    def __iter__(self) -> Iterator[bytes]:
        self._source.back_to(self._begin)
        self.bytes, self._md5 = 0, hashlib.md5(usedforsecurity=False)
        while self._most is None or self.bytes < self._most:
            wanted = CHUNK_BYTES if self._most is None else min(CHUNK_BYTES, self._most - self.bytes)
            chunk = self._source.take(wanted, required=hasattr(self, "len"))
            if not chunk:
                return
            self.bytes += len(chunk)
            self._md5.update(chunk)
            yield chunk

    @property
    def checksum(self) -> str:
        """The MD5 of what was sent."""
        return self._md5.hexdigest()


class Expected:
    """The bytes that should come: how many, and the MD5 of each stretch of them (None: unknown)."""

    def __init__(self, stretches: Sequence[tuple[int, str | None]]) -> None:
        self._stretches = list(stretches)
        self.wrong = ""  # what is wrong with those that came, in words
        self._left = 0  # of the stretch that comes
        self._checksum: str | None = None
        self._next()

    def see(self, data: bytes) -> None:
        """These bytes came."""
        view = memoryview(data)
        while view and not self.wrong:
            if not self._left:
                self.wrong = "more bytes came than there should be"
                return
            part, view = view[: self._left], view[self._left :]
            self._md5.update(part)
            self._left -= len(part)
            if not self._left:
                self._end_of_stretch()

    def end(self) -> None:
        """No more bytes come."""
        if not self.wrong and (self._left or self._stretches):
            self.wrong = "bytes are missing"

    def _end_of_stretch(self) -> None:
        came = self._md5.hexdigest()
        if self._checksum is not None and came != self._checksum:
            self.wrong = f"their checksum is {came}, the object store's {self._checksum}"
        self._next()

    def _next(self) -> None:
        self._md5 = hashlib.md5(usedforsecurity=False)
        while self._stretches and not self._left:
            self._left, self._checksum = self._stretches.pop(0)


@contextmanager
def destination(to: Path | WritableStream) -> Iterator[Callable[[bytes], object]]:
    """A function that writes there; a file is there as a whole, after the block, or not at all. Raises BadRequest."""
    if not isinstance(to, Path):
        yield _local(to.write, "The stream")
        return
    if to.is_dir():
        raise BadRequest(f"{str(to)!r} is a directory: name a file in it.")
    partial = to.with_name(f".{to.name}.{os.getpid()}.{threading.get_ident()}")
    name = f"The file {str(to)!r}"
    file = _local(partial.open, name)("wb")
    try:
        with file:
            yield _local(file.write, name)
            _local(file.flush, name)()
        _local(partial.replace, name)(to)
    finally:
        partial.unlink(missing_ok=True)


def _local(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    """The function, whose OSErrors are reported as this machine's, not as the cloud's."""

    def wrapper(*args: Any) -> Any:
        try:
            return function(*args)
        except OSError as error:
            raise BadRequest(f"{name} can't be written: {error.strerror or error}.") from error

    return wrapper
