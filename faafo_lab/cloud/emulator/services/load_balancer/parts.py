"""Load balancers, listeners, pools and health monitors: list, show, create, change, delete; statuses and figures."""

from __future__ import annotations

from faafo_lab.cloud.emulator.common.service import JSON, Answer, Fault, Request, route
from faafo_lab.cloud.emulator.services.load_balancer.base import Collection
from faafo_lab.cloud.emulator.services.load_balancer.changes import Changes, parse_part
from faafo_lab.cloud.emulator.services.load_balancer.kinds import (
    HEALTH_MONITOR,
    KINDS,
    LISTENER,
    LOAD_BALANCER,
    MEMBER,
    POOL,
    Kind,
)

BY_PLURAL = {kind.plural: kind for kind in KINDS if kind is not MEMBER}


class Parts:
    """Operations on all kinds but members."""

    def __init__(self, collection: Collection, changes: Changes) -> None:
        self._all, self._changes = collection, changes

    def _kind(self, plural: str) -> Kind:
        if plural not in BY_PLURAL:
            raise Fault(404, "The resource could not be found.")
        return BY_PLURAL[plural]

    @route("GET", "/v2/lbaas/{plural}")
    def index(self, request: Request, plural: str) -> JSON:
        """List."""
        kind = self._kind(plural)
        return self._all.listed(request, kind, self._all.table(kind))

    @route("GET", "/v2/lbaas/{plural}/{id}")
    def show(self, request: Request, plural: str, id: str) -> JSON:
        """Show."""
        kind = self._kind(plural)
        return {kind.key: self._all.view(kind, self._all.part(kind, request.project, id))}

    @route("POST", "/v2/lbaas/{plural}")
    def create(self, request: Request, plural: str) -> Answer:
        """Create, with all that the body has below it."""
        kind = self._kind(plural)
        body = parse_part(request, kind.key)
        if any(body.get(name) not in (None, request.project) for name in ("project_id", "tenant_id")):
            raise Fault(403, "Policy does not allow this request to be performed.")
        with self._all.store.transaction():
            if kind is LOAD_BALANCER:
                row = self._changes.new_balancer(request, body)
                whole = {"listeners", "pools"} & set(body)
                return Answer(201, {kind.key: self._all.full(row) if whole else self._all.view(kind, row)})
            if kind is LISTENER:
                row = self._changes.add_listener(self._changes.whose(request, body.get("loadbalancer_id")), body)
            elif kind is POOL:
                row = self._changes.new_pool(request, body)
            else:
                pool = self._all.part(POOL, request.project, HEALTH_MONITOR.values(body)["pool_id"])
                self._changes.whose(request, pool["loadbalancer_id"])
                row = self._changes.add_monitor(pool, body)
            return Answer(201, {kind.key: self._all.view(kind, row)})

    @route("PUT", "/v2/lbaas/{plural}/{id}")
    def update(self, request: Request, plural: str, id: str) -> JSON:
        """Change."""
        kind = self._kind(plural)
        return {kind.key: self._changes.update(request, kind, self._all.part(kind, request.project, id))}

    @route("DELETE", "/v2/lbaas/{plural}/{id}")
    def delete(self, request: Request, plural: str, id: str) -> Answer:
        """Delete; a load balancer with all its parts where cascade is true."""
        kind = self._kind(plural)
        row = self._all.part(kind, request.project, id)
        with self._all.store.transaction():
            self._changes.whose(request, id if kind is LOAD_BALANCER else row["loadbalancer_id"])
            if kind is POOL:
                self._changes.drop_pool(row)
                return Answer(204)
            if kind is LOAD_BALANCER:
                parts = [(each, part) for each in KINDS[1:] for part in self._all.table(each).where(loadbalancer_id=id)]
                if parts and (request.one("cascade") or "").lower() != "true":
                    raise Fault(400, f"Cannot delete Load Balancer {id} - it has children")
                for each, part in parts:
                    self._all.table(each).update(part["id"], provisioning_status="PENDING_DELETE")
            self._changes.change(kind, row, "PENDING_DELETE")
        return Answer(204)

    # Statuses and figures

    @route("GET", "/v2/lbaas/loadbalancers/{id}/status")
    @route("GET", "/v2/lbaas/loadbalancers/{id}/statuses")
    def statuses(self, request: Request, id: str) -> JSON:
        """All statuses of a load balancer, as a tree."""
        return {"statuses": {"loadbalancer": self._all.tree(self._all.part(LOAD_BALANCER, request.project, id))}}

    @route("GET", "/v2/lbaas/loadbalancers/{id}/stats")
    def balancer_stats(self, request: Request, id: str) -> JSON:
        """What has passed through a load balancer."""
        self._all.part(LOAD_BALANCER, request.project, id)
        return {"stats": self._all.stats(self._all.table(LISTENER).where(loadbalancer_id=id))}

    @route("GET", "/v2/lbaas/listeners/{id}/stats")
    def listener_stats(self, request: Request, id: str) -> JSON:
        """What has passed through a listener."""
        return {"stats": self._all.stats([self._all.part(LISTENER, request.project, id)])}
