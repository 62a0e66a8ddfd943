"""An object's bytes as an answer: whole or in ranges, and only under the conditions that a request makes.

Source: RFC 9110, sections 13 and 14, and what Swift makes of it.
"""

from __future__ import annotations

import math
import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from email.utils import formatdate, parsedate_to_datetime

from faafo_lab.cloud.emulator.common.service import Answer, Fault, Request
from faafo_lab.cloud.emulator.services.object_store.files import Piece, cut, length, stream

MAX_RANGES = 50


@dataclass(frozen=True)
class Content:
    """What an object's bytes are, and their ETag."""

    parts: Sequence[Piece | bytes]
    etag: str  # with quotation marks for a large object

    @property
    def bytes(self) -> int:
        """How many they are."""
        return length(self.parts)


def http_date(timestamp: str) -> str:
    """A row's moment as a header has it: the whole second not before it."""
    return formatdate(math.ceil(float(timestamp)), usegmt=True)


def answer(request: Request, content: Content, timestamp: str, headers: dict[str, str]) -> Answer:
    """The answer to GET or HEAD. Raises 412 and 416 `Fault`s."""
    headers = {
        **headers,
        "Etag": content.etag,
        "Last-Modified": http_date(timestamp),
        "X-Timestamp": timestamp,
        "Accept-Ranges": "bytes",
    }
    if _unchanged(request.headers, content.etag, timestamp, headers):
        return Answer(304, None, headers)
    size = content.bytes
    if request.method == "HEAD":
        return Answer(200, None, {**headers, "Content-Length": str(size)})
    ranges = _ranges(request.headers, size, content.etag, headers["Last-Modified"])
    if ranges is None:
        return Answer(200, stream(content.parts), {**headers, "Content-Length": str(size)})
    if not ranges:
        raise Fault(416, "The Range requested is not available.", headers={"Content-Range": f"bytes */{size}"})
    if len(ranges) == 1:
        start, stop = ranges[0]
        headers |= {"Content-Range": f"bytes {start}-{stop - 1}/{size}", "Content-Length": str(stop - start)}
        return Answer(206, stream(cut(content.parts, start, stop)), headers)
    boundary = uuid.uuid4().hex
    parts: list[Piece | bytes] = []
    for start, stop in ranges:
        head = f"--{boundary}\r\nContent-Type: {headers['Content-Type']}\r\n"
        parts.append(f"{head}Content-Range: bytes {start}-{stop - 1}/{size}\r\n\r\n".encode("latin-1"))
        parts += [*cut(content.parts, start, stop), b"\r\n"]
    parts.append(f"--{boundary}--".encode())
    headers |= {"Content-Type": f"multipart/byteranges;boundary={boundary}", "Content-Length": str(length(parts))}
    return Answer(206, stream(parts), headers)


def _tags(value: str) -> set[str]:
    return {each.strip().removeprefix("W/").strip('"') for each in value.split(",")}


def _seconds(value: str) -> float | None:
    try:
        return parsedate_to_datetime(value).timestamp()
    except (ValueError, OverflowError):
        return None


def _unchanged(asked: Mapping[str, str], etag: str, timestamp: str, headers: Mapping[str, str]) -> bool:
    """Whether the client has it already (304). Raises a 412 `Fault` where a condition does not hold."""
    tag, moment = etag.strip('"'), math.ceil(float(timestamp))
    if (value := asked.get("If-Match")) is not None:
        if not _tags(value) & {tag, "*"}:
            raise _failed(headers)
    elif (since := _seconds(asked.get("If-Unmodified-Since", ""))) is not None and moment > since:
        raise _failed(headers)
    if (value := asked.get("If-None-Match")) is not None:
        return bool(_tags(value) & {tag, "*"})
    since = _seconds(asked.get("If-Modified-Since", ""))
    return since is not None and moment <= since


def _failed(headers: Mapping[str, str]) -> Fault:
    kept = {name: headers[name] for name in ("Etag", "Last-Modified")}
    return Fault(412, "A precondition for this request was not met.", headers=kept)


def _ranges(asked: Mapping[str, str], size: int, etag: str, modified: str) -> list[tuple[int, int]] | None:
    """The ranges that a request wants, as [start, stop); none of them where none fits; None where it wants all."""
    match = re.fullmatch(r"\s*bytes\s*=\s*(.+)", asked.get("Range", ""))
    condition = asked.get("If-Range")
    if match is None or (condition is not None and condition not in (etag, f'"{etag}"', modified)):
        return None
    found = []
    for part in match[1].split(","):
        numbers = re.fullmatch(r"\s*([0-9]{0,18})\s*-\s*([0-9]{0,18})\s*", part)
        if numbers is None or numbers[0].strip() == "-":
            return None
        first, last = numbers[1], numbers[2]
        if first and last and int(first) > int(last):
            return None
        start = int(first) if first else max(0, size - int(last))
        stop = min(size, int(last) + 1) if first and last else size
        if start < stop:
            found.append((start, stop))
    return found if len(found) <= MAX_RANGES and sum(stop - start for start, stop in found) <= 2 * size else []
