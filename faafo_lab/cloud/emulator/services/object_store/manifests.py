"""Large objects: a manifest whose bytes are those of other objects, its segments.

A dynamic one (X-Object-Manifest) has whatever begins with a prefix now; a static one (?multipart-manifest=put) lists
its segments with their sizes and ETags. Source: https://docs.openstack.org/swift/latest/overview_large_objects.html
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from faafo_lab.cloud.emulator.common.service import JSON, Fault, Request
from faafo_lab.cloud.emulator.common.store import Row
from faafo_lab.cloud.emulator.services.object_store import listing
from faafo_lab.cloud.emulator.services.object_store.base import Collection
from faafo_lab.cloud.emulator.services.object_store.content import Content
from faafo_lab.cloud.emulator.services.object_store.files import Piece, cut
from faafo_lab.cloud.emulator.services.object_store.files import length as length_of
from faafo_lab.cloud.emulator.services.object_store.metadata import meant

MAX_SEGMENTS = 1000
MAX_MANIFEST_BYTES = 8 << 20
MAX_DEPTH = 10  # of large objects in large objects
MAX_PARTS = 10_000  # of a large object and of all in it

May = Callable[[str], bool]  # whether who asks may read a container's objects


class Manifests:
    """Reads large objects."""

    def __init__(self, collection: Collection) -> None:
        self._all = collection

    def content(self, request: Request, row: Row) -> Content:
        """An object's bytes. Raises a 409 `Fault` where a static large object's segments are not what they were."""
        account = row["account"]
        if row["slo"] and request.method == "HEAD":  # what the manifest says, without a look at the segments
            return Content([Piece(Path(), 0, row["slo"]["bytes"])], f'"{row["slo"]["etag"]}"')
        return self._content(row, lambda container: self._all.may(request, "read", account, container))

    def _content(self, row: Row, may: May) -> Content:
        if row["slo"]:
            parts: list[Piece | bytes] = []
            for segment in self.segments(row):
                parts += self._segment(row["account"], segment, may)
            return Content(parts, f'"{row["slo"]["etag"]}"')
        if manifest := row["meta"].get("X-Object-Manifest"):
            return self._dynamic(row["account"], manifest, may)
        return self.plain(row)

    def plain(self, row: Row) -> Content:
        """The bytes of the object itself, manifest or not."""
        return Content(self._all.files.piece(row["file"], row["bytes"]), row["etag"])

    def _dynamic(self, account: str, manifest: str, may: May) -> Content:
        container, _, prefix = meant(manifest).partition("/")
        if not may(container):
            raise Fault(403, "Access was denied to the segments.")
        parts: list[Piece | bytes] = []
        tags = hashlib.md5(usedforsecurity=False)
        names = self._all.shelf(f"{account}/{container}").names
        for name, _ in listing.select(names, listing.Wanted(prefix=prefix)):
            if row := self._all.get_object(account, container, name):
                # a manifest among its own segments stands for its own bytes
                found = self._content(row, may) if row["slo"] else self.plain(row)
                parts += found.parts
                tags.update(found.etag.strip('"').encode())
        return Content(parts, f'"{tags.hexdigest()}"')

    def segments(self, row: Row) -> list[JSON]:
        """A static large object's segments: path, etag, bytes, range or data."""
        data = b"".join(each.path.read_bytes() for each in self._all.files.piece(row["file"], row["bytes"]))
        found: list[JSON] = json.loads(data)
        return found

    def _segment(self, account: str, segment: JSON, may: May) -> list[Piece | bytes]:
        if "data" in segment:
            return [base64.b64decode(segment["data"])]
        container, name = _place(segment["path"])
        row = self._all.get_object(account, container, name)
        if row is None or not may(container) or etag_of(row) != segment["etag"]:
            raise Fault(409, f"The segment {segment['path']} is not what the manifest says.")
        parts = self._content(row, may).parts if row["slo"] else self.plain(row).parts
        if "range" in segment:
            start, stop = _span(segment["range"], segment["bytes"])
            return cut(parts, start, stop)
        return list(parts)

    # Making a static large object

    def check(self, request: Request, account: str, body: bytes) -> tuple[bytes, JSON]:
        """A client's manifest as it is kept, and the row's `slo`. Raises 400 and 413 `Fault`s."""
        try:
            given = json.loads(body)
        except (ValueError, RecursionError):
            raise Fault(400, "Manifest must be valid JSON.") from None
        if not isinstance(given, list) or not given:
            raise Fault(400, "Manifest must be a list with a segment at least.")
        if len(given) > MAX_SEGMENTS:
            raise Fault(413, f"Number of segments must be <= {MAX_SEGMENTS}.")
        kept, errors, total, parts, deep = [], [], 0, 0, 0
        tags = hashlib.md5(usedforsecurity=False)
        for number, each in enumerate(given):
            try:
                segment, size = self._checked(request, account, each)
            except _Wrong as wrong:
                errors.append(f"{wrong.path or f'Index {number}'}, {wrong}")
                continue
            kept.append(segment)
            total += size
            inner = segment.get("slo") or {"parts": 1, "deep": 0}
            parts, deep = parts + inner["parts"], max(deep, inner["deep"] + 1)
            tags.update((segment["etag"] + (f":{segment['range']};" if "range" in segment else "")).encode())
        if errors:
            raise Fault(400, "Errors:\n" + "\n".join(errors))
        if parts > MAX_PARTS or deep > MAX_DEPTH:
            message = f"Large objects in large objects may be {MAX_DEPTH} deep, with {MAX_PARTS} segments at most."
            raise Fault(400, message)
        return json.dumps(kept).encode(), {"bytes": total, "etag": tags.hexdigest(), "parts": parts, "deep": deep}

    def _checked(self, request: Request, account: str, given: Any) -> tuple[JSON, int]:
        """A segment as it is kept, and how many bytes it gives."""
        if not isinstance(given, dict):
            raise _Wrong("", "not a JSON object")
        if "data" in given:
            return _inline(given)
        path = given.get("path")
        if unknown := given.keys() - {"path", "etag", "size_bytes", "range"}:
            raise _Wrong("", f"extraneous key {sorted(unknown)[0]!r}")
        if not isinstance(path, str) or not all(_place(path)):
            raise _Wrong("", "path must be /container/object")
        container, name = _place(path)
        row = self._all.get_object(account, container, name)
        if not self._all.may(request, "read", account, container):
            raise _Wrong(path, "403 Forbidden")
        if row is None:
            raise _Wrong(path, "404 Not Found")
        size = row["slo"]["bytes"] if row["slo"] else row["bytes"]
        if given.get("size_bytes") is not None and str(given["size_bytes"]) != str(size):
            raise _Wrong(path, "Size Mismatch")
        if given.get("etag") is not None and str(given["etag"]).strip('"') != etag_of(row):
            raise _Wrong(path, "Etag Mismatch")
        segment = {"path": path, "etag": etag_of(row), "bytes": size, "type": row["type"]}
        segment["timestamp"] = row["timestamp"]
        if row["slo"]:
            segment["slo"] = row["slo"]
        if given.get("range") is not None:
            if not isinstance(given["range"], str) or (span := _span(given["range"], size)) is None:
                raise _Wrong(path, "Invalid Range")
            segment["range"] = f"{span[0]}-{span[1] - 1}"
            return segment, span[1] - span[0]
        if not size:
            raise _Wrong(path, "Too small; each segment must be at least 1 byte.")
        return segment, size

    def shown(self, row: Row, *, raw: bool) -> bytes:
        """A static large object's manifest, as ?multipart-manifest=get shows it; `raw`: as it can be put again."""
        entries = []
        for segment in self.segments(row):
            entry: JSON = {}
            if "data" in segment:
                entry = {"data": segment["data"]}
            elif raw:
                entry = {"path": segment["path"], "etag": segment["etag"], "size_bytes": segment["bytes"]}
            else:
                entry = {
                    "name": segment["path"],
                    "hash": segment["etag"],
                    "bytes": segment["bytes"],
                    "content_type": segment["type"].encode("latin-1").decode(),
                    "last_modified": listing.iso(segment["timestamp"]),
                }
                if "slo" in segment:
                    entry["sub_slo"] = True
            if "range" in segment:
                entry["range"] = segment["range"]
            entries.append(entry)
        return json.dumps(entries).encode()

    def all_of(self, row: Row) -> list[tuple[str, str]]:
        """Container and name of everything that a static large object consists of, manifests after their segments."""
        found: list[tuple[str, str]] = []

        def walk(row: Row) -> None:
            for segment in self.segments(row):
                if "path" in segment:
                    container, name = _place(segment["path"])
                    inner = self._all.get_object(row["account"], container, name)
                    if inner and inner["slo"] and etag_of(inner) == segment["etag"]:
                        walk(inner)
                    found.append((container, name))

        walk(row)
        return [*dict.fromkeys(found), (row["container"], row["name"])]


