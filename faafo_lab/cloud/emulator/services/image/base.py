"""What the operations on images share: the images, who may see and change them, and where their data is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from faafo_lab.cloud.emulator.common.service import JSON, Fault, Request, now
from faafo_lab.cloud.emulator.common.store import Table
from faafo_lab.cloud.emulator.services.image.rows import ImageRow, MemberRow
from faafo_lab.cloud.emulator.site import Site


class Collection:
    """All images, with the projects that they are shared with."""

    def __init__(self, site: Site) -> None:
        self.table: Table[ImageRow] = site.store.table("image")
        self.members: Table[MemberRow] = site.store.table("image_member")
        self.directory = site.directory / "images"

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

    def update(self, id: str, **changes: Any) -> ImageRow:
        """Change these fields, and the date."""
        return self.table.update(id, **changes, updated_at=now())

    def view(self, row: ImageRow) -> JSON:
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


def new(id: str, name: str | None, owner: str) -> ImageRow:
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
