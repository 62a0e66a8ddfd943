"""A disk becomes an image: what is on it as a tar.gz, which boots at any place (see `relocation`)."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import io
import os
import tarfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import IO

from faafo_lab.cloud.emulator.machinery.guest import relocation

CHUNK_BYTES = 1 << 18
COMPRESSION = 1  # the disk's files are small or compressed already: speed is what the frozen instance waits for


async def pack(disk: Path) -> AsyncIterator[bytes]:
    """A disk as a tar.gz, in pieces; it is packed in a thread. Raises OSError where it cannot be read."""
    reading, writing = os.pipe()
    stream = asyncio.StreamReader(limit=CHUNK_BYTES)
    loop = asyncio.get_running_loop()
    pipe = os.fdopen(reading, "rb", buffering=0)
    try:
        transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stream), pipe)
    except BaseException:
        pipe.close()
        os.close(writing)
        raise
    packing = loop.run_in_executor(None, _pack, disk, writing)
    try:
        while chunk := await stream.read(CHUNK_BYTES):
            yield chunk
        await packing  # an error in there is one here
    finally:
        transport.close()  # the thread, if it still writes, hears of it
        with contextlib.suppress(OSError, tarfile.TarError, asyncio.CancelledError):
            await asyncio.wait([packing])


def _pack(disk: Path, descriptor: int) -> None:
    with (
        os.fdopen(descriptor, "wb") as pipe,
        gzip.GzipFile(fileobj=pipe, mode="wb", compresslevel=COMPRESSION) as zipped,
        tarfile.open(fileobj=zipped, mode="w|", format=tarfile.PAX_FORMAT) as tar,
    ):
        placed: list[str] = []
        links: dict[str, str] = {}
        for path in _walk(disk):
            name = str(path.relative_to(disk))
            with contextlib.suppress(FileNotFoundError):
                if path.is_symlink() and _leads_out(path, disk):
                    links[name] = os.readlink(path)
                elif _add(tar, path, disk):
                    placed.append(name)
        data = relocation.listing(disk, placed, links)
        info = tarfile.TarInfo(relocation.LIST)
        info.size, info.mode = len(data), 0o644
        tar.addfile(info, io.BytesIO(data))


def _walk(disk: Path) -> Iterator[Path]:
    for folder, folders, files in os.walk(disk):
        for name in sorted((*folders, *files)):
            yield Path(folder, name)


def _add(tar: tarfile.TarFile, path: Path, disk: Path) -> bool:
    """Add a file, directory or symbolic link; whether it is a text that names the disk's place.

    Sockets belong to the running instance, and so do the process numbers in its .pid files: instances share the
    kernel's numbers, so that to a copy they would mean processes that live.
    """
    info = tar.gettarinfo(path, str(path.relative_to(disk)))
    if info is None or path.suffix == ".pid" or path == disk / relocation.LIST:
        return False
    info.uid = info.gid = 0
    info.uname = info.gname = ""
    if info.issym():
        info.linkname = _inside(path, info.linkname, disk)
    if not info.isreg():
        if info.isdir() or info.issym() or info.islnk():
            tar.addfile(info)
        return False
    with path.open("rb") as file:
        info.size = os.fstat(file.fileno()).st_size
        tar.addfile(info, _Whole(file, info.size))
        file.seek(0)
        return info.size <= relocation.TEXT_BYTES_MAX and relocation.names_place(file.read(), disk)


def _inside(link: Path, target: str, disk: Path) -> str:
    """A link's target; one that names the disk by its place on the host is made relative."""
    if os.path.isabs(target) and Path(target).is_relative_to(disk):
        return os.path.relpath(target, link.parent)
    return target


def _leads_out(link: Path, disk: Path) -> bool:
    return not Path(os.path.normpath(link.parent / os.readlink(link))).is_relative_to(disk)


class _Whole:
    """A file as long as it was said to be: one that shrinks meanwhile ends in zeros."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self._file = file
        self._left = size

    def read(self, size: int = -1) -> bytes:
        """The next bytes."""
        size = self._left if size < 0 else min(size, self._left)
        data = self._file.read(size)
        self._left -= size
        return data.ljust(size, b"\0")
