"""How a server is reached: by which addresses and jump hosts, and whether it can be reached at all."""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from faafo_lab.cloud.config import CloudConfig
from faafo_lab.cloud.errors import CloudFailed, CommandFailed, NotFound, Unreachable
from faafo_lab.cloud.lookup import floating_by_server
from faafo_lab.cloud.marks import ROLE_KEY
from faafo_lab.cloud.model import FloatingIP, Image, Network, SecurityGroup, Server
from faafo_lab.cloud.ssh.notes import Notes
from faafo_lab.cloud.ssh.users import candidates
from faafo_lab.cloud.waiting import Look

SSH_PORT = 22
SILENT_SECONDS = 240.0  # how long a silent private address is tried: a slow server's boot takes minutes
ASLEEP_SECONDS = 10.0  # how long the list may show a started server's old status
# A server in one of these states does not answer until somebody changes it.
ASLEEP = ("ERROR", "SHUTOFF", "PAUSED", "SUSPENDED", "SHELVED", "SHELVED_OFFLOADED", "DELETED", "SOFT_DELETED")


class Project(Protocol):
    """The part of `Cloud` that SSH needs."""

    name: str
    config: CloudConfig

    def servers(self) -> list[Server]:
        """The project's servers, oldest first."""

    def floating_ips(self) -> list[FloatingIP]:
        """The project's floating IPs."""

    def security_groups(self) -> list[SecurityGroup]:
        """The project's security groups."""

    def networks(self) -> list[Network]:
        """The networks that the project can see."""

    def images(self) -> list[Image]:
        """The images that the project may use."""

    def published_port(self, port: int) -> int:
        """The port at which a server's `port` is reached."""

    def wait_until(
        self, look: Callable[[], Look | bool], what: str, timeout_seconds: float | None = None, progress: bool = True
    ) -> None:
        """Wait with a progress line."""


@dataclass(eq=False)
class Target:
    """The server to connect to. `users` and `ways` are in the order of the attempts."""

    server: Server
    users: tuple[str, ...]
    ways: tuple[Way, ...] = ()
    seen: str = "not tried yet"  # the last attempt's result
    connected: bool = False
    tried: tuple[str, ...] = ()  # the users refused before the accepted one
    since: float = field(default_factory=time.monotonic)
    silent: bool = True  # no answer yet, not even a refusal


@dataclass(frozen=True)
class Way:
    """An address of a server, directly or from a jump host."""

    address: str
    jump: Target | None = field(default=None, repr=False)

    def __str__(self) -> str:
        return f"{self.address} through {self.jump.server.name}" if self.jump else self.address


class Map:
    """The ways to a project's servers, and the users on them; it sends the cloud as few requests as possible."""

    def __init__(self, cloud: Project) -> None:
        self._cloud = cloud
        self._images: dict[str, Image] | None = None
        self._servers: list[Server] | None = None
        self._floating: dict[str, tuple[str, ...]] | None = None
        self._remembered = Notes("ssh_users", cloud.name)

    def target(self, server: Server) -> Target:
        """The target for a server: its users, and the ways to it. Raises CommandFailed if it has no address."""
        if not server.address:
            raise CommandFailed(f"Server {server.name!r} has no address yet: wait for it with cloud.wait_for(server).")
        return Target(server, self._users(server), self._ways(server, {}))

    def look_again(self, targets: Iterable[Target]) -> None:
        """Query the cloud for changes to servers without a connection.

        Raises NotFound or Unreachable if none is possible. If the cloud does not answer, nothing changes.
        """
        try:
            self._servers = self._cloud.servers()
            self._floating = floating_by_server(self._cloud.floating_ips())
            groups = self._cloud.security_groups()
        except (Unreachable, CloudFailed):
            return
        known = {server.id: server for server in self._servers}
        for target in targets:
            server = known.get(target.server.id)
            if server is None:
                raise NotFound(f"Server {target.server.name!r} was deleted while SSH waited for it.")
            if server.status in ASLEEP and time.monotonic() - target.since >= ASLEEP_SECONDS:
                raise Unreachable(f"No SSH to server {server.name!r}, which is {server.status}: start or recreate it.")
            jumps = {way.jump.server.id: way.jump for way in target.ways if way.jump}
            target.server, target.ways = server, self._ways(server, jumps)
            if _is_shut(target, groups):
                group = server.security_groups[0]
                raise Unreachable(
                    f"No SSH to server {server.name!r} ({target.seen}): none of its security groups "
                    f"({', '.join(server.security_groups)}) opens port {SSH_PORT} to you, or to a server on the way. "
                    f"cloud.add_rule({group!r}, {SSH_PORT}) opens it."
                )
            if self._is_out_of_reach(target):
                raise Unreachable(
                    f"No SSH to server {server.name!r}: it has only a private address ({target.seen}), and there is no "
                    f"running server of the lab with a floating IP to go through. "
                    f"cloud.attach_floating_ip({server.name!r}, cloud.free_floating_ip()) gives it one."
                )

    def remember(self, server: Server, user: str) -> None:
        """Note which user the servers of this image accept."""
        if not self._cloud.config.ssh_user:
            self._remembered.add(server.image_id or server.id, user)

    def _is_out_of_reach(self, target: Target) -> bool:
        """Whether it only has a silent private address, on a cloud that has floating IPs."""
        if not target.silent or time.monotonic() - target.since < SILENT_SECONDS:
            return False
        if any(way.jump or not ipaddress.ip_address(way.address).is_private for way in target.ways):
            return False
        if target.server.floating_addresses or target.server.id in (self._floating or {}):
            return False  # whatever its range: an external network may be a private one, too
        return any(network.external for network in self._cloud.networks())

    def _users(self, server: Server) -> tuple[str, ...]:
        if self._cloud.config.ssh_user:
            return (self._cloud.config.ssh_user,)
        remembered = self._remembered.get(server.image_id or server.id)
        if remembered is None and self._images is None:
            self._images = {image.id: image for image in self._cloud.images()}
        return candidates((self._images or {}).get(server.image_id or ""), remembered)

    def _ways(self, server: Server, known: Mapping[str, Target]) -> tuple[Way, ...]:
        """The ways to a server: its floating IP, else through each jump host, last directly; `known`: jump hosts."""
        if server.floating_addresses:
            return tuple(Way(address) for address in server.floating_addresses)
        # The network service knows a floating IP some seconds before the servers' list shows it.
        if self._floating is None:
            self._floating = floating_by_server(self._cloud.floating_ips())
        if server.id in self._floating:
            return tuple(Way(address) for address in self._floating[server.id])
        if self._servers is None:
            self._servers = self._cloud.servers() if self._floating else []
        jumps = [
            known.get(other.id)
            or Target(other, self._users(other), tuple(Way(address) for address in self._floating[other.id]))
            for other in self._servers
            if ROLE_KEY in other.metadata and other.status == "ACTIVE" and other.id in self._floating
        ]
        return tuple(Way(server.addresses[0], jump) for jump in (*jumps, None))


def _is_shut(target: Target, groups: Sequence[SecurityGroup]) -> bool:
    """Whether the server has security groups, and none opens SSH to anybody on a way to it."""

    def of(server: Server) -> list[SecurityGroup]:
        return [group for group in groups if group.name in server.security_groups]

    sources = {None, *(group.id for way in target.ways if way.jump for group in of(way.jump.server))}
    rules = [rule for group in of(target.server) for rule in group.rules]
    return bool(of(target.server)) and not any(r.opens(SSH_PORT) and r.remote_group in sources for r in rules)
