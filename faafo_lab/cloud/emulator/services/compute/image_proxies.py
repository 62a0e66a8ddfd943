"""Nova's old doors to the image and the block storage service. Until 2.35 (images' metadata until 2.38).

As in Nova, each asks the other service with the client's own token, and words the answer in Nova's old forms.
Source: https://docs.openstack.org/api-ref/compute/#images-deprecated and the section on os-volumes and os-snapshots
"""

from __future__ import annotations

from urllib.parse import quote

from faafo_lab.cloud.emulator.common.forwarding import ask
from faafo_lab.cloud.emulator.common.service import JSON, Answer, Fault, Request, route
from faafo_lab.cloud.emulator.services.block_storage.api import Volume
from faafo_lab.cloud.emulator.services.compute import versions
from faafo_lab.cloud.emulator.services.compute.attachments import attachment_view
from faafo_lab.cloud.emulator.services.compute.base import Links, form
from faafo_lab.cloud.emulator.services.compute.network_proxies import TEXT
from faafo_lab.cloud.emulator.services.image.api import Image

STATUSES = {"active": "ACTIVE", "queued": "SAVING", "saving": "SAVING", "deleted": "DELETED", "killed": "ERROR"}
PROGRESS = {"ACTIVE": 100, "SAVING": 25}
VOLUME: JSON = {
    "type": "object",
    "required": ["size"],
    "properties": {
        "display_name": TEXT,
        "display_description": TEXT,
        "size": {"type": ["integer", "string"]},
        "metadata": {"type": ["object", "null"]},
        "snapshot_id": TEXT,
        "volume_type": TEXT,
        "availability_zone": TEXT,
    },
}
SNAPSHOT: JSON = {
    "type": "object",
    "required": ["volume_id"],
    "properties": {
        "volume_id": {"type": "string"},
        "display_name": TEXT,
        "display_description": TEXT,
        "force": {"type": ["boolean", "string"]},
    },
}


