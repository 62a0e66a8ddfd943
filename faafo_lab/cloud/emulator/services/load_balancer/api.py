"""Load balancing (Octavia v2): the service, which puts its parts together; its words, versions and providers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import ClassVar, NoReturn

from faafo_lab.cloud.emulator.common.quotas import Quotas
from faafo_lab.cloud.emulator.common.service import JSON, Fault, Request, Service, route
from faafo_lab.cloud.emulator.common.token import Tokens
from faafo_lab.cloud.emulator.services.load_balancer.base import PREFIX, Collection
from faafo_lab.cloud.emulator.services.load_balancer.changes import Changes
from faafo_lab.cloud.emulator.services.load_balancer.kinds import KINDS, PROVIDER
from faafo_lab.cloud.emulator.services.load_balancer.parts import TOP, Parts
from faafo_lab.cloud.emulator.services.network.api import Network
from faafo_lab.cloud.emulator.site import Site

# Those whose additions are all here: tags, HTTP/1.1 checks, additive batches, allowed CIDRs
VERSIONS = ("v2.0", "v2.5", "v2.10", "v2.12")
UPDATED = "2019-08-01T00:00:00Z"
QUOTAS = {"load_balancer": 10, "listener": 50, "pool": 50, "member": 200, "health_monitor": 50}
_OVER = "Quota has been met for resources: {}"
_TITLES = {kind.name: kind.title for kind in KINDS}


class LoadBalancing(Service):
    """The load-balancer service."""

    prefix, type, name = PREFIX, "load-balancer", "octavia"
    malformed = "Invalid input: the body is not a JSON object."
    PARTS = (Parts,)
    choices: ClassVar[Mapping[str, tuple[str, ...]]] = {"plural": TOP}
    QUOTAS = QUOTAS
    ADDRESSES: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "load_balancer": ("vip_address",),
        "listener": ("allowed_cidrs",),
        "member": ("address", "monitor_address"),
    }

    def __init__(self, site: Site, tokens: Tokens, network: Network) -> None:
        super().__init__(site, tokens)
        self._quotas = Quotas(site, QUOTAS, lambda overs: Fault(403, _OVER.format(_TITLES[overs[0].name])))
        collection = Collection(site, self._quotas)
        self._changes = changes = Changes(site, collection, network)
        self.begin, self.close = changes.begin, changes.close
        self.parts = Parts(collection, changes)

    def setup(self) -> None:
        """Finish what was going on when the emulator ended."""
        self._changes.setup()

    def error(self, fault: Fault) -> JSON:
        """Octavia's form: {"faultcode", "faultstring", "debuginfo"}."""
        code = "Client" if fault.status < 500 else "Server"
        return {"faultcode": code, "faultstring": fault.message, "debuginfo": None}

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
        raise Fault(403, _OVER.format("L7policy (the embedded cloud has none)"))

    @route("GET", "/v2/lbaas/quotas/{id}")
    @route("GET", "/v2/lbaas/quotas/{id}/default")
    def quota(self, request: Request, id: str) -> JSON:
        """How much a project may have."""
        if id not in (request.project, "defaults"):
            self.for_administrators(request)
        return {"quota": {**self._quotas.limits(), "l7policy": 0, "l7rule": 0}}

    @route("PUT", "/v2/lbaas/quotas/{id}")
    @route("DELETE", "/v2/lbaas/quotas/{id}")
    @route("PUT", "/v2/lbaas/loadbalancers/{id}/failover")
    @route("GET", "/v2/octavia/amphorae")
    @route("GET", "/v2/lbaas/flavorprofiles")
    def for_administrators(self, request: Request, id: str = "") -> NoReturn:
        """What an ordinary user may not do."""
        raise Fault(403, "Policy does not allow this request to be performed.")
