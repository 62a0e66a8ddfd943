"""A project's quotas. Source: https://docs.openstack.org/api-ref/network/v2/#quotas-extension-quotas"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from faafo_lab.cloud.emulator.common.quotas import Over, Quotas
from faafo_lab.cloud.emulator.common.service import JSON, Fault, Request, route

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


def refusal(overs: Sequence[Over]) -> Fault:
    """The answer to a claim that exceeds a limit."""
    return Fault(409, f"Quota exceeded for resources: {[over.name for over in overs]}.", type="OverQuota")


class QuotaSets:
    """What a project may have, and has."""

    def __init__(self, quotas: Quotas) -> None:
        self._quotas = quotas

    def _check_owner(self, request: Request, project: str) -> None:
        if project != request.project and not request.admin:
            raise Fault(404, "The resource could not be found.", type="HTTPNotFound")

    @route("GET", "/v2.0/quotas/{project}")
    @route("GET", "/v2.0/quotas/{project}/default")
    def show(self, request: Request, project: str) -> JSON:
        """The project's limits."""
        self._check_owner(request, project)
        return {"quota": self._quotas.limits()}

    @route("PUT", "/v2.0/quotas/{project}")
    @route("DELETE", "/v2.0/quotas/{project}")
    def change(self, request: Request, project: str) -> NoReturn:
        """Limits are an administrator's."""
        raise Fault(403, "rule:update_quota is disallowed by policy", type="PolicyNotAuthorized")

    @route("GET", "/v2.0/quotas/{project}/details")
    def usage(self, request: Request, project: str) -> JSON:
        """The project's limits and what it uses of them."""
        self._check_owner(request, project)
        return {"quota": self._quotas.usage(project, "used")}
