"""A relay: a TCP connection and a Unix socket, joined by two asyncio protocols.

Each end reads no faster than the other takes (backpressure), and passes on the other's end of file (half-close).
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable
from typing import cast

_BUFFER_BYTES = 1 << 18
CONNECT_LIMIT_SECONDS = 10.0


class End(asyncio.Protocol):
    """One end; `other` is where its data goes."""

    def __init__(self, closed: Callable[[], None]) -> None:
        self._closed = closed
        self._ended = False
        self._early = bytearray()
        self._joined = False
        self.full = False  # whether its peer reads more slowly than the other end says something
        self.transport: asyncio.Transport | None = None
        self.other: End | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Read nothing until there is somebody to give it to.

        Until Python 3.11.3 asyncio starts to read all the same: what comes early is kept for `join`.
        """
        self.transport = cast(asyncio.Transport, transport)
        self.transport.pause_reading()
        self.transport.set_write_buffer_limits(high=_BUFFER_BYTES)
        sock = self.transport.get_extra_info("socket")
        if sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def join(self, other: End) -> None:
        """Relay between the two from now on. Both are connected."""
        self.other, other.other = other, self
        for end in (self, other):
            end._joined = True
            if end._early:
                end.data_received(bytes(end._early))
                end._early.clear()
            if end._ended:
                end.eof_received()
            if end.transport is not None:
                end.transport.resume_reading()
        if self._ended and other._ended and self.transport is not None:
            self.transport.close()

    def data_received(self, data: bytes) -> None:
        if not self._joined:
            self._early += data
            if self.transport is not None:  # to resume first is what makes that Python pause
                self.transport.resume_reading()
                self.transport.pause_reading()
        elif self.other is not None and self.other.transport is not None:
            self.other.transport.write(data)

    def eof_received(self) -> bool:
        """Pass that on too; the other direction stays open until its own end."""
        self._ended = True
        if not self._joined:
            return True
        if self.other is None or self.other.transport is None:
            return False
        with contextlib.suppress(OSError):
            self.other.transport.write_eof()
        return not self.other._ended

    def pause_writing(self) -> None:
        """Let the other end wait: what it gives is not taken as fast here."""
        self.full = True
        if self.other is not None and self.other.transport is not None:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        self.full = False
        if self.other is not None and self.other.transport is not None:
            self.other.transport.resume_reading()

    def connection_lost(self, error: Exception | None) -> None:
        """One end gone: the other goes too, after what is still to be written (a reset is passed on as one)."""
        other, self.other, self.transport = self.other, None, None
        if other is not None and other.transport is not None:
            if error is None:
                other.transport.close()
            else:
                reset(other.transport)
        self._closed()


def reset(transport: asyncio.Transport) -> None:
    """Close at once, telling a TCP peer by a reset."""
    sock = transport.get_extra_info("socket")
    if sock is not None and sock.family != socket.AF_UNIX:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
