"""The members of pools, one by one and all at once."""

from __future__ import annotations

from faafo_lab.cloud.emulator.common.service import JSON, Answer, Fault, Request, route
from faafo_lab.cloud.emulator.common.store import Row
from faafo_lab.cloud.emulator.services.load_balancer.changes import Changes, check_monitor, check_persistence, parts_of
from faafo_lab.cloud.emulator.services.load_balancer.kinds import (
    HEALTH_MONITOR,
    LISTENER,
    LOAD_BALANCER,
    MEMBER,
    POOL,
    Kind,
)


class Members(Changes):
    """Operations on members, and what they share with those on other parts."""

    def parse_part(self, request: Request, key: str) -> JSON:
        """The object that a body has under its one key. Raises a 400 `Fault`."""
        found = request.parse().get(key)
        if not isinstance(found, dict):
            raise Fault(400, f"Invalid input for field/attribute {key}. It must be a JSON object.")
        return found

    def whose(self, request: Request, id: object) -> Row:
        """The load balancer that is to change. Raises a `Fault`."""
        if id is None:
            raise Fault(400, "Validation failure: loadbalancer_id or listener_id must be given.")
        balancer = self.part(LOAD_BALANCER, request.project, str(id))
        self.mutable(balancer)
        return balancer

    def update_part(self, request: Request, kind: Kind, row: Row) -> JSON:
        """Change a part; what it is then. Raises a `Fault`."""
        body = self.parse_part(request, kind.key)
        with self.store.transaction():
            self.whose(request, row["id"] if kind is LOAD_BALANCER else row["loadbalancer_id"])
            changes = kind.changes(body)
            if kind is LISTENER:
                self.check_pool(row["loadbalancer_id"], row, changes.get("default_pool_id"))
            elif kind is POOL:
                check_persistence({**row, **changes})
            elif kind is HEALTH_MONITOR:
                whole = check_monitor({**row, **changes})
                changes = {name: whole[name] for name in kind.attributes}
            return self.view(kind, self.change(kind, row, **changes))

    # Members

    @route("GET", "/v2/lbaas/pools/{pool}/members")
    def members(self, request: Request, pool: str) -> JSON:
        """A pool's members."""
        self.part(POOL, request.project, pool)
        return self.listed(request, MEMBER, self.table(MEMBER).where(pool_id=pool))

    @route("GET", "/v2/lbaas/pools/{pool}/members/{id}")
    def member(self, request: Request, pool: str, id: str) -> JSON:
        """A member."""
        return {"member": self.view(MEMBER, self.part(MEMBER, request.project, id, pool_id=pool))}

    @route("POST", "/v2/lbaas/pools/{pool}/members")
    def create_member(self, request: Request, pool: str) -> Answer:
        """Another member."""
        row = self.part(POOL, request.project, pool)
        body = self.parse_part(request, "member")
        with self.store.transaction():
            self.whose(request, row["loadbalancer_id"])
            return Answer(201, {"member": self.view(MEMBER, self.add_member(row, body))})

    @route("PUT", "/v2/lbaas/pools/{pool}/members/{id}")
    def update_member(self, request: Request, pool: str, id: str) -> JSON:
        """Change a member."""
        return {"member": self.update_part(request, MEMBER, self.part(MEMBER, request.project, id, pool_id=pool))}

    @route("DELETE", "/v2/lbaas/pools/{pool}/members/{id}")
    def delete_member(self, request: Request, pool: str, id: str) -> Answer:
        """Take a member out for good."""
        row = self.part(MEMBER, request.project, id, pool_id=pool)
        with self.store.transaction():
            self.whose(request, row["loadbalancer_id"])
            self.change(MEMBER, row, "PENDING_DELETE")
        return Answer(204)

    @route("PUT", "/v2/lbaas/pools/{pool}/members")
    def replace_members(self, request: Request, pool: str) -> Answer:
        """Make these, all of them, the members; with additive_only, take none away."""
        row = self.part(POOL, request.project, pool)
        body = request.parse({"type": "object", "required": ["members"]})
        with self.store.transaction():
            self.whose(request, row["loadbalancer_id"])
            left = {(each["address"], each["protocol_port"]): each for each in self.table(MEMBER).where(pool_id=pool)}
            for wanted in parts_of(body, "members"):
                values = MEMBER.values(wanted)
                known = left.pop((values["address"], values["protocol_port"]), None)
                if known is None:
                    self.add_member(row, wanted)
                else:
                    self.change(MEMBER, known, **{name: values[name] for name in wanted if name in values})
            if (request.one("additive_only") or "").lower() != "true":
                for each in left.values():
                    self.change(MEMBER, each, "PENDING_DELETE")
        return Answer(202)
