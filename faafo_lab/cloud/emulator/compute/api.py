"""Compute (Nova 2.1 to 2.60): the service, which is the sum of its operations. Flavors are here."""

from __future__ import annotations

from faafo_lab.cloud.emulator.compute.attachments import Attachments
from faafo_lab.cloud.emulator.compute.flavors import FLAVORS, Flavor
from faafo_lab.cloud.emulator.compute.image_proxies import ImageProxies
from faafo_lab.cloud.emulator.compute.instance_actions import InstanceActions
from faafo_lab.cloud.emulator.compute.interfaces import Interfaces
from faafo_lab.cloud.emulator.compute.network_proxies import NetworkProxies
from faafo_lab.cloud.emulator.compute.quotas import Limits
from faafo_lab.cloud.emulator.compute.rebuilding import Rebuilding
from faafo_lab.cloud.emulator.compute.server_metadata import ServerMetadata
from faafo_lab.cloud.emulator.compute.snapshots import Snapshots
from faafo_lab.cloud.emulator.compute.user_keys import UserKeys
from faafo_lab.cloud.emulator.service import JSON, Fault, Request, route


class Compute(
    Rebuilding,
    Snapshots,
    Interfaces,
    Attachments,
    ServerMetadata,
    InstanceActions,
    Limits,
    UserKeys,
    NetworkProxies,
    ImageProxies,
):
    """The compute service."""

    # Flavors

    def _flavor_view(self, request: Request, flavor: Flavor) -> JSON:
        view = {
            "id": flavor.id,
            "name": flavor.name,
            "ram": flavor.ram_mb,
            "disk": flavor.disk_gb,
            "swap": "",
            "OS-FLV-EXT-DATA:ephemeral": 0,
            "OS-FLV-DISABLED:disabled": False,
            "vcpus": flavor.vcpus,
            "os-flavor-access:is_public": True,
            "rxtx_factor": 1.0,
            "links": self._links("flavors", flavor.id),
        }
        return {**view, "description": None} if request.version >= (2, 55) else view

    def _flavors(self, request: Request) -> tuple[list[Flavor], list[JSON]]:
        ram, disk = self._number(request, "minRam") or 0, self._number(request, "minDisk") or 0
        found = [each for each in FLAVORS.values() if each.ram_mb >= ram and each.disk_gb >= disk]
        return self._page(found, request)

    @route("GET", "/v2.1/flavors")
    def flavors(self, request: Request) -> JSON:
        """List flavors."""
        page, links = self._flavors(request)
        views = [{"id": each.id, "name": each.name, "links": self._links("flavors", each.id)} for each in page]
        return {"flavors": views, **({"flavors_links": links} if links else {})}

    @route("GET", "/v2.1/flavors/detail")
    def flavors_detail(self, request: Request) -> JSON:
        """List flavors, with everything."""
        page, links = self._flavors(request)
        return {
            "flavors": [self._flavor_view(request, each) for each in page],
            **({"flavors_links": links} if links else {}),
        }

    def _flavor(self, id: str) -> Flavor:
        if id not in FLAVORS:
            raise Fault(404, f"Flavor {id} could not be found.")
        return FLAVORS[id]

    @route("GET", "/v2.1/flavors/{id}")
    def flavor(self, request: Request, id: str) -> JSON:
        """Show a flavor."""
        return {"flavor": self._flavor_view(request, self._flavor(id))}

    @route("GET", "/v2.1/flavors/{id}/os-extra_specs")
    def extra_specs(self, request: Request, id: str) -> JSON:
        """A flavor's extra specs: its CPU cap."""
        return {"extra_specs": self._flavor(id).extra_specs}

    @route("GET", "/v2.1/flavors/{id}/os-extra_specs/{key}")
    def extra_spec(self, request: Request, id: str, key: str) -> JSON:
        """One of a flavor's extra specs."""
        specs = self._flavor(id).extra_specs
        if key not in specs:
            raise Fault(404, f"Flavor {id} has no extra specs with key {key}.")
        return {key: specs[key]}

    @route("GET", "/v2.1/os-availability-zone")
    def zones(self, request: Request) -> JSON:
        """The one availability zone."""
        return {"availabilityZoneInfo": [{"zoneName": "nova", "zoneState": {"available": True}, "hosts": None}]}

    @route("GET", "/v2.1/os-availability-zone/detail")
    def zones_detail(self, request: Request) -> JSON:
        """The zone's hosts, which only an administrator may see."""
        raise Fault(403, "Policy doesn't allow os_compute_api:os-availability-zone:detail to be performed.")

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
