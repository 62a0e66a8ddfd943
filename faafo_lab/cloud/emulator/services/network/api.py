"""Network (Neutron v2.0): the service.

Each project starts with a network `private` (its subnet is one of the embedded cloud's /24), a router, and the network
`public` that floating IPs come from. Each kind of resource has a module; `base` has what they share, and `plugs` says
what all of it means for the switch. Source: https://docs.openstack.org/api-ref/network/v2/
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import ClassVar

from faafo_lab.cloud.emulator.common.service import JSON, Answer, Fault, Request, Service, route
from faafo_lab.cloud.emulator.common.store import Row
from faafo_lab.cloud.emulator.common.token import Tokens
from faafo_lab.cloud.emulator.machinery.switch.switch import Switch
from faafo_lab.cloud.emulator.services.network import initial
from faafo_lab.cloud.emulator.services.network.base import Collection
from faafo_lab.cloud.emulator.services.network.extensions import Extensions
from faafo_lab.cloud.emulator.services.network.floating import FloatingIps
from faafo_lab.cloud.emulator.services.network.networks import Networks
from faafo_lab.cloud.emulator.services.network.plugs import plugs
from faafo_lab.cloud.emulator.services.network.ports import Ports
from faafo_lab.cloud.emulator.services.network.quotas import QUOTAS, QuotaSets
from faafo_lab.cloud.emulator.services.network.routers import Routers
from faafo_lab.cloud.emulator.services.network.security import SecurityGroupRules, SecurityGroups
from faafo_lab.cloud.emulator.services.network.sharing import AddressGroups, AddressScopes, RbacPolicies
from faafo_lab.cloud.emulator.services.network.subnetpools import SubnetPools
from faafo_lab.cloud.emulator.services.network.subnets import Subnets
from faafo_lab.cloud.emulator.services.network.tags import Tags
from faafo_lab.cloud.emulator.services.network.topologies import Topologies
from faafo_lab.cloud.emulator.services.network.words import refused
from faafo_lab.cloud.emulator.site import Site

APPLY_REST = 9  # times as long as it took, before the switch is told again: many changes cost no more than their number

KINDS = tuple(Collection.__subclasses__())  # every kind that is imported above


class Network(Service):
    """The network service."""

    prefix, type, name = "/networking", "network", "neutron"
    PARTS = (*KINDS, Tags, Topologies, Extensions, QuotaSets)
    choices: ClassVar[Mapping[str, tuple[str, ...]]] = {"kind": tuple(kind.path() for kind in KINDS)}
    QUOTAS = QUOTAS
    ADDRESSES: ClassVar[Mapping[str, tuple[str, ...]]] = {kind.name: kind.addressed for kind in KINDS}
    malformed = (
        "The server could not comply with the request since it is either malformed or otherwise incorrect."
        " (Cannot understand JSON)"
    )

    def __init__(self, site: Site, tokens: Tokens, sockets: Callable[[str], Path | None]) -> None:
        """`sockets` says where an instance's ports are; None where there is nothing to connect to."""
        super().__init__(site, tokens)
        self.sockets = sockets
        self._switch: Switch | None = None
        self.quotas = QuotaSets(site)
        self.networks = Networks(self)
        self.subnets = Subnets(self)
        self.subnet_pools = SubnetPools(self)
        self.ports = Ports(self)
        self.routers = Routers(self)
        self.groups = SecurityGroups(self)
        self.rules = SecurityGroupRules(self)
        self.floating_ips = FloatingIps(self)
        self.policies = RbacPolicies(self)
        self.address_scopes = AddressScopes(self)
        self.address_groups = AddressGroups(self)
        kinds = [each for each in vars(self).values() if isinstance(each, Collection)]
        self.collections = {kind.path(): kind for kind in kinds}
        self.tags = Tags(self.collection)
        self.topologies, self.extensions = Topologies(self), Extensions()
        self._applying: asyncio.Handle | None = None
        self._apply_at = 0.0  # by the loop's clock
        watched = {"port", "floatingip", "security_group", "security_group_rule", "address_group"}
        self.store.watch(watched, self.changed)

    def setup(self) -> None:
        """Make what every embedded cloud has, where the state is new."""
        with self.store.transaction():
            initial.make(self)

    # The switch

    def begin(self, switch: Switch) -> None:
        """Have the switch follow from now on."""
        self._switch = switch
        self.apply()

    def changed(self) -> None:
        """Have the switch follow: at once, or, where many changes come, as often as a tenth of the time allows."""
        if self._applying is None and self.site.running:
            loop = asyncio.get_running_loop()
            self._applying = loop.call_at(max(loop.time(), self._apply_at), self.apply)

    def apply(self) -> None:
        """Tell the switch what should be."""
        self._applying = None
        if self._switch is None or not self.site.running:
            return
        begun = time.monotonic()
        self._switch.apply(plugs(self))
        took = time.monotonic() - begun
        self._apply_at = asyncio.get_running_loop().time() + took * APPLY_REST

    # What other services ask

    def taken(self, network: str | None = None) -> set[str]:
        """Every address that somebody has; of those that are not this cloud's own, only the network's."""
        own = self.site.block(0).removesuffix("0")
        fixed = {
            ip["ip_address"]
            for port in self.ports.table
            for ip in port["fixed_ips"]
            if network in (None, port["network_id"]) or ip["ip_address"].startswith(own)
        }
        return fixed | self.floating_ips.addresses()

    def ports_of(self, server: str) -> list[Row]:
        """An instance's ports, in the order in which it got them."""
        return [row for row in self.ports.table.where(device_id=server) if row["device_owner"].startswith("compute:")]

    def ports_by_server(self) -> dict[str, list[Row]]:
        """All instances' ports: one pass for a whole list of servers."""
        found: dict[str, list[Row]] = {}
        for row in self.ports.table:
            if row["device_owner"].startswith("compute:"):
                found.setdefault(row["device_id"], []).append(row)
        return found

    def addresses(self, ports: list[Row]) -> JSON:
        """The `addresses` of a server with these ports, as Nova shows them."""
        found: dict[str, list[JSON]] = {}
        for port in ports:
            name = self.networks.table[port["network_id"]]["name"]
            floating = self.floating_ips.listed_by_nova(port["id"])
            for ip in port["fixed_ips"]:
                pairs = [(ip["ip_address"], "fixed")]
                pairs += [(row["floating_ip_address"], "floating") for row in floating
                          if row["fixed_ip_address"] == ip["ip_address"]]  # fmt: skip
                found.setdefault(name, []).extend(
                    {
                        "version": 6 if ":" in addr else 4,
                        "addr": addr,
                        "OS-EXT-IPS:type": type,
                        "OS-EXT-IPS-MAC:mac_addr": port["mac_address"],
                    }
                    for addr, type in pairs
                )
        return found

    # Words

    def error(self, fault: Fault) -> JSON:
        """Neutron's form: {"NeutronError": {"type", "message", "detail"}}."""
        return {"NeutronError": {"type": fault.type or "HTTPBadRequest", "message": fault.message, "detail": ""}}

    def path(self, path: str) -> str:
        """Every path may end in .json."""
        return super().path(path).removesuffix(".json")

    # Versions

    def _version(self) -> JSON:
        link = {"rel": "self", "href": f"{self.url}/v2.0/"}
        return {"id": "v2.0", "status": "CURRENT", "links": [link]}

    @route("GET", "/", open=True)
    def versions(self, request: Request) -> JSON:
        """Which versions there are."""
        return {"versions": [self._version()]}

    @route("GET", "/v2.0")
    def version(self, request: Request) -> JSON:
        """Which resources there are."""
        kinds = [
            {
                "name": kind.name,
                "collection": kind.plural,
                "links": [{"rel": "self", "href": f"{self.url}/v2.0/{path}"}],
            }
            for path, kind in self.collections.items()
        ]
        return {"resources": kinds}

    # The resources

    def collection(self, kind: str) -> Collection:
        """The resources of a kind, by the word that paths have for it. Raises a 404 `Fault`."""
        if kind not in self.collections:
            raise refused("HTTPNotFound", "The resource could not be found.")
        return self.collections[kind]

    @route("GET", "/v2.0/{kind}")
    def index(self, request: Request, kind: str) -> JSON:
        """List."""
        return self.collection(kind).index(request)

    @route("POST", "/v2.0/{kind}")
    def create(self, request: Request, kind: str) -> Answer:
        """Create one or several."""
        return self.collection(kind).create(request)

    @route("GET", "/v2.0/{kind}/{id}")
    def show(self, request: Request, kind: str, id: str) -> JSON:
        """Show."""
        return self.collection(kind).show(request, id)

    @route("PUT", "/v2.0/{kind}/{id}")
    def update(self, request: Request, kind: str, id: str) -> JSON:
        """Change."""
        return self.collection(kind).update(request, id)

    @route("DELETE", "/v2.0/{kind}/{id}")
    def delete(self, request: Request, kind: str, id: str) -> Answer:
        """Delete."""
        return self.collection(kind).delete(request, id)
