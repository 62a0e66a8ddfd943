"""Network faults: what the answers on a link go through while something is wrong with it.

A link leads from whoever connects, an instance or anybody, to an instance, or to one port of it. Faults have the names,
the attributes and the units of Toxiproxy's toxics (https://github.com/Shopify/toxiproxy#toxics), and do to the stream
from the service to its client what those do by default: they work on connections that are open already, too.
Port 22 is spared: SSH is how an instance is repaired.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from faafo_lab.cloud.emulator.machinery.switch.relay import End, reset

SPARED_PORT = 22
_KEPT_BYTES = 1 << 18  # how much of the answers waits here before the service has to
_PIECE_SECONDS = 0.02  # a narrow link takes so much at a time
_FULL_SECONDS = 0.02  # how long until a client that reads slowly is looked at again

# The kinds of fault, with their attributes: whole numbers, 0 where they are not given
ATTRIBUTES: Mapping[str, tuple[str, ...]] = {
    "latency": ("latency", "jitter"),  # milliseconds that each piece takes longer, give or take
    "bandwidth": ("rate",),  # kilobytes a second
    "slow_close": ("delay",),  # milliseconds until the end of a connection is told
    "timeout": ("timeout",),  # nothing passes; after so many milliseconds the connection ends, with 0 never
    "reset_peer": ("timeout",),  # after so many milliseconds the connection is reset
    "limit_data": ("bytes",),  # after so many bytes the connection ends
}


@dataclass(frozen=True)
class LinkFault:
    """Something that is wrong with a link."""

    id: str
    type: str
    target: str  # the instance that is connected to
    source: str | None = None  # the instance that connects; None: anybody
    port: int | None = None  # None: all ports
    attributes: Mapping[str, int] = field(default_factory=dict)
    since: float = 0.0  # by the loop's clock

    def concerns(self, target: str, port: int) -> bool:
        return self.target == target and port != SPARED_PORT and self.port in (None, port)

    def value(self, name: str) -> int:
        return self.attributes.get(name, 0)

    def shown(self) -> dict[str, Any]:
        """As JSON has it."""
        link = {"source": self.source, "target": self.target, "port": self.port}
        return {"id": self.id, "type": self.type, **link, "attributes": dict(self.attributes)}


Faults = tuple[LinkFault, ...]


class Back(End):
    """The end at a service: while its link has faults, what it says goes through a `Line`."""

    def __init__(self) -> None:
        super().__init__(lambda: None)  # it needs no counting: it lives as long as its front
        self.line: Line | None = None

    def data_received(self, data: bytes) -> None:
        if self.line is None or not self._joined:
            super().data_received(data)
        else:
            self.line.put(data)

    def eof_received(self) -> bool:
        if self.line is None or not self._joined:
            return super().eof_received()
        self._ended = True
        self.line.put(b"")
        return True  # the line closes it when the end has been told

    def connection_lost(self, error: Exception | None) -> None:
        if self.line is None or error is not None:
            super().connection_lost(error)
        else:
            self.transport = None
            self.line.put(None)

    def told_end(self) -> None:
        """The service's end of file has gone through the line."""
        super().eof_received()
        if self.other is not None and self.other._ended and self.transport is not None:
            self.transport.close()


class Line:
    """One connection's way from service to client while its link has faults: held, delayed, narrowed or cut."""

    def __init__(self, front: End, back: Back, faults: Callable[[], Faults]) -> None:
        self._front, self._back, self._faults = front, back, faults
        self._loop = asyncio.get_running_loop()
        self._begun = self._loop.time()
        self._waiting: deque[tuple[float, float, bytes | None]] = deque()  # when it came, its part of the jitter, it
        self._bytes = 0
        self._free_at = 0.0
        self._passed: dict[str, int] = {}
        self._news = asyncio.Event()
        self._task = self._loop.create_task(self._carry())

    def put(self, said: bytes | None) -> None:
        """Data; b"": its end of file; None: the end of the connection."""
        self._waiting.append((self._loop.time(), random.uniform(-1, 1), said))
        self._bytes += len(said or b"")
        if self._bytes > _KEPT_BYTES and self._back.transport is not None:
            self._back.transport.pause_reading()
        self._news.set()

    def look_again(self) -> None:
        """The link's faults are others now."""
        self._news.set()

    async def _carry(self) -> None:
        while self._front.transport is not None and not self._front.transport.is_closing():
            self._news.clear()
            faults = self._faults()
            if not faults and not self._waiting:
                self._back.line = None  # from here on as ever
                return
            wake = self._cut(faults)
            if wake is not None and wake <= self._loop.time():
                return
            if self._waiting and not any(fault.type == "timeout" for fault in faults):
                due = self._due(faults)
                if due <= self._loop.time():
                    self._pass(faults)
                    continue
                wake = min(due, wake or due)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(wake):
                    await self._news.wait()
        if self._back.transport is not None:
            self._back.transport.close()

    def _cut(self, faults: Faults) -> float | None:
        """End the connection if it is time; returns when it will be, None: never."""
        ends = []
        for fault in faults:
            if fault.type == "reset_peer" or (fault.type == "timeout" and fault.value("timeout")):
                at = max(self._begun, fault.since) + fault.value("timeout") / 1000
                ends.append(at)
                if at <= self._loop.time():
                    self._end(by_reset=fault.type == "reset_peer")
        return min(ends, default=None)

    def _end(self, *, by_reset: bool = False) -> None:
        for end in (self._front, self._back):
            if end.transport is not None:
                reset(end.transport) if by_reset else end.transport.close()

    def _due(self, faults: Faults) -> float:
        """When what waits first may pass."""
        if self._front.full:
            return self._loop.time() + _FULL_SECONDS
        came, chance, said = self._waiting[0]
        milliseconds = 0.0
        for fault in faults:
            if fault.type == "latency":
                milliseconds += max(0.0, fault.value("latency") + chance * fault.value("jitter"))
            elif fault.type == "slow_close" and not said:
                milliseconds += fault.value("delay")
        return max(came + milliseconds / 1000, self._free_at if _rate(faults) else 0.0)

    def _pass(self, faults: Faults) -> None:
        """Let what waits first pass, or a piece of it."""
        came, chance, said = self._waiting.popleft()
        front = self._front.transport
        assert front is not None
        if said is None:
            front.close()
        elif not said:
            self._back.told_end()
        else:
            piece, over = said, False
            if rate := _rate(faults):
                piece = said[: max(1, int(rate * _PIECE_SECONDS))]
            for fault in faults:
                if fault.type == "limit_data":
                    left = fault.value("bytes") - self._passed.get(fault.id, 0)
                    over = over or left <= len(piece)
                    piece = piece[: max(0, left)]
                    self._passed[fault.id] = self._passed.get(fault.id, 0) + len(piece)
            if rest := said[len(piece) :]:
                self._waiting.appendleft((came, chance, rest))
            self._bytes -= len(piece)
            if self._bytes <= _KEPT_BYTES and self._back.transport is not None and not self._front.full:
                self._back.transport.resume_reading()
            front.write(piece)
            if rate:
                self._free_at = self._loop.time() + len(piece) / rate
            if over:
                self._end()


def _rate(faults: Faults) -> float:
    """The narrowest bandwidth in bytes per second; 0: none."""
    return min((max(1.0, fault.value("rate") * 1000.0) for fault in faults if fault.type == "bandwidth"), default=0.0)
