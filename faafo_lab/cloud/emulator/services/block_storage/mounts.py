"""Where volumes meet servers: an attached volume is a link in the instance's own directory, named as its device.

The instance finds its volumes in `$INSTANCE_VOLUMES`: `$INSTANCE_VOLUMES/vdb` is the directory that Nova calls
/dev/vdb. The link comes and goes with the attachment, whether the instance runs or not. A volume's row says where it
is attached; the links follow the rows, at each boot too.
"""

from __future__ import annotations

import contextlib
import os
import string
from collections.abc import Callable
from operator import itemgetter
from pathlib import Path

from faafo_lab.cloud.emulator.common.service import JSON, Fault, new_id
from faafo_lab.cloud.emulator.common.store import Table
from faafo_lab.cloud.emulator.services.block_storage.base import moment
from faafo_lab.cloud.emulator.services.block_storage.rows import Attachment, VolumeRow
from faafo_lab.cloud.emulator.site import Site

DEVICES = tuple(f"/dev/vd{letter}" for letter in string.ascii_lowercase[1:])
ROOT = "/dev/vda"  # the instance's disk: its own, or a volume, which has no link then
RESCUED = "rescued"  # the name of its disk while it is rescued with another one


class Mounts:
    """The attachments of all servers."""

    def __init__(self, site: Site, console: Callable[[str, str], None]) -> None:
        """`console` writes a line on an instance's console."""
        self._site, self._tell = site, console
        self._volumes: Table[VolumeRow] = site.store.table("volume")

    def of(self, server: str) -> list[VolumeRow]:
        """A server's volumes, by device."""
        return list(self._attached(server).values())

    def _attached(self, server: str) -> dict[str, VolumeRow]:
        """A server's volumes by device, in order."""
        found = ((each, row) for row in self._volumes if (each := row["attachment"]) and each["server_id"] == server)
        own = ((each["device"] or "", row) for each, row in found if "status" not in each)  # those of Nova's
        return dict(sorted(own, key=itemgetter(0)))

    def attach(self, id: str, server: str, *, tag: str | None = None, root: bool = False) -> VolumeRow:
        """Attach a volume that is available to a server: as its disk, or at the first free device. Raises a `Fault`."""
        taken = self._attached(server)
        device = ROOT if root else next((each for each in DEVICES if each not in taken), None)
        if device is None:
            raise Fault(403, f"The maximum allowed number of volumes ({len(DEVICES)}) of server {server} is reached.")
        attachment: Attachment = {
            "attachment_id": new_id(),
            "server_id": server,
            "host_name": None,
            "device": device,
            "attached_at": moment(),
        }
        try:
            with self._site.store.transaction():
                row = self._volumes.update(id, status="in-use", attachment=attachment, tag=tag, updated_at=moment())
                self.plug(server)
        except OSError as error:
            raise Fault(500, f"The volume cannot be put into the instance's directory: {error}.") from error
        self._tell(server, f"virtio_blk: {device[5:]}: volume {row['name'] or id} is {self._path(server, device)}")
        return row

    def detach(self, id: str) -> None:
        """Detach a volume: it is gone from the instance at once; files that are open there stay open."""
        attachment = self._volumes[id]["attachment"]
        assert attachment is not None
        assert attachment["server_id"] is not None
        assert attachment["device"] is not None
        self._volumes.update(id, status="available", attachment=None, updated_at=moment())
        self.plug(attachment["server_id"])
        self._tell(attachment["server_id"], f"virtio_blk: {attachment['device'][5:]} is detached")

    def release(self, server: str) -> None:
        """A server is deleted: its volumes are available again, whole as they were."""
        for row in self.of(server):
            self._volumes.update(row["id"], status="available", attachment=None, updated_at=moment())

    def plug(self, server: str) -> None:
        """Make the links in an instance's directory what its attachments are. Raises OSError."""
        place = self._place(server)
        if not place.parent.is_dir():
            return  # it will boot first
        place.mkdir(mode=0o700, exist_ok=True)
        wanted = {device[5:]: f"../../../volumes/{row['id']}" for device, row in self._attached(server).items()}
        wanted.pop(ROOT[5:], None)
        if os.path.lexists(place.with_name(RESCUED)):
            wanted[RESCUED] = f"../{RESCUED}"
        for link in place.iterdir():
            if link.is_symlink() and (link.name not in wanted or str(link.readlink()) != wanted[link.name]):
                link.unlink()
        for name, target in wanted.items():
            with contextlib.suppress(FileExistsError):
                (place / name).symlink_to(target)

    def devices(self, server: str) -> list[JSON]:
        """A server's volumes as its meta_data.json lists them; `path` is the directory."""
        return [
            {
                "type": "disk",
                "bus": "virtio",
                "serial": row["id"],
                "path": str(self._path(server, device)),
                "tags": [row["tag"]] if row["tag"] else [],
            }
            for device, row in self._attached(server).items()
        ]

    def _place(self, server: str) -> Path:
        return self._site.directory / "instances" / server / "volumes"

    def _path(self, server: str, device: str) -> Path:
        return self._place(server) / device.removeprefix("/dev/")
