"""The way to a member: a connection to the best of a pool that takes one.

A connection that an exchange has left clean is kept for a while. The next request takes it only if it may be repeated:
a member may end a kept connection at any time, and then it is unknown whether it acted on a request.

A member that is gone from its pool finishes the answers that it has begun. One that it has not begun soon after is not
waited for: the connection is cut, as if the member had ended it.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from faafo_lab.cloud.emulator.machinery.balancing.health import Door
from faafo_lab.cloud.emulator.machinery.balancing.listeners import Frontend
from faafo_lab.cloud.emulator.machinery.balancing.pools import Backend, Member, NobodyThere

_FULL_SECONDS = 0.01  # how long until members whose queues are full are asked again
_KEPT_MAX = 16  # kept connections of a member
_KEPT_SECONDS = 2.0
_LAST_SECONDS = 3.0  # so long a member that is gone may still begin an answer


@dataclass(eq=False, slots=True)
class Way:
    """A connection to a member. It counts as active there from `Dialer.dial` until `Dialer.leave`."""

    place: str
    sock: socket.socket
    backend: Backend
    member: Member
    kept: bool = False  # whether it has served before
    since: float = 0.0  # when it was last kept
    heard: bool = False  # whether the member has begun its answer, or need not
    _heed: Callable[[], None] | None = field(default=None, repr=False)

    @property
    def is_gone(self) -> bool:
        """Whether the member is no longer in its pool."""
        return all(member.id != self.member.id for member in self.backend.pool.members)

    def attend(self, heed: Callable[[], None]) -> None:
        """Call this from now on when the member has said something, or ended the connection."""
        if self._heed is None:
            asyncio.get_running_loop().add_reader(self.sock, self._said)
        self._heed = heed

    def forsake(self) -> None:
        """Call nobody any more."""
        if self._heed is not None:
            asyncio.get_running_loop().remove_reader(self.sock)
            self._heed = None

    def close(self) -> None:
        self.forsake()
        self.sock.close()

    def _said(self) -> None:
        if self._heed is not None:
            self._heed()


class Dialer:
    """Connects to the members of a balancer's pools."""

    def __init__(self, door: Door, backends: Mapping[str, Backend]) -> None:
        """`door` is `Switch.door`; `backends` are the pools at work, by id."""
        self._door = door
        self._backends = backends
        self._busy: set[Way] = set()
        self._kept: dict[str, list[Way]] = {}
        self._sweeper: asyncio.TimerHandle | None = None

    def close(self) -> None:
        """Close the connections that are kept."""
        if self._sweeper is not None:
            self._sweeper.cancel()
        for kept in self._kept.values():
            while kept:
                kept.pop().close()

    def let_go(self) -> None:
        """Members may be gone: they finish what they have begun."""
        for way in self._busy:
            if way.is_gone:
                asyncio.get_running_loop().call_later(_LAST_SECONDS, self._cut, way)

    def backend(self, front: Frontend) -> Backend | None:
        """A listener's pool, if it has one."""
        return self._backends.get(front.listener.pool or "")

    async def dial(self, front: Frontend, client: str, sticky: str | None, *, kept: bool = False) -> Way:
        """Connect as `dial_at_once` does, and wait for a place in a member's queue. Raises `NobodyThere`."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(front.listener.connect_seconds):
                while True:
                    with contextlib.suppress(BlockingIOError):
                        return self.dial_at_once(front, client, sticky, kept=kept)
                    await asyncio.sleep(_FULL_SECONDS)
        raise NobodyThere

    def dial_at_once(self, front: Frontend, client: str, sticky: str | None, *, kept: bool = False) -> Way:
        """Connect to the member that is to serve this client, or to the next best; with `kept`, a kept connection will
        do. Raises `NobodyThere`, and BlockingIOError where all that are there have a full queue."""
        backend = self.backend(front)
        full: BlockingIOError | None = None
        for member in backend.choose(client, sticky) if backend is not None else ():
            assert backend is not None
            try:
                place = str(self._door(member.address, member.port, member.source))
                way = self._take(place) if kept else None
                way = way or Way(place, _connect(place), backend, member)
            except BlockingIOError as error:
                full = error
                continue
            except OSError:
                continue
            way.backend, way.member, way.heard = backend, member, False
            self._busy.add(way)
            backend.active[member.id] += 1
            backend.bind(sticky, member)
            return way
        raise full or NobodyThere

    def leave(self, way: Way, *, clean: bool) -> None:
        """An exchange is over. If it was `clean`, the member has said all that was asked for, and nothing else: then
        the connection is kept, if there are not too many."""
        self._busy.discard(way)
        way.backend.active[way.member.id] -= 1
        if not clean or len(kept := self._kept.setdefault(way.place, [])) >= _KEPT_MAX:
            way.close()
            return
        loop = asyncio.get_running_loop()
        way.kept, way.since = True, loop.time()
        way.attend(lambda: self._drop(way))
        kept.append(way)
        if self._sweeper is None:
            self._sweeper = loop.call_later(_KEPT_SECONDS, self._sweep)

    def _cut(self, way: Way) -> None:
        """End a connection on which a member that is gone has not begun its answer: whoever reads it sees the end."""
        if way in self._busy and way.is_gone and not way.heard:
            with contextlib.suppress(OSError):
                way.sock.shutdown(socket.SHUT_RDWR)

    def _take(self, place: str) -> Way | None:
        """The kept connection that was used last and is still open."""
        kept = self._kept.get(place)
        while kept:
            way = kept.pop()
            try:
                way.sock.recv(1, socket.MSG_PEEK)  # the end, an error, or what nobody has asked for
            except BlockingIOError:
                return way
            except OSError:
                pass
            way.close()
        return None

    def _drop(self, way: Way) -> None:
        self._kept[way.place].remove(way)
        way.close()

    def _sweep(self) -> None:
        """Close what has been kept for long enough."""
        loop = asyncio.get_running_loop()
        self._sweeper = None
        for place, kept in list(self._kept.items()):
            while kept and kept[0].since + _KEPT_SECONDS <= loop.time():
                kept.pop(0).close()
            if not kept:
                del self._kept[place]
        if self._kept:
            oldest = min(kept[0].since for kept in self._kept.values())
            self._sweeper = loop.call_at(oldest + _KEPT_SECONDS, self._sweep)


def _connect(place: str) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.connect(place)
    except BaseException:
        sock.close()
        raise
    return sock
