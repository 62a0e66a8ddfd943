"""Block storage (Cinder 3.0 to 3.70): the service, which puts its parts together; its words and its microversion."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import ClassVar

from faafo_lab.cloud.emulator.common.quotas import Quotas
from faafo_lab.cloud.emulator.common.service import JSON, Answer, Fault, Found, Request, Service, nova_error, route
from faafo_lab.cloud.emulator.common.token import Tokens
from faafo_lab.cloud.emulator.common.versions import asked, shown
from faafo_lab.cloud.emulator.services.block_storage import versions
from faafo_lab.cloud.emulator.services.block_storage.actions import VolumeActions
from faafo_lab.cloud.emulator.services.block_storage.attachments import Attachments
from faafo_lab.cloud.emulator.services.block_storage.backups import Backups
from faafo_lab.cloud.emulator.services.block_storage.base import PREFIX, Collection
from faafo_lab.cloud.emulator.services.block_storage.mounts import Mounts
from faafo_lab.cloud.emulator.services.block_storage.quotas import QUOTAS, QuotaSets, refusal, used
from faafo_lab.cloud.emulator.services.block_storage.resources import Resources
from faafo_lab.cloud.emulator.services.block_storage.stock import Stock
from faafo_lab.cloud.emulator.services.block_storage.transfers import Transfers
from faafo_lab.cloud.emulator.services.block_storage.types import Types
from faafo_lab.cloud.emulator.services.block_storage.volumes import Volumes
from faafo_lab.cloud.emulator.services.image.api import Image
from faafo_lab.cloud.emulator.services.object_store.api import ObjectStore
from faafo_lab.cloud.emulator.site import Site

PROJECT = re.compile(r"[0-9a-f]{32}")  # an id


class Volume(Service):
    """The block storage service. Its paths have the project's id, /v3/PROJECT/volumes, or, since 3.67, may have it."""

    prefix, type, name, endpoint = PREFIX, "volumev3", "cinderv3", "/v3/{project}"
    aliases = (("block-storage", "cinder"),)
    PARTS = (Volumes, VolumeActions, Attachments, Backups, Transfers, Resources, Types, QuotaSets)
    choices: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "kind": tuple(path for kind in Collection.__subclasses__() for path in kind.paths)
    }
    QUOTAS = QUOTAS

    def __init__(
        self, site: Site, tokens: Tokens, images: Image, store: ObjectStore, console: Callable[[str, str], None]
    ) -> None:
        """`console` writes a line on an instance's console."""
        super().__init__(site, tokens)
        self.mounts = Mounts(site, console)
        stock = Stock(site, Quotas(site, QUOTAS, refusal, used(site.store)), images, store)
        self.life, self.volumes = stock.life, Volumes(stock)
        self.volume = stock.volumes.find  # what Nova asks for: the project's volume, or a 404 `Fault`
        self.discard = self.volumes.discard  # and what it asks for when a server takes a volume along
        self.actions, self.backups = VolumeActions(stock, self.volumes), Backups(stock, self.volumes)
        self.attachments, self.transfers = Attachments(stock), Transfers(stock)
        kinds = (stock.volumes, stock.snapshots, stock.backups, self.attachments.all, self.transfers.all)
        self.resources = Resources(*kinds)
        self.types, self.quota_sets = Types(stock), QuotaSets(stock)

    def setup(self) -> None:
        """Make the places of volumes and snapshots."""
        self.life.setup()

    # Words, paths and versions

    def error(self, fault: Fault) -> JSON:
        """Cinder's form, which is Nova's."""
        return nova_error(fault)

    def path(self, path: str) -> str:
        """A slash at the end of a resource's path would be a resource without an id: there is none."""
        return path.rstrip("/") or "/" if path.count("/") <= 2 else path

    def find(self, method: str, path: str) -> Found:
        """The route; the project in the path is no part of it for the handlers, and may be missing."""
        _, version, *rest = path.split("/")
        if rest and not PROJECT.fullmatch(rest[0]):
            path = "/".join(("", version, "-", *rest))
        found = super().find(method, path)
        found.values.pop("project", None)
        return found

    def authenticate(self, request: Request) -> None:
        """The path's project must be the token's, where it has one; 3.67 says so, and every version has it."""
        super().authenticate(request)
        project = request.path.split("/")[2]
        if PROJECT.fullmatch(project) and project != request.project:
            raise Fault(400, "Malformed request url")

    def answer_headers(self, request: Request) -> dict[str, str]:
        """Every answer says which microversion it is of."""
        return {
            "Openstack-Api-Version": f"volume {shown(request.version)}",
            "Vary": "OpenStack-API-Version",
            "X-Openstack-Request-Id": request.id,
            "X-Compute-Request-Id": request.id,
        }

    def negotiate(self, request: Request) -> None:
        """Find the microversion. Raises a 400 or 406 `Fault`."""
        request.version = versions.OLDEST
        request.version = asked(request.headers, "volume", versions.OLDEST, versions.NEWEST, None)

    @route("GET", "/", open=True)
    @route("GET", "/v3", open=True)
    def versions(self, request: Request) -> Answer:
        """Which versions there are: one, and its microversions."""
        version = {
            "id": "v3.0",
            "status": "CURRENT",
            "version": shown(versions.NEWEST),
            "min_version": shown(versions.OLDEST),
            "updated": "2023-08-31T00:00:00Z",
            "links": [
                {"rel": "describedby", "type": "text/html", "href": "https://docs.openstack.org/"},
                {"rel": "self", "href": f"{self.url}/v3/"},
            ],
            "media-types": [{"base": "application/json", "type": "application/vnd.openstack.volume+json;version=3"}],
        }
        return Answer(300 if request.path == "/" else 200, {"versions": [version]})
