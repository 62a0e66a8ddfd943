"""A project's limits and quotas. Source: https://docs.openstack.org/api-ref/compute/#quota-sets-os-quota-sets"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from faafo_lab.cloud.emulator.common.quotas import Over, Quotas
from faafo_lab.cloud.emulator.common.service import JSON, Fault, Request, route
from faafo_lab.cloud.emulator.common.store import Store, Table
from faafo_lab.cloud.emulator.services.compute import versions
from faafo_lab.cloud.emulator.services.compute.base import denied
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


def used(store: Store) -> Callable[[str, str], int]:
    """Says how much a project has of what a quota names; a resize holds room for the larger flavor."""
    servers: Table[ServerRow] = store.table("server")
    groups: Table[GroupRow] = store.table("server_group")

    def count(project: str, name: str) -> int:
        if name == "server_groups":
            return len(groups.where(project_id=project))
        flavors = [flavor_of(row) for row in servers.where(project_id=project)]
        return sum({"instances": 1, "cores": flavor.vcpus, "ram": flavor.ram_mb}.get(name, 0) for flavor in flavors)

    return count


def refusal(overs: Sequence[Over]) -> Fault:
    """The answer to a claim that exceeds limits."""
    names, limits, used, wanted = (", ".join(str(each) for each in column) for column in zip(*overs, strict=True))
    return Fault(403, f"Quota exceeded for {names}: Requested {wanted}, but already used {used} of {limits} {names}")


def claim(quotas: Quotas, project: str, flavor: Flavor, least: int, most: int) -> int:
    """How many servers of a flavor the project may have now, `most` at most. Raises a 403 `Fault`."""

    def need(count: int) -> dict[str, int]:
        return {"instances": count, "cores": flavor.vcpus * count, "ram": flavor.ram_mb * count}

    for count in range(most, least, -1):
        if not quotas.over(project, need(count)):
            return count
    quotas.claim(project, need(least))
    return least


def claim_resize(quotas: Quotas, row: ServerRow, flavor: Flavor) -> None:
    """Check that a server may have this flavor in place of its own. Raises a 403 `Fault`."""
    own = FLAVORS[row["flavor_id"]]
    more = {"cores": flavor.vcpus - own.vcpus, "ram": flavor.ram_mb - own.ram_mb}
    quotas.claim(row["project_id"], {name: each for name, each in more.items() if each > 0})


class QuotaSets:
    """What a project may have, and has."""

    def __init__(self, quotas: Quotas) -> None:
        self._quotas = quotas

    def _limits_of(self, request: Request) -> dict[str, int]:
        gone = {name for there, names in SOME_VERSIONS.items() if request.version not in there for name in names}
        return {name: limit for name, limit in self._quotas.limits().items() if name not in gone}

    @route("GET", "/v2.1/limits")
    def limits(self, request: Request) -> JSON:
        """The project's limits, and what it uses of them."""
        most = self._limits_of(request)
        absolute = {shown: most[name] for shown, name in MOST.items() if name in most}
        absolute |= {shown: self._quotas.used(request.project, name) for shown, name in USED.items() if name in most}
        if request.version not in versions.IMAGE_METADATA:
            del absolute["maxImageMeta"]
        return {"limits": {"rate": [], "absolute": absolute}}

    def _own(self, request: Request, project: str) -> None:
        if project != request.project and not request.admin:
            raise denied("os_compute_api:os-quota-sets:show")

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
        usage = self._quotas.usage(project, "in_use")
        items = {name: usage[name] for name in self._limits_of(request)}
        return {"quota_set": {"id": project, **items}}


def flavor_of(row: ServerRow) -> Flavor:
    """The flavor that a server needs room for: while it is resized, the larger one."""
    ids = (row["flavor_id"], row.get("old_flavor_id"), row.get("new_flavor_id"))
    return max((FLAVORS[id] for id in ids if id), key=lambda flavor: (flavor.vcpus, flavor.ram_mb))
