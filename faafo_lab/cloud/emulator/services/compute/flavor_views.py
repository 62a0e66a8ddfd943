"""Flavors: list and show. Which ones there are is in `flavors`."""

from __future__ import annotations

from faafo_lab.cloud.emulator.common.service import JSON, Fault, Request, route
from faafo_lab.cloud.emulator.services.compute.base import Nova
from faafo_lab.cloud.emulator.services.compute.flavors import FLAVORS, Flavor


class FlavorViews(Nova):
    """The operations on flavors."""

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
