"""The way to a member: a connection to the best of a pool that takes one.

A connection that an exchange has left clean is kept for a while. The next request takes it only if it may be repeated:
a member may end a kept connection at any time, and then it is unknown whether it acted on a request.
"""

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
_KEPT_MAX = 16
"""Kept connections of a member."""
_KEPT_SECONDS = 2.0


class Dialer:
    """Connects to the members of a balancer's pools."""

    def __init__(self, door: Door, backends: Mapping[str, Backend]) -> None:
        """`door` is `Switch.door`; `backends` are the pools at work, by id."""
        self._door = door
        self._backends = backends
        self._kept: dict[Member, dict[socket.socket, asyncio.TimerHandle]] = {}

    def close(self) -> None:
        """Close the connections that are kept."""
        for member, kept in list(self._kept.items()):
            for sock in list(kept):
                self._drop(member, sock)

    def backend(self, front: Frontend) -> Backend | None:
        """A listener's pool, if it has one."""
        return self._backends.get(front.listener.pool or "")

    async def dial(
        self, front: Frontend, client: str, sticky: str | None, *, kept: bool = False
    ) -> tuple[Backend, Member, socket.socket, bool]:
        """Connect to the member that is to serve this client, or to the next best; with `kept`, a kept connection will
        do, and the last value says whether this is one. Raises `NobodyThere`.

        It counts as active at once, until the caller takes that back.
        """
        backend = self.backend(front)
        for member in backend.choose(client, sticky) if backend is not None else ():
            try:
                place = str(self._door(member.address, member.port, member.source))
                known = self._take(member) if kept else None
                sock = known or await self._connect(place, front.listener.connect_seconds)
            except (OSError, TimeoutError):
                continue
            assert backend is not None
            backend.active[member.id] += 1
            backend.bind(sticky, member)
            return backend, member, sock, known is not None
        raise NobodyThere

    def keep(self, member: Member, sock: socket.socket) -> None:
        """Keep a connection on which the member has said all that was asked for, or close it: that is up to here."""
        kept = self._kept.setdefault(member, {})
        kept[sock] = asyncio.get_running_loop().call_later(_KEPT_SECONDS, self._drop, member, sock)
        if len(kept) > _KEPT_MAX:
            self._drop(member, next(iter(kept)))

    def _take(self, member: Member) -> socket.socket | None:
        """The kept connection that was used last and is still open."""
        while kept := self._kept.get(member):
            sock = next(reversed(kept))
            try:
                sock.recv(1, socket.MSG_PEEK)  # the end, an error, or what nobody has asked for
            except BlockingIOError:
                self._forget(member, sock)
                return sock
            except OSError:
                pass
            self._drop(member, sock)
        return None

    def _forget(self, member: Member, sock: socket.socket) -> None:
        self._kept[member].pop(sock).cancel()
        if not self._kept[member]:
            del self._kept[member]

    def _drop(self, member: Member, sock: socket.socket) -> None:
        self._forget(member, sock)
        sock.close()

    async def _connect(self, place: str, limit: float) -> socket.socket:
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
