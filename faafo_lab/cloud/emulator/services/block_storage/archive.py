"""Backups as a table, and as objects: a volume as a tar.gz, in pieces, in the project's own object store.

As Cinder's driver for Swift has them: in the container `volumebackups`, or another one that is asked for, the pieces
`volume_ID/TIME/az_nova_backup_ID-00001` and so on, and beside them `…_metadata`, which says what they are.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from faafo_lab.cloud.emulator.common.service import ALL_VERSIONS, JSON, Request, Versions
from faafo_lab.cloud.emulator.common.store import Row
from faafo_lab.cloud.emulator.services.block_storage import versions
from faafo_lab.cloud.emulator.services.block_storage.base import ZONE, Collection
from faafo_lab.cloud.emulator.services.block_storage.words import invalid
from faafo_lab.cloud.emulator.services.object_store.api import ObjectStore
from faafo_lab.cloud.emulator.services.object_store.files import Piece
from faafo_lab.cloud.emulator.site import Site

PIECE_BYTES = 50 << 20
_SHOWN = (
    *("id", "status", "size", "object_count", "container", "created_at", "updated_at", "name", "description"),
    *("fail_reason", "volume_id", "snapshot_id", "data_timestamp"),
)


class AllBackups(Collection[Row]):
    """All backups: what a volume's row has in common with others', and what `_SHOWN` says."""

    plural, kind = "backups", "volume_backup"
    paths: ClassVar[Mapping[str, Versions]] = {"backups": ALL_VERSIONS}
    filters: ClassVar[Mapping[str, Versions]] = dict.fromkeys(("name", "status", "volume_id"), ALL_VERSIONS)
    changeable = versions.BACKUP_UPDATE

    def __init__(self, site: Site, store: ObjectStore) -> None:
        super().__init__(site)
        self._store = store

    def view(self, request: Request, row: Row, *, whole: bool = False) -> JSON:
        """A backup as Cinder shows it."""
        if not whole:
            return self.brief(request, row)
        return {
            **{name: row[name] for name in _SHOWN},
            "availability_zone": ZONE,
            "links": self.links(request, row["id"]),
            "is_incremental": False,
            "has_dependent_backups": False,
            **({"metadata": row["metadata"]} if request.version in versions.BACKUP_METADATA else {}),
        }

    # The objects

    async def write(self, id: str, archive: Path) -> int:
        """Keep a backup's archive; returns in how many pieces. Raises a `Fault`."""
        row = self.table[id]
        prefix, total = _prefix(row), archive.stat().st_size
        names: list[str] = []
        for start in range(0, total, PIECE_BYTES):
            names.append(f"{prefix}-{len(names) + 1:05d}")
            piece = Piece(archive, start, min(PIECE_BYTES, total - start))
            await self._store.keep(row["project_id"], row["container"], names[-1], [piece])
        about = {
            **{f"backup_{name}": row[name] for name in ("id", "name", "description")},
            **{name: row[name] for name in ("volume_id", "created_at")},
            "version": "1.0.0",
            "objects": [{name: {"compression": "tar.gz", "offset": n * PIECE_BYTES}} for n, name in enumerate(names)],
        }
        await self._store.keep(row["project_id"], row["container"], f"{prefix}_metadata", [json.dumps(about).encode()])
        return len(names)

    def pieces(self, id: str) -> list[Piece]:
        """A backup's archive. Raises a 400 `Fault` where its project has removed a part of it."""
        row = self.table[id]
        found = [piece for each in self._objects(row, "-") for piece in self._store.pieces(each)]
        if len(found) != row["object_count"]:
            raise invalid(f"the container {row['container']} no longer has all of its objects.", f"backup {id}")
        return found

    def clear(self, id: str) -> None:
        """Delete a backup's objects."""
        for each in self._objects(self.table[id], ""):
            self._store.objects.discard(each)

    def _objects(self, row: Row, suffix: str) -> list[Row]:
        return self._store.kept(row["project_id"], row["container"], _prefix(row) + suffix)


def _prefix(row: Row) -> str:
    moment = "".join(each for each in row["created_at"][:19] if each.isdigit())
    return f"volume_{row['volume_id']}/{moment}/az_{ZONE}_backup_{row['id']}"
