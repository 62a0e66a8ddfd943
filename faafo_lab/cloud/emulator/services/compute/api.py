"""Compute (Nova 2.1 to 2.60): the service, which is the sum of its operations; zones and extensions."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from faafo_lab.cloud.emulator.common.service import JSON, Fault, Request, route
from faafo_lab.cloud.emulator.machinery.metadata.api import Node
from faafo_lab.cloud.emulator.services.compute import datasource
from faafo_lab.cloud.emulator.services.compute.attachments import Attachments
from faafo_lab.cloud.emulator.services.compute.flavor_views import FlavorViews
from faafo_lab.cloud.emulator.services.compute.image_proxies import ImageProxies
from faafo_lab.cloud.emulator.services.compute.instance_actions import InstanceActions
from faafo_lab.cloud.emulator.services.compute.interfaces import Interfaces
from faafo_lab.cloud.emulator.services.compute.network_proxies import NetworkProxies
from faafo_lab.cloud.emulator.services.compute.quotas import Limits
from faafo_lab.cloud.emulator.services.compute.rebuilding import Rebuilding
from faafo_lab.cloud.emulator.services.compute.server_metadata import ServerMetadata
from faafo_lab.cloud.emulator.services.compute.snapshots import Snapshots
from faafo_lab.cloud.emulator.services.compute.user_keys import UserKeys

CONNECTED = ("building", "active", "resized", "paused", "suspended")  # states with something to connect to


class Compute(
    Rebuilding,
    Snapshots,
    Interfaces,
    Attachments,
    ServerMetadata,
    InstanceActions,
    FlavorViews,
    Limits,
    UserKeys,
    NetworkProxies,
    ImageProxies,
):
    """The compute service."""

    # What others ask of an instance

    def ids(self) -> Collection[str]:
        """All servers."""
        return list(self.servers.rows)

    def told(self, id: str) -> Node | None:
        """All that a server's metadata address tells it; None where it is not there."""
        row = self.servers.get(id)
        return None if row is None else datasource.tree(row, self.life.metadata(row), self.network)

    def sockets(self, id: str) -> Path | None:
        """Where the ports of an instance are; None where there is nothing to connect to."""
        row = self.servers.get(id)
        return self.hypervisor.ports_dir(id) if row is not None and row["vm_state"] in CONNECTED else None

    @route("GET", "/v2.1/os-availability-zone")
    def zones(self, request: Request) -> JSON:
        """The one availability zone."""
        return {"availabilityZoneInfo": [{"zoneName": "nova", "zoneState": {"available": True}, "hosts": None}]}

    @route("GET", "/v2.1/os-availability-zone/detail")
    def zones_detail(self, request: Request) -> JSON:
        """The zone's hosts, which only an administrator may see."""
        raise Fault(403, "Policy doesn't allow os_compute_api:os-availability-zone:detail to be performed.")

    @route("GET", "/v2.1/os-aggregates")
    @route("GET", "/v2.1/os-hypervisors")
    @route("GET", "/v2.1/os-hypervisors/detail")
    @route("GET", "/v2.1/os-services")
    def machines(self, request: Request) -> JSON:
        """What the cloud is made of, which only an administrator may see."""
        kind, _, detail = request.path.split("/", 2)[2].partition("/")
        rule = "index" if kind == "os-aggregates" else "list-detail" if detail else "list"
        raise Fault(403, f"Policy doesn't allow os_compute_api:{kind}:{rule} to be performed.")

    @route("GET", "/v2.1/extensions")
    def extensions(self, request: Request) -> JSON:
        """Nova's extensions are history: only those that clients still look for."""
        found = {
            "Keypairs": "os-keypairs",
            "Quotas": "os-quota-sets",
            "SecurityGroups": "os-security-groups",
            "FloatingIps": "os-floating-ips",
            "FloatingIpPools": "os-floating-ip-pools",
            "ServerGroups": "os-server-groups",
            "InstanceActions": "os-instance-actions",
        }
        return {
            "extensions": [
                {
                    "alias": alias,
                    "description": name,
                    "links": [],
                    "name": name,
                    "namespace": "http://docs.openstack.org/compute/ext/fake_xml",
                    "updated": "2014-12-03T00:00:00Z",
                }
                for name, alias in found.items()
            ]
        }
