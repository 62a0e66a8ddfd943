"""The metadata of volumes and of snapshots."""

from __future__ import annotations

from typing import Any

from faafo_lab.cloud.emulator.common.service import JSON, Answer, Fault, Request, route
from faafo_lab.cloud.emulator.common.store import Row
from faafo_lab.cloud.emulator.services.block_storage.base import METADATA, METADATA_ITEMS_MAX, Collection


class Metadata:
    """Operations on metadata."""

    def __init__(self, *kinds: Collection[Any]) -> None:
        self._kinds = {kind.name: kind for kind in kinds}

    def _of(self, request: Request, kind: str, id: str) -> tuple[Collection[Any], Row]:
        if kind not in self._kinds:
            raise Fault(404, "The resource could not be found.")
        return self._kinds[kind], self._kinds[kind].find(request, id)

    def _keep(self, kind: Collection[Any], id: str, metadata: JSON) -> JSON:
        if len(metadata) > METADATA_ITEMS_MAX:
            raise Fault(413, f"Maximum number of metadata items exceeds {METADATA_ITEMS_MAX}")
        kind.update(id, metadata=metadata)
        return metadata

    @route("GET", "/v3/{project}/{kind}/{id}/metadata")
    def show(self, request: Request, kind: str, id: str) -> JSON:
        """A volume's or snapshot's metadata."""
        return {"metadata": self._of(request, kind, id)[1]["metadata"]}

    @route("POST", "/v3/{project}/{kind}/{id}/metadata")
    @route("PUT", "/v3/{project}/{kind}/{id}/metadata")
    def change(self, request: Request, kind: str, id: str) -> JSON:
        """Add to the metadata (POST), or replace all of it (PUT)."""
        found, row = self._of(request, kind, id)
        definition = {"type": "object", "required": ["metadata"], "properties": {"metadata": METADATA}}
        wanted = request.parse(definition)["metadata"] or {}
        return {
            "metadata": self._keep(found, id, {**row["metadata"], **wanted} if request.method == "POST" else wanted)
        }

    def _item(self, row: Row, key: str) -> JSON:
        if key not in row["metadata"]:
            raise Fault(404, f"Metadata item {key} was not found.")
        return {key: row["metadata"][key]}

    @route("GET", "/v3/{project}/{kind}/{id}/metadata/{key}")
    def item(self, request: Request, kind: str, id: str, key: str) -> JSON:
        """One item of the metadata."""
        return {"meta": self._item(self._of(request, kind, id)[1], key)}

    @route("PUT", "/v3/{project}/{kind}/{id}/metadata/{key}")
    def change_item(self, request: Request, kind: str, id: str, key: str) -> JSON:
        """Set one item of the metadata."""
        found, row = self._of(request, kind, id)
        one = {**METADATA, "type": "object", "minProperties": 1, "maxProperties": 1}
        wanted = request.parse({"type": "object", "required": ["meta"], "properties": {"meta": one}})["meta"]
        if key not in wanted:
            raise Fault(400, "Request body and URI mismatch")
        self._keep(found, id, {**row["metadata"], **wanted})
        return {"meta": wanted}

    @route("DELETE", "/v3/{project}/{kind}/{id}/metadata/{key}")
    def delete_item(self, request: Request, kind: str, id: str, key: str) -> Answer:
        """Remove one item of the metadata."""
        found, row = self._of(request, kind, id)
        gone = self._item(row, key)
        self._keep(found, id, {name: value for name, value in row["metadata"].items() if name not in gone})
        return Answer(200)
