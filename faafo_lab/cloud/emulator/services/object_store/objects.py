"""Objects: upload, download, metadata, delete."""

from __future__ import annotations

from collections.abc import AsyncIterator

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

    async def upload(self, request: Request, account: str, container: str, object: str) -> Answer:
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
        if self._all.records.object(row["account"], row["container"], row["name"]):
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
            if new and self._all.records.object(row["account"], row["container"], row["name"]):
                raise Fault(412, "The object is there already.")
            data = {"file": got.file, "bytes": got.length, "etag": got.md5, "timestamp": self._all.records.moment()}
            row = {**row, **data}
            old = versions.kept(self._all.records, self._all.container(row["account"], row["container"]), row["name"])
            gone = self._all.records.change([row, *old])
        self._all.files.remove(gone)
        self._expirer.watch(row)
        return row

    def _room(self, row: Row) -> int:
        """How many bytes an object may have. Raises a 404 `Fault`, and a 413 one where there may be no more objects."""
        container = self._all.container(row["account"], row["container"])
        shelf, meta = self._all.records.shelf(container["id"]), container["meta"]
        if len(shelf.names) + 1 > int(meta.get("X-Container-Meta-Quota-Count", len(shelf.names) + 1)):
            raise Fault(413, OVER_QUOTA)
        room = metadata.MAX_FILE_BYTES
        if (quota := meta.get("X-Container-Meta-Quota-Bytes")) is not None:
            room = min(room, max(0, int(quota) - shelf.bytes))
        if self._quota >= 0:
            room = min(room, max(0, self._quota - self._all.records.totals(row["account"])[1]))
        return room

    @route("POST", "/{account}/{container}/{object*}")
    def change(self, request: Request, account: str, container: str, object: str) -> Answer:
        """Give an object other metadata: what is not said again is gone."""
        not_signed(request, "X-Object-Manifest")
        row = self._all.object(account, container, object)
        fields = self.new(request.headers, account, container, object)
        if "Content-Type" not in request.headers:
            fields["type"] = row["type"]
        changed = {**row, **fields, "slo": row["slo"], "timestamp": self._all.records.moment()}
        self._all.records.change([changed])
        self._expirer.watch(changed)
        return Answer(202)

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
        put, remove = versions.deleted(self._all.records, self._all.container(row["account"], row["container"]), row)
        self._all.files.remove(self._all.records.change(put, remove))
        for each in put:
            self._expirer.watch(each)

    def _delete_segments(self, request: Request, account: str, container: str, name: str) -> Answer:
        row = self._all.records.object(account, container, name)
        if row is None:
            return bulk.answer(request, 0, 1, [])
        if not row["slo"]:
            return bulk.answer(request, 0, 0, [], "Not an SLO manifest")
        deleted, missing, errors = 0, 0, []
        for segment_container, segment in self._manifests.all_of(row):
            found = self._all.records.object(account, segment_container, segment)
            if not self._all.may(request, "write", account, segment_container):
                errors.append((f"/{segment_container}/{segment}", 403))
            elif found is None:
                missing += 1
            else:
                self.discard(found)
                deleted += 1
        return bulk.answer(request, deleted, missing, errors)


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
