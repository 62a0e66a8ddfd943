"""How a load balancer reaches a member: by the switch's door, the next best one where the first cannot be reached."""

from __future__ import annotations

import asyncio
import contextlib
import socket

from faafo_lab.cloud.emulator.machinery.balancing.health import Door
from faafo_lab.cloud.emulator.machinery.balancing.listeners import Frontend
from faafo_lab.cloud.emulator.machinery.balancing.pools import Backend, Member, NobodyThere

_FULL_SECONDS = 0.01
"""How long until a member whose queue is full is asked again."""


class Dialer:
    """The pools at work, by id, and the way to their members."""

    def __init__(self, door: Door) -> None:
        self.backends: dict[str, Backend] = {}
        self._door = door

    async def dial(self, front: Frontend, client: str, sticky: str | None) -> tuple[Backend, Member, socket.socket]:
        """Connect to the member that is to serve this client, or to the next best. Raises `NobodyThere`.

        It counts as active at once, until the caller takes that back.
        """
        backend = self.backends.get(front.listener.pool or "")
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
