"""PNG files (W3C's Portable Network Graphics, third edition) with a palette, compressed by ISA-L as their rows come."""

import struct
from collections.abc import Iterable
from typing import IO

from isal import isal_zlib

from faafo_lab.app.validation import PNG_SIGNATURE

BITS, INDEXED = 8, 3  # depth and colour type


def write(sink: IO[bytes], width: int, height: int, palette: bytes, strips: Iterable[memoryview]) -> None:
    """Write a picture. ``palette``: three bytes a colour. ``strips``: some rows each, from the top, each row a byte 0
    (it isn't filtered: that would only disturb a palette's indices) and ``width`` indices.
    """
    sink.write(PNG_SIGNATURE)
    _chunk(sink, b"IHDR", struct.pack(">IIBBBBB", width, height, BITS, INDEXED, 0, 0, 0))
    _chunk(sink, b"PLTE", palette)
    compressor = isal_zlib.compressobj()
    for strip in strips:
        if data := compressor.compress(strip):
            _chunk(sink, b"IDAT", data)
    _chunk(sink, b"IDAT", compressor.flush())
    _chunk(sink, b"IEND", b"")


def _chunk(sink: IO[bytes], kind: bytes, data: bytes) -> None:
    sink.write(struct.pack(">I", len(data)) + kind)
    sink.write(data)
    sink.write(struct.pack(">I", isal_zlib.crc32(data, isal_zlib.crc32(kind))))
