"""A load balancer's pool at work: which member gets the next connection.

Members whose health monitor has found them dead get none; backup members get some only when no other is left.
"""

from __future__ import annotations

import zlib
from collections import Counter, OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass

_STICKY_MAX = 10_000  # clients whose member is remembered; beyond it, who has not been here for longest is forgotten


class NobodyThere(Exception):
    """No member takes the connection."""


@dataclass(frozen=True)
class Member:
    """Where a pool's connections may go."""

    id: str
    address: str
    port: int
    weight: int  # its share; 0: only those that are bound to it already
    backup: bool
    source: str  # where the load balancer comes from, as the member's security groups see it (CIDR)
    reachable: bool  # whether there is a way from the load balancer's networks to the member's
    check_address: str
    check_port: int


@dataclass(frozen=True)
class Monitor:
    """How a pool's members are examined."""

    http: bool  # by a request, or by a connection alone
    delay: float  # seconds from one check to the next
    timeout: float
    rise: int  # so many good checks bring a member back
    fall: int  # so many bad ones take it out
    method: str = "GET"
    path: str = "/"
    codes: frozenset[int] = frozenset((200,))
    version: float = 1.0
    domain: str | None = None


@dataclass(frozen=True)
class Pool:
    """What a pool should be."""

    algorithm: str  # ROUND_ROBIN, LEAST_CONNECTIONS or SOURCE_IP
    members: tuple[Member, ...]  # those that are enabled
    persistence: str | None = None  # what binds a client to its member: SOURCE_IP, HTTP_COOKIE, APP_COOKIE or None
    cookie: str = "SRV"  # the cookie's name
    monitor: Monitor | None = None


class Backend:
    """A pool, and what has become of its members."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.active: Counter[str] = Counter()  # open connections, or requests under way, by member
        # What the monitor has found, by member; a member that it has not come to counts as well
        self.health: dict[str, bool] = {}
        self._turns: dict[str, int] = {}
        self._sticky: OrderedDict[str, str] = OrderedDict()

    @property
    def needs_client(self) -> bool:
        """Whether the choice depends on who asks."""
        return "SOURCE_IP" in (self.pool.algorithm, self.pool.persistence)

    def update(self, pool: Pool) -> None:
        """Become another pool; what is known of members that stay is kept."""
        ids = {member.id for member in pool.members}
        for known in (self.health, self._turns):
            for id in [id for id in known if id not in ids]:
                del known[id]
        if pool.monitor is None:
            self.health.clear()
        if pool.persistence != self.pool.persistence:
            self._sticky.clear()
        self.pool = pool

    def choose(self, client: str, sticky: str | None = None) -> Iterator[Member]:
        """The members to try, the best first, each once. `sticky` is the key that the client's cookie gives, or, with
        SOURCE_IP, its address."""
        up = [member for member in self.pool.members if member.reachable and self.health.get(member.id, True)]
        bound = sticky if self.pool.persistence == "HTTP_COOKIE" else self._sticky.get(sticky or "")
        yield from (member for member in up if member.id == bound)
        for backup in (False, True):
            left = [member for member in up if member.backup is backup and member.weight and member.id != bound]
            while left:
                member = self._next(left, client)
                left.remove(member)
                yield member

    def _next(self, members: list[Member], client: str) -> Member:
        if self.pool.algorithm == "SOURCE_IP":
            number = zlib.crc32(client.encode()) % sum(member.weight for member in members)
            for member in members:
                number -= member.weight
                if number < 0:
                    return member
        if self.pool.algorithm == "LEAST_CONNECTIONS":
            least = min(self.active[member.id] / member.weight for member in members)
            members = [member for member in members if self.active[member.id] / member.weight == least]
        # Smooth weighted round robin: everybody earns its weight, the richest is chosen and pays for all.
        turns, best, paid = self._turns, members[0], 0
        for member in members:
            turns[member.id] = turns.get(member.id, 0) + member.weight
            paid += member.weight
            if turns[member.id] > turns[best.id]:
                best = member
        turns[best.id] -= paid
        return best

    def bind(self, key: str | None, member: Member) -> None:
        """Remember that who has this key (an address, or an application's cookie) is served by this member."""
        if key is None or self.pool.persistence not in ("SOURCE_IP", "APP_COOKIE"):
            return
        self._sticky[key] = member.id
        self._sticky.move_to_end(key)
        if len(self._sticky) > _STICKY_MAX:
            self._sticky.popitem(last=False)
