"""The members of pools, one by one and all at once."""

from __future__ import annotations

from faafo_lab.cloud.emulator.common.service import JSON, Answer, Request, route
from faafo_lab.cloud.emulator.services.load_balancer.base import Collection
from faafo_lab.cloud.emulator.services.load_balancer.changes import Changes, parse_part, parts_of
from faafo_lab.cloud.emulator.services.load_balancer.kinds import MEMBER, POOL


class Members:
    """Operations on members."""

    def __init__(self, collection: Collection, changes: Changes) -> None:
        self._all, self._changes = collection, changes

    @route("GET", "/v2/lbaas/pools/{pool}/members")
    def index(self, request: Request, pool: str) -> JSON:
        """A pool's members."""
        self._all.part(POOL, request.project, pool)
        return self._all.listed(request, MEMBER, self._all.table(MEMBER).where(pool_id=pool))

    @route("GET", "/v2/lbaas/pools/{pool}/members/{id}")
    def show(self, request: Request, pool: str, id: str) -> JSON:
        """A member."""
        return {"member": self._all.view(MEMBER, self._all.part(MEMBER, request.project, id, pool_id=pool))}

    @route("POST", "/v2/lbaas/pools/{pool}/members")
    def create(self, request: Request, pool: str) -> Answer:
        """Another member."""
        row = self._all.part(POOL, request.project, pool)
        body = parse_part(request, "member")
        with self._all.store.transaction():
            self._changes.whose(request, row["loadbalancer_id"])
            return Answer(201, {"member": self._all.view(MEMBER, self._changes.add_member(row, body))})

    @route("PUT", "/v2/lbaas/pools/{pool}/members/{id}")
    def update(self, request: Request, pool: str, id: str) -> JSON:
        """Change a member."""
        return {
            "member": self._changes.update(request, MEMBER, self._all.part(MEMBER, request.project, id, pool_id=pool))
        }

    @route("DELETE", "/v2/lbaas/pools/{pool}/members/{id}")
    def delete(self, request: Request, pool: str, id: str) -> Answer:
        """Take a member out for good."""
        row = self._all.part(MEMBER, request.project, id, pool_id=pool)
        with self._all.store.transaction():
            self._changes.whose(request, row["loadbalancer_id"])
            self._changes.change(MEMBER, row, "PENDING_DELETE")
        return Answer(204)

    @route("PUT", "/v2/lbaas/pools/{pool}/members")
    def replace(self, request: Request, pool: str) -> Answer:
        """Make these, all of them, the members; with additive_only, take none away."""
        row = self._all.part(POOL, request.project, pool)
        body = request.parse({"type": "object", "required": ["members"]})
        with self._all.store.transaction():
            self._changes.whose(request, row["loadbalancer_id"])
            left = {
                (each["address"], each["protocol_port"]): each for each in self._all.table(MEMBER).where(pool_id=pool)
            }
            for wanted in parts_of(body, "members"):
                values = MEMBER.values(wanted)
                known = left.pop((values["address"], values["protocol_port"]), None)
                if known is None:
                    self._changes.add_member(row, wanted)
                else:
                    self._changes.change(MEMBER, known, **{name: values[name] for name in wanted if name in values})
            if (request.one("additive_only") or "").lower() != "true":
                for each in left.values():
                    self._changes.change(MEMBER, each, "PENDING_DELETE")
        return Answer(202)
