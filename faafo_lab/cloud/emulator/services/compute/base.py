"""What all of Nova's operations have in common: its words, its microversions, pages, links, and quotas."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar
from urllib.parse import urlencode

from faafo_lab.cloud.emulator.common import schema
from faafo_lab.cloud.emulator.common.service import JSON, Fault, Found, Request, Service, nova_error, route
from faafo_lab.cloud.emulator.common.store import Row
from faafo_lab.cloud.emulator.common.token import Tokens
from faafo_lab.cloud.emulator.machinery.hypervisor.client import Hypervisor
from faafo_lab.cloud.emulator.services.block_storage.api import Volume
from faafo_lab.cloud.emulator.services.compute.flavors import FLAVORS, Flavor
from faafo_lab.cloud.emulator.services.compute.transitions import Transitions
from faafo_lab.cloud.emulator.services.image.api import Image
from faafo_lab.cloud.emulator.services.network.api import Network
from faafo_lab.cloud.emulator.site import Site

MIN_VERSION = (2, 1)
MAX_VERSION = (2, 60)
PAGE_MAX = 1000

QUOTAS = {
    "instances": 20,
    "cores": 40,
    "ram": 51_200,
    "key_pairs": 100,
    "metadata_items": 128,
    "server_groups": 10,
    "server_group_members": 10,
    "injected_files": 5,
    "injected_file_content_bytes": 10_240,
    "injected_file_path_bytes": 255,
    "fixed_ips": -1,
    "floating_ips": -1,  # these three are Neutron's to count
    "security_groups": -1,
    "security_group_rules": -1,
}


class Nova(Service):
    """The compute service, without its resources."""

    prefix, type, name, endpoint = "/compute", "compute", "nova", "/v2.1"

    QUOTAS = QUOTAS
    ADDRESSES: ClassVar[Mapping[str, tuple[str, ...]]] = {"server": ("networks", "access_ipv4")}

    def __init__(
        self, site: Site, tokens: Tokens, network: Network, images: Image, volumes: Volume, hypervisor: Hypervisor
    ) -> None:
        super().__init__(site, tokens)
        self.network, self.images, self.volumes, self.hypervisor = network, images, volumes, hypervisor
        self.servers = self.store.table("server")
        self.keys = self.store.table("keypair")
        self.life = Transitions(site, network, images, volumes.mounts, hypervisor)
        self.store.watch({"server"}, network.changed)

    # Words and versions

    def error(self, fault: Fault) -> JSON:
        """Nova's form: {"itemNotFound": {"code", "message"}}."""
        return nova_error(fault)

    def answer_headers(self, request: Request) -> dict[str, str]:
        """Every answer says which microversion it is of."""
        major, minor = request.version
        return {
            "Openstack-Api-Version": f"compute {major}.{minor}",
            "X-Openstack-Nova-Api-Version": f"{major}.{minor}",
            "Vary": "OpenStack-API-Version, X-OpenStack-Nova-API-Version",
            "X-Openstack-Request-Id": request.id,
            "X-Compute-Request-Id": request.id,
        }

    def negotiate(self, request: Request) -> None:
        """The microversion that the headers ask for; without a word, the oldest. Raises a 400 or 406 `Fault`."""
        request.version = MIN_VERSION
        if _is_old(request.path):
            return
        asked = request.headers.get("X-OpenStack-Nova-API-Version")
        for part in request.headers.get("OpenStack-API-Version", "").split(","):
            service, _, version = part.strip().partition(" ")
            if service == "compute" and version:
                asked = version.strip()
        if asked is None:
            return
        if asked == "latest":
            request.version = MAX_VERSION
            return
        if not re.fullmatch(r"[1-9]\d{0,5}\.(0|[1-9]\d{0,5})", asked):
            raise Fault(400, f"API Version String {asked} is of invalid format. Must be of format MajorNum.MinorNum.")
        major, minor = (int(number) for number in asked.split("."))
        if not MIN_VERSION <= (major, minor) <= MAX_VERSION:
            least, most = (f"{version[0]}.{version[1]}" for version in (MIN_VERSION, MAX_VERSION))
            raise Fault(
                406,
                f"Version {asked} is not supported by the API. Minimum is {least} and maximum is {most}.",
            )
        request.version = (major, minor)

    def _version(self) -> JSON:
        return {
            "id": "v2.1",
            "status": "CURRENT",
            "version": f"{MAX_VERSION[0]}.{MAX_VERSION[1]}",
            "min_version": f"{MIN_VERSION[0]}.{MIN_VERSION[1]}",
            "updated": "2013-07-23T11:33:21Z",
            "links": [{"rel": "self", "href": f"{self.url}/v2.1/"}],
        }

    @route("GET", "/", open=True)
    def versions(self, request: Request) -> JSON:
        """Which versions there are."""
        old = {
            "id": "v2.0",
            "status": "SUPPORTED",
            "version": "",
            "min_version": "",
            "updated": "2011-01-21T11:33:21Z",
            "links": [{"rel": "self", "href": f"{self.url}/v2/"}],
        }
        return {"versions": [old, self._version()]}

    def find(self, method: str, path: str) -> Found:
        """Nova's old v2 has the same operations, without microversions."""
        return super().find(method, "/v2.1" + path[3:] if _is_old(path) else path)

    @route("GET", "/v2.1", open=True)
    def version(self, request: Request) -> JSON:
        """The version that there is."""
        media = [{"base": "application/json", "type": "application/vnd.openstack.compute+json;version=2.1"}]
        return {"version": {**self._version(), "media-types": media}}

    def valid(self, value: Any, definition: schema.Schema) -> Any:
        """A part of a body, checked. Raises a 400 `Fault`."""
        try:
            schema.check(value, definition)
        except schema.Invalid as error:
            raise self.invalid(error) from None
        return value

    def _links(self, kind: str, id: str) -> list[JSON]:
        return [
            {"rel": "self", "href": f"{self.url}/v2.1/{kind}/{id}"},
            {"rel": "bookmark", "href": f"{self.url}/{kind}/{id}"},
        ]

    def _number(self, request: Request, name: str) -> int | None:
        try:
            return request.number(name)
        except ValueError as error:
            raise Fault(400, f"Invalid input for query parameters {name}: {error}.") from None

    def _page(self, rows: list[Any], request: Request) -> tuple[list[Any], list[JSON]]:
        """The rows after the marker, at most `limit`, and a link to the next page. Raises a 400 `Fault`."""
        limit, marker = self._number(request, "limit"), request.one("marker")
        start = 0
        if marker:
            ids = [row["id"] if isinstance(row, dict) else row.id for row in rows]
            if marker not in ids:
                raise Fault(400, f"marker [{marker}] not found")
            start = ids.index(marker) + 1
        end = start + min(PAGE_MAX if limit is None else limit, PAGE_MAX)
        page = rows[start:end]
        if not page or end >= len(rows):
            return page, []
        last = page[-1]["id"] if isinstance(page[-1], dict) else page[-1].id
        query = {**request.query, "marker": [last]}
        return page, [{"rel": "next", "href": f"{self.url}{request.path}?{urlencode(query, doseq=True)}"}]

    # Microversions

    def _until(self, request: Request, last: int | None) -> None:
        """An operation that microversion 2.`last` was the last to have (None: all). Raises a 404 `Fault`."""
        if last is not None and request.version > (2, last):
            raise Fault(404, "The resource could not be found.")

    def _since(self, request: Request, first: int) -> None:
        """An operation that microversion 2.`first` was the first to have. Raises a 404 `Fault`."""
        if request.version < (2, first):
            raise Fault(404, "The resource could not be found.")

    # Quotas

    def used(self, project: str) -> dict[str, int]:
        """How many instances, cores and MB a project has; a resize holds room for the larger flavor."""
        flavors = [FLAVORS[flavor_of(row)] for row in self.servers.where(project_id=project)]
        return {
            "instances": len(flavors),
            "cores": sum(flavor.vcpus for flavor in flavors),
            "ram": sum(flavor.ram_mb for flavor in flavors),
        }

    def _claim_resize(self, row: Row, flavor: Flavor) -> None:
        """Check that a server may have this flavor in place of its own. Raises a 403 `Fault`."""
        own, used = FLAVORS[row["flavor_id"]], self.used(row["project_id"])
        more = {"cores": flavor.vcpus - own.vcpus, "ram": flavor.ram_mb - own.ram_mb}
        over = [name for name, each in more.items() if each > 0 and 0 <= self.limit(name) < used[name] + each]
        if over:
            raise _over_quota(over, more, used, {name: self.limit(name) for name in over})

    def _claim(self, project: str, flavor: Flavor, least: int, most: int) -> int:
        """How many servers of a flavor the project may have now, `most` at most. Raises a 403 `Fault`."""
        need = {"instances": 1, "cores": flavor.vcpus, "ram": flavor.ram_mb}
        used = self.used(project)
        for count in range(most, 0, -1):
            over = [name for name, each in need.items() if 0 <= self.limit(name) < used[name] + each * count]
            if not over:
                return count
            if count == least:
                wanted = {name: each * count for name, each in need.items()}
                raise _over_quota(over, wanted, used, {name: self.limit(name) for name in over})
        return most


def _is_old(path: str) -> bool:
    return path == "/v2" or path.startswith("/v2/")


def flavor_of(row: Row) -> str:
    """The flavor that a server needs room for: while it is resized, the larger one."""
    ids: list[str] = [id for id in (row["flavor_id"], row.get("old_flavor_id"), row.get("new_flavor_id")) if id]
    return max(ids, key=lambda id: (FLAVORS[id].vcpus, FLAVORS[id].ram_mb))


def _over_quota(over: list[str], wanted: dict[str, int], used: dict[str, int], limits: dict[str, int]) -> Fault:
    return Fault(
        403,
        f"Quota exceeded for {', '.join(over)}: "
        f"Requested {', '.join(str(wanted[name]) for name in over)}, "
        f"but already used {', '.join(str(used[name]) for name in over)} "
        f"of {', '.join(str(limits[name]) for name in over)} {', '.join(over)}",
    )
