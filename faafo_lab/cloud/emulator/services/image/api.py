"""Image (Glance v2): the service, which puts its parts together; its words, its versions, and its first images."""

from __future__ import annotations

import hashlib
import uuid
from html import escape
from http import HTTPStatus

from faafo_lab.cloud.emulator.common import schema
from faafo_lab.cloud.emulator.common.names import id_of
from faafo_lab.cloud.emulator.common.service import JSON, Answer, Fault, Found, Request, Service, route
from faafo_lab.cloud.emulator.common.token import Tokens
from faafo_lab.cloud.emulator.services.image.base_images import BASE_IMAGES, pack
from faafo_lab.cloud.emulator.services.image.images import Images
from faafo_lab.cloud.emulator.services.image.members import Members
from faafo_lab.cloud.emulator.services.image.rows import new
from faafo_lab.cloud.emulator.services.image.schemas import Schemas
from faafo_lab.cloud.emulator.site import Site
from faafo_lab.cloud.emulator.system import durable

VERSIONS = ("v2.9", "v2.7", "v2.6", "v2.5", "v2.4", "v2.3", "v2.2", "v2.1", "v2.0")


class Image(Service):
    """The image service."""

    prefix, type, name = "/image", "image", "glance"
    PARTS = (Images, Members, Schemas)

    def __init__(self, site: Site, tokens: Tokens) -> None:
        super().__init__(site, tokens)
        self.images = images = Images(site, self.url)
        # What other services ask: an image, whether a project may see it, where its data is; and have it removed
        self.get, self.visible, self.file, self.drop = images.table.get, images.visible, images.file, images.drop
        self.members = Members(images)
        self.schemas = Schemas()

    def setup(self) -> None:
        """Make the images that every embedded cloud has, and remove what cut-short uploads left."""
        folder = self.images.directory
        folder.mkdir(mode=0o700, exist_ok=True)
        for base in BASE_IMAGES:
            id = str(uuid.UUID(id_of("image", base.name)))
            if id in self.images.table and self.images.file(id).exists():
                continue
            data = pack(base)
            with durable.writing(self.images.file(id)) as file:
                file.write(data)
            self.images.table.put(
                {
                    **new(id, base.name, id_of("project", "service")),
                    "status": "active",
                    "visibility": "public",
                    "protected": True,
                    "container_format": "bare",
                    "disk_format": "raw",
                    "min_ram": base.min_ram_mb,
                    "min_disk": base.min_disk_gb,
                    "checksum": hashlib.md5(data, usedforsecurity=False).hexdigest(),
                    "os_hash_value": hashlib.sha512(data).hexdigest(),
                    "size": len(data),
                    "virtual_size": len(data),
                    "properties": dict(base.properties),
                }
            )
        for path in folder.iterdir():
            if path.name not in self.images.table:
                path.unlink()
        for row in self.images.table.where(status="saving"):
            self.images.table.update(row["id"], status="queued")

    def discard(self, id: str | None) -> None:
        """Remove an image that got no data, if it is there."""
        row = self.get(id)
        if row is not None and row["status"] != "active":
            self.images.table.delete(row["id"])

    # Words

    def error(self, fault: Fault) -> JSON:
        """Glance's form: {"message", "code", "title"}."""
        title = HTTPStatus(fault.status).phrase
        return {"message": f"{fault.message}<br /><br />\n\n\n", "code": f"{fault.status} {title}", "title": title}

    async def handle(self, request: Request, found: Found | None = None) -> Answer:
        """Answer a request; an error in HTML or text where the client asks for no JSON. Other services get JSON."""
        answer = await super().handle(request, found)
        if found is None or answer.status < 400 or not isinstance(answer.body, dict) or "code" not in answer.body:
            return answer
        kinds = {part.partition(";")[0].strip() for part in request.headers.get("Accept", "").split(",")}
        code, message = answer.body["code"], answer.body["message"].partition("<br />")[0]
        text, kind = f"{code}\n\n{message}\n\n   ", "text/plain"
        if kinds & {"*/*", "text/*", "text/html"}:
            head, inner = f" <head>\n  <title>{code}</title>\n </head>", f"{escape(message)}<br /><br />\n\n\n"
            text = f"<html>\n{head}\n <body>\n  <h1>{code}</h1>\n  {inner}\n </body>\n</html>"
            kind = "text/html"
        elif kinds & {"application/json", "application/*"}:
            return answer
        return Answer(answer.status, text.encode(), {**answer.headers, "Content-Type": f"{kind}; charset=UTF-8"})

    def invalid(self, error: schema.Invalid) -> Fault:
        """Glance says which attribute does not fit."""
        where = f" on instance['{error.path}']" if error.path else ""
        return Fault(400, f"Provided object does not match schema 'image': {error.reason}{where}")

    def path(self, path: str) -> str:
        """An image without an id is none: only the roots may end in a slash."""
        return path if path.startswith("/v2/images/") else super().path(path)

    # Versions

    @route("GET", "/", open=True)
    @route("GET", "/versions", open=True)
    def versions(self, request: Request) -> Answer:
        """Which versions there are."""
        link = [{"rel": "self", "href": f"{self.url}/v2/"}]
        found = [
            {"id": version, "status": "SUPPORTED" if number else "CURRENT", "links": link}
            for number, version in enumerate(VERSIONS)
        ]
        return Answer(300 if request.path == "/" else 200, {"versions": found})
