"""Every service's view of its cloud: the store, the directory, addresses, quotas. It knows no service."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from faafo_lab.cloud.emulator.common.store import Store


@dataclass
class Site:
    """One embedded cloud's place on this machine."""

    directory: Path
    store: Store
    quotas: Mapping[str, int]  # the limits that differ from OpenStack's own
    number: int  # its loopback network: the N of 127.N.0.0/16
    port: int  # the APIs' port
    port_offset: int  # how much higher a port below 1024 is published
    address_lag_seconds: float = 0.0  # how long Nova takes to list a floating IP that Neutron has put on a server
    shares: float = 1.0  # by which every flavor's CPU cap is multiplied
    running: bool = False
    metadata_url: str = ""  # where the metadata service answers, without a slash at the end; known once it listens

    @property
    def name(self) -> str:
        """The cloud's name."""
        return self.directory.name

    @property
    def host(self) -> str:
        """The address of the APIs."""
        return f"{self.block(0)}.1"

    @property
    def url(self) -> str:
        """The root of all APIs."""
        return f"http://{self.host}:{self.port}"

    @property
    def cidr(self) -> str:
        """All of the cloud's addresses."""
        return f"{self.block(0)}.0/16"

    def block(self, octet: int) -> str:
        """The first three numbers of one of the cloud's /24 blocks."""
        return f"127.{self.number}.{octet}"
