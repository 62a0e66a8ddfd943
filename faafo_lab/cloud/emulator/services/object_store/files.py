"""The objects' data: a file each, in one flat directory, named by a random id and never by what a client says.

A file is complete and on the disk before a row names it; what no row names is removed at the next start.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from faafo_lab.cloud.emulator.common.service import Fault
from faafo_lab.cloud.emulator.system import durable

CHUNK_BYTES = 1 << 18


@dataclass(frozen=True)
class Received:
    """Data that has come: its file (none where it is empty), length in bytes, and MD5 in hex digits."""

    file: str
    length: int
    md5: str


@dataclass(frozen=True)
class Piece:
    """Bytes of a file."""

    path: Path
    start: int
    length: int


class Files:
    """The directory."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def setup(self, wanted: set[str]) -> None:
        """Make the directory, and remove what nobody names: uploads that were cut short."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        for entry in os.scandir(self._folder):
            if entry.name not in wanted:
                os.unlink(entry.path)

    def piece(self, file: str, length: int) -> list[Piece]:
        """All of a file; nothing of an empty one."""
        return [Piece(self._folder / file, 0, length)] if length else []

    def _keep(self, descriptor: int) -> None:
        os.fsync(descriptor)
        durable.keep_names(self._folder)

    def remove(self, files: Iterable[str]) -> None:
        """Remove files that no row names any more. Who reads one now reads on."""
        for each in filter(None, files):
            with contextlib.suppress(OSError):  # the next start tries again
                (self._folder / each).unlink()

    @asynccontextmanager
    async def receive(self, chunks: AsyncIterator[bytes], limit: int) -> AsyncIterator[Received]:
        """Keep what comes; where the block is left by an exception, nothing is left of it.

        Raises a 413 `Fault` for more than `limit` bytes, and a 507 one where the disk is full.
        """
        path = self._folder / uuid.uuid4().hex
        length, md5 = 0, hashlib.md5(usedforsecurity=False)
        try:
            with path.open("xb") as file:
                async for chunk in chunks:
                    length += len(chunk)
                    if length > limit:
                        raise Fault(413, "Upload exceeds quota.")
                    md5.update(chunk)
                    file.write(chunk)
                file.flush()
                if length:
                    await asyncio.to_thread(self._keep, file.fileno())
            if not length:
                path.unlink()
            yield Received(path.name if length else "", length, md5.hexdigest())
        except BaseException as error:
            path.unlink(missing_ok=True)
            if isinstance(error, OSError):
                raise Fault(507, f"The object could not be written: {error.strerror}.") from error
            raise


async def stream(parts: Iterable[Piece | bytes]) -> AsyncGenerator[bytes]:
    """The bytes of pieces, one after the other, in chunks."""
    for part in parts:
        if isinstance(part, bytes):
            yield part
            continue
        left = part.length
        with part.path.open("rb") as file:
            file.seek(part.start)
            while left:
                chunk = file.read(min(left, CHUNK_BYTES))
                if not chunk:
                    raise OSError(f"{part.path.name} is shorter than it was")
                left -= len(chunk)
                yield chunk


def length(parts: Iterable[Piece | bytes]) -> int:
    """How many bytes pieces have."""
    return sum(len(part) if isinstance(part, bytes) else part.length for part in parts)


def cut(parts: Iterable[Piece | bytes], start: int, stop: int) -> list[Piece | bytes]:
    """The pieces' bytes [start, stop)."""
    found: list[Piece | bytes] = []
    for part in parts:
        size = len(part) if isinstance(part, bytes) else part.length
        low, high = max(start, 0), min(stop, size)
        if low < high:
            if isinstance(part, bytes):
                found.append(part[low:high])
            else:
                found.append(Piece(part.path, part.start + low, high - low))
        start, stop = start - size, stop - size
    return found
