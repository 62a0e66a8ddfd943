"""Images: list, show, create, change, delete; their data. Source: https://docs.openstack.org/api-ref/image/v2/#images"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from faafo_lab.cloud.emulator.common import schema
from faafo_lab.cloud.emulator.common.service import JSON, Answer, Fault, Request, new_id, now, route
from faafo_lab.cloud.emulator.common.store import Table
from faafo_lab.cloud.emulator.services.image.patch import apply_patch, read_patch
from faafo_lab.cloud.emulator.services.image.query import PAGER, matches, ordered
from faafo_lab.cloud.emulator.services.image.rows import ImageRow, MemberRow, new
from faafo_lab.cloud.emulator.services.image.schemas import BASE, READ_ONLY, RESERVED, SCHEMA, STATUSES
from faafo_lab.cloud.emulator.site import Site
from faafo_lab.cloud.emulator.system import durable

CHUNK_BYTES = 1 << 18


class Images:
    """All images: who may see and change them, where their data is; and the operations on them."""

    def __init__(self, site: Site, url: str) -> None:
        """`url` is the service's."""
        self._store, self._url, self.directory = site.store, url, site.directory / "images"
        self.table: Table[ImageRow] = site.store.table("image")
        self.members: Table[MemberRow] = site.store.table("image_member")

    def file(self, id: str) -> Path:
        """Where an image's data is, or will be."""
        return self.directory / id

    def visible(self, row: ImageRow, project: str) -> bool:
        """Whether a project may see an image."""
        shared = row["visibility"] == "shared" and f"{row['id']}/{project}" in self.members
        return bool(row["visibility"] in ("public", "community") or row["owner"] == project or shared)

    def find(self, request: Request, id: str) -> ImageRow:
        """The image with this id that the project may see. Raises a 404 `Fault`."""
        row = self.table.get(id)
        if row is None or not self.visible(row, request.project):
            raise Fault(404, f"No image found with ID {id}")
        return row

    def own(self, request: Request, id: str, action: str) -> ImageRow:
        """The image, where the project may change it. Raises a 404 or 403 `Fault`."""
        row = self.find(request, id)
        if row["owner"] != request.project:
            raise Fault(403, f"You are not authorized to complete {action} action.")
        return row

    def set(self, id: str, **changes: Any) -> ImageRow:
        """Change these fields, and the date."""
        return self.table.update(id, **changes, updated_at=now())

    def view(self, row: ImageRow) -> JSON:
        """An image as Glance shows it: properties stand beside the attributes."""
        attributes = {name: value for name, value in row.items() if name not in ("properties", "born")}
        path = f"/v2/images/{row['id']}"
        return {
            **row["properties"],
            **attributes,
            "self": path,
            "file": f"{path}/file",
            "schema": "/v2/schemas/image",
            "stores": "file",
        }

    # List and show

    def _listed(self, row: ImageRow, request: Request) -> bool:
        """Whether a list has an image: not others' community images, nor shared ones that were not accepted."""
        status = request.one("member_status") or "accepted"
        if status not in (*STATUSES, "all"):
            raise Fault(400, f"Invalid status: {status}")
        if row["owner"] == request.project or row["visibility"] == "public":
            return True
        if row["visibility"] == "community":
            return request.one("visibility") in ("community", "all")
        member = self.members.get(f"{row['id']}/{request.project}") if row["visibility"] == "shared" else None
        return member is not None and status in (member["status"], "all")

    @route("GET", "/v2/images")
    def index(self, request: Request) -> JSON:
        """List images, filtered, sorted, a page at a time."""
        rows = sorted(self.table, key=lambda row: row.get("born", 0))
        views = [self.view(row) for row in rows if self._listed(row, request)]
        views = [view for view in views if matches(view, request)]
        views = ordered(views, request)
        page, following = PAGER.cut(views, request)
        first = urlencode({name: each for name, each in request.query.items() if name != "marker"}, doseq=True)
        body = {"images": page, "first": f"/v2/images?{first}".rstrip("?"), "schema": "/v2/schemas/images"}
        return {**body, "next": f"/v2/images?{following}"} if following else body

    @route("GET", "/v2/images/{id}")
    def show(self, request: Request, id: str) -> JSON:
        """Show an image."""
        return self.view(self.find(request, id))

    @route("GET", "/v2/images/{id}/tasks")
    def tasks(self, request: Request, id: str) -> JSON:
        """What the service still has to do with an image: nothing."""
        self.find(request, id)
        return {"tasks": []}

    def _attributes(self, body: JSON) -> JSON:
        """A checked body as a row's fields. Raises a `Fault` for what a client may not set."""
        for name in body:
            if name in READ_ONLY and name != "id":
                raise Fault(403, f"Attribute '{name}' is read-only.")
            if name.startswith(RESERVED):
                raise Fault(403, f"Attribute '{name}' is reserved.")
        if body.get("visibility") == "public":
            raise Fault(403, "You are not authorized to complete publicize_image action.")
        fields = {name: body[name] for name in BASE if name in body}
        if "tags" in fields:
            fields["tags"] = sorted(set(fields["tags"]))
        fields["properties"] = {name: value for name, value in body.items() if name not in BASE}
        return fields

    @route("POST", "/v2/images")
    def create(self, request: Request) -> Answer:
        """Make an image without data."""
        body = request.parse(SCHEMA)
        fields = self._attributes(body)
        id = str(uuid.UUID(fields.pop("id", None) or new_id()))
        if id in self.table:
            raise Fault(409, f"Image ID {id} already exists!")
        with self._store.transaction():
            self.table.put(new(id, None, request.project))
            row = self.table.update(id, **fields)
        return Answer(201, self.view(row), {"Location": f"{self._url}/v2/images/{id}"})

    @route("PATCH", "/v2/images/{id}")
    def update(self, request: Request, id: str) -> JSON:
        """Change an image by a JSON patch of its top level."""
        changes = read_patch(request)
        row = self.own(request, id, "modify_image")
        attributes = {name: each for name, each in row.items() if name in BASE and name != "id"}
        view: JSON = {**row["properties"], **attributes}
        apply_patch(view, changes)
        schema.check(view, SCHEMA)
        return self.view(self.set(id, **self._attributes(view)))

    @route("DELETE", "/v2/images/{id}")
    def delete(self, request: Request, id: str) -> Answer:
        """Delete an image and its data."""
        row = self.own(request, id, "delete_image")
        if row["protected"]:
            raise Fault(403, f"Image {id} is protected and cannot be deleted.")
        self.drop(id)
        return Answer(204)

    def drop(self, id: str | None) -> None:
        """Remove an image and its data, if it is there."""
        if id is None or id not in self.table:
            return
        with self._store.transaction():
            self.table.delete(id)
            for member in self.members.where(image_id=id):
                self.members.delete(member["id"])
        self.file(id).unlink(missing_ok=True)

    @route("POST", "/v2/images/{id}/actions/deactivate")
    @route("POST", "/v2/images/{id}/actions/reactivate")
    def deactivate(self, request: Request, id: str) -> Answer:
        """Keep an image's data from everybody, or give it back."""
        action = request.path.rsplit("/", 1)[-1]
        row, status = self.own(request, id, action), {"deactivate": "deactivated"}.get(action, "active")
        if row["status"] not in ("active", "deactivated"):
            raise Fault(400, f"Image status transition from {row['status']} to {status} is not allowed")
        self.set(id, status=status)
        return Answer(204)

    @route("PUT", "/v2/images/{id}/tags/{tag}")
    def add_tag(self, request: Request, id: str, tag: str) -> Answer:
        """Add a tag."""
        row = self.own(request, id, "modify_image")
        if len(tag) > 255:
            raise Fault(400, "A tag may have 255 characters at most.")
        self.set(id, tags=sorted({*row["tags"], tag}))
        return Answer(204)

    @route("DELETE", "/v2/images/{id}/tags/{tag}")
    def remove_tag(self, request: Request, id: str, tag: str) -> Answer:
        """Remove a tag."""
        row = self.own(request, id, "modify_image")
        if tag not in row["tags"]:
            raise Fault(404, f"Tag {tag} was not found on image {id}.")
        self.set(id, tags=[each for each in row["tags"] if each != tag])
        return Answer(204)

    # Data: a file in the state directory's `images/`, written beside its place and moved there

    @route("GET", "/v2/images/{id}/file")
    def download(self, request: Request, id: str) -> Answer:
        """An image's data."""
        row = self.find(request, id)
        if row["status"] == "deactivated":
            raise Fault(403, "The requested image has been deactivated. Image data download is forbidden.")
        if row["status"] != "active":
            return Answer(204)
        headers = {"Content-Type": "application/octet-stream", "Content-MD5": row["checksum"] or ""}
        return Answer(200, self._data(id), {**headers, "Content-Length": str(row["size"])})

    async def _data(self, id: str) -> AsyncGenerator[bytes]:
        with self.file(id).open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                yield chunk

    @route("PUT", "/v2/images/{id}/file", stream=True)
    async def upload(self, request: Request, id: str) -> Answer:
        """Give an image its data."""
        row = self.own(request, id, "upload_image")
        if row["status"] != "queued":
            raise Fault(409, f"Image status transition from {row['status']} to saving is not allowed")
        if not row["disk_format"] or not row["container_format"]:
            raise Fault(400, "Properties disk_format, container_format must be set prior to saving data.")
        self.table.update(id, status="saving")
        size, md5, sha512 = 0, hashlib.md5(usedforsecurity=False), hashlib.sha512()
        assert request.chunks is not None
        try:
            with durable.writing(self.file(id)) as file:
                async for chunk in request.chunks:
                    size += len(chunk)
                    md5.update(chunk)
                    sha512.update(chunk)
                    file.write(chunk)
                if id not in self.table:
                    raise Fault(410, f"Image {id} was deleted during its upload.")
            self.set(
                id,
                status="active",
                size=size,
                virtual_size=size,
                checksum=md5.hexdigest(),
                os_hash_value=sha512.hexdigest(),
            )
        except BaseException:
            if id in self.table and self.table[id]["status"] == "saving":
                self.table.update(id, status="queued")
            raise
        return Answer(204)
