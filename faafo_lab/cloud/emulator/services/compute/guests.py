"""A server as the hypervisor boots it, and what it is told of itself."""

from __future__ import annotations

import re
from pathlib import Path

from faafo_lab.cloud.emulator.common.service import JSON
from faafo_lab.cloud.emulator.machinery.hypervisor.client import Guest, Hypervisor
from faafo_lab.cloud.emulator.machinery.metadata.api import Node
from faafo_lab.cloud.emulator.services.block_storage.mounts import Mounts
from faafo_lab.cloud.emulator.services.compute import datasource
from faafo_lab.cloud.emulator.services.compute.flavors import FLAVORS
from faafo_lab.cloud.emulator.services.compute.rows import ServerRow
from faafo_lab.cloud.emulator.services.image.api import Image
from faafo_lab.cloud.emulator.services.network.api import Network
from faafo_lab.cloud.emulator.site import Site


def hostname(name: str) -> str:
    """A server's name as a hostname, as Nova makes it."""
    name = re.sub(r"[^a-z0-9.-]+", "", re.sub(r"[ _]", "-", name.lower())).strip(".-")[:63]
    return name or "server"


class Guests:
    """What instances are made of."""

    def __init__(self, site: Site, network: Network, images: Image, mounts: Mounts, hypervisor: Hypervisor) -> None:
        self._site, self._network, self._images, self._mounts = site, network, images, mounts
        self._hypervisor = hypervisor

    @property
    def directories(self) -> Path:
        """Where the servers' directories are."""
        return self._site.directory / "instances"

    def directory(self, id: str) -> Path:
        """A server's own directory: its disk and its console log."""
        return self.directories / id

    def guest(self, row: ServerRow) -> Guest:
        """The server as the hypervisor boots it."""
        flavor = FLAVORS[row["flavor_id"]]
        return Guest(
            id=row["id"],
            name=hostname(row["name"]),
            directory=str(self.directory(row["id"])),
            ports=str(self._hypervisor.ports_dir(row["id"])),
            image_path=str(self._images.file(row["image_id"])),
            cores=flavor.cores,
            memory_mb=flavor.ram_mb,
            public_keys=(row["public_key"],) if row["public_key"] else (),
            user_data=row["user_data"],
            metadata=self._metadata(row),
            metadata_url=self._site.metadata_url,
            first_boot=not row["booted"],
        )

    def told(self, row: ServerRow) -> Node:
        """All that the server's metadata address tells it."""
        return datasource.tree(row, self._metadata(row), self._network)

    def _metadata(self, row: ServerRow) -> JSON:
        """What the server is told of itself: meta_data.json, and its addresses."""
        keys = {row["key_name"]: row["public_key"]} if row["public_key"] else {}
        ports = self._network.ports_of(row["id"])
        return {
            "uuid": row["id"],
            "name": row["name"],
            "hostname": hostname(row["name"]),
            "availability_zone": "nova",
            "launch_index": row["launch_index"],
            "project_id": row["project_id"],
            "meta": row["metadata"],
            "public_keys": keys,
            "keys": [{"name": name, "type": "ssh", "data": key} for name, key in keys.items()],
            "addresses": [ip["ip_address"] for port in ports for ip in port["fixed_ips"]],
            "devices": self._mounts.devices(row["id"]),
            "published_port_offset": self._site.port_offset,
        }
