"""What happens to volumes and snapshots after their requests: filled, copied, packed, removed, beside the APIs.

    creating ──► available ──► deleting ──► gone
        └──────► error

A volume is the directory `volumes/ID`, a snapshot `snapshots/ID`. Both are made beside their place and moved there, so
one is there whole or not at all; what was cut short with the emulator is begun again at its next start. The copies
from a volume or snapshot and its removal wait for one another.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
import sqlite3
import tarfile
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

from faafo_lab.cloud.emulator.common.forwarding import ask
from faafo_lab.cloud.emulator.common.service import Fault, Request
from faafo_lab.cloud.emulator.common.store import Table
from faafo_lab.cloud.emulator.machinery.guest import disk
from faafo_lab.cloud.emulator.services.block_storage import files
from faafo_lab.cloud.emulator.services.block_storage.base import moment
from faafo_lab.cloud.emulator.services.block_storage.files import Stopped
from faafo_lab.cloud.emulator.services.block_storage.rows import SnapshotRow, VolumeRow
from faafo_lab.cloud.emulator.services.image.api import Image
from faafo_lab.cloud.emulator.site import Site
from faafo_lab.cloud.emulator.system import durable

log = logging.getLogger(__name__)

AT_ONCE = 2  # copies: more would only take the disk from one another
CHUNK_BYTES = 1 << 18
RETRY_SECONDS = 1.0

Make = Callable[[Path, threading.Event], None]


class VolumeLife:
    """The work on all volumes and snapshots."""

    def __init__(self, site: Site, images: Image) -> None:
        self._site = site
        self._images = images
        self._tasks: set[asyncio.Task[None]] = set()
        self._locks: dict[str, asyncio.Lock] = {}
        self._places = asyncio.Semaphore(AT_ONCE)
        self._stop = threading.Event()

    @property
    def volumes(self) -> Table[VolumeRow]:
        """The volumes' rows."""
        return self._site.store.table("volume")

    @property
    def snapshots(self) -> Table[SnapshotRow]:
        """The snapshots' rows."""
        return self._site.store.table("volume_snapshot")

    def place(self, id: str) -> Path:
        """A volume's directory."""
        return self._site.directory / "volumes" / id

    def snapshot_place(self, id: str) -> Path:
        """A snapshot's directory."""
        return self._site.directory / "snapshots" / id

    # Work

    def _begin(self, table: Table[Any], id: str, work: Coroutine[Any, Any, None]) -> None:
        async def run() -> None:
            try:
                await work
            except Stopped:
                pass  # the next start does it
            except (OSError, sqlite3.Error, disk.DiskError, Fault, tarfile.TarError) as error:
                log.error("%s %s: %s", table.kind, id, error)
                await self._fail(table, id)
            except Exception:
                log.exception("%s %s", table.kind, id)
                await self._fail(table, id)
            finally:
                work.close()

        task = asyncio.get_running_loop().create_task(run(), name=f"{table.kind} {id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _set(self, table: Table[Any], id: str, **changes: Any) -> None:
        if id in table:
            table.update(id, **changes, updated_at=moment())

    async def _settle(self, table: Table[Any], id: str, **changes: Any) -> None:
        """Write how the work ended, as soon as the state can be written: the disk may be full."""
        while True:
            try:
                return self._set(table, id, **changes)
            except sqlite3.Error as error:
                log.error("%s %s: the state could not be written: %s", table.kind, id, error)
                await asyncio.sleep(RETRY_SECONDS)

    async def _fail(self, table: Table[Any], id: str) -> None:
        deleting = id in table and table[id]["status"] == "deleting"
        await self._settle(table, id, status="error_deleting" if deleting else "error")

    def _lock(self, id: str | None) -> asyncio.Lock:
        return self._locks.setdefault(id, asyncio.Lock()) if id else asyncio.Lock()

    async def _make(self, place: Path, make: Make) -> None:
        """Make something at its place, in a thread; it is there whole or not at all."""

        def work() -> None:
            if place.exists():  # whole: only its row was not written any more
                return
            partial = place.with_suffix(".partial")
            _clear(partial)
            try:
                make(partial, self._stop)
                durable.move(partial, place)
            except BaseException:
                if not self._stop.is_set():  # else the next start does it
                    _clear(partial)
                raise

        async with self._places:
            await asyncio.to_thread(work)

    # Creating

    def fill(self, id: str) -> None:
        """Give a new volume its content: nothing, an image's, or that of a snapshot or another volume."""
        self._begin(self.volumes, id, self._fill(id))

    async def _fill(self, id: str) -> None:
        row = self.volumes[id]
        source = row["snapshot_id"] or row["source_volid"]
        async with self._lock(source):
            await self._make(self.place(id), self._content(row))
        await self._settle(self.volumes, id, status="available")

    def _content(self, row: VolumeRow) -> Make:
        if row["snapshot_id"]:
            source = self.snapshot_place(row["snapshot_id"])
        elif row["source_volid"]:
            source = self.place(row["source_volid"])
        elif row["image_id"]:
            image = self._images.file(row["image_id"])
            name = f"disk.{row['image_metadata'].get('disk_format', 'raw')}"
            return lambda place, stop: _unpack(image, place, name)
        else:
            return lambda place, stop: files.empty(place)
        return lambda place, stop: _copy(source, place, stop)

    def take(self, id: str) -> None:
        """Take a new snapshot."""
        self._begin(self.snapshots, id, self._take(id))

    async def _take(self, id: str) -> None:
        volume = self.snapshots[id]["volume_id"]
        async with self._lock(volume):
            source = self.place(volume)
            await self._make(self.snapshot_place(id), lambda place, stop: _copy(source, place, stop))
        await self._settle(self.snapshots, id, status="available")

    # Removing

    def delete(self, id: str) -> None:
        """Remove a volume."""
        self._set(self.volumes, id, status="deleting")
        self._begin(self.volumes, id, self._delete(self.volumes, id, self.place(id)))

    def delete_snapshot(self, id: str) -> None:
        """Remove a snapshot."""
        self._set(self.snapshots, id, status="deleting")
        self._begin(self.snapshots, id, self._delete(self.snapshots, id, self.snapshot_place(id)))

    async def _delete(self, table: Table[Any], id: str, place: Path) -> None:
        async with self._lock(id):
            await asyncio.to_thread(files.remove, place)
            table.delete(id)
            self._locks.pop(id, None)

    # A volume becomes an image

    def upload(self, request: Request, id: str, image: str) -> None:
        """Pack a volume, and upload it as an image's data."""
        self._set(self.volumes, id, status="uploading", uploading=image)
        self._begin(self.volumes, id, self._upload(request, id, image))

    async def _upload(self, request: Request, id: str, image: str) -> None:
        archive = self.place(id).with_suffix(".image")
        try:
            try:
                async with self._lock(id), self._places:
                    await asyncio.to_thread(files.pack, self.place(id), archive, self._stop)
                await ask(self._images, request, "PUT", f"/v2/images/{image}/file", chunks=_chunks(archive))
            finally:
                archive.unlink(missing_ok=True)
        except (OSError, Fault) as error:
            log.error("volume %s could not be uploaded: %s", id, error)
            with contextlib.suppress(sqlite3.Error):  # then it stays, without data
                self._images.discard(image)
        await self._settle(self.volumes, id, status="available", uploading=None)

    # The cloud's own start and stop

    def setup(self) -> None:
        """Make the places, and remove what was cut short or belongs to nobody."""
        for folder, table in (("volumes", self.volumes), ("snapshots", self.snapshots)):
            directory = self._site.directory / folder
            directory.mkdir(mode=0o700, exist_ok=True)
            for path in directory.iterdir():
                if path.name not in table:
                    files.clear(path)

    def resume(self) -> None:
        """Go on with what was begun before the emulator ended."""
        for row in self.volumes.where(status="creating"):
            self.fill(row["id"])
        for snapshot in self.snapshots.where(status="creating"):
            self.take(snapshot["id"])
        for row in self.volumes.where(status="uploading"):
            self._images.discard(row["uploading"])
            self._set(self.volumes, row["id"], status="available", uploading=None)
        for snapshot in self.snapshots.where(status="deleting"):
            self.delete_snapshot(snapshot["id"])
        for row in self.volumes.where(status="deleting"):
            self.delete(row["id"])

    async def close(self) -> None:
        """Give up what is being done; the next start does it."""
        self._stop.set()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def _clear(partial: Path) -> None:
    for path in partial.parent.glob(f"{partial.name}*"):  # an image is unpacked beside its place, too
        files.clear(path)


def _copy(source: Path, place: Path, stop: threading.Event) -> None:
    if not source.is_dir():
        raise FileNotFoundError(f"{source.name} is not there any more")
    files.copy(source, place, stop)


def _unpack(image: Path, place: Path, name: str) -> None:
    """An image's content: what is packed in it, or, where it is no archive, itself as a file."""
    if tarfile.is_tarfile(image):
        disk.unpack(image, place)
        place.chmod(0o700)
    else:
        files.empty(place)
        shutil.copyfile(image, place / name)


async def _chunks(path: Path) -> AsyncIterator[bytes]:
    with path.open("rb") as file:
        while chunk := await asyncio.to_thread(file.read, CHUNK_BYTES):
            yield chunk
