"""A project's quotas. Source: https://docs.openstack.org/api-ref/load-balancer/v2/#quotas"""

from __future__ import annotations

from collections.abc import Sequence

from faafo_lab.cloud.emulator.common.quotas import Over, Quotas
from faafo_lab.cloud.emulator.common.service import JSON, Fault, Request, route
from faafo_lab.cloud.emulator.services.load_balancer.kinds import KINDS

QUOTAS = {"load_balancer": 10, "listener": 50, "pool": 50, "member": 200, "health_monitor": 50}
_TITLES = {kind.name: kind.title for kind in KINDS}


def refusal(overs: Sequence[Over]) -> Fault:
    """The answer to a claim that exceeds a limit."""
    return Fault(403, f"Quota has been met for resources: {_TITLES[overs[0].name]}")


class QuotaSets:
    """What a project may have."""

    def __init__(self, quotas: Quotas) -> None:
        self._quotas = quotas

    @route("GET", "/v2/lbaas/quotas/{id}")
    @route("GET", "/v2/lbaas/quotas/{id}/default")
    def show(self, request: Request, id: str) -> JSON:
        """How much a project may have."""
        if id not in (request.project, "defaults"):
            raise Fault(403, "Policy does not allow this request to be performed.")
        return {"quota": {**self._quotas.limits(), "l7policy": 0, "l7rule": 0}}
