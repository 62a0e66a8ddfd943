"""Block storage (Cinder 3.0): the service, which puts its parts together; its words and its microversion."""

from __future__ import annotations

import re
from collections.abc import Callable

from faafo_lab.cloud.emulator.common.quotas import Quotas
from faafo_lab.cloud.emulator.common.service import JSON, Answer, Fault, Found, Request, Service, nova_error, route
from faafo_lab.cloud.emulator.common.token import Tokens
from faafo_lab.cloud.emulator.services.block_storage.actions import VolumeActions
from faafo_lab.cloud.emulator.services.block_storage.base import PREFIX, AllSnapshots, AllVolumes
from faafo_lab.cloud.emulator.services.block_storage.life import VolumeLife
from faafo_lab.cloud.emulator.services.block_storage.mounts import Mounts
from faafo_lab.cloud.emulator.services.block_storage.quotas import QUOTAS, QuotaSets, refusal, used
from faafo_lab.cloud.emulator.services.block_storage.resources import Resources
from faafo_lab.cloud.emulator.services.block_storage.types import Types
from faafo_lab.cloud.emulator.services.block_storage.volumes import Volumes
from faafo_lab.cloud.emulator.services.image.api import Image
from faafo_lab.cloud.emulator.site import Site

VERSION = (3, 0)  # the first and the last


class Volume(Service):
    """The block storage service. Its paths have the project's id: /v3/PROJECT/volumes."""

    prefix, type, name, endpoint = PREFIX, "volumev3", "cinderv3", "/v3/{project}"
    aliases = (("block-storage", "cinder"),)
    PARTS = (Volumes, VolumeActions, Resources, Types, QuotaSets)
    QUOTAS = QUOTAS

    def __init__(self, site: Site, tokens: Tokens, images: Image, console: Callable[[str, str], None]) -> None:
        """`console` writes a line on an instance's console."""
        super().__init__(site, tokens)
        self.mounts = Mounts(site, console)
        volumes, snapshots = AllVolumes(site), AllSnapshots(site)
        self.volume = volumes.find  # what Nova asks for: the project's volume, or a 404 `Fault`
        self.life = VolumeLife(volumes, snapshots, images)
        quotas = Quotas(site, QUOTAS, refusal, used(site.store))
        self.volumes = Volumes(volumes, snapshots, self.life, quotas, images)
        self.discard = self.volumes.discard  # and what it asks for when a server takes a volume along
        self.actions = VolumeActions(volumes, self.life, quotas, images)
        self.resources = Resources(volumes, snapshots)
        self.types = Types()
        self.quota_sets = QuotaSets(quotas)

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
        """The route; the project in the path is no part of it for the handlers."""
        found = super().find(method, path)
        found.values.pop("project", None)
        return found

    def authenticate(self, request: Request) -> None:
        """The path's project must be the token's."""
        super().authenticate(request)
        if request.path.split("/")[2] != request.project:
            raise Fault(400, "Malformed request url")

    def answer_headers(self, request: Request) -> dict[str, str]:
        """Every answer says which microversion it is of."""
        return {
            "Openstack-Api-Version": f"volume {VERSION[0]}.{VERSION[1]}",
            "Vary": "OpenStack-API-Version",
            "X-Openstack-Request-Id": request.id,
            "X-Compute-Request-Id": request.id,
        }

    def negotiate(self, request: Request) -> None:
        """There is one microversion, 3.0. Raises a 400 or 406 `Fault` for another."""
        request.version = VERSION
        for part in request.headers.get("OpenStack-API-Version", "").split(","):
            service, _, version = (word.strip() for word in part.strip().partition(" "))
            if service != "volume" or version in ("", "latest", "3.0"):
                continue
            if not re.fullmatch(r"[1-9][0-9]{0,5}\.(0|[1-9][0-9]{0,5})", version):
                raise Fault(
                    400, f"API Version String {version[:40]} is of invalid format. Must be of format MajorNum.MinorNum."
                )
            raise Fault(406, f"Version {version} is not supported by the API. Minimum is 3.0 and maximum is 3.0.")

    @route("GET", "/", open=True)
    @route("GET", "/v3", open=True)
    def versions(self, request: Request) -> Answer:
        """Which versions there are: one."""
        version = {
            "id": "v3.0",
            "status": "CURRENT",
            "version": "3.0",
            "min_version": "3.0",
            "updated": "2023-08-31T00:00:00Z",
            "links": [
                {"rel": "describedby", "type": "text/html", "href": "https://docs.openstack.org/"},
                {"rel": "self", "href": f"{self.url}/v3/"},
            ],
            "media-types": [{"base": "application/json", "type": "application/vnd.openstack.volume+json;version=3"}],
        }
        return Answer(300 if request.path == "/" else 200, {"versions": [version]})
