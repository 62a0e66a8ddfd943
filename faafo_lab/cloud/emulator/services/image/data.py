"""Images' data: a file in the state directory's `images/`.

It is written beside its place and moved there, so an upload that is cut short leaves nothing.
Source: https://docs.openstack.org/api-ref/image/v2/#image-data
"""

from __future__ import annotations

import hashlib
import os

from faafo_lab.cloud.emulator.common.service import Answer, Fault, Request, route
from faafo_lab.cloud.emulator.services.image.base import Collection
from faafo_lab.cloud.emulator.system import durable


class Data:
    """Upload and download."""

    def __init__(self, images: Collection) -> None:
        self._images = images

    @route("GET", "/v2/images/{id}/file")
    def download(self, request: Request, id: str) -> Answer:
        """An image's data."""
        row = self._images.find(request, id)
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
