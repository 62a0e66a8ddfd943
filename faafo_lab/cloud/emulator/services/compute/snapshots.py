"""createImage: a server's disk becomes an image, which boots like any other.

As Nova does, it makes the image at Glance with the client's own token, and uploads the disk there. Meanwhile the
instance's processes stand still, so that the image shows one moment, as a disk does after a power cut.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import io
import logging
import os
import tarfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import IO, Any

from faafo_lab.cloud.emulator.common import schema
from faafo_lab.cloud.emulator.common.actions import action
from faafo_lab.cloud.emulator.common.forwarding import ask, forward
from faafo_lab.cloud.emulator.common.service import Answer, Request
from faafo_lab.cloud.emulator.machinery.guest import relocation
from faafo_lab.cloud.emulator.services.compute import states, versions
from faafo_lab.cloud.emulator.services.compute.base import only
from faafo_lab.cloud.emulator.services.compute.flavors import FLAVORS
from faafo_lab.cloud.emulator.services.compute.rows import ServerRow
from faafo_lab.cloud.emulator.services.compute.servers import Part
from faafo_lab.cloud.emulator.services.compute.wanted import METADATA

log = logging.getLogger(__name__)

CHUNK_BYTES = 1 << 18
COMPRESSION = 1  # the disk's files are small or compressed already: speed is what the frozen instance waits for
CREATE_IMAGE = only({"name": {"type": "string", "minLength": 1, "maxLength": 255}, "metadata": METADATA}, ["name"])


class Snapshots(Part):
    """The action createImage."""

    @action("createImage")
    async def create_image(self, request: Request, row: ServerRow, value: Any) -> Answer:
        """Make an image of its disk."""
        schema.check(value, CREATE_IMAGE)
        wanted, id = value, row["id"]
        self._wanted.check_metadata(wanted)
        states.SNAPSHOT.check(row)
        base = self._images.get(row["image_id"])
        properties = {
            **(base["properties"] if base else {}),
            "image_type": "snapshot",
            "image_location": "snapshot",
            "image_state": "available",
            "instance_uuid": row["id"],
            "user_id": row["user_id"],
            "owner_id": row["project_id"],
            "base_image_ref": row["image_id"],
            **wanted.get("metadata", {}),
        }
        taken = {name: text for name, text in properties.items() if name not in _GLANCE}
        fields = {
            "name": wanted["name"],
            "visibility": "private",
            "disk_format": "raw",
            "container_format": "bare",
            "min_disk": FLAVORS[row["flavor_id"]].disk_gb,
            "min_ram": base["min_ram"] if base else 0,
        }
        image = str((await ask(self._images, request, "POST", "/v2/images", {**taken, **fields}))["id"])
        upload = forward(request, "PUT", f"/v2/images/{image}/file")
        self._life.begin(request, id, states.SNAPSHOT, self._take(row, image, upload), snapshot_id=image)
        if request.version in versions.SNAPSHOT_ID:
            return Answer(202, {"image_id": image})
        return Answer(202, None, {"Location": f"{self._images.url}/images/{image}"})

    async def _take(self, row: ServerRow, image: str, upload: Request) -> None:
        """Upload the disk; without success there is no image, and the server is as before."""
        id = row["id"]
        try:
            async with self._still(row):
                upload.chunks = pack((self._life.guests.directory(id) / "disk").resolve())
                await self._images.data.upload(upload, image)
        except Exception as error:
            log.warning("The snapshot %s of server %s failed: %r", image, id, error)
            self._life.history.end(id, self._life.history.open(id), "Error")
        finally:
            self._life.forget_snapshot(id)

    @contextlib.asynccontextmanager
    async def _still(self, row: ServerRow) -> AsyncIterator[None]:
        if row["vm_state"] != "active":
            yield
            return
        await self._life.hypervisor.freeze(row["id"])
        try:
            yield
        finally:
            await self._life.hypervisor.thaw(row["id"])


_GLANCE = frozenset(
    (
        *("id", "name", "visibility", "protected", "os_hidden", "tags", "disk_format", "container_format"),
        *("min_disk", "min_ram", "owner", "status", "checksum", "size", "virtual_size", "os_hash_algo"),
        *("os_hash_value", "created_at", "updated_at", "self", "file", "schema", "direct_url"),
    )
)


async def pack(disk: Path) -> AsyncIterator[bytes]:
    """A disk as a tar.gz, in pieces; it is packed in a thread. Raises OSError where it cannot be read."""
    reading, writing = os.pipe()
    stream = asyncio.StreamReader(limit=CHUNK_BYTES)
    loop = asyncio.get_running_loop()
    pipe = os.fdopen(reading, "rb", buffering=0)
    try:
        transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stream), pipe)
    except BaseException:
        pipe.close()
        os.close(writing)
        raise
    packing = loop.run_in_executor(None, _pack, disk, writing)
    try:
        while chunk := await stream.read(CHUNK_BYTES):
            yield chunk
        await packing  # an error in there is one here
    finally:
        transport.close()  # the thread, if it still writes, hears of it
        with contextlib.suppress(OSError, tarfile.TarError, asyncio.CancelledError):
            await asyncio.wait([packing])


def _pack(disk: Path, descriptor: int) -> None:
    with (
        os.fdopen(descriptor, "wb") as pipe,
        gzip.GzipFile(fileobj=pipe, mode="wb", compresslevel=COMPRESSION) as zipped,
        tarfile.open(fileobj=zipped, mode="w|", format=tarfile.PAX_FORMAT) as tar,
    ):
        placed: list[str] = []
        links: dict[str, str] = {}
        for path in _walk(disk):
            name = str(path.relative_to(disk))
            with contextlib.suppress(FileNotFoundError):
                if path.is_symlink() and _leads_out(path, disk):
                    links[name] = os.readlink(path)
                elif _add(tar, path, disk):
                    placed.append(name)
        data = relocation.listing(disk, placed, links)
        info = tarfile.TarInfo(relocation.LIST)
        info.size, info.mode = len(data), 0o644
        tar.addfile(info, io.BytesIO(data))


def _walk(disk: Path) -> Iterator[Path]:
    for folder, folders, files in os.walk(disk):
        for name in sorted((*folders, *files)):
            yield Path(folder, name)


def _add(tar: tarfile.TarFile, path: Path, disk: Path) -> bool:
    """Add a file, directory or symbolic link; whether it is a text that names the disk's place.

    Sockets belong to the running instance, and so do the process numbers in its .pid files: instances share the
    kernel's numbers, so that to a copy they would mean processes that live.
    """
    info = tar.gettarinfo(path, str(path.relative_to(disk)))
    if info is None or path.suffix == ".pid" or path == disk / relocation.LIST:
        return False
    info.uid = info.gid = 0
    info.uname = info.gname = ""
    if info.issym():
        info.linkname = _inside(path, info.linkname, disk)
    if not info.isreg():
        if info.isdir() or info.issym() or info.islnk():
            tar.addfile(info)
        return False
    with path.open("rb") as file:
        info.size = os.fstat(file.fileno()).st_size
        tar.addfile(info, _Whole(file, info.size))
        file.seek(0)
        return info.size <= relocation.TEXT_BYTES_MAX and relocation.names_place(file.read(), disk)


def _inside(link: Path, target: str, disk: Path) -> str:
    """A link's target; one that names the disk by its place on the host is made relative."""
    if os.path.isabs(target) and Path(target).is_relative_to(disk):
        return os.path.relpath(target, link.parent)
    return target


def _leads_out(link: Path, disk: Path) -> bool:
    return not Path(os.path.normpath(link.parent / os.readlink(link))).is_relative_to(disk)


class _Whole:
    """A file as long as it was said to be: one that shrinks meanwhile ends in zeros."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self._file = file
        self._left = size

    def read(self, size: int = -1) -> bytes:
        """The next bytes."""
        size = self._left if size < 0 else min(size, self._left)
        data = self._file.read(size)
        self._left -= size
        return data.ljust(size, b"\0")
