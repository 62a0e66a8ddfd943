"""A load balancer's listener at work: where it listens, and what is open of it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from faafo_lab.cloud.emulator.system.sockets import Listening

CONNECTIONS_MAX = 2000  # open connections of a listener without a limit of its own; more wait until one ends


@dataclass(frozen=True)
class Listener:
    """What a listener should be."""

    addresses: tuple[str, ...]  # the VIP, then its floating IPs
    port: int
    http: bool
    pool: str | None
    connection_limit: int  # -1: none
    client_seconds: float
    member_seconds: float  # so long either side may be silent
    connect_seconds: float
    insert_headers: tuple[str, ...] = ()
    allowed: tuple[str, ...] = ()  # CIDRs; none: anybody
    outsiders: frozenset[str] = frozenset()  # instances that have no way to the VIP itself

    def forwarded(self, client: str) -> list[tuple[bytes, bytes]]:
        """The fields that are added to a request from this address."""
        values = {"X-Forwarded-For": client, "X-Forwarded-Port": str(self.port), "X-Forwarded-Proto": "http"}
        return [(name.encode(), values[name].encode()) for name in self.insert_headers]


@dataclass
class Stats:
    """What has passed through a listener."""

    active_connections: int = 0
    total_connections: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    request_errors: int = 0


@dataclass
class Frontend:
    """A listener, and what is open of it."""

    listener: Listener
    stats: Stats = field(default_factory=Stats)
    accepting: dict[str, Listening] = field(default_factory=dict)  # by address
    serving: set[asyncio.Task[None]] = field(default_factory=set)
    trouble: str = ""  # why it cannot listen

    @property
    def full(self) -> bool:
        """Whether it has as many connections as it may."""
        limit = self.listener.connection_limit
        return len(self.serving) >= (limit if 0 <= limit < CONNECTIONS_MAX else CONNECTIONS_MAX)
