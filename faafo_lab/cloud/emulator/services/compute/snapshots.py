"""createImage, createBackup and shelve: a server's disk becomes an image, which boots like any other.

As Nova does, it makes the image at Glance with the client's own token, and uploads the disk there. Meanwhile the
instance's processes stand still, so that the image shows one moment, as a disk does after a power cut.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any

from faafo_lab.cloud.emulator.common import schema
from faafo_lab.cloud.emulator.common.actions import action
from faafo_lab.cloud.emulator.common.forwarding import ask
from faafo_lab.cloud.emulator.common.service import JSON, Answer, Fault, Request
from faafo_lab.cloud.emulator.machinery.guest.packing import pack
from faafo_lab.cloud.emulator.services.compute import forms, states, versions
from faafo_lab.cloud.emulator.services.compute.base import only
from faafo_lab.cloud.emulator.services.compute.flavors import FLAVORS
from faafo_lab.cloud.emulator.services.compute.rows import ServerRow
from faafo_lab.cloud.emulator.services.compute.servers import Part
from faafo_lab.cloud.emulator.services.compute.states import Action
from faafo_lab.cloud.emulator.services.image.schemas import BASE, READ_ONLY

log = logging.getLogger(__name__)

ROTATION = {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": "^[0-9]{1,9}$"}]}
CREATE_IMAGE = only({"name": forms.TEXT, "metadata": forms.METADATA}, ["name"])
BACKUP = {"name": forms.TEXT, "backup_type": forms.TEXT, "rotation": ROTATION, "metadata": forms.METADATA}
CREATE_BACKUP = only(BACKUP, ["name", "backup_type", "rotation"])
After = Callable[[], Awaitable[None]]


class Snapshots(Part):
    """The actions that make an image of a server's disk."""

    @action("createImage")
    async def create_image(self, request: Request, row: ServerRow, value: Any) -> Answer:
        """Make an image of its disk."""
        schema.check(value, CREATE_IMAGE)
        states.SNAPSHOT.check(row)
        image = await self._begin(request, row, states.SNAPSHOT, value, {"image_type": "snapshot"})
        return self._accepted(request, image)

    @action("createBackup")
    async def create_backup(self, request: Request, row: ServerRow, value: Any) -> Answer:
        """Make an image of its disk, and remove the oldest ones of this type beyond the rotation."""
        schema.check(value, CREATE_BACKUP)
        states.BACKUP.check(row)
        if not row["image_id"]:
            raise Fault(400, "Backup is not supported for volume-backed instances.")
        kept, kind = int(value["rotation"]), {"image_type": "backup", "backup_type": value["backup_type"]}

        async def rotate() -> None:
            query = {**kind, "instance_uuid": row["id"], "sort": "created_at:desc", "limit": "1000"}
            backups = (await ask(self._images, request, "GET", "/v2/images", query=query))["images"]
            for each in backups[kept:]:
                await ask(self._images, request, "DELETE", f"/v2/images/{each['id']}")

        image = await self._begin(request, row, states.BACKUP, value, kind, rotate)
        return self._accepted(request, image) if kept else Answer(202)

    @action("shelve")
    async def shelve(self, request: Request, row: ServerRow, value: Any) -> None:
        """Take it off its host, and keep its disk as an image; a volume is kept as it is."""
        states.SHELVE.check(row)
        if not row["image_id"]:
            self._life.begin(request, row["id"], states.SHELVE)
            return
        wanted, kind = {"name": f"{row['name']}-shelved"}, {"image_type": "snapshot"}
        offload = partial(self._life.take, row["id"], states.SHELVE)
        await self._begin(request, row, states.SHELVE, wanted, kind, offload)

    async def _begin(
        self, request: Request, row: ServerRow, action: Action, wanted: JSON, kind: JSON, after: After | None = None
    ) -> str:
        """Make an image, and begin to upload the disk; `after` is done when it is there. The image's id."""
        metadata = wanted.get("metadata", {})
        self._wanted.check_metadata(wanted)
        base = self._images.get(row["image_id"])
        properties = {
            **(base["properties"] if base else {}),
            **kind,
            "image_location": "snapshot",
            "image_state": "available",
            "instance_uuid": row["id"],
            "user_id": row["user_id"],
            "owner_id": row["project_id"],
            "base_image_ref": row["image_id"],
            **metadata,
        }
        fields = {
            "name": wanted["name"],
            "visibility": "private",
            "disk_format": "raw",
            "container_format": "bare",
            "min_disk": FLAVORS[row["flavor_id"]].disk_gb,
            "min_ram": base["min_ram"] if base else 0,
        }
        taken = {name: text for name, text in properties.items() if name not in BASE and name not in READ_ONLY}
        image = str((await ask(self._images, request, "POST", "/v2/images", {**taken, **fields}))["id"])
        work = self._take(request, row, action, image, after)
        self._life.begin(request, row["id"], action, work, snapshot_id=image)
        return image

    def _accepted(self, request: Request, image: str) -> Answer:
        """The answer that names the image."""
        if request.version in versions.SNAPSHOT_ID:
            return Answer(202, {"image_id": image})
        return Answer(202, None, {"Location": f"{self._images.url}/images/{image}"})

    async def _take(self, request: Request, row: ServerRow, action: Action, image: str, after: After | None) -> None:
        """Upload the disk; without success there is no image, and the server is as before (a shelved one is off)."""
        id = row["id"]
        try:
            async with self._still(row, action):
                chunks = pack((self._life.guests.directory(id) / "disk").resolve())
                await ask(self._images, request, "PUT", f"/v2/images/{image}/file", chunks=chunks)
            if after:
                await after()
        except Exception as error:
            log.warning("The snapshot %s of server %s failed: %r", image, id, error)
            self._life.history.end(id, self._life.history.open(id), "Error")
        finally:
            self._life.forget_snapshot(id)

    @contextlib.asynccontextmanager
    async def _still(self, row: ServerRow, action: Action) -> AsyncIterator[None]:
        if action is states.SHELVE:
            await self._life.halt(row)
        elif row["vm_state"] == "active":
            await self._life.hypervisor.freeze(row["id"])
        try:
            yield
        finally:
            if action is not states.SHELVE and row["vm_state"] == "active":
                await self._life.hypervisor.thaw(row["id"])
