"""A tunnel: bytes in both directions between a client and a member, until one of them ends it or both are silent."""

from __future__ import annotations

import asyncio
import socket

from faafo_lab.cloud.emulator.machinery.balancing.listeners import Frontend
from faafo_lab.cloud.emulator.machinery.switch.relay import End, reset


async def tunnel(front: Frontend, client: socket.socket, member: socket.socket) -> None:
    """Relay between the two, which are connected. Returns when both have ended, or neither has sent anything for as
    long as the listener allows either of them; then both are closed."""
    loop = asyncio.get_running_loop()
    near, far = _Half(), _Half()
    try:
        await loop.create_unix_connection(lambda: far, sock=member)
        await loop.connect_accepted_socket(lambda: near, client)
        if near.transport is not None and far.transport is not None:
            near.join(far)
            limit = min(front.listener.client_seconds, front.listener.member_seconds)
            while open_ends := [end.gone for end in (near, far) if not end.gone.done()]:
                rest = max(near.moved, far.moved) + limit - loop.time()
                if rest <= 0:
                    break
                await asyncio.wait(open_ends, timeout=rest)
    finally:
        for end in (near, far):
            if end.transport is not None:
                reset(end.transport)
        member.close()
        front.stats.bytes_in += near.bytes
        front.stats.bytes_out += far.bytes


class _Half(End):
    """One end of a tunnel, which knows how much has come from its side, and when."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.gone: asyncio.Future[None] = loop.create_future()
        self.bytes = 0
        self.moved = loop.time()
        self._loop = loop
        super().__init__(self._end)

    def _end(self) -> None:
        if not self.gone.done():
            self.gone.set_result(None)

    def data_received(self, data: bytes) -> None:
        self.bytes += len(data)
        self.moved = self._loop.time()
        super().data_received(data)
