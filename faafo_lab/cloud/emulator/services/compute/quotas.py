"""A project's limits and quotas. Source: https://docs.openstack.org/api-ref/compute/#quota-sets-os-quota-sets"""

from __future__ import annotations

from faafo_lab.cloud.emulator.common.service import JSON, Fault, Request, route
from faafo_lab.cloud.emulator.services.compute.base import QUOTAS
from faafo_lab.cloud.emulator.services.compute.server_groups import ServerGroups

NETWORK = frozenset(("fixed_ips", "floating_ips", "security_groups", "security_group_rules"))  # until 2.35
FILES = frozenset(("injected_files", "injected_file_content_bytes", "injected_file_path_bytes"))  # until 2.56
LIMITS = {  # the names of the same in the limits
    35: ("maxSecurityGroupRules", "maxSecurityGroups", "maxTotalFloatingIps", "totalFloatingIpsUsed",
         "totalSecurityGroupsUsed"),
    38: ("maxImageMeta",),
    56: ("maxPersonality", "maxPersonalitySize"),
}  # fmt: skip


class Limits(ServerGroups):
    """Limits and quotas."""

    def _quota_names(self, request: Request) -> list[str]:
        gone = (NETWORK if request.version > (2, 35) else set()) | (FILES if request.version > (2, 56) else set())
        return [name for name in QUOTAS if name not in gone]

    @route("GET", "/v2.1/limits")
    def limits(self, request: Request) -> JSON:
        """The project's limits, and what it uses of them."""
        used = self.used(request.project)
        absolute = {
            "maxServerMeta": self.limit("metadata_items"),
            "maxPersonality": self.limit("injected_files"),
            "totalServerGroupsUsed": len(self._own_groups(request)),
            "maxImageMeta": self.limit("metadata_items"),
            "maxPersonalitySize": self.limit("injected_file_content_bytes"),
            "maxTotalKeypairs": self.limit("key_pairs"),
            "maxSecurityGroupRules": self.limit("security_group_rules"),
            "maxServerGroups": self.limit("server_groups"),
            "totalCoresUsed": used["cores"],
            "totalRAMUsed": used["ram"],
            "totalInstancesUsed": used["instances"],
            "maxSecurityGroups": self.limit("security_groups"),
            "totalFloatingIpsUsed": 0,
            "maxTotalCores": self.limit("cores"),
            "maxServerGroupMembers": self.limit("server_group_members"),
            "maxTotalFloatingIps": self.limit("floating_ips"),
            "totalSecurityGroupsUsed": 0,
            "maxTotalInstances": self.limit("instances"),
            "maxTotalRAMSize": self.limit("ram"),
        }
        gone = {name for last, names in LIMITS.items() if request.version > (2, last) for name in names}
        return {"limits": {"rate": [], "absolute": {k: v for k, v in absolute.items() if k not in gone}}}

    def _own_quota(self, request: Request, project: str) -> None:
        if project != request.project:
            raise Fault(403, "Policy doesn't allow os_compute_api:os-quota-sets:show to be performed.")

    @route("GET", "/v2.1/os-quota-sets/{project}")
    def quota(self, request: Request, project: str) -> JSON:
        """The project's limits."""
        self._own_quota(request, project)
        return {"quota_set": {"id": project, **{name: self.limit(name) for name in self._quota_names(request)}}}

    @route("GET", "/v2.1/os-quota-sets/{project}/defaults")
    def default_quota(self, request: Request, project: str) -> JSON:
        """Every project's limits."""
        return {"quota_set": {"id": project, **{name: self.limit(name) for name in self._quota_names(request)}}}

    @route("GET", "/v2.1/os-quota-sets/{project}/detail")
    def quota_detail(self, request: Request, project: str) -> JSON:
        """The project's limits, and what it uses of them."""
        self._own_quota(request, project)
        used = {**self.used(project), "server_groups": len(self._own_groups(request))}
        items = {
            name: {"in_use": used.get(name, 0), "limit": self.limit(name), "reserved": 0}
            for name in self._quota_names(request)
        }
        return {"quota_set": {"id": project, **items}}