class ImageProxies:
    """Nova's old API of images, volumes and their snapshots."""

    def __init__(self, links: Links, images: Image, volumes: Volume) -> None:
        self._links, self._images, self._volumes = links, images, volumes

    # Images

    def _image_form(self, image: JSON) -> JSON:
        status = STATUSES.get(image["status"], "UNKNOWN")
        known = {"id", "name", "status", "visibility", "protected", "os_hidden", "owner", "container_format",
                 "disk_format", "min_ram", "min_disk", "checksum", "os_hash_algo", "os_hash_value", "size",
                 "virtual_size", "created_at", "updated_at", "tags", "self", "file", "schema", "stores", "locations",
                 "direct_url"}  # fmt: skip
        metadata = {name: value for name, value in image.items() if name not in known}
        view = {
            "id": image["id"],
            "name": image["name"],
            "minRam": image["min_ram"],
            "minDisk": image["min_disk"],
            "metadata": metadata,
            "created": image["created_at"],
            "updated": image["updated_at"],
            "status": status,
            "progress": PROGRESS.get(status, 0),
            "OS-EXT-IMG-SIZE:size": image["size"] or 0,
            "links": self._image_links(image["id"]),
        }
        if "instance_uuid" in metadata:
            server = metadata["instance_uuid"]
            view["server"] = {"id": server, "links": self._links.of("servers", server)}
        return view

    def _image_links(self, id: str) -> list[JSON]:
        href = f"{self._images.url}/images/{id}"
        alternate = {"rel": "alternate", "type": "application/vnd.openstack.image", "href": href}
        return [*self._links.of("images", id), alternate]

    async def _listed(self, request: Request) -> list[JSON]:
        names = {"name": "name", "status": "status", "limit": "limit", "marker": "marker"}
        query = {theirs: request.query[ours][-1] for ours, theirs in names.items() if ours in request.query}
        if "status" in query:
            query["status"] = query["status"].lower()
        found = await ask(self._images, request, "GET", "/v2/images", query={"limit": "1000", **query})
        return list(found["images"])

    async def _one_image(self, request: Request, id: str) -> JSON:
        try:
            return await ask(self._images, request, "GET", f"/v2/images/{id}")
        except Fault:
            raise Fault(404, "Image not found.") from None

    @route("GET", "/v2.1/images", versions=versions.PROXIES)
    async def old_images(self, request: Request) -> JSON:
        """List images."""
        return {
            "images": [
                {"id": each["id"], "name": each["name"], "links": self._image_links(each["id"])}
                for each in await self._listed(request)
            ]
        }

    @route("GET", "/v2.1/images/detail", versions=versions.PROXIES)
    async def old_images_detail(self, request: Request) -> JSON:
        """List images, with everything."""
        return {"images": [self._image_form(each) for each in await self._listed(request)]}

    @route("GET", "/v2.1/images/{id}", versions=versions.PROXIES)
    async def old_image(self, request: Request, id: str) -> JSON:
        """Show an image."""
        return {"image": self._image_form(await self._one_image(request, id))}

    @route("DELETE", "/v2.1/images/{id}", versions=versions.PROXIES)
    async def old_delete_image(self, request: Request, id: str) -> Answer:
        """Delete an image."""
        await self._one_image(request, id)
        await ask(self._images, request, "DELETE", f"/v2/images/{id}")
        return Answer(204)

    @route("GET", "/v2.1/images/{id}/metadata", versions=versions.IMAGE_METADATA)
    async def old_image_metadata(self, request: Request, id: str) -> JSON:
        """An image's properties."""
        return {"metadata": self._image_form(await self._one_image(request, id))["metadata"]}

    # Volumes and their snapshots

    async def _cinder(self, request: Request, method: str, path: str, body: JSON | None = None) -> JSON:
        """What Cinder answers. Raises a `Fault`."""
        return await ask(self._volumes, request, method, f"/v3/{request.project}{path}", body)

    def _volume_form(self, volume: JSON) -> JSON:
        attachments = [attachment_view(volume["id"], each) for each in volume["attachments"]]
        return {
            "id": volume["id"],
            "status": volume["status"],
            "size": volume["size"],
            "availabilityZone": volume["availability_zone"],
            "createdAt": volume["created_at"],
            "attachments": attachments or [{}],
            "displayName": volume["name"],
            "displayDescription": volume["description"],
            "volumeType": volume["volume_type"],
            "snapshotId": volume["snapshot_id"],
            "metadata": volume["metadata"],
        }

    def _snapshot_form(self, snapshot: JSON) -> JSON:
        return {
            "id": snapshot["id"],
            "volumeId": snapshot["volume_id"],
            "status": snapshot["status"],
            "size": snapshot["size"],
            "createdAt": snapshot["created_at"],
            "displayName": snapshot["name"],
            "displayDescription": snapshot["description"],
        }

    def _wanted_volume(self, request: Request, name: str, definition: JSON) -> JSON:
        """The body in Cinder's words."""
        wanted = request.parse(form(name, definition))[name]
        words = {"display_name": "name", "display_description": "description"}
        known = {key: value for key, value in wanted.items() if key in definition["properties"] and value is not None}
        return {words.get(key, key): value for key, value in known.items()}

    @route("GET", "/v2.1/os-volumes", versions=versions.PROXIES)
    @route("GET", "/v2.1/os-volumes/detail", versions=versions.PROXIES)
    async def old_volumes(self, request: Request) -> JSON:
        """List volumes."""
        found = await self._cinder(request, "GET", "/volumes/detail")
        return {"volumes": [self._volume_form(each) for each in found["volumes"]]}

    @route("POST", "/v2.1/os-volumes", versions=versions.PROXIES)
    async def old_create_volume(self, request: Request) -> Answer:
        """Make a volume."""
        wanted = self._wanted_volume(request, "volume", VOLUME)
        found = await self._cinder(request, "POST", "/volumes", {"volume": wanted})
        place = f"{self._links.root}/v2.1/os-volumes/{found['volume']['id']}"
        return Answer(200, {"volume": self._volume_form(found["volume"])}, {"Location": place})

    @route("GET", "/v2.1/os-volumes/{id}", versions=versions.PROXIES)
    async def old_volume(self, request: Request, id: str) -> JSON:
        """Show a volume."""
        found = await self._cinder(request, "GET", f"/volumes/{quote(id, safe='')}")
        return {"volume": self._volume_form(found["volume"])}

    @route("DELETE", "/v2.1/os-volumes/{id}", versions=versions.PROXIES)
    async def old_delete_volume(self, request: Request, id: str) -> Answer:
        """Delete a volume."""
        await self._cinder(request, "DELETE", f"/volumes/{quote(id, safe='')}")
        return Answer(202)

    @route("GET", "/v2.1/os-snapshots", versions=versions.PROXIES)
    @route("GET", "/v2.1/os-snapshots/detail", versions=versions.PROXIES)
    async def old_snapshots(self, request: Request) -> JSON:
        """List snapshots of volumes."""
        found = await self._cinder(request, "GET", "/snapshots/detail")
        return {"snapshots": [self._snapshot_form(each) for each in found["snapshots"]]}

    @route("POST", "/v2.1/os-snapshots", versions=versions.PROXIES)
    async def old_create_snapshot(self, request: Request) -> JSON:
        """Take a snapshot of a volume."""
        wanted = self._wanted_volume(request, "snapshot", SNAPSHOT)
        found = await self._cinder(request, "POST", "/snapshots", {"snapshot": wanted})
        return {"snapshot": self._snapshot_form(found["snapshot"])}

    @route("GET", "/v2.1/os-snapshots/{id}", versions=versions.PROXIES)
    async def old_snapshot(self, request: Request, id: str) -> JSON:
        """Show a snapshot of a volume."""
        found = await self._cinder(request, "GET", f"/snapshots/{quote(id, safe='')}")
        return {"snapshot": self._snapshot_form(found["snapshot"])}

    @route("DELETE", "/v2.1/os-snapshots/{id}", versions=versions.PROXIES)
    async def old_delete_snapshot(self, request: Request, id: str) -> Answer:
        """Delete a snapshot of a volume."""
        await self._cinder(request, "DELETE", f"/snapshots/{quote(id, safe='')}")
        return Answer(202)
