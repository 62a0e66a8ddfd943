"""A project's limits and quotas. Source: https://docs.openstack.org/api-ref/compute/#quota-sets-os-quota-sets"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from faafo_lab.cloud.emulator.common.service import JSON, Fault, Request, route
from faafo_lab.cloud.emulator.common.store import Store, Table
from faafo_lab.cloud.emulator.services.compute import versions
from faafo_lab.cloud.emulator.services.compute.flavors import FLAVORS, Flavor
from faafo_lab.cloud.emulator.services.compute.rows import GroupRow, ServerRow

QUOTAS = {
    "instances": 20,
    "cores": 40,
    "ram": 51_200,
    "key_pairs": 100,
    "metadata_items": 128,
    "server_groups": 10,
    "server_group_members": 10,
    "injected_files": 5,
    "injected_file_content_bytes": 10_240,
    "injected_file_path_bytes": 255,
    "fixed_ips": -1,
    "floating_ips": -1,  # these three are Neutron's to count
    "security_groups": -1,
    "security_group_rules": -1,
}
SOME_VERSIONS = {  # what is not a quota in all versions
    versions.PROXIES: ("fixed_ips", "floating_ips", "security_groups", "security_group_rules"),
    versions.FILES: ("injected_files", "injected_file_content_bytes", "injected_file_path_bytes"),
}
MOST = {  # the limits' names for quotas
    "maxServerMeta": "metadata_items",
    "maxImageMeta": "metadata_items",
    "maxPersonality": "injected_files",
    "maxPersonalitySize": "injected_file_content_bytes",
    "maxTotalKeypairs": "key_pairs",
    "maxServerGroups": "server_groups",
    "maxServerGroupMembers": "server_group_members",
    "maxTotalCores": "cores",
    "maxTotalInstances": "instances",
    "maxTotalRAMSize": "ram",
    "maxTotalFloatingIps": "floating_ips",
    "maxSecurityGroups": "security_groups",
    "maxSecurityGroupRules": "security_group_rules",
}
USED = {  # and for what is used of them
    "totalServerGroupsUsed": "server_groups",
    "totalCoresUsed": "cores",
    "totalInstancesUsed": "instances",
    "totalRAMUsed": "ram",
    "totalFloatingIpsUsed": "floating_ips",
    "totalSecurityGroupsUsed": "security_groups",
}


class Limits:
    """Limits and quotas."""

    def __init__(self, store: Store, limit: Callable[[str], int]) -> None:
        """`limit` says a quota by its name."""
        self._servers: Table[ServerRow] = store.table("server")
        self._groups: Table[GroupRow] = store.table("server_group")
        self._limit = limit

    # What a project has, and may have

    def used(self, project: str) -> dict[str, int]:
        """How many instances, cores and MB a project has; a resize holds room for the larger flavor."""
        flavors = [flavor_of(row) for row in self._servers.where(project_id=project)]
        return {
            "instances": len(flavors),
            "cores": sum(flavor.vcpus for flavor in flavors),
            "ram": sum(flavor.ram_mb for flavor in flavors),
            "server_groups": len(self._groups.where(project_id=project)),
        }

    def claim(self, project: str, flavor: Flavor, least: int, most: int) -> int:
        """How many servers of a flavor the project may have now, `most` at most. Raises a 403 `Fault`."""
        need = {"instances": 1, "cores": flavor.vcpus, "ram": flavor.ram_mb}
        used = self.used(project)
        for count in range(most, 0, -1):
            wanted = {name: each * count for name, each in need.items()}
            over = self._over(used, wanted)
            if not over:
                return count
            if count == least:
                raise self._over_quota(over, wanted, used)
        return most

    def claim_resize(self, row: ServerRow, flavor: Flavor) -> None:
        """Check that a server may have this flavor in place of its own. Raises a 403 `Fault`."""
        own, used = FLAVORS[row["flavor_id"]], self.used(row["project_id"])
        more = {"cores": flavor.vcpus - own.vcpus, "ram": flavor.ram_mb - own.ram_mb}
        if over := self._over(used, more):
            raise self._over_quota(over, more, used)

    def _over(self, used: Mapping[str, int], more: Mapping[str, int]) -> list[str]:
        return [name for name, each in more.items() if each > 0 and 0 <= self._limit(name) < used[name] + each]

    def _over_quota(self, over: list[str], wanted: Mapping[str, int], used: Mapping[str, int]) -> Fault:
        def words(values: Iterable[int]) -> str:
            return ", ".join(str(each) for each in values)

        return Fault(
            403,
            f"Quota exceeded for {', '.join(over)}: Requested {words(wanted[name] for name in over)}, "
            f"but already used {words(used[name] for name in over)} "
            f"of {words(self._limit(name) for name in over)} {', '.join(over)}",
        )

    # The operations

    def _limits_of(self, request: Request) -> dict[str, int]:
        gone = {name for there, names in SOME_VERSIONS.items() if request.version not in there for name in names}
        return {name: self._limit(name) for name in QUOTAS if name not in gone}

    @route("GET", "/v2.1/limits")
    def limits(self, request: Request) -> JSON:
        """The project's limits, and what it uses of them."""
        most, used = self._limits_of(request), self.used(request.project)
        absolute = {shown: most[name] for shown, name in MOST.items() if name in most}
        absolute |= {shown: used.get(name, 0) for shown, name in USED.items() if name in most}
        if request.version not in versions.IMAGE_METADATA:
            del absolute["maxImageMeta"]
        return {"limits": {"rate": [], "absolute": absolute}}

    def _own(self, request: Request, project: str) -> None:
        if project != request.project:
            raise Fault(403, "Policy doesn't allow os_compute_api:os-quota-sets:show to be performed.")

    @route("GET", "/v2.1/os-quota-sets/{project}")
    def quota(self, request: Request, project: str) -> JSON:
        """The project's limits."""
        self._own(request, project)
        return self.default_quota(request, project)

    @route("GET", "/v2.1/os-quota-sets/{project}/defaults")
    def default_quota(self, request: Request, project: str) -> JSON:
        """Every project's limits."""
        return {"quota_set": {"id": project, **self._limits_of(request)}}

    @route("GET", "/v2.1/os-quota-sets/{project}/detail")
    def quota_detail(self, request: Request, project: str) -> JSON:
        """The project's limits, and what it uses of them."""
        self._own(request, project)
        used = self.used(project)
        items = {
            name: {"in_use": used.get(name, 0), "limit": limit, "reserved": 0}
            for name, limit in self._limits_of(request).items()
        }
        return {"quota_set": {"id": project, **items}}


def flavor_of(row: ServerRow) -> Flavor:
    """The flavor that a server needs room for: while it is resized, the larger one."""
    ids = (row["flavor_id"], row.get("old_flavor_id"), row.get("new_flavor_id"))
    return max((FLAVORS[id] for id in ids if id), key=lambda flavor: (flavor.vcpus, flavor.ram_mb))
