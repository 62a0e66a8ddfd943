"""The flavors: what an instance may use. `quota:cpu_period` and `quota:cpu_quota` are Nova's words for a CPU cap."""

from __future__ import annotations

from dataclasses import dataclass, replace
from operator import attrgetter

from faafo_lab.cloud.emulator.common.service import JSON, Fault, Request, route
from faafo_lab.cloud.emulator.services.compute import versions
from faafo_lab.cloud.emulator.services.compute.base import Links, number

CPU_PERIOD_MICROSECONDS = 100_000
CPU_QUOTA_MIN_MICROSECONDS = 1_000  # as the Linux kernel has it


@dataclass(frozen=True)
class Flavor:
    """A flavor. `cpu_quota` is the CPU time of each vCPU in a period, in microseconds."""

    id: str
    name: str
    vcpus: int
    ram_mb: int
    disk_gb: int
    cpu_quota: int

    @property
    def extra_specs(self) -> dict[str, str]:
        """The CPU cap, in Nova's words."""
        return {"quota:cpu_period": str(CPU_PERIOD_MICROSECONDS), "quota:cpu_quota": str(self.cpu_quota)}

    @property
    def cores(self) -> float:
        """The CPU cap of the whole instance, in cores."""
        return self.vcpus * self.cpu_quota / CPU_PERIOD_MICROSECONDS

    def scaled(self, shares: float) -> Flavor:
        """The same flavor with so many times the CPU cap."""
        return replace(self, cpu_quota=max(CPU_QUOTA_MIN_MICROSECONDS, round(self.cpu_quota * shares)))


FLAVORS = {
    flavor.id: flavor
    for flavor in (
        Flavor("1", "m1.tiny", vcpus=1, ram_mb=512, disk_gb=1, cpu_quota=25_000),
        Flavor("2", "m1.small", vcpus=1, ram_mb=1024, disk_gb=5, cpu_quota=50_000),
        Flavor("3", "m1.medium", vcpus=1, ram_mb=2048, disk_gb=10, cpu_quota=100_000),
        Flavor("4", "m1.large", vcpus=2, ram_mb=4096, disk_gb=20, cpu_quota=100_000),
    )
}

SORT_KEYS = {
    "flavorid": "id",
    "name": "name",
    "memory_mb": "ram_mb",
    "root_gb": "disk_gb",
    "vcpus": "vcpus",
    "id": "id",
}


def offered(shares: float) -> dict[str, Flavor]:
    """The flavors of a cloud with such `shares` of the CPU, by id."""
    return {id: flavor.scaled(shares) for id, flavor in FLAVORS.items()}


class Flavors:
    """The operations on flavors."""

    def __init__(self, links: Links, shares: float) -> None:
        self._links, self._all = links, offered(shares)

    def _flavor_view(self, request: Request, flavor: Flavor) -> JSON:
        view = {
            "id": flavor.id,
            "name": flavor.name,
            "ram": flavor.ram_mb,
            "disk": flavor.disk_gb,
            "swap": 0 if request.version in versions.STRICT else "",
            "OS-FLV-EXT-DATA:ephemeral": 0,
            "OS-FLV-DISABLED:disabled": False,
            "vcpus": flavor.vcpus,
            "os-flavor-access:is_public": True,
            "rxtx_factor": 1.0,
            "links": self._links.of("flavors", flavor.id),
        }
        view |= {"description": None} if request.version in versions.FLAVOR_DESCRIPTION else {}
        return {**view, "extra_specs": flavor.extra_specs} if request.version in versions.FLAVOR_SPECS else view

    @route("GET", "/v2.1/flavors")
    @route("GET", "/v2.1/flavors/detail")
    def flavors(self, request: Request) -> JSON:
        """List flavors: their names, or (detail) with everything."""
        ram, disk = number(request, "minRam") or 0, number(request, "minDisk") or 0
        found = [each for each in self._all.values() if each.ram_mb >= ram and each.disk_gb >= disk]
        key, direction = request.one("sort_key") or "flavorid", request.one("sort_dir") or "asc"
        if key not in SORT_KEYS or direction not in ("asc", "desc"):
            raise Fault(400, f"Flavors are not sorted by {key} {direction}.")
        found.sort(key=attrgetter(SORT_KEYS[key]), reverse=direction == "desc")
        page, more = self._links.page(request, found, lambda each: each.id, "flavors_links")
        views = [self._flavor_view(request, each) for each in page]
        if not request.path.endswith("/detail"):
            views = [{name: view[name] for name in ("id", "name", "links")} for view in views]
        return {"flavors": views, **more}

    def _flavor(self, id: str) -> Flavor:
        if id not in self._all:
            raise Fault(404, f"Flavor {id} could not be found.")
        return self._all[id]

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
