"""Images (Glance v2): list, show, create, upload, download, change and delete.

An image's data is a file in the state directory's `images/`; it is written beside its place and moved there, so an
upload that is cut short leaves nothing. Source: https://docs.openstack.org/api-ref/image/v2/
"""

from __future__ import annotations

import hashlib
import os
import uuid
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlencode

from faafo_lab.cloud.emulator.common import schema
from faafo_lab.cloud.emulator.common.names import id_of
from faafo_lab.cloud.emulator.common.service import JSON, Answer, Fault, Request, new_id, now, route
from faafo_lab.cloud.emulator.common.store import Row
from faafo_lab.cloud.emulator.services.image.attributes import BASE, READ_ONLY, SCHEMA, Schemas
from faafo_lab.cloud.emulator.services.image.base_images import BASE_IMAGES, pack
from faafo_lab.cloud.emulator.services.image.members import Members
from faafo_lab.cloud.emulator.services.image.patch import apply_patch, read_patch
from faafo_lab.cloud.emulator.services.image.query import PAGER, matches, ordered
from faafo_lab.cloud.emulator.system import durable


class Image(Schemas, Members):
    """The image service."""

    prefix, type, name = "/image", "image", "glance"

    @property
    def rows(self) -> dict[str, Row]:
        """All images, by id."""
        return self.store.table("image").rows

    def file(self, id: str) -> Path:
        """Where an image's data is, or will be."""
        return self.site.directory / "images" / id

    def discard(self, id: str | None) -> None:
        """Remove an image that got no data, if it is there."""
        row = self.store.table("image").get(id)
        if row is not None and row["status"] != "active":
            self.store.table("image").delete(row["id"])

    def setup(self) -> None:
        """Make the images that every embedded cloud has, and remove what cut-short uploads left."""
        folder = self.site.directory / "images"
        folder.mkdir(mode=0o700, exist_ok=True)
        for base in BASE_IMAGES:
            id = str(uuid.UUID(id_of("image", base.name)))
            if id in self.rows and self.file(id).exists():
                continue
            data = pack(base)
            _write(self.file(id), data)
            self.store.table("image").put(
                {
                    **_new(id, base.name, id_of("project", "service")),
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
            if path.name not in self.rows:
                path.unlink()
        for row in self.store.table("image").where(status="saving"):
            self.store.table("image").update(row["id"], status="queued")

    # Words

    def error(self, fault: Fault) -> JSON:
        """Glance's form: {"message", "code", "title"}."""
        title = HTTPStatus(fault.status).phrase
        return {"message": f"{fault.message}<br /><br />\n\n\n", "code": f"{fault.status} {title}", "title": title}

    def invalid(self, error: schema.Invalid) -> Fault:
        """Glance says which attribute does not fit."""
        where = f" on instance['{error.path}']" if error.path else ""
        return Fault(400, f"Provided object does not match schema 'image': {error.reason}{where}")

    def path(self, path: str) -> str:
        """An image without an id is none: only the roots may end in a slash."""
        return path if path.startswith("/v2/images/") else super().path(path)

    # Looking

    def image(self, request: Request, id: str) -> Row:
        """The image with this id that the project may see. Raises a 404 `Fault`."""
        row = self.rows.get(id)
        if row is None or not self.visible(row, request.project):
            raise Fault(404, f"No image found with ID {id}")
        return row

    def own(self, request: Request, id: str, action: str) -> Row:
        """The image, where the project may change it. Raises a 404 or 403 `Fault`."""
        row = self.image(request, id)
        if row["owner"] != request.project:
            raise Fault(403, f"You are not authorized to complete {action} action.")
        return row

    def view(self, row: Row) -> JSON:
        """An image as Glance shows it: properties stand beside the attributes."""
        attributes = {name: value for name, value in row.items() if name != "properties"}
        path = f"/v2/images/{row['id']}"
        return {
            **row["properties"],
            **attributes,
            "self": path,
            "file": f"{path}/file",
            "schema": "/v2/schemas/image",
            "stores": "file",
        }

    @route("GET", "/v2/images")
    def index(self, request: Request) -> JSON:
        """List images, filtered, sorted, a page at a time."""
        views = [self.view(row) for row in self.rows.values() if self.listed(row, request)]
        views = [view for view in views if matches(view, request)]
        views = ordered(views, request)
        page, following = PAGER.cut(views, request)
        first = urlencode({name: each for name, each in request.query.items() if name != "marker"}, doseq=True)
        body = {"images": page, "first": f"/v2/images?{first}".rstrip("?"), "schema": "/v2/schemas/images"}
        return {**body, "next": f"/v2/images?{following}"} if following else body

    @route("GET", "/v2/images/{id}")
    def show(self, request: Request, id: str) -> JSON:
        """Show an image."""
        return self.view(self.image(request, id))

    @route("GET", "/v2/images/{id}/file")
    def download(self, request: Request, id: str) -> Answer:
        """An image's data."""
        row = self.image(request, id)
        if row["status"] != "active":
            return Answer(204)
        headers = {"Content-Type": "application/octet-stream", "Content-MD5": row["checksum"]}
        return Answer(200, self.file(id), headers)

    # Changing

    def _attributes(self, body: JSON) -> JSON:
        """A checked body as a row's fields. Raises a `Fault` for what a client may not set."""
        for name in body:
            if name in READ_ONLY and name != "id":
                raise Fault(403, f"Attribute '{name}' is read-only.")
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
        body = self.parse(request, SCHEMA)
        fields = self._attributes(body)
        id = str(uuid.UUID(fields.get("id") or new_id()))
        if id in self.rows:
            raise Fault(409, f"Image ID {id} already exists!")
        row = self.store.table("image").put({**_new(id, None, request.project), **fields, "id": id})
        return Answer(201, self.view(row), {"Location": f"{self.url}/v2/images/{id}"})

    @route("PATCH", "/v2/images/{id}")
    def update(self, request: Request, id: str) -> JSON:
        """Change an image by a JSON patch of its top level."""
        changes = read_patch(request)
        row = self.own(request, id, "modify_image")
        view = {**row["properties"], **{name: row[name] for name in BASE if name != "id"}}
        apply_patch(view, changes)
        try:
            schema.check(view, SCHEMA)
        except schema.Invalid as error:
            raise self.invalid(error) from None
        fields = {**self._attributes(view), "updated_at": now()}
        return self.view(self.store.table("image").update(id, **fields))

    @route("PUT", "/v2/images/{id}/file", stream=True)
    async def upload(self, request: Request, id: str) -> Answer:
        """Give an image its data."""
        row = self.own(request, id, "upload_image")
        if row["status"] != "queued":
            raise Fault(409, f"Image status transition from {row['status']} to saving is not allowed")
        if not row["disk_format"] or not row["container_format"]:
            raise Fault(400, "Properties disk_format, container_format must be set prior to saving data.")
        images = self.store.table("image")
        images.update(id, status="saving")
        size, md5, sha512 = 0, hashlib.md5(usedforsecurity=False), hashlib.sha512()
        partial = self.file(id).with_suffix(".partial")
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
            if id not in self.rows:
                raise Fault(410, f"Image {id} was deleted during its upload.")
            durable.move(partial, self.file(id))
            images.update(
                id,
                status="active",
                size=size,
                virtual_size=size,
                checksum=md5.hexdigest(),
                os_hash_value=sha512.hexdigest(),
                updated_at=now(),
            )
        except BaseException:
            partial.unlink(missing_ok=True)
            if id in self.rows and self.rows[id]["status"] == "saving":
                images.update(id, status="queued")
            raise
        return Answer(204)

    @route("DELETE", "/v2/images/{id}")
    def delete(self, request: Request, id: str) -> Answer:
        """Delete an image and its data."""
        row = self.own(request, id, "delete_image")
        if row["protected"]:
            raise Fault(403, f"Image {id} is protected and cannot be deleted.")
        with self.store.transaction():
            self.store.table("image").delete(id)
            self.forget(id)
        self.file(id).unlink(missing_ok=True)
        return Answer(204)

    @route("PUT", "/v2/images/{id}/tags/{tag}")
    def add_tag(self, request: Request, id: str, tag: str) -> Answer:
        """Add a tag."""
        row = self.own(request, id, "modify_image")
        if len(tag) > 255:
            raise Fault(400, "A tag may have 255 characters at most.")
        self.store.table("image").update(id, tags=sorted({*row["tags"], tag}), updated_at=now())
        return Answer(204)

    @route("DELETE", "/v2/images/{id}/tags/{tag}")
    def remove_tag(self, request: Request, id: str, tag: str) -> Answer:
        """Remove a tag."""
        row = self.own(request, id, "modify_image")
        if tag not in row["tags"]:
            raise Fault(404, f"Tag {tag} was not found on image {id}.")
        self.store.table("image").update(id, tags=[each for each in row["tags"] if each != tag], updated_at=now())
        return Answer(204)


def _new(id: str, name: str | None, owner: str) -> Row:
    """A row with Glance's defaults."""
    moment = now()
    return {
        "id": id,
        "name": name,
        "status": "queued",
        "visibility": "shared",
        "protected": False,
        "os_hidden": False,
        "owner": owner,
        "container_format": None,
        "disk_format": None,
        "min_ram": 0,
        "min_disk": 0,
        "checksum": None,
        "os_hash_algo": "sha512",
        "os_hash_value": None,
        "size": None,
        "virtual_size": None,
        "created_at": moment,
        "updated_at": moment,
        "tags": [],
        "properties": {},
    }


def _write(path: Path, data: bytes) -> None:
    partial = path.with_suffix(".partial")
    with partial.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    durable.move(partial, path)
