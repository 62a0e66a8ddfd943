"""Compute (Nova 2.1 to 2.93): the service, which puts its parts together; its words, zones and extensions."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, NoReturn

from faafo_lab.cloud.emulator.common.quotas import Quotas
from faafo_lab.cloud.emulator.common.service import JSON, Fault, Found, Request, Service, nova_error, route
from faafo_lab.cloud.emulator.common.token import Tokens
from faafo_lab.cloud.emulator.machinery.hypervisor.client import Hypervisor
from faafo_lab.cloud.emulator.machinery.metadata.api import Node
from faafo_lab.cloud.emulator.services.block_storage.api import Volume
from faafo_lab.cloud.emulator.services.compute import states, versions
from faafo_lab.cloud.emulator.services.compute.actions import Actions, InstanceActions, Rebuilding, SmallActions
from faafo_lab.cloud.emulator.services.compute.attachments import Attachments
from faafo_lab.cloud.emulator.services.compute.base import PREFIX, check_query, denied
from faafo_lab.cloud.emulator.services.compute.flavors import Flavors
from faafo_lab.cloud.emulator.services.compute.interfaces import Interfaces
from faafo_lab.cloud.emulator.services.compute.keypairs import UserKeys
from faafo_lab.cloud.emulator.services.compute.proxies import Proxies
from faafo_lab.cloud.emulator.services.compute.quotas import QUOTAS, QuotaSets, refusal, used
from faafo_lab.cloud.emulator.services.compute.server_groups import ServerGroups
from faafo_lab.cloud.emulator.services.compute.server_metadata import ServerMetadata, ServerTags
from faafo_lab.cloud.emulator.services.compute.servers import Servers
from faafo_lab.cloud.emulator.services.compute.snapshots import Snapshots
from faafo_lab.cloud.emulator.services.compute.usage import Usage
from faafo_lab.cloud.emulator.services.image.api import Image
from faafo_lab.cloud.emulator.services.network.api import Network
from faafo_lab.cloud.emulator.site import Site


class Compute(Service):
    """The compute service."""

    prefix, type, name, endpoint = PREFIX, "compute", "nova", "/v2.1"
    PARTS = (
        *(Servers, ServerMetadata, ServerTags, Actions, SmallActions, Interfaces, Attachments, InstanceActions),
        *(Flavors, UserKeys, ServerGroups, QuotaSets, Usage, Proxies),
    )
    QUOTAS = QUOTAS
    ADDRESSES: ClassVar[Mapping[str, tuple[str, ...]]] = {"server": ("networks", "access_ipv4")}

    def __init__(
        self, site: Site, tokens: Tokens, network: Network, images: Image, volumes: Volume, hypervisor: Hypervisor
    ) -> None:
        super().__init__(site, tokens)
        quotas = Quotas(site, QUOTAS, refusal, used(site.store))
        self.servers = servers = Servers(site, network, images, volumes, hypervisor, quotas)
        self.life = servers.life
        self.quota_sets, self.flavors = QuotaSets(quotas), Flavors(servers.links, site.shares)
        self.small, self.interfaces, self.attachments = SmallActions(servers), Interfaces(servers), Attachments(servers)
        self.actions = Actions(servers, self.small, self.interfaces, Rebuilding(servers), Snapshots(servers))
        self.metadata, self.tags, self.groups = ServerMetadata(servers), ServerTags(servers), ServerGroups(servers)
        self.instance_actions, self.keys, self.proxies = InstanceActions(servers), UserKeys(servers), Proxies(servers)
        self.usage = Usage(servers)
        self.store.watch({"server"}, network.changed)

    def setup(self) -> None:
        """Make the place of the instances."""
        self.life.setup()

    # What others ask of an instance

    def told(self, id: str) -> Node | None:
        """All that a server's metadata address tells it; None where it is not there."""
        row = self.life.servers.get(id)
        return None if row is None else self.life.guests.told(row)

    def exists(self, id: str) -> bool:
        """Whether there is a server of this id."""
        return self.life.servers.get(id) is not None

    def sockets(self, id: str) -> Path | None:
        """Where the ports of an instance are; None where there is nothing to connect to."""
        row = self.life.servers.get(id)
        return self.life.hypervisor.ports_dir(id) if row is not None and row["vm_state"] in states.CONNECTED else None

    # Words and versions

    def error(self, fault: Fault) -> JSON:
        """Nova's form: {"itemNotFound": {"code", "message"}}."""
        return nova_error(fault)

    def answer_headers(self, request: Request) -> dict[str, str]:
        """Every answer says which microversion it is of."""
        version = versions.shown(request.version)
        return {
            "Openstack-Api-Version": f"compute {version}",
            "X-Openstack-Nova-Api-Version": version,
            "Vary": "OpenStack-API-Version, X-OpenStack-Nova-API-Version",
            "X-Openstack-Request-Id": request.id,
            "X-Compute-Request-Id": request.id,
        }

    def no_method(self, request: Request) -> NoReturn:
        """A collection is not deleted: as in Nova, an id is missing."""
        if request.method == "DELETE":
            self.no_resource(request)
        super().no_method(request)

    def negotiate(self, request: Request) -> None:
        """The microversion that the headers ask for. Raises a 400 or 406 `Fault`."""
        request.version = versions.OLDEST
        if not _is_old(request.path):
            request.version = versions.asked(request.headers)
        if request.version in versions.STRICT and request.method == "GET":
            check_query(request)

    def find(self, method: str, path: str) -> Found:
        """Nova's old v2 has the same operations, without microversions."""
        return super().find(method, "/v2.1" + path[3:] if _is_old(path) else path)

    def _version(self) -> JSON:
        return {
            "id": "v2.1",
            "status": "CURRENT",
            "version": versions.shown(versions.NEWEST),
            "min_version": versions.shown(versions.OLDEST),
            "updated": "2013-07-23T11:33:21Z",
            "links": [{"rel": "self", "href": f"{self.url}/v2.1/"}],
        }

    def _old_version(self) -> JSON:
        return {
            "id": "v2.0",
            "status": "SUPPORTED",
            "version": "",
            "min_version": "",
            "updated": "2011-01-21T11:33:21Z",
            "links": [{"rel": "self", "href": f"{self.url}/v2/"}],
        }

    @route("GET", "/", open=True)
    def versions(self, request: Request) -> JSON:
        """Which versions there are."""
        return {"versions": [self._old_version(), self._version()]}

    @route("GET", "/v2.1", open=True)
    def version(self, request: Request) -> JSON:
        """The version that the path names."""
        found = self._old_version() if _is_old(request.path) else self._version()
        kind = f"application/vnd.openstack.compute+json;version={found['id'][1:]}"
        return {"version": {**found, "media-types": [{"base": "application/json", "type": kind}]}}

    # What the cloud is made of

    @route("GET", "/v2.1/os-availability-zone")
    def zones(self, request: Request) -> JSON:
        """The one availability zone."""
        return {"availabilityZoneInfo": [{"zoneName": "nova", "zoneState": {"available": True}, "hosts": None}]}

    @route("GET", "/v2.1/os-availability-zone/detail")
    @route("GET", "/v2.1/os-aggregates")
    @route("GET", "/v2.1/os-hypervisors")
    @route("GET", "/v2.1/os-hypervisors/detail")
    @route("GET", "/v2.1/os-services")
    @route("GET", "/v2.1/os-migrations")
    @route("POST", "/v2.1/os-aggregates")
    @route("POST", "/v2.1/flavors")
    def machines(self, request: Request) -> JSON:
        """What the cloud is made of, which only an administrator may see and change."""
        kind, _, detail = request.path.split("/", 2)[2].partition("/")
        rules = {"os-availability-zone": "detail", "os-aggregates": "index", "os-migrations": "index"}
        rule = rules.get(kind, "list-detail" if detail else "list")
        if request.method == "POST":
            kind, rule = kind.replace("flavors", "os-flavor-manage"), "create"
        raise denied(f"os_compute_api:{kind}:{rule}")

    @route("GET", "/v2.1/extensions")
    def extensions(self, request: Request) -> JSON:
        """Nova's extensions are history: only those that clients still look for."""
        found = {
            "Keypairs": "os-keypairs",
            "Quotas": "os-quota-sets",
            "SecurityGroups": "os-security-groups",
            "FloatingIps": "os-floating-ips",
            "FloatingIpPools": "os-floating-ip-pools",
            "ServerGroups": "os-server-groups",
            "InstanceActions": "os-instance-actions",
            "SimpleTenantUsage": "os-simple-tenant-usage",
            "ImageSize": "image-size",
        }
        return {
            "extensions": [
                {
                    "alias": alias,
                    "description": name,
                    "links": [],
                    "name": name,
                    "namespace": "http://docs.openstack.org/compute/ext/fake_xml",
                    "updated": "2014-12-03T00:00:00Z",
                }
                for name, alias in found.items()
            ]
        }


def _is_old(path: str) -> bool:
    return path == "/v2" or path.startswith("/v2/")
