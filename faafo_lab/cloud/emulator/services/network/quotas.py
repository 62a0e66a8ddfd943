"""A project's quotas. Source: https://docs.openstack.org/api-ref/network/v2/#quotas-extension-quotas"""

from __future__ import annotations

from typing import NoReturn

from faafo_lab.cloud.emulator.common.quotas import Quotas
from faafo_lab.cloud.emulator.common.service import JSON, Request, route
from faafo_lab.cloud.emulator.services.network.words import refused
from faafo_lab.cloud.emulator.site import Site

QUOTAS = {
    "network": 100,
    "subnet": 100,
    "port": 200,
    "router": 10,
    "floatingip": 20,
    "security_group": 50,
    "security_group_rule": 200,
    "subnetpool": -1,
    "rbac_policy": 10,
}


class QuotaSets(Quotas):
    """What a project may have, and has."""

    def __init__(self, site: Site) -> None:
        super().__init__(site, QUOTAS, lambda overs: refused("OverQuota", [over.name for over in overs]))

    def _check_owner(self, request: Request, project: str) -> None:
        if project != request.project and not request.admin:
            raise refused("HTTPNotFound", "The resource could not be found.")

    @route("GET", "/v2.0/quotas/{project}")
    @route("GET", "/v2.0/quotas/{project}/default")
    def show(self, request: Request, project: str) -> JSON:
        """The project's limits."""
        self._check_owner(request, project)
        return {"quota": self.limits()}

    @route("GET", "/v2.0/quotas")
    @route("PUT", "/v2.0/quotas/{project}")
    @route("DELETE", "/v2.0/quotas/{project}")
    def change(self, request: Request, project: str = "") -> NoReturn:
        """Limits are an administrator's."""
        raise refused("PolicyNotAuthorized", f"rule:{'get' if request.method == 'GET' else 'update'}_quota")

    @route("GET", "/v2.0/quotas/{project}/details")
    def details(self, request: Request, project: str) -> JSON:
        """The project's limits and what it uses of them."""
        self._check_owner(request, project)
        return {"quota": self.usage(project, "used")}