class _Wrong(Exception):
    """A segment that cannot be: its path and why."""

    def __init__(self, path: str, why: str) -> None:
        self.path = path
        super().__init__(why)


def etag_of(row: Row) -> str:
    """An object's ETag without quotation marks: a static large object's is that of all its segments."""
    return str(row["slo"]["etag"] if row["slo"] else row["etag"])


def _place(path: str) -> tuple[str, str]:
    container, _, name = path.lstrip("/").partition("/")
    return container, name


def _span(text: str, size: int) -> Any:
    """A range like 10-19, 10- or -10 as [start, stop); None where it is none of the object's."""
    match = re.fullmatch(r"([0-9]{0,18})-([0-9]{0,18})", text)
    if match is None or text == "-":
        return None
    start = int(match[1]) if match[1] else max(0, size - int(match[2]))
    stop = min(size, int(match[2]) + 1) if match[1] and match[2] else size
    return (start, stop) if start < stop else None


def _inline(given: JSON) -> tuple[JSON, int]:
    if given.keys() != {"data"} or not isinstance(given["data"], str):
        raise _Wrong("", "data must be base64, and nothing beside it")
    try:
        data = base64.b64decode(given["data"], validate=True)
    except (ValueError, binascii.Error):
        raise _Wrong("", "data is not valid base64") from None
    if not data:
        raise _Wrong("", "data must not be empty")
    return {"data": given["data"], "etag": hashlib.md5(data, usedforsecurity=False).hexdigest()}, length_of([data])
