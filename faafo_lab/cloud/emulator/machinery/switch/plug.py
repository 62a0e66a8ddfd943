"""What the switch is told of an instance: where it is to be reached, and by whom."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Rule:
    """An ingress TCP rule."""

    port_min: int
    port_max: int
    remote_prefix: str | None = None  # CIDR, None: anybody
    remote_instances: frozenset[str] | None = None  # the members of the remote group, None: the rule names no group

    @property
    def for_anybody(self) -> bool:
        """Whether it does not matter who connects."""
        return self.remote_instances is None and (
            self.remote_prefix is None or ipaddress.ip_network(self.remote_prefix, strict=False).prefixlen == 0
        )


@dataclass(frozen=True)
class Plug:
    """An instance's place on the network."""

    ports: Path  # its ports directory
    addresses: tuple[str, ...]  # where it is to be reached: the fixed address first, then floating ones
    fixed_address: str
    rules: tuple[Rule, ...]
    # Its address to the instances that have no way there: those on other networks that no router joins
    outsiders: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def rules_for(self, port: int) -> list[Rule]:
        """The rules that allow this port to somebody."""
        return [rule for rule in self.rules if rule.port_min <= port <= rule.port_max]


def in_any(block: ipaddress.IPv4Network | ipaddress.IPv6Network, prefixes: Iterable[str]) -> bool:
    """Whether one of the prefixes (CIDRs) has all addresses of a block."""
    others = [ipaddress.ip_network(prefix, strict=False) for prefix in prefixes]
    return any(block.version == other.version and block.subnet_of(other) for other in others)  # type: ignore[arg-type]
