"""Images: list, show, create, change, delete; their data. Source: https://docs.openstack.org/api-ref/image/v2/#images"""

from __future__ import annotations

import hashlib
import os
import uuid
from urllib.parse import urlencode

from faafo_lab.cloud.emulator.common import schema
from faafo_lab.cloud.emulator.common.service import JSON, Answer, Fault, Request, new_id, route
from faafo_lab.cloud.emulator.services.image.base import Collection, new
from faafo_lab.cloud.emulator.services.image.members import Members
from faafo_lab.cloud.emulator.services.image.patch import apply_patch, read_patch
from faafo_lab.cloud.emulator.services.image.query import PAGER, matches, ordered
from faafo_lab.cloud.emulator.services.image.rows import ImageRow
from faafo_lab.cloud.emulator.services.image.schemas import BASE, READ_ONLY, RESERVED, SCHEMA, STATUSES
from faafo_lab.cloud.emulator.site import Site
from faafo_lab.cloud.emulator.system import durable


class Images:
    """The operations on images."""

    def __init__(self, site: Site, url: str, images: Collection, members: Members) -> None:
        """`url` is the service's."""
        self._store, self._url, self._images, self._members = site.store, url, images, members

    def _listed(self, row: ImageRow, request: Request) -> bool:
        """Whether a list has an image: not others' community images, nor shared ones that were not accepted."""
        status = request.one("member_status") or "accepted"
        if status not in (*STATUSES, "all"):
            raise Fault(400, f"Invalid status: {status}")
        if row["owner"] == request.project or row["visibility"] == "public":
            return True
        if row["visibility"] == "community":
            return request.one("visibility") in ("community", "all")
        member = self._images.members.get(f"{row['id']}/{request.project}") if row["visibility"] == "shared" else None
        return member is not None and status in (member["status"], "all")

    @route("GET", "/v2/images")
    def index(self, request: Request) -> JSON:
        """List images, filtered, sorted, a page at a time."""
        views = [self._images.view(row) for row in self._images.table if self._listed(row, request)]
        views = [view for view in views if matches(view, request)]
        views = ordered(views, request)
        page, following = PAGER.cut(views, request)
        first = urlencode({name: each for name, each in request.query.items() if name != "marker"}, doseq=True)
        body = {"images": page, "first": f"/v2/images?{first}".rstrip("?"), "schema": "/v2/schemas/images"}
        return {**body, "next": f"/v2/images?{following}"} if following else body

    @route("GET", "/v2/images/{id}")
    def show(self, request: Request, id: str) -> JSON:
        """Show an image."""
        return self._images.view(self._images.find(request, id))

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
        if id in self._images.table:
            raise Fault(409, f"Image ID {id} already exists!")
        with self._store.transaction():
            self._images.table.put(new(id, None, request.project))
            row = self._images.table.update(id, **fields)
        return Answer(201, self._images.view(row), {"Location": f"{self._url}/v2/images/{id}"})

    @route("PATCH", "/v2/images/{id}")
    def update(self, request: Request, id: str) -> JSON:
        """Change an image by a JSON patch of its top level."""
        changes = read_patch(request)
        row = self._images.own(request, id, "modify_image")
        attributes = {name: each for name, each in row.items() if name in BASE and name != "id"}
        view: JSON = {**row["properties"], **attributes}
        apply_patch(view, changes)
        schema.check(view, SCHEMA)
        return self._images.view(self._images.update(id, **self._attributes(view)))

    @route("DELETE", "/v2/images/{id}")
    def delete(self, request: Request, id: str) -> Answer:
        """Delete an image and its data."""
        row = self._images.own(request, id, "delete_image")
        if row["protected"]:
            raise Fault(403, f"Image {id} is protected and cannot be deleted.")
        with self._store.transaction():
            self._images.table.delete(id)
            self._members.forget(id)
        self._images.file(id).unlink(missing_ok=True)
        return Answer(204)

    @route("POST", "/v2/images/{id}/actions/deactivate")
    @route("POST", "/v2/images/{id}/actions/reactivate")
    def deactivate(self, request: Request, id: str) -> Answer:
        """Keep an image's data from everybody, or give it back."""
        action = request.path.rsplit("/", 1)[-1]
        row, status = self._images.own(request, id, action), {"deactivate": "deactivated"}.get(action, "active")
        if row["status"] not in ("active", "deactivated"):
            raise Fault(400, f"Image status transition from {row['status']} to {status} is not allowed")
        self._images.update(id, status=status)
        return Answer(204)

    @route("PUT", "/v2/images/{id}/tags/{tag}")
    def add_tag(self, request: Request, id: str, tag: str) -> Answer:
        """Add a tag."""
        row = self._images.own(request, id, "modify_image")
        if len(tag) > 255:
            raise Fault(400, "A tag may have 255 characters at most.")
        self._images.update(id, tags=sorted({*row["tags"], tag}))
        return Answer(204)

    @route("DELETE", "/v2/images/{id}/tags/{tag}")
    def remove_tag(self, request: Request, id: str, tag: str) -> Answer:
        """Remove a tag."""
        row = self._images.own(request, id, "modify_image")
        if tag not in row["tags"]:
            raise Fault(404, f"Tag {tag} was not found on image {id}.")
        self._images.update(id, tags=[each for each in row["tags"] if each != tag])
        return Answer(204)

    # Data: a file in the state directory's `images/`, written beside its place and moved there

    @route("GET", "/v2/images/{id}/file")
    def download(self, request: Request, id: str) -> Answer:
        """An image's data."""
        row = self._images.find(request, id)
        if row["status"] == "deactivated":
            raise Fault(403, "The requested image has been deactivated. Image data download is forbidden.")
        if row["status"] != "active":
            return Answer(204)
        headers = {"Content-Type": "application/octet-stream", "Content-MD5": row["checksum"] or ""}
        return Answer(200, self._images.file(id), headers)

    @route("PUT", "/v2/images/{id}/file", stream=True)
    async def upload(self, request: Request, id: str) -> Answer:
        """Give an image its data."""
        row = self._images.own(request, id, "upload_image")
        if row["status"] != "queued":
            raise Fault(409, f"Image status transition from {row['status']} to saving is not allowed")
        if not row["disk_format"] or not row["container_format"]:
            raise Fault(400, "Properties disk_format, container_format must be set prior to saving data.")
        self._images.table.update(id, status="saving")
        size, md5, sha512 = 0, hashlib.md5(usedforsecurity=False), hashlib.sha512()
        partial = self._images.file(id).with_suffix(".partial")
        try:
            assert request.chunks is not None
            with partial.open("wb") as file:
                async for chunk in request.chunks:
                    size += len(chunk)
                    md5.update(chunk)
                    sha512.update(chunk)
                    file.write(chunk)
                file.flush()
                os.fsync(file.fileno())
            if id not in self._images.table:
                raise Fault(410, f"Image {id} was deleted during its upload.")
            durable.move(partial, self._images.file(id))
            self._images.update(
                id,
                status="active",
                size=size,
                virtual_size=size,
                checksum=md5.hexdigest(),
                os_hash_value=sha512.hexdigest(),
            )
        except BaseException:
            partial.unlink(missing_ok=True)
            if id in self._images.table and self._images.table[id]["status"] == "saving":
                self._images.table.update(id, status="queued")
            raise
        return Answer(204)
