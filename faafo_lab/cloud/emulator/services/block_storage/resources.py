"""What Cinder's kinds of resources have alike: they are listed, shown and changed, and may have metadata."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from faafo_lab.cloud.emulator.common.service import ALL_VERSIONS, JSON, Answer, Fault, Request, Versions, route
from faafo_lab.cloud.emulator.common.store import Row
from faafo_lab.cloud.emulator.services.block_storage import versions
from faafo_lab.cloud.emulator.services.block_storage.base import METADATA, NAMES, Collection, bounded, form, named

NONE: dict[str, tuple[str, Versions]] = {  # kinds of which there are none, and how a list calls them
    "cgsnapshots": ("cgsnapshots", ALL_VERSIONS),
    "consistencygroups": ("consistencygroups", ALL_VERSIONS),
    "group_snapshots": ("group_snapshots", versions.GROUP_SNAPSHOTS),
    "group_types": ("group_types", versions.GROUP_TYPES),
    "groups": ("groups", versions.GROUPS),
    "messages": ("messages", versions.MESSAGES),
}
CHANGES: dict[str, JSON] = {  # what of a resource can be changed
    "volumes": {**NAMES, "metadata": METADATA},
    "snapshots": NAMES,
    "backups": {"name": NAMES["name"], "description": NAMES["description"], "metadata": METADATA},
}


class Resources:
    """Operations on resources of every kind."""

    def __init__(self, *kinds: Collection[Any]) -> None:
        self._kinds = {path: kind for kind in kinds for path in kind.paths}

    def _kind(self, request: Request, name: str) -> Collection[Any]:
        found = self._kinds.get(name)
        if found is None or request.version not in found.paths[name]:
            raise Fault(404, "The resource could not be found.")
        return found

    def _of(self, request: Request, kind: str, id: str) -> tuple[Collection[Any], Row]:
        """A kind of resource that has metadata, and one of it."""
        found = self._kind(request, kind if kind in ("volumes", "snapshots") else "")
        return found, found.find(request, id)

    @route("GET", "/v3/{project}/{kind}")
    @route("GET", "/v3/{project}/{kind}/detail")
    def index(self, request: Request, kind: str) -> JSON:
        """List resources of a kind, with `detail` everything of each; and kinds of which there are none."""
        if kind in NONE and request.version in NONE[kind][1]:
            return {NONE[kind][0]: []}
        found = self._kind(request, kind)
        page, beside = found.page(request)
        if request.path.endswith("/detail"):
            return {found.plural: [found.view(request, row, whole=True) for row in page], **beside}
        return {found.plural: [found.brief(request, row) for row in page], **beside}

    @route("GET", "/v3/{project}/resource_filters", versions=versions.RESOURCE_FILTERS)
    def filters(self, request: Request) -> JSON:
        """By what the resources of each kind are filtered."""
        kinds = [kind for kind in self._kinds.values() if request.one("resource") in (None, kind.singular)]
        return {"resource_filters": [{"resource": kind.singular, "filters": list(kind.filters)} for kind in kinds]}

    @route("GET", "/v3/{project}/{kind}/{id}")
    def show_one(self, request: Request, kind: str, id: str) -> JSON:
        """Show one."""
        found = self._kind(request, kind)
        return {found.singular: found.view(request, found.find(request, id), whole=True)}

    @route("PUT", "/v3/{project}/{kind}/{id}")
    def update(self, request: Request, kind: str, id: str) -> JSON:
        """Change one's name, description or metadata."""
        found = self._kind(request, kind)
        if request.version not in found.changeable:
            raise Fault(404, "The resource could not be found.")
        found.find(request, id)
        wanted = request.parse(form(found.singular, CHANGES[kind], strict=True))[found.singular]
        changes = named(wanted)
        if wanted.get("metadata") is not None:
            changes["metadata"] = bounded(wanted["metadata"])
        if not changes and (kind == "snapshots" or request.version in versions.STRICT_FORMS):
            raise Fault(400, f"{wanted} is not valid under any of the given schemas")
        return {found.singular: found.view(request, found.update(id, **changes))}

    # Metadata

    @route("GET", "/v3/{project}/{kind}/{id}/metadata")
    def show(self, request: Request, kind: str, id: str) -> JSON | Answer:
        """A volume's or snapshot's metadata."""
        metadata = self._of(request, kind, id)[1]["metadata"]
        tagged = request.version in versions.ETAGS and kind == "volumes"
        return Answer(200, {"metadata": metadata}, {"Etag": _etag(metadata)} if tagged else {})

    @route("POST", "/v3/{project}/{kind}/{id}/metadata")
    @route("PUT", "/v3/{project}/{kind}/{id}/metadata")
    def change(self, request: Request, kind: str, id: str) -> JSON:
        """Add to the metadata (POST), or replace all of it (PUT)."""
        found, row = self._of(request, kind, id)
        definition = {"type": "object", "required": ["metadata"], "properties": {"metadata": METADATA}}
        wanted = request.parse(definition)["metadata"] or {}
        if request.method == "PUT":
            _check_etag(request, row)
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
        _check_etag(request, row)
        found.update(id, metadata=bounded({**row["metadata"], **wanted}))
        return {"meta": wanted}

    @route("DELETE", "/v3/{project}/{kind}/{id}/metadata/{key}")
    def delete_item(self, request: Request, kind: str, id: str, key: str) -> Answer:
        """Remove one item of the metadata."""
        found, row = self._of(request, kind, id)
        gone = self._item(row, key)
        found.update(id, metadata={name: value for name, value in row["metadata"].items() if name not in gone})
        return Answer(200)


def _etag(metadata: JSON) -> str:
    return hashlib.md5(json.dumps(metadata).encode(), usedforsecurity=False).hexdigest()


def _check_etag(request: Request, row: Row) -> None:
    """Raises a 412 `Fault` where the metadata are no longer those that a client has seen."""
    seen = request.headers.get("If-Match")
    if request.version in versions.ETAGS and seen is not None and _etag(row["metadata"]) not in seen:
        raise Fault(412, "The metadata have changed meanwhile.")
