"""What clients do with load balancers and their parts: list, show, create, change, delete; statuses and figures."""

from __future__ import annotations

from faafo_lab.cloud.emulator.common.service import JSON, Answer, Fault, Request, route
from faafo_lab.cloud.emulator.common.store import Row
from faafo_lab.cloud.emulator.services.load_balancer import kinds
from faafo_lab.cloud.emulator.services.load_balancer.base import Collection
from faafo_lab.cloud.emulator.services.load_balancer.changes import Changes, parse_part, parts_of

BY_PLURAL = {kind.plural: kind for kind in kinds.KINDS}
TOP = tuple(plural for plural, kind in BY_PLURAL.items() if kind is not kinds.MEMBER)


class Parts:
    """Operations on all kinds; members are below their pools."""

    def __init__(self, collection: Collection, changes: Changes) -> None:
        self._all, self._changes = collection, changes

    def _kind(self, plural: str, pool: str | None) -> kinds.Kind:
        kind = BY_PLURAL.get(plural)
        if kind is None or (kind is kinds.MEMBER) is (pool is None):
            raise Fault(404, "The resource could not be found.")
        return kind

    def _meant(self, request: Request, plural: str, id: str, pool: str | None) -> tuple[kinds.Kind, Row]:
        kind = self._kind(plural, pool)
        return kind, self._all.part(kind, request.project, id, **({"pool_id": pool} if pool else {}))

    @route("GET", "/v2/lbaas/{plural}")
    @route("GET", "/v2/lbaas/pools/{pool}/members")
    def index(self, request: Request, plural: str = "members", pool: str | None = None) -> JSON:
        """List."""
        kind = self._kind(plural, pool)
        if pool is None:
            return self._all.listed(request, kind, self._all.table(kind))
        self._all.part(kinds.POOL, request.project, pool)
        return self._all.listed(request, kind, self._all.table(kind).where(pool_id=pool))

    @route("GET", "/v2/lbaas/{plural}/{id}")
    @route("GET", "/v2/lbaas/pools/{pool}/members/{id}")
    def show(self, request: Request, id: str, plural: str = "members", pool: str | None = None) -> JSON:
        """Show."""
        kind, row = self._meant(request, plural, id, pool)
        return {kind.key: self._all.view(kind, row)}

    @route("POST", "/v2/lbaas/{plural}")
    @route("POST", "/v2/lbaas/pools/{pool}/members")
    def create(self, request: Request, plural: str = "members", pool: str | None = None) -> Answer:
        """Create, with all that the body has below it."""
        kind, changes = self._kind(plural, pool), self._changes
        body = parse_part(request, kind.key)
        if any(body.get(name) not in (None, request.project) for name in ("project_id", "tenant_id")):
            raise Fault(403, "Policy does not allow this request to be performed.")
        with self._all.store.transaction():
            if kind is kinds.LOAD_BALANCER:
                row = changes.new_balancer(request, body)
                if {"listeners", "pools"} & set(body):
                    return Answer(201, {kind.key: self._all.full(row)})
            elif kind is kinds.LISTENER:
                row = changes.add_listener(changes.whose(request, body.get("loadbalancer_id")), body)
            elif kind is kinds.POOL:
                row = changes.new_pool(request, body)
            else:
                id = pool or kind.values(body)["pool_id"]
                parent = self._all.part(kinds.POOL, request.project, id)
                changes.whose(request, parent["loadbalancer_id"])
                row = (changes.add_monitor if pool is None else changes.add_member)(parent, body)
            return Answer(201, {kind.key: self._all.view(kind, row)})

    @route("PUT", "/v2/lbaas/{plural}/{id}")
    @route("PUT", "/v2/lbaas/pools/{pool}/members/{id}")
    def update(self, request: Request, id: str, plural: str = "members", pool: str | None = None) -> JSON:
        """Change."""
        kind, row = self._meant(request, plural, id, pool)
        return {kind.key: self._changes.update(request, kind, row)}

    @route("PUT", "/v2/lbaas/pools/{pool}/members")
    def replace(self, request: Request, pool: str) -> Answer:
        """Make these, all of them, the members; with additive_only, take none away."""
        row = self._all.part(kinds.POOL, request.project, pool)
        body = request.parse({"type": "object", "required": ["members"]})
        with self._all.store.transaction():
            self._changes.whose(request, row["loadbalancer_id"])
            members = self._all.table(kinds.MEMBER).where(pool_id=pool)
            left = {(each["address"], each["protocol_port"]): each for each in members}
            for wanted in parts_of(body, "members"):
                values = kinds.MEMBER.values(wanted)
                known = left.pop((values["address"], values["protocol_port"]), None)
                if known is None:
                    self._changes.add_member(row, wanted)
                else:
                    given = {name: values[name] for name in wanted if name in values}
                    self._changes.change(kinds.MEMBER, known, **given)
            if not _true(request, "additive_only"):
                for each in left.values():
                    self._changes.change(kinds.MEMBER, each, "PENDING_DELETE")
        return Answer(202)

    @route("DELETE", "/v2/lbaas/{plural}/{id}")
    @route("DELETE", "/v2/lbaas/pools/{pool}/members/{id}")
    def delete(self, request: Request, id: str, plural: str = "members", pool: str | None = None) -> Answer:
        """Delete; a load balancer with all its parts where cascade is true."""
        kind, row = self._meant(request, plural, id, pool)
        with self._all.store.transaction():
            self._changes.whose(request, id if kind is kinds.LOAD_BALANCER else row["loadbalancer_id"])
            if kind is kinds.LOAD_BALANCER:
                tables = [self._all.table(each) for each in kinds.KINDS[1:]]
                parts = [(table, part) for table in tables for part in table.where(loadbalancer_id=id)]
                if parts and not _true(request, "cascade"):
                    raise Fault(400, f"Cannot delete Load Balancer {id} - it has children")
                for table, part in parts:
                    table.update(part["id"], provisioning_status="PENDING_DELETE")
            elif kind is kinds.POOL:
                self._changes.empty_pool(row)
            self._changes.change(kind, row, "PENDING_DELETE")
        return Answer(204)

    # Statuses and figures

    @route("GET", "/v2/lbaas/loadbalancers/{id}/status")
    @route("GET", "/v2/lbaas/loadbalancers/{id}/statuses")
    def statuses(self, request: Request, id: str) -> JSON:
        """All statuses of a load balancer, as a tree."""
        return {"statuses": {"loadbalancer": self._all.tree(self._all.part(kinds.LOAD_BALANCER, request.project, id))}}

    @route("GET", "/v2/lbaas/loadbalancers/{id}/stats")
    def balancer_stats(self, request: Request, id: str) -> JSON:
        """What has passed through a load balancer."""
        self._all.part(kinds.LOAD_BALANCER, request.project, id)
        return {"stats": self._all.stats(self._all.table(kinds.LISTENER).where(loadbalancer_id=id))}

    @route("GET", "/v2/lbaas/listeners/{id}/stats")
    def listener_stats(self, request: Request, id: str) -> JSON:
        """What has passed through a listener."""
        return {"stats": self._all.stats([self._all.part(kinds.LISTENER, request.project, id)])}


def _true(request: Request, name: str) -> bool:
    return (request.one(name) or "").lower() == "true"
