"""What happens to volumes, snapshots and backups after their requests: filled, copied, packed, removed.

    creating ──► available ──► deleting ──► gone
        └──────► error

A volume is the directory `volumes/ID`, a snapshot `snapshots/ID`. Both are made beside their place and moved there, so
one is there whole or not at all; what was cut short with the emulator is begun again at its next start. The copies
from a volume or snapshot and its removal wait for one another.

A backup is the volume as a tar.gz, in pieces, in its project's own object store.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
import sqlite3
import tarfile
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any

from faafo_lab.cloud.emulator.common.forwarding import ask
from faafo_lab.cloud.emulator.common.service import Fault, Request
from faafo_lab.cloud.emulator.machinery.guest import disk
from faafo_lab.cloud.emulator.services.block_storage import files
from faafo_lab.cloud.emulator.services.block_storage.archive import AllBackups
from faafo_lab.cloud.emulator.services.block_storage.base import AllSnapshots, AllVolumes, Collection
from faafo_lab.cloud.emulator.services.block_storage.files import Stopped
from faafo_lab.cloud.emulator.services.block_storage.rows import VolumeRow
from faafo_lab.cloud.emulator.services.image.api import Image
from faafo_lab.cloud.emulator.services.object_store.files import Piece
from faafo_lab.cloud.emulator.system import durable

log = logging.getLogger(__name__)

AT_ONCE = 2  # copies: more would only take the disk from one another
CHUNK_BYTES = 1 << 18
RETRY_SECONDS = 1.0
RENEWING = ("restoring-backup", "reverting", "downloading")  # what a volume is until it has another content
FAILED = {"deleting": "error_deleting", "restoring-backup": "error_restoring"}  # what becomes of these statuses

Make = Callable[[Path, threading.Event], None]


class VolumeLife:
    """The work on all volumes, snapshots and backups."""

    def __init__(self, volumes: AllVolumes, snapshots: AllSnapshots, backups: AllBackups, images: Image) -> None:
        self._volumes, self._snapshots, self._backups, self._images = volumes, snapshots, backups, images
        self._tasks: set[asyncio.Task[None]] = set()
        self._locks: dict[str, asyncio.Lock] = {}
        self._places = asyncio.Semaphore(AT_ONCE)
        self._stop = threading.Event()

    # Work

    def _begin(self, kind: Collection[Any], id: str, work: Coroutine[Any, Any, None]) -> None:
        async def run() -> None:
            try:
                await work
            except Stopped:
                pass  # the next start does it
            except (OSError, sqlite3.Error, disk.DiskError, Fault, tarfile.TarError) as error:
                log.error("%s %s: %s", kind.singular, id, error)
                await self._fail(kind, id, str(error))
            except Exception:
                log.exception("%s %s", kind.singular, id)
                await self._fail(kind, id, "see emulator.log")
            finally:
                work.close()

        task = asyncio.get_running_loop().create_task(run(), name=f"{kind.singular} {id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _settle(self, kind: Collection[Any], id: str, **changes: Any) -> None:
        """Write how the work ended, as soon as the state can be written: the disk may be full."""
        while id in kind.table:
            try:
                kind.update(id, **changes)
                return
            except sqlite3.Error as error:
                log.error("%s %s: the state could not be written: %s", kind.singular, id, error)
                await asyncio.sleep(RETRY_SECONDS)

    async def _fail(self, kind: Collection[Any], id: str, reason: str) -> None:
        status = kind.table[id]["status"] if id in kind.table else ""
        changes = {"fail_reason": reason} if kind is self._backups else {}
        await self._settle(kind, id, status=FAILED.get(status, "error"), **changes)

    async def _release(self, kind: Collection[Any], id: str, before: str) -> None:
        """What was busy is free again, or in use where it is attached."""
        row = kind.table.get(id)
        if row is not None and row["status"] == before:
            await self._settle(kind, id, status="in-use" if row.get("attachment") else "available")

    def _lock(self, id: str | None) -> asyncio.Lock:
        return self._locks.setdefault(id, asyncio.Lock()) if id else asyncio.Lock()

    async def _make(self, place: Path, make: Make, *, anew: bool = False) -> None:
        """Make something at its place, in a thread, be it there or not (`anew`); it is there whole or not at all."""

        def work() -> None:
            if place.exists() and not anew:  # whole: only its row was not written any more
                return
            partial = place.with_suffix(".partial")
            _clear(partial)
            try:
                make(partial, self._stop)
                files.remove(place)
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
        row = self._volumes.table[id]
        source = row["snapshot_id"] or row["source_volid"]
        self._begin(self._volumes, id, self._create(self._volumes, id, source, self._content(row)))

    def _content(self, row: Mapping[str, Any]) -> Make:
        if row["snapshot_id"]:
            return _copies(self._snapshots.place(row["snapshot_id"]))
        if row["source_volid"]:
            return _copies(self._volumes.place(row["source_volid"]))
        if row["image_id"]:
            image = self._images.file(row["image_id"])
            name = f"disk.{row['image_metadata'].get('disk_format', 'raw')}"
            return lambda place, stop: _unpack(image, place, name)
        if backup := row.get("backup_id"):
            return _joins(self._backups.pieces(backup))
        return lambda place, stop: files.empty(place)

    def renew(self, id: str, status: str, **source: str) -> VolumeRow:
        """Give a volume another content: that of a snapshot_id, an image_id or a backup_id. Until then, a status."""
        row = self._volumes.update(id, status=status, renewal=source)
        self._begin(self._volumes, id, self._renew(row, source))
        return row

    async def _renew(self, row: VolumeRow, source: Mapping[str, str]) -> None:
        id, backup = row["id"], source.get("backup_id", "")
        try:
            content = self._content({**row, **dict.fromkeys(("snapshot_id", "source_volid", "image_id")), **source})
            async with self._lock(id), self._lock(source.get("snapshot_id")):
                await self._make(self._volumes.place(id), content, anew=True)
        finally:
            await self._release(self._backups, backup, "restoring")
        await self._settle(self._volumes, id, status="in-use" if row["attachment"] else "available", renewal=None)

    def restore(self, backup: str, id: str) -> VolumeRow:
        """Give a volume the content of a backup."""
        self._backups.update(backup, status="restoring")
        return self.renew(id, "restoring-backup", backup_id=backup)

    def take(self, id: str) -> None:
        """Take a new snapshot."""
        volume = self._snapshots.table[id]["volume_id"]
        work = self._create(self._snapshots, id, volume, _copies(self._volumes.place(volume)))
        self._begin(self._snapshots, id, work)

    async def _create(self, kind: Collection[Any], id: str, source: str | None, make: Make) -> None:
        async with self._lock(source):
            await self._make(kind.place(id), make)
        await self._settle(kind, id, status="available")

    # Removing

    def delete(self, kind: Collection[Any], id: str) -> None:
        """Remove a volume, a snapshot or a backup."""
        kind.update(id, status="deleting")
        self._begin(kind, id, self._delete(kind, id))

    async def _delete(self, kind: Collection[Any], id: str) -> None:
        async with self._lock(id):
            await asyncio.to_thread(files.remove, kind.place(id))
            if kind is self._backups:
                self._backups.clear(id)
            kind.table.delete(id)
            self._locks.pop(id, None)

    # A volume becomes an image

    def upload(self, request: Request, id: str, image: str) -> None:
        """Pack a volume, and upload it as an image's data."""
        self._volumes.update(id, status="uploading", uploading=image)
        self._begin(self._volumes, id, self._upload(request, id, image))

    @contextlib.asynccontextmanager
    async def _packed(self, kind: Collection[Any], id: str, *, image: bool) -> AsyncIterator[Path]:
        """A volume or a snapshot as an archive, which is there inside the block."""
        archive = kind.place(id).with_suffix(".archive")
        try:
            async with self._lock(id), self._places:
                await asyncio.to_thread(files.pack, kind.place(id), archive, self._stop, image=image)
            yield archive
        finally:
            archive.unlink(missing_ok=True)

    async def _upload(self, request: Request, id: str, image: str) -> None:
        try:
            async with self._packed(self._volumes, id, image=True) as archive:
                await ask(self._images, request, "PUT", f"/v2/images/{image}/file", chunks=_chunks(archive))
        except (OSError, Fault) as error:
            log.error("volume %s could not be uploaded: %s", id, error)
            with contextlib.suppress(sqlite3.Error):  # then it stays, without data
                self._images.discard(image)
        await self._settle(self._volumes, id, status="available", uploading=None)

    # A volume becomes a backup

    def back_up(self, id: str) -> None:
        """Fill a new backup from its snapshot, or from its volume."""
        row = self._backups.table[id]
        kind: Collection[Any] = self._snapshots if row["snapshot_id"] else self._volumes
        source = row["snapshot_id"] or row["volume_id"]
        if source in kind.table:  # else it was deleted before the cloud's end
            kind.update(source, status="backing-up")
        self._begin(self._backups, id, self._back_up(id, kind, source))

    async def _back_up(self, id: str, kind: Collection[Any], source: str) -> None:
        try:
            async with self._packed(kind, source, image=False) as archive:
                count = await self._backups.write(id, archive)
        finally:
            await self._release(kind, source, "backing-up")
        await self._settle(self._backups, id, status="available", object_count=count)

    # The cloud's own start and stop

    def setup(self) -> None:
        """Make the places, and remove what was cut short or belongs to nobody."""
        for kind in (self._volumes, self._snapshots):
            directory = kind.place("")
            directory.mkdir(mode=0o700, exist_ok=True)
            for path in directory.iterdir():
                if path.name not in kind.table:
                    files.clear(path)

    def resume(self) -> None:
        """Go on with what was begun before the emulator ended."""
        volumes, snapshots = self._volumes, self._snapshots
        for row in volumes.table.where(status="creating"):
            self.fill(row["id"])
        for snapshot in snapshots.table.where(status="creating"):
            self.take(snapshot["id"])
        for row in volumes.table.where(status="uploading"):
            self._images.discard(row["uploading"])
            volumes.update(row["id"], status="available", uploading=None)
        for row in volumes.table:
            if row["status"] in RENEWING and (source := row.get("renewal")):
                self.renew(row["id"], row["status"], **source)
        for backup in self._backups.table.where(status="creating"):
            self.back_up(backup["id"])
        for kind in (snapshots, volumes, self._backups):
            for each in kind.table.where(status="deleting"):
                self.delete(kind, each["id"])

    async def close(self) -> None:
        """Give up what is being done; the next start does it."""
        self._stop.set()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def _clear(partial: Path) -> None:
    for path in partial.parent.glob(f"{partial.name}*"):  # an image is unpacked beside its place, too
        files.clear(path)


def _copies(source: Path) -> Make:
    def make(place: Path, stop: threading.Event) -> None:
        if not source.is_dir():
            raise FileNotFoundError(f"{source.name} is not there any more")
        files.copy(source, place, stop)

    return make


def _joins(pieces: list[Piece]) -> Make:
    def make(place: Path, stop: threading.Event) -> None:
        archive = place.with_name(f"{place.name}.backup")
        with archive.open("xb") as whole:
            for piece in pieces:
                with piece.path.open("rb") as part:
                    shutil.copyfileobj(part, whole)
        files.unpack(archive, place)
        archive.unlink()

    return make


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
