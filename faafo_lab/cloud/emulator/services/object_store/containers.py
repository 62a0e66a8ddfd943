"""Containers: create, list, change, delete; their access lists, quotas and where old versions go."""

from __future__ import annotations

from urllib.parse import quote

from faafo_lab.cloud.emulator.common.numbers import whole
from faafo_lab.cloud.emulator.common.service import JSON, Answer, Fault, Request, route
from faafo_lab.cloud.emulator.common.store import Row
from faafo_lab.cloud.emulator.services.object_store import acl, listing, metadata
from faafo_lab.cloud.emulator.services.object_store.base import POLICY, Collection

OWNERS_ONLY = (*("X-Container-Read", "X-Container-Write", "X-Container-Sync-Key", "X-Container-Meta-Temp-Url-Key"),)
VERSIONS = ("X-Versions-Location", "X-History-Location")


class Containers:
    """Operations on containers."""

    def __init__(self, collection: Collection) -> None:
        self._all = collection

    def _changed(self, request: Request, before: dict[str, str]) -> dict[str, str]:
        """A container's metadata after a request. Raises a 400 `Fault`."""
        meta: dict[str, str] = metadata.merged(
            "Container", request.headers, before, settings=metadata.CONTAINER_SETTINGS
        )
        for name in ("X-Container-Read", "X-Container-Write"):
            if name in request.headers and name in meta:
                meta[name] = acl.clean(name, meta[name])
        for name, what in metadata.QUOTAS.items():
            if name in meta and whole(meta[name]) is None:
                raise Fault(400, f"Invalid {what} quota.")
        given = [name for name in VERSIONS if request.headers.get(name)]
        if len(given) > 1:
            raise Fault(400, "Only one of X-Versions-Location or X-History-Location may be specified")
        for name in given:
            location = metadata.meant(meta[name])
            if "/" in location.strip("/"):
                raise Fault(400, f"{name} must name a container")
            meta[name] = quote(location.strip("/"))
            meta.pop(VERSIONS[1 - VERSIONS.index(name)], None)
        return meta

    @route("PUT", "/{account}/{container}")
    def create(self, request: Request, account: str, container: str) -> Answer:
        """Create a container (201), or change the metadata of one that is there (202)."""
        metadata.check_names(container)
        if request.headers.get("X-Storage-Policy", POLICY) != POLICY:
            raise Fault(400, "Invalid X-Storage-Policy: " + request.headers["X-Storage-Policy"])
        row = self._all.get_container(account, container)
        meta = self._changed(request, row["meta"] if row else {})
        self._all.put_container({**(row or self._all.new_container(account, container)), "meta": meta})
        return Answer(202 if row else 201)

    @route("POST", "/{account}/{container}")
    def change(self, request: Request, account: str, container: str) -> Answer:
        """Change a container's metadata."""
        row = self._all.container(account, container)
        self._all.put_container({**row, "meta": self._changed(request, row["meta"])})
        return Answer(204)

    @route("DELETE", "/{account}/{container}")
    def delete(self, request: Request, account: str, container: str) -> Answer:
        """Delete an empty container."""
        row = self._all.container(account, container)
        if self._all.shelf(row["id"]).names:
            raise Fault(409, "There was a conflict when trying to complete your request.")
        self._all.delete_container(row)
        return Answer(204)

    @route("GET", "/{account}/{container}")
    @route("HEAD", "/{account}/{container}")
    def index(self, request: Request, account: str, container: str) -> Answer:
        """A container's metadata, and its objects."""
        row = self._all.container(account, container)
        shelf = self._all.shelf(row["id"])
        meta = dict(row["meta"])
        if not self._all.owns(request, account):
            meta = {name: value for name, value in meta.items() if not name.startswith(OWNERS_ONLY)}
        headers = {
            **meta,
            "X-Container-Object-Count": str(len(shelf.names)),
            "X-Container-Bytes-Used": str(shelf.bytes),
            "X-Timestamp": row["timestamp"],
            "X-Storage-Policy": POLICY,
            "Accept-Ranges": "bytes",
        }

        def view(name: str) -> JSON | None:
            found = self._all.get_object(account, container, name)
            return found and _view(found)

        return listing.answer(request, headers, shelf.names, view, of="container", name=container, item="object")


def _view(row: Row) -> JSON:
    """An object in a list."""
    view = {
        "name": row["name"],
        "hash": row["etag"],
        "bytes": row["slo"]["bytes"] if row["slo"] else row["bytes"],
        "content_type": row["type"].encode("latin-1").decode(),
        "last_modified": listing.iso(row["timestamp"]),
    }
    if row["slo"]:
        view["slo_etag"] = f'"{row["slo"]["etag"]}"'
    return view
