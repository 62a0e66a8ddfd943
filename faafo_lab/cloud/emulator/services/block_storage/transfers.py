"""Transfers: a volume, with its snapshots, becomes another project's, which has been told the key.

Source: https://docs.openstack.org/api-ref/block-storage/v3/#volume-transfers-volume-transfers
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from typing import ClassVar

from faafo_lab.cloud.emulator.common.service import ALL_VERSIONS, JSON, Answer, Fault, Request, Versions, route
from faafo_lab.cloud.emulator.common.store import Row
from faafo_lab.cloud.emulator.services.block_storage import versions
from faafo_lab.cloud.emulator.services.block_storage.base import NAMES, Collection, form
from faafo_lab.cloud.emulator.services.block_storage.stock import Part, Stock
from faafo_lab.cloud.emulator.services.block_storage.words import check_available, invalid, truth

KEY_BYTES = 8
CREATE: JSON = {"volume_id": {"type": "string", "maxLength": 255}, "name": NAMES["name"]}
FLAG: JSON = {"type": ["boolean", "string", "integer"]}
ACCEPT = form("accept", {"auth_key": {"type": ["string", "integer"]}}, "auth_key", strict=True)


class AllTransfers(Collection[Row]):
    """All transfers that nobody has accepted yet: what every row has, volume_id, no_snapshots and key_hash."""

    plural, kind = "transfers", "volume_transfer"
    paths: ClassVar[Mapping[str, Versions]] = {
        "os-volume-transfer": ALL_VERSIONS,
        "volume-transfers": versions.TRANSFERS,
    }
    filters: ClassVar[Mapping[str, Versions]] = dict.fromkeys(("name", "volume_id"), ALL_VERSIONS)
    changeable = versions.NEVER

    def brief(self, request: Request, row: Row) -> JSON:
        """A transfer in a list without details."""
        return {**super().brief(request, row), "volume_id": row["volume_id"]}

    def view(self, request: Request, row: Row, *, whole: bool = False) -> JSON:
        """A transfer as Cinder shows it."""
        view = {**self.brief(request, row), "created_at": row["created_at"]}
        if request.version in versions.TRANSFERS:
            view["no_snapshots"] = row["no_snapshots"]
        if request.version in versions.TRANSFER_HISTORY:
            view |= {"source_project_id": row["project_id"], "destination_project_id": None, "accepted": False}
        return view


class Transfers(Part):
    """Volumes are offered, and accepted."""

    def __init__(self, stock: Stock) -> None:
        super().__init__(stock)
        self.all = self._transfers = AllTransfers(stock.site)

    @route("POST", "/v3/{project}/os-volume-transfer")
    @route("POST", "/v3/{project}/volume-transfers", versions=versions.TRANSFERS)
    def create(self, request: Request) -> Answer:
        """Offer a volume to whoever is told the key, which is shown once."""
        fields = {**CREATE, "no_snapshots": FLAG} if request.version in versions.TRANSFERS else CREATE
        wanted = request.parse(form("transfer", fields, "volume_id", strict=True))["transfer"]
        volume, alone = (
            self._volumes.find(request, wanted["volume_id"]),
            truth(wanted.get("no_snapshots"), "no_snapshots"),
        )
        check_available(volume)
        for each in [] if alone else self._snapshots.table.where(volume_id=volume["id"]):
            if each["status"] != "available":
                raise invalid(f"snapshot: {each['id']} status must be available", "snapshot")
        key = secrets.token_hex(KEY_BYTES)
        with self._volumes.transaction():
            self._volumes.update(volume["id"], status="awaiting-transfer")
            row = self._transfers.add(request, wanted, volume_id=volume["id"], no_snapshots=alone, key_hash=_hash(key))
        return Answer(202, {"transfer": {**self._transfers.view(request, row), "auth_key": key}})

    @route("POST", "/v3/{project}/os-volume-transfer/{id}/accept")
    @route("POST", "/v3/{project}/volume-transfers/{id}/accept", versions=versions.TRANSFERS)
    def accept(self, request: Request, id: str) -> Answer:
        """Take a volume over with its key: its quota is the new project's."""
        key, row = str(request.parse(ACCEPT)["accept"]["auth_key"]), self._transfers.table.get(id)
        if row is None:
            raise Fault(404, f"Transfer {id} could not be found.")
        if not secrets.compare_digest(_hash(key), row["key_hash"]):
            raise invalid(f"Attempt to transfer {id} with invalid auth key.", "auth key")
        volume = self._volumes.table[row["volume_id"]]
        snapshots = [] if row["no_snapshots"] else self._snapshots.table.where(volume_id=volume["id"])
        sizes = [volume["size"], *(each["size"] for each in snapshots)]
        claim = {"volumes": 1, "snapshots": len(snapshots), "gigabytes": sum(sizes)}
        self._quotas.claim(request.project, {"per_volume_gigabytes": volume["size"], **claim})
        owner = {"project_id": request.project, "user_id": request.token.user_id}
        with self._volumes.transaction():
            self._volumes.update(volume["id"], status="available", **owner)
            for each in snapshots:
                self._snapshots.update(each["id"], **owner)
            self._transfers.table.delete(id)
        return Answer(202, {"transfer": self._transfers.brief(request, row)})

    @route("DELETE", "/v3/{project}/os-volume-transfer/{id}")
    @route("DELETE", "/v3/{project}/volume-transfers/{id}", versions=versions.TRANSFERS)
    def delete(self, request: Request, id: str) -> Answer:
        """Take an offer back."""
        row = self._transfers.find(request, id)
        with self._volumes.transaction():
            self._volumes.update(row["volume_id"], status="available")
            self._transfers.table.delete(id)
        return Answer(202)


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()
