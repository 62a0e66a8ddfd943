"""Objects: upload, download, copy, metadata, delete."""

from __future__ import annotations

from collections.abc import AsyncIterator
from urllib.parse import quote

from faafo_lab.cloud.emulator.common.service import Answer, Fault, Request, route
from faafo_lab.cloud.emulator.common.store import Row
from faafo_lab.cloud.emulator.services.object_store import bulk, content, metadata, tempurl, versions
from faafo_lab.cloud.emulator.services.object_store.base import Collection, text
from faafo_lab.cloud.emulator.services.object_store.expirer import Expirer
from faafo_lab.cloud.emulator.services.object_store.files import stream
from faafo_lab.cloud.emulator.services.object_store.manifests import MAX_MANIFEST_BYTES, Manifests

OVER_QUOTA = "Upload exceeds quota."


class Objects:
    """Operations on objects."""

    def __init__(self, collection: Collection, manifests: Manifests, expirer: Expirer, quota: int) -> None:
        """`quota` is how many bytes an account may have; -1: any number."""
        self._all, self._manifests, self._expirer, self._quota = collection, manifests, expirer, quota

    # Reading

    @route("GET", "/{account}/{container}/{object*}")
    @route("HEAD", "/{account}/{container}/{object*}")
    def read(self, request: Request, account: str, container: str, object: str) -> Answer:
        """An object, or what is known of it."""
        row = self._all.object(account, container, object)
        headers = object_headers(row)
        if request.scope:
            kept = headers.get("Content-Disposition")
            headers["Content-Disposition"] = tempurl.disposition(request.query, object, kept)
        if request.one("multipart-manifest") != "get":
            found = self._manifests.content(request, row)
        elif row["slo"]:
            shown = self._manifests.shown(row, raw=request.one("format") == "raw")
            found = content.Content([shown], row["etag"])
            headers["Content-Type"] = "application/json; charset=utf-8"
        else:
            found = self._manifests.plain(row)
        return content.answer(request, found, row["timestamp"], headers)

    # Writing

    @route("PUT", "/{account}/{container}/{object*}", stream=True)
    async def write(self, request: Request, account: str, container: str, object: str) -> Answer:
        """Upload an object, or copy the one that X-Copy-From names."""
        if "X-Copy-From" not in request.headers:
            return await self._upload(request, account, container, object)
        not_signed(request, "X-Copy-From")
        metadata.check_names(container, object)
        if request.headers.get("Content-Length", "0") != "0" or "Transfer-Encoding" in request.headers:
            raise Fault(400, "Copy requests require a zero byte body")
        from_account = metadata.meant(request.headers.get("X-Copy-From-Account", account))
        from_container, from_name = _place(request, "X-Copy-From")
        self._all.authorize(request, "read", from_account, from_container)
        source = self._all.object(from_account, from_container, from_name)
        return await self._copy(request, source, account, container, object)

    async def _upload(self, request: Request, account: str, container: str, object: str) -> Answer:
        """Upload an object, or a manifest."""
        not_signed(request, "X-Object-Manifest")
        metadata.check_names(container, object)
        self._all.container(account, container)
        row = self.new(request.headers, account, container, object)
        if "Content-Length" not in request.headers and "Transfer-Encoding" not in request.headers:
            raise Fault(411, "Missing Content-Length header.")
        length = int(request.headers.get("Content-Length", "0"))  # Tornado lets none but ASCII digits in
        assert request.chunks is not None
        if request.one("multipart-manifest") == "put":
            row = await self._write_manifest(request, row)
            return Answer(201, None, written_headers(row))
        etag = request.headers.get("Etag", "").strip('"').lower()
        row = await self.keep(row, request.chunks, length=length, etag=etag, new=self._must_be_new(request, row))
        return Answer(201, None, written_headers(row))

    async def _write_manifest(self, request: Request, row: Row) -> Row:
        body = await text(request.chunks, MAX_MANIFEST_BYTES)
        data, row["slo"] = self._manifests.check(request, row["account"], body)
        if request.headers.get("Etag", "").strip('"').lower() not in ("", row["slo"]["etag"]):
            raise Fault(422, "The ETag is not that of the segments.")
        return await self.keep(row, stream([data]), length=len(data), new=self._must_be_new(request, row))

    def _must_be_new(self, request: Request, row: Row) -> bool:
        """Whether the object may not be there yet. Raises 400 and 412 `Fault`s."""
        condition = request.headers.get("If-None-Match")
        if condition is None:
            return False
        if condition.strip() != "*":
            raise Fault(400, "If-None-Match only supports *")
        if self._all.get_object(row["account"], row["container"], row["name"]):
            raise Fault(412, "The object is there already.")
        return True

    def new(self, headers: metadata.Headers, account: str, container: str, name: str) -> Row:
        """The row of an object that is to be written, without its data. Raises a 400 `Fault`."""
        return {
            "id": f"{account}/{container}/{name}",
            "account": account,
            "container": container,
            "name": name,
            "type": metadata.content_type(headers, name),
            "meta": metadata.object_meta(headers),
            "delete_at": metadata.delete_at(headers),
            "slo": None,
        }

    async def keep(
        self, row: Row, chunks: AsyncIterator[bytes], *, length: int = 0, etag: str = "", new: bool = False
    ) -> Row:
        """Write an object: its data, then its row. Raises 404, 412, 413, 422 and 507 `Fault`s; then nothing is left."""
        if length > metadata.MAX_FILE_BYTES:
            raise Fault(413, "Your request is too large.")
        room = self._room(row)
        if length > room:
            raise Fault(413, OVER_QUOTA)
        async with self._all.files.receive(chunks, room) as got:
            if etag and etag != got.md5:
                raise Fault(422, "The ETag is not that of the data.")
            if got.length > self._room(row):  # others have written, too
                raise Fault(413, OVER_QUOTA)
            if new and self._all.get_object(row["account"], row["container"], row["name"]):
                raise Fault(412, "The object is there already.")
            data = {"file": got.file, "bytes": got.length, "etag": got.md5, "timestamp": self._all.moment()}
            row = {**row, **data}
            old = versions.kept(self._all, self._all.container(row["account"], row["container"]), row["name"])
            self._all.change([row, *old])
        self._expirer.watch(row)
        return row

    def _room(self, row: Row) -> int:
        """How many bytes an object may have. Raises a 404 `Fault`, and a 413 one where there may be no more objects."""
        container = self._all.container(row["account"], row["container"])
        shelf, meta = self._all.shelf(container["id"]), container["meta"]
        if len(shelf.names) + 1 > int(meta.get("X-Container-Meta-Quota-Count", len(shelf.names) + 1)):
            raise Fault(413, OVER_QUOTA)
        room = metadata.MAX_FILE_BYTES
        if (quota := meta.get("X-Container-Meta-Quota-Bytes")) is not None:
            room = min(room, max(0, int(quota) - shelf.bytes))
        if self._quota >= 0:
            room = min(room, max(0, self._quota - self._all.totals(row["account"])[1]))
        return room

    @route("POST", "/{account}/{container}/{object*}")
    def change(self, request: Request, account: str, container: str, object: str) -> Answer:
        """Give an object other metadata: what is not said again is gone."""
        not_signed(request, "X-Object-Manifest")
        row = self._all.object(account, container, object)
        fields = self.new(request.headers, account, container, object)
        if "Content-Type" not in request.headers:
            fields["type"] = row["type"]
        changed = {**row, **fields, "slo": row["slo"], "timestamp": self._all.moment()}
        self._all.change([changed])
        self._expirer.watch(changed)
        return Answer(202)

    # Copying: a large object's copy has its bytes, not its segments

    @route("COPY", "/{account}/{container}/{object*}")
    async def copy_to(self, request: Request, account: str, container: str, object: str) -> Answer:
        """Copy an object to the Destination."""
        source = self._all.object(account, container, object)
        to_account = metadata.meant(request.headers.get("Destination-Account", account))
        to_container, to_name = _place(request, "Destination")
        self._all.authorize(request, "write", to_account, to_container)
        metadata.check_names(to_container, to_name)
        return await self._copy(request, source, to_account, to_container, to_name)

    async def _copy(self, request: Request, source: Row, account: str, container: str, name: str) -> Answer:
        self._all.container(account, container)
        as_manifest = request.one("multipart-manifest") == "get"
        found = self._manifests.plain(source) if as_manifest else self._manifests.content(request, source)
        row = self.new(request.headers, account, container, name)
        if "Content-Type" not in request.headers:
            row["type"] = source["type"]
        if not metadata.is_true(request.headers.get("X-Fresh-Metadata")):
            kept = {key: value for key, value in source["meta"].items() if key != "X-Object-Manifest" or as_manifest}
            row["meta"] = {**kept, **row["meta"]}
            row["delete_at"] = row["delete_at"] or source["delete_at"]
        if as_manifest:
            row["slo"] = source["slo"]
        row = await self.keep(row, stream(found.parts), length=found.bytes)
        copied = {
            "X-Copied-From": quote(f"{source['container']}/{source['name']}"),
            "X-Copied-From-Account": source["account"],
            "X-Copied-From-Last-Modified": content.http_date(source["timestamp"]),
        }
        kept_headers = object_headers(row)
        kept_headers.pop("Content-Type")
        return Answer(201, None, {**kept_headers, **written_headers(row), **copied})

    # Deleting

    @route("DELETE", "/{account}/{container}/{object*}")
    def delete(self, request: Request, account: str, container: str, object: str) -> Answer:
        """Delete an object; with ?multipart-manifest=delete, a static large object's segments, too."""
        if request.one("multipart-manifest") == "delete":
            return self._delete_segments(request, account, container, object)
        self.discard(self._all.object(account, container, object))
        return Answer(204)

    def discard(self, row: Row) -> None:
        """Delete an object; what becomes of it, its container says (see `versions`)."""
        put, remove = versions.deleted(self._all, self._all.container(row["account"], row["container"]), row)
        self._all.change(put, remove)
        for each in put:
            self._expirer.watch(each)

    def _delete_segments(self, request: Request, account: str, container: str, name: str) -> Answer:
        row = self._all.get_object(account, container, name)
        if row is None:
            return bulk.answer(request, [(name, 404)])
        if not row["slo"]:
            return bulk.answer(request, [], "Not an SLO manifest")
        outcomes = []
        for segment_container, segment in self._manifests.all_of(row):
            found = self._all.get_object(account, segment_container, segment)
            may = self._all.may(request, "write", account, segment_container)
            if may and found is not None:
                self.discard(found)
            code = 403 if not may else 404 if found is None else 204
            outcomes.append((f"/{segment_container}/{segment}", code))
        return bulk.answer(request, outcomes)


def not_signed(request: Request, header: str) -> None:
    """Raises a 400 `Fault` for a header that whoever signed a temporary URL has not meant."""
    if request.scope and header in request.headers:
        raise Fault(400, f"The header {header} is not allowed with a temporary URL.")


def object_headers(row: Row) -> dict[str, str]:
    """What an object's row says in an answer."""
    headers = {**row["meta"], "Content-Type": row["type"]}
    if row["delete_at"] is not None:
        headers["X-Delete-At"] = str(row["delete_at"])
    if row["slo"]:
        headers["X-Static-Large-Object"] = "True"
    return headers


def written_headers(row: Row) -> dict[str, str]:
    """What an answer says of an object that has been written."""
    etag = f'"{row["slo"]["etag"]}"' if row["slo"] else row["etag"]
    return {"Etag": etag, "Last-Modified": content.http_date(row["timestamp"])}


def _place(request: Request, header: str) -> tuple[str, str]:
    """The container and the object that a header names. Raises a 412 `Fault`."""
    container, _, name = metadata.meant(request.headers.get(header, "")).removeprefix("/").partition("/")
    if not container or not name:
        raise Fault(412, f"{header} header must be of the form <container name>/<object name>")
    return container, name
