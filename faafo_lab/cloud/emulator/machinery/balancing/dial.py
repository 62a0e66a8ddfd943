"""The way to a member: a connection to the best of a pool that takes one."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Mapping

from faafo_lab.cloud.emulator.machinery.balancing.health import Door
from faafo_lab.cloud.emulator.machinery.balancing.listeners import Frontend
from faafo_lab.cloud.emulator.machinery.balancing.pools import Backend, Member, NobodyThere

_FULL_SECONDS = 0.01
"""How long until a member whose queue is full is asked again."""


class Dialer:
    """Connects to the members of a balancer's pools."""

    def __init__(self, door: Door, backends: Mapping[str, Backend]) -> None:
        """`door` is `Switch.door`; `backends` are the pools at work, by id."""
        self._door = door
        self._backends = backends

    def backend(self, front: Frontend) -> Backend | None:
        """A listener's pool, if it has one."""
        return self._backends.get(front.listener.pool or "")

    async def dial(self, front: Frontend, client: str, sticky: str | None) -> tuple[Backend, Member, socket.socket]:
        """Connect to the member that is to serve this client, or to the next best. Raises `NobodyThere`.

        It counts as active at once, until the caller takes that back.
        """
        backend = self.backend(front)
        for member in backend.choose(client, sticky) if backend is not None else ():
            try:
                sock = await self._connect(member, front.listener.connect_seconds)
            except (OSError, TimeoutError):
                continue
            assert backend is not None
            backend.active[member.id] += 1
            backend.bind(sticky, member)
            return backend, member, sock
        raise NobodyThere

    async def _connect(self, member: Member, limit: float) -> socket.socket:
        place = str(self._door(member.address, member.port, member.source))
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            async with asyncio.timeout(limit):
                while True:
                    with contextlib.suppress(BlockingIOError):
                        sock.connect(place)
                        return sock
                    await asyncio.sleep(_FULL_SECONDS)
        except BaseException:
            sock.close()
            raise
