"""Copies: COPY with a Destination, and PUT with X-Copy-From. A large object's copy has its bytes, not its segments."""

from __future__ import annotations

from faafo_lab.cloud.emulator.common.service import Answer, Fault, Request, route
from faafo_lab.cloud.emulator.common.store import Row
from faafo_lab.cloud.emulator.services.object_store import content, metadata
from faafo_lab.cloud.emulator.services.object_store.base import Collection
from faafo_lab.cloud.emulator.services.object_store.files import stream
from faafo_lab.cloud.emulator.services.object_store.manifests import Manifests
from faafo_lab.cloud.emulator.services.object_store.objects import Objects, not_signed, object_headers, written_headers


class Copies:
    """Operations that copy objects; an upload may be one."""

    def __init__(self, collection: Collection, manifests: Manifests, objects: Objects) -> None:
        self._all, self._manifests, self._objects = collection, manifests, objects

    @route("COPY", "/{account}/{container}/{object*}")
    async def copy_to(self, request: Request, account: str, container: str, object: str) -> Answer:
        """Copy an object to the Destination."""
        source = self._all.object(account, container, object)
        to_account = metadata.meant(request.headers.get("Destination-Account", account))
        to_container, to_name = _place(request, "Destination")
        self._all.authorize(request, "write", to_account, to_container)
        metadata.check_names(to_container, to_name)
        return await self._copy(request, source, to_account, to_container, to_name)

    @route("PUT", "/{account}/{container}/{object*}", stream=True)
    async def write(self, request: Request, account: str, container: str, object: str) -> Answer:
        """Upload an object, or copy the one that X-Copy-From names."""
        if "X-Copy-From" not in request.headers:
            return await self._objects.upload(request, account, container, object)
        not_signed(request, "X-Copy-From")
        metadata.check_names(container, object)
        if request.headers.get("Content-Length", "0") != "0" or "Transfer-Encoding" in request.headers:
            raise Fault(400, "Copy requests require a zero byte body")
        from_account = metadata.meant(request.headers.get("X-Copy-From-Account", account))
        from_container, from_name = _place(request, "X-Copy-From")
        self._all.authorize(request, "read", from_account, from_container)
        source = self._all.object(from_account, from_container, from_name)
        return await self._copy(request, source, account, container, object)

    async def _copy(self, request: Request, source: Row, account: str, container: str, name: str) -> Answer:
        self._all.container(account, container)
        as_manifest = request.one("multipart-manifest") == "get"
        found = self._manifests.plain(source) if as_manifest else self._manifests.content(request, source)
        row = self._objects.new(request.headers, account, container, name)
        if "Content-Type" not in request.headers:
            row["type"] = source["type"]
        if request.headers.get("X-Fresh-Metadata", "").lower() not in ("true", "1", "yes", "on", "t", "y"):
            kept = {key: value for key, value in source["meta"].items() if key != "X-Object-Manifest" or as_manifest}
            row["meta"] = {**kept, **row["meta"]}
            row["delete_at"] = row["delete_at"] or source["delete_at"]
        if as_manifest:
            row["slo"] = source["slo"]
        row = await self._objects.keep(row, stream(found.parts), length=found.bytes)
        copied = {
            "X-Copied-From": metadata.written(f"{source['container']}/{source['name']}"),
            "X-Copied-From-Account": source["account"],
            "X-Copied-From-Last-Modified": content.http_date(source["timestamp"]),
        }
        kept_headers = object_headers(row)
        kept_headers.pop("Content-Type")
        return Answer(201, None, {**kept_headers, **written_headers(row), **copied})


def _place(request: Request, header: str) -> tuple[str, str]:
    """The container and the object that a header names. Raises a 412 `Fault`."""
    container, _, name = metadata.meant(request.headers.get(header, "")).removeprefix("/").partition("/")
    if not container or not name:
        raise Fault(412, f"{header} header must be of the form <container name>/<object name>")
    return container, name
