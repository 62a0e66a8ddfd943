"""Messages between the emulator, the hypervisor and the guest agents: one JSON object a line, over a socket pair.

`Channel` is the end for a loop of its own (no asyncio): never blocks, keeps what the other side has not taken yet.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Iterator
from typing import Any

Message = dict[str, Any]

_READ_BYTES = 1 << 18


def encode(message: Message) -> bytes:
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"


async def messages(reader: asyncio.StreamReader) -> AsyncIterator[Message]:
    """The messages that arrive, until the other side is gone, in whatever way: what it has left unread or half said
    is an end, too."""
    with contextlib.suppress(OSError):
        while (line := await reader.readline()).endswith(b"\n"):
            yield json.loads(line)


class Channel:
    """A non-blocking end of a socket pair."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.socket = sock
        self.closed = False
        self._received = b""
        self._unsent = b""

    def fileno(self) -> int:
        return self.socket.fileno()

    @property
    def behind(self) -> bool:
        """Whether the other side has yet to take something: call `flush` when the socket can be written to."""
        return bool(self._unsent) and not self.closed

    def send(self, message: Message) -> None:
        """Send a message, now or as soon as the other side takes it. Lost when that side is gone."""
        self._unsent += encode(message)
        self.flush()

    def flush(self) -> None:
        """Send what is waiting, as far as the other side takes it."""
        while self._unsent and not self.closed:
            try:
                sent = self.socket.send(self._unsent)
            except BlockingIOError:
                return
            except OSError:
                self.closed = True
                return
            self._unsent = self._unsent[sent:]

    def receive(self) -> Iterator[Message]:
        """The messages that have arrived. Afterwards `closed` says whether the other side is gone."""
        while not self.closed:
            try:
                data = self.socket.recv(_READ_BYTES)
            except BlockingIOError:
                break
            except OSError:
                data = b""
            if not data:
                self.closed = True
                break
            self._received += data
        *lines, self._received = self._received.split(b"\n")
        yield from map(json.loads, lines)

    def close(self) -> None:
        self.closed = True
        self.socket.close()
