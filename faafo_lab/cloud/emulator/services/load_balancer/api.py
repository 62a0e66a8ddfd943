"""Load balancing (Octavia v2): the service."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import ClassVar, NoReturn

from faafo_lab.cloud.emulator.common import schema
from faafo_lab.cloud.emulator.common.service import JSON, Answer, Fault, Request, route
from faafo_lab.cloud.emulator.common.store import Row
from faafo_lab.cloud.emulator.services.load_balancer.changes import parts_of
from faafo_lab.cloud.emulator.services.load_balancer.kinds import (
    HEALTH_MONITOR,
    KINDS,
    LISTENER,
    LOAD_BALANCER,
    MEMBER,
    POOL,
    PROVIDER,
    Kind,
)
from faafo_lab.cloud.emulator.services.load_balancer.members import Members

_BY_PLURAL = {kind.plural: kind for kind in KINDS if kind is not MEMBER}
VERSIONS = ("v2.0", "v2.5", "v2.10", "v2.12")
"""Those whose additions are all here: tags, HTTP/1.1 checks, additive batches, allowed CIDRs."""
UPDATED = "2019-08-01T00:00:00Z"


class LoadBalancing(Members):
    """The load-balancer service."""

    prefix, type, name = "/load-balancer", "load-balancer", "octavia"
    malformed = "Invalid input: the body is not a JSON object."
    choices: ClassVar[Mapping[str, tuple[str, ...]]] = {"plural": tuple(_BY_PLURAL)}

    def path(self, path: str) -> str:
        """Both /v2 and /v2.0 are spoken."""
        return re.sub(r"^/v2\.0(?=/|$)", "/v2", super().path(path))

    # Versions, providers

    @route("GET", "/", open=True)
    def versions(self, request: Request) -> JSON:
        """Which versions there are."""
        link = {"rel": "self", "href": f"{self.url}/v2"}
        status = {id: "CURRENT" if id == VERSIONS[-1] else "SUPPORTED" for id in VERSIONS}
        return {"versions": [{"id": id, "status": status[id], "updated": UPDATED, "links": [link]} for id in VERSIONS]}

    @route("GET", "/v2", open=True)
    def version(self, request: Request) -> JSON:
        """The same below the version, where some clients look."""
        return self.versions(request)

    @route("GET", "/v2/lbaas/providers")
    def providers(self, request: Request) -> JSON:
        """The one provider."""
        return {"providers": [{"name": PROVIDER, "description": "The embedded cloud's load balancer."}]}

    @route("GET", "/v2/lbaas/flavors")
    @route("GET", "/v2/lbaas/availabilityzones")
    @route("GET", "/v2/lbaas/l7policies")
    def nothing(self, request: Request) -> JSON:
        """What there could be, and is none of."""
        kind = request.path.rsplit("/", 1)[1]
        return {"availability_zones" if kind == "availabilityzones" else kind: []}

    @route("POST", "/v2/lbaas/l7policies")
    def no_policies(self, request: Request) -> NoReturn:
        """Policies of layer 7 are not there: every project's quota of them is 0."""
        raise Fault(403, "Quota has been met for resources: L7policy (the embedded cloud has none)")

    @route("PUT", "/v2/lbaas/quotas/{id}")
    @route("DELETE", "/v2/lbaas/quotas/{id}")
    @route("PUT", "/v2/lbaas/loadbalancers/{id}/failover")
    @route("GET", "/v2/octavia/amphorae")
    @route("GET", "/v2/lbaas/flavorprofiles")
    def for_administrators(self, request: Request, id: str = "") -> NoReturn:
        """What an ordinary user may not do."""
        raise Fault(403, "Policy does not allow this request to be performed.")

    # All kinds but members

    def _kind(self, plural: str) -> Kind:
        if plural not in _BY_PLURAL:
            raise Fault(404, "The resource could not be found.")
        return _BY_PLURAL[plural]

    @route("GET", "/v2/lbaas/{plural}")
    def index(self, request: Request, plural: str) -> JSON:
        """List."""
        kind = self._kind(plural)
        return self.listed(request, kind, self.table(kind))

    @route("GET", "/v2/lbaas/{plural}/{id}")
    def show(self, request: Request, plural: str, id: str) -> JSON:
        """Show."""
        kind = self._kind(plural)
        return {kind.key: self.view(kind, self.part(kind, request.project, id))}

    @route("POST", "/v2/lbaas/{plural}")
    def create(self, request: Request, plural: str) -> Answer:
        """Create, with all that the body has below it."""
        kind = self._kind(plural)
        body = self.parse_part(request, kind.key)
        if any(body.get(name) not in (None, request.project) for name in ("project_id", "tenant_id")):
            raise Fault(403, "Policy does not allow this request to be performed.")
        with self.checked(), self.store.transaction():
            if kind is LOAD_BALANCER:
                row = self._new_balancer(request, body)
                return Answer(
                    201, {kind.key: self.full(row) if {"listeners", "pools"} & set(body) else self.view(kind, row)}
                )
            if kind is LISTENER:
                row = self.add_listener(self.whose(request, body.get("loadbalancer_id")), body)
            elif kind is POOL:
                row = self._new_pool(request, body)
            else:
                pool = self.part(POOL, request.project, HEALTH_MONITOR.values(body)["pool_id"])
                self.whose(request, pool["loadbalancer_id"])
                row = self.add_monitor(pool, body)
            return Answer(201, {kind.key: self.view(kind, row)})

    def _new_pool(self, request: Request, body: JSON) -> Row:
        listener = None
        if body.get("listener_id") is not None:
            listener = self.part(LISTENER, request.project, str(body["listener_id"]))
        balancer = self.whose(request, listener["loadbalancer_id"] if listener else body.get("loadbalancer_id"))
        return self.add_pool(balancer, body, listener)

    def _new_balancer(self, request: Request, body: JSON) -> Row:
        values = LOAD_BALANCER.values(body)
        if values["provider"] not in (PROVIDER, "amphora"):
            raise Fault(400, f"Provider {schema.shown(values['provider'])} is not enabled.")
        row = self.new(LOAD_BALANCER, request.project, "", values)
        row = self.table(LOAD_BALANCER).update(row["id"], **self._vip(request, row))
        for pool in parts_of(body, "pools"):
            self.add_pool(row, pool)
        for listener in parts_of(body, "listeners"):
            self.add_listener(row, listener)
        self.busy(row["id"])
        return self.table(LOAD_BALANCER)[row["id"]]

    def _vip(self, request: Request, row: Row) -> JSON:
        """The address: on a port of the client's, or on a new one."""
        network = self.network
        subnet = self.subnet(request.project, row["vip_subnet_id"]) if row["vip_subnet_id"] else None
        try:
            if row["vip_port_id"] is not None:
                port = network.ports.own(request, row["vip_port_id"])
                others = [
                    each for each in self.table(LOAD_BALANCER).where(vip_port_id=port["id"]) if each["id"] != row["id"]
                ]
                if port["device_owner"] or others or not port["fixed_ips"]:
                    raise Fault(409, f"Port {port['id']} is in use, or has no address.")
                port = network.ports.touch(port["id"], status="ACTIVE")
            else:
                id = subnet["network_id"] if subnet else row["vip_network_id"]
                if id is None:
                    raise Fault(400, "Validation failure: VIP must contain one of: vip_port_id, vip_network_id, "
                                     "vip_subnet_id.")  # fmt: skip
                network.networks.find(request, id)
                fixed = {"subnet_id": subnet["id"]} if subnet else {}
                if row["vip_address"] is not None:
                    fixed["ip_address"] = row["vip_address"]
                values = {name: each.default for name, each in network.ports.attributes.items()}
                values |= {"name": f"octavia-lb-{row['id']}", "network_id": id, "security_groups": [],
                           "fixed_ips": [fixed]}  # fmt: skip
                owned = {"device_id": f"lb-{row['id']}", "device_owner": "Octavia", "status": "ACTIVE"}
                port = network.ports.plug(request.project, values, owned)
        except Fault as fault:
            raise Fault(fault.status if fault.status != 404 else 400, fault.message) from None
        ip = port["fixed_ips"][0]
        return {
            "vip_port_id": port["id"],
            "vip_address": ip["ip_address"],
            "vip_subnet_id": ip["subnet_id"],
            "vip_network_id": port["network_id"],
            "own_port": row["vip_port_id"] is None,
            "provider": PROVIDER,
        }

    @route("PUT", "/v2/lbaas/{plural}/{id}")
    def update(self, request: Request, plural: str, id: str) -> JSON:
        """Change."""
        kind = self._kind(plural)
        return {kind.key: self.update_part(request, kind, self.part(kind, request.project, id))}

    @route("DELETE", "/v2/lbaas/{plural}/{id}")
    def delete(self, request: Request, plural: str, id: str) -> Answer:
        """Delete; a load balancer with all its parts where cascade is true."""
        kind = self._kind(plural)
        row = self.part(kind, request.project, id)
        with self.store.transaction():
            self.whose(request, id if kind is LOAD_BALANCER else row["loadbalancer_id"])
            if kind is POOL:
                self.drop_pool(row)
                return Answer(204)
            if kind is LOAD_BALANCER:
                parts = [(each, part) for each in KINDS[1:] for part in self.table(each).where(loadbalancer_id=id)]
                if parts and (request.one("cascade") or "").lower() != "true":
                    raise Fault(400, f"Cannot delete Load Balancer {id} - it has children")
                for each, part in parts:
                    self.table(each).update(part["id"], provisioning_status="PENDING_DELETE")
            self.change(kind, row, "PENDING_DELETE")
        return Answer(204)

    # Statuses and figures

    @route("GET", "/v2/lbaas/loadbalancers/{id}/status")
    @route("GET", "/v2/lbaas/loadbalancers/{id}/statuses")
    def statuses(self, request: Request, id: str) -> JSON:
        """All statuses of a load balancer, as a tree."""
        return {"statuses": {"loadbalancer": self.tree(self.part(LOAD_BALANCER, request.project, id))}}

    @route("GET", "/v2/lbaas/loadbalancers/{id}/stats")
    def balancer_stats(self, request: Request, id: str) -> JSON:
        """What has passed through a load balancer."""
        self.part(LOAD_BALANCER, request.project, id)
        return {"stats": self.stats(self.table(LISTENER).where(loadbalancer_id=id))}

    @route("GET", "/v2/lbaas/listeners/{id}/stats")
    def listener_stats(self, request: Request, id: str) -> JSON:
        """What has passed through a listener."""
        return {"stats": self.stats([self.part(LISTENER, request.project, id)])}
