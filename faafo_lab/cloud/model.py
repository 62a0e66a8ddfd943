"""The plain dataclasses that a `Cloud` takes and returns. This module imports nothing from the others."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Generic, NamedTuple, TypeVar

T = TypeVar("T")


class Made(NamedTuple, Generic[T]):
    """The result of `get_or_create_…`: `server, made = …`. Not unpacked, it serves as the resource itself."""

    resource: T
    made: bool  # whether it was created now

    def __getattr__(self, name: str) -> Any:
        return getattr(self.resource, name)


@dataclass(frozen=True)
class Image:
    """The initial content of a server's disk."""

    id: str
    name: str
    status: str  # "active" when it can be used
    min_ram_mb: int = 0
    min_disk_gb: int = 0
    properties: Mapping[str, str] = field(default_factory=dict, hash=False)  # such as os_distro


@dataclass(frozen=True)
class Flavor:
    """A size of server."""

    id: str
    name: str
    vcpus: int
    ram_mb: int
    disk_gb: int
    cores: float | None = None  # the limit of the vCPUs together, in cores (quota:cpu_*); None: unknown or none


@dataclass(frozen=True)
class KeyPair:
    """An SSH public key that the cloud puts on servers."""

    name: str
    fingerprint: str  # MD5 of the public key in hexadecimal, as Nova shows it
    public_key: str


@dataclass(frozen=True)
class Rule:
    """An ingress (IPv4) rule of a security group: who may connect to which ports."""

    id: str
    port_min: int | None  # None: all ports
    port_max: int | None
    protocol: str | None  # "tcp", "udp", "icmp"; None: all
    remote_prefix: str | None = None  # a CIDR; None and no remote_group: anybody
    remote_group: str | None = None  # the id of a security group: only its members

    def opens(self, port: int) -> bool:
        """Whether it allows any connection at all to this TCP port."""
        return self.protocol in ("tcp", None) and (
            self.port_min is None or self.port_min <= port <= (self.port_max or port)
        )


@dataclass(frozen=True)
class SecurityGroup:
    """A named set of rules; a server is reached only through the rules of its groups."""

    id: str
    name: str
    description: str = ""
    rules: tuple[Rule, ...] = ()
    rules_of_all_kinds: int = 0  # the number of all rules, also egress and IPv6 ones: a quota counts them all

    def rule(
        self,
        port_min: int,
        port_max: int | None = None,
        protocol: str = "tcp",
        remote_prefix: str | None = None,
        remote_group_id: str | None = None,
    ) -> Rule | None:
        """The rule with this meaning, whatever its spelling; None if there is none."""
        wanted = Rule("", port_min, port_max or port_min, protocol, remote_prefix, remote_group_id)
        return next((rule for rule in self.rules if _meaning(rule) == _meaning(wanted)), None)


PROTOCOLS = {"1": "icmp", "6": "tcp", "17": "udp", "33": "dccp", "132": "sctp", "136": "udplite"}


def _meaning(rule: Rule) -> Rule:
    """A rule's meaning, without its id and in one spelling: Neutron keeps "6" and 10.1.2.3/8 as they were written."""
    return replace(
        rule,
        id="",
        protocol=_protocol(rule.protocol),
        remote_prefix=_prefix(rule.remote_prefix),
        remote_group=rule.remote_group.lower() if rule.remote_group else None,
    )


def _protocol(protocol: str | None) -> str | None:
    """The protocol's name; None for `any`."""
    name = str(protocol or "any").lower()
    return None if name == "any" else PROTOCOLS.get(name, name)


def _prefix(prefix: str | None) -> str | None:
    """203.0.113.7 is 203.0.113.7/32, 10.1.2.3/8 is 10.0.0.0/8, and 0.0.0.0/0 is None."""
    try:
        block = str(ipaddress.ip_network((prefix or "0.0.0.0/0").strip(), strict=False))
    except ValueError:  # the cloud will say so
        return prefix
    return None if block == "0.0.0.0/0" else block


