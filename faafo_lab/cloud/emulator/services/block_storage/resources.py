"""What volumes and snapshots have alike: they are listed, shown and changed, and have metadata."""

from __future__ import annotations

from typing import Any

from faafo_lab.cloud.emulator.common.service import JSON, Answer, Fault, Request, route
from faafo_lab.cloud.emulator.common.store import Row
from faafo_lab.cloud.emulator.services.block_storage.base import METADATA, NAMES, Collection, bounded, form, named

NONE = {kind: kind for kind in ("backups", "consistencygroups", "cgsnapshots")} | {"os-volume-transfer": "transfers"}


class Resources:
    """Operations on resources of every kind."""

    def __init__(self, *kinds: Collection[Any]) -> None:
        self._kinds = {kind.plural: kind for kind in kinds}

    def _kind(self, name: str) -> Collection[Any]:
        if name not in self._kinds:
            raise Fault(404, "The resource could not be found.")
        return self._kinds[name]

    def _of(self, request: Request, kind: str, id: str) -> tuple[Collection[Any], Row]:
        found = self._kind(kind)
        return found, found.find(request, id)

    @route("GET", "/v3/{project}/{kind}")
    @route("GET", "/v3/{project}/{kind}/detail")
    def index(self, request: Request, kind: str) -> JSON:
        """List volumes or snapshots, with `detail` everything of each; and kinds of which there are none."""
        if kind in NONE:
            return {NONE[kind]: []}
        found = self._kind(kind)
        page, links = found.page(request)
        if request.path.endswith("/detail"):
            return {kind: [found.view(request, row, whole=True) for row in page], **links}
        return {kind: [found.brief(request, row) for row in page], **links}

    @route("GET", "/v3/{project}/{kind}/{id}")
    def show_one(self, request: Request, kind: str, id: str) -> JSON:
        """Show a volume or snapshot."""
        found, row = self._of(request, kind, id)
        return {found.singular: found.view(request, row, whole=True)}

    @route("PUT", "/v3/{project}/{kind}/{id}")
    def update(self, request: Request, kind: str, id: str) -> JSON:
        """Change a volume's or snapshot's name, description or metadata."""
        found, _ = self._of(request, kind, id)
        wanted = request.parse(form(found.singular, {**NAMES, "metadata": METADATA}))[found.singular]
        changes = named(wanted)
        if wanted.get("metadata") is not None:
            changes["metadata"] = bounded(wanted["metadata"])
        return {found.singular: found.view(request, found.update(id, **changes))}

    # Metadata

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
        metadata = bounded({**row["metadata"], **wanted} if request.method == "POST" else wanted)
        found.update(id, metadata=metadata)
        return {"metadata": metadata}

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
        found.update(id, metadata=bounded({**row["metadata"], **wanted}))
        return {"meta": wanted}

    @route("DELETE", "/v3/{project}/{kind}/{id}/metadata/{key}")
    def delete_item(self, request: Request, kind: str, id: str, key: str) -> Answer:
        """Remove one item of the metadata."""
        found, row = self._of(request, kind, id)
        gone = self._item(row, key)
        found.update(id, metadata={name: value for name, value in row["metadata"].items() if name not in gone})
        return Answer(200)