@dataclass(frozen=True)
class Server:
    """A server (instance)."""

    id: str
    name: str
    status: str  # BUILD, ACTIVE, SHUTOFF, REBOOT, ERROR, …
    addresses: tuple[str, ...] = ()  # private (fixed) ones, IPv4 first
    floating_addresses: tuple[str, ...] = ()
    image_id: str | None = None
    flavor_id: str | None = None
    security_groups: tuple[str, ...] = ()  # names, in order, each once
    key_name: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict, hash=False)
    fault: str | None = None  # why it is in ERROR; `cloud.servers()` may omit it, `cloud.server(name)` does not
    created: datetime | None = None  # UTC

    @property
    def address(self) -> str | None:
        """The address to reach it at: its floating IP, else its private address, else None."""
        return next(iter((*self.floating_addresses, *self.addresses)), None)


# The Compute API's server statuses, except DELETED, which no list shows.
STATUSES = (
    "ACTIVE",
    "BUILD",
    "ERROR",
    "HARD_REBOOT",
    "MIGRATING",
    "PASSWORD",
    "PAUSED",
    "REBOOT",
    "REBUILD",
    "RESCUE",
    "RESIZE",
    "REVERT_RESIZE",
    "SHELVED",
    "SHELVED_OFFLOADED",
    "SHUTOFF",
    "SOFT_DELETED",
    "SUSPENDED",
    "UNKNOWN",
    "VERIFY_RESIZE",
)


@dataclass(frozen=True)
class FloatingIP:
    """An address that can be moved from server to server."""

    id: str
    address: str
    server_id: str | None = None  # None: free
    fixed_address: str | None = None  # the server's private address that it leads to
    description: str = ""


@dataclass(frozen=True)
class Network:
    """A network that servers, or floating IPs (`external`), can be on."""

    id: str
    name: str
    external: bool = False


@dataclass(frozen=True)
class Limits:
    """The project's limits and its use of them; None if the cloud sets no limit or does not state it."""

    servers: int | None
    servers_used: int
    cores: int | None
    cores_used: int
    ram_mb: int | None
    ram_mb_used: int
    floating_ips: int | None
    floating_ips_used: int
    security_groups: int | None
    security_groups_used: int
    security_group_rules: int | None = None
    key_pairs: int | None = None

    def room(self, flavor: Flavor) -> int | None:
        """How many more servers of this flavor the project may have; None: no limit."""
        left = [
            max(0, limit - used) // each
            for limit, used, each in (
                (self.servers, self.servers_used, 1),
                (self.cores, self.cores_used, flavor.vcpus),
                (self.ram_mb, self.ram_mb_used, flavor.ram_mb),
            )
            if limit is not None and each
        ]
        return min(left, default=None)


@dataclass(frozen=True)
class Container:
    """A container of the object store. Real stores count its objects and bytes a little later."""

    name: str
    objects: int
    bytes: int
    metadata: Mapping[str, str] = field(default_factory=dict, hash=False)  # names in lower case


@dataclass(frozen=True)
class StoredObject:
    """An object of the object store. A list knows no `metadata`, `expires` and `segments`: `cloud.object` does."""

    name: str
    bytes: int
    checksum: str  # MD5 in hexadecimal, of a large object's segments the MD5 of their MD5s
    content_type: str
    modified: datetime  # UTC
    metadata: Mapping[str, str] = field(default_factory=dict, hash=False)  # names in lower case
    expires: float | None = None  # when the store deletes it, in seconds since 1970; None: never
    segments: int = 0  # how many the large object has; 0: it is in one piece


@dataclass(frozen=True)
class Volume:
    """A disk of its own (Cinder), which outlives the servers that it is attached to."""

    id: str
    name: str
    status: str  # creating, available, in-use, detaching, deleting, error, …
    gigabytes: int
    server_id: str | None = None  # None: attached to no server
    device: str | None = None  # what that server calls it, such as "/dev/vdb"
    snapshot_id: str | None = None  # the snapshot that it was made from
    description: str = ""
    created: datetime | None = None  # UTC


@dataclass(frozen=True)
class Snapshot:
    """A volume's content at one moment. It is kept beside its volume: no copy elsewhere."""

    id: str
    name: str
    status: str  # creating, available, deleting, error, …
    gigabytes: int
    volume_id: str
    description: str = ""
    created: datetime | None = None  # UTC


@dataclass(frozen=True)
class VolumeLimits:
    """The project's limits of block storage, and its use of them; None: no limit, or the cloud does not state it."""

    volumes: int | None
    volumes_used: int
    snapshots: int | None
    snapshots_used: int
    gigabytes: int | None  # of volumes and, on most clouds, their snapshots together
    gigabytes_used: int
