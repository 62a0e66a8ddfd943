"""Lists of containers and of objects: which names they have, and how they are written (text, JSON, XML)."""

from __future__ import annotations

import json
import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from xml.sax.saxutils import escape, quoteattr

from faafo_lab.cloud.emulator.common.numbers import whole
from faafo_lab.cloud.emulator.common.service import JSON, Answer, Fault, Request
from faafo_lab.cloud.emulator.services.object_store.metadata import is_true

MAX = 10_000
FORMS = {
    "plain": "text/plain; charset=utf-8",
    "json": "application/json; charset=utf-8",
    "xml": "application/xml; charset=utf-8",
}


@dataclass(frozen=True)
class Wanted:
    """What a request wants of a list."""

    prefix: str = ""
    delimiter: str = ""
    marker: str = ""
    end_marker: str = ""
    limit: int = MAX
    reverse: bool = False
    by_path: bool = False  # what is directly in a pseudo-directory, without the ones in it


def wanted(request: Request) -> Wanted:
    """What a request wants. Raises a 412 `Fault` for a limit that is too high."""
    number = whole((request.one("limit") or "")[:18])
    limit = MAX if number is None else number
    if limit > MAX:
        raise Fault(412, f"Maximum limit is {MAX}")
    prefix, delimiter = request.one("prefix") or "", request.one("delimiter") or ""
    path = request.one("path")
    if path is not None:
        prefix, delimiter = (path.rstrip("/") + "/" if path else ""), "/"
    return Wanted(
        prefix,
        delimiter,
        request.one("marker") or "",
        request.one("end_marker") or "",
        limit,
        is_true(request.one("reverse")),
        path is not None,
    )


def select(names: Sequence[str], want: Wanted) -> Iterator[tuple[str, bool]]:
    """The names that are wanted, of ordered ones, each with whether it stands for all names that begin with it.

    It skips over what such a name stands for, so the time it takes follows the length of the list that it makes.
    """
    low, high = _beginning(names, want.prefix)
    after, before = (want.end_marker, want.marker) if want.reverse else (want.marker, want.end_marker)
    if after:
        low = max(low, bisect_right(names, after))
    if before:
        high = min(high, bisect_left(names, before))
    at, count = (high - 1 if want.reverse else low), 0
    while low <= at < high and count < want.limit:
        name = names[at]
        end = name.find(want.delimiter, len(want.prefix)) if want.delimiter else -1
        shown: tuple[str, bool] | None = (name, False)
        following = at - 1 if want.reverse else at + 1
        if want.by_path and name == want.prefix:
            shown = None
        elif end >= 0 and not (want.by_path and end + len(want.delimiter) == len(name)):
            common = name[: end + len(want.delimiter)]
            first, behind = _beginning(names, common)
            following = first - 1 if want.reverse else behind
            if want.by_path and want.reverse and names[first] == common:
                following = first
            shown = None if want.by_path or common == want.marker else (common, True)
        if shown:
            yield shown
            count += 1
        at = following


def _beginning(names: Sequence[str], prefix: str) -> tuple[int, int]:
    """Where the names with this prefix begin and end."""
    size = len(prefix)
    return bisect_left(names, prefix), bisect_right(names, prefix, key=lambda name: name[:size])


def form(request: Request) -> str:
    """Which form a request wants: by `format=`, or else by Accept. Raises a 406 `Fault`."""
    if (asked := request.one("format")) is not None:
        return asked if asked in FORMS else "plain"
    best: tuple[float, str] | None = None
    for part in request.headers.get("Accept", "*/*").split(","):
        kind, *parameters = (each.strip() for each in part.split(";"))
        quality = 1.0
        for each in parameters:
            if match := re.fullmatch(r"q=([01](?:\.[0-9]{0,3})?)", each):
                quality = float(match[1])
        names = {"*/*": "plain", "text/*": "plain", "text/plain": "plain", "application/json": "json"}
        names |= {"application/xml": "xml", "text/xml": "xml", "application/*": "json"}
        if kind in names and quality > 0 and (best is None or quality > best[0]):
            best = (quality, names[kind])
    if best is None:
        raise Fault(406, "The resource can be listed as text/plain, application/json or application/xml.")
    return best[1]


def iso(timestamp: str) -> str:
    """A moment as lists have it: 2026-01-31T12:00:00.123456."""
    return datetime.fromtimestamp(float(timestamp), UTC).isoformat(timespec="microseconds").removesuffix("+00:00")


def answer(
    request: Request, headers: dict[str, str], names: Sequence[str], view: Callable[[str], JSON | None], **xml: str
) -> Answer:
    """A list of those `names` that are wanted, each as its `view`, a JSON object with the `name`, or {"subdir": …}.

    In XML, the whole is an `of` with a `name`, and each entry an `item`. A 204 for an empty one, as text.
    """
    shape = form(request)
    headers = {**headers, "Content-Type": FORMS[shape]}
    want = wanted(request)
    if request.method == "HEAD":
        return Answer(204, None, headers)
    found = ({"subdir": name} if is_subdir else view(name) for name, is_subdir in select(names, want))
    entries = [entry for entry in found if entry is not None]
    if shape == "json":
        return Answer(200, json.dumps(entries).encode(), headers)
    if shape == "xml":
        inner = "".join(_xml(entry, xml["item"]) for entry in entries)
        text = (
            f'<?xml version="1.0" encoding="UTF-8"?>\n<{xml["of"]} name={quoteattr(xml["name"])}>{inner}</{xml["of"]}>'
        )
        return Answer(200, text.encode(), headers)
    if not entries:
        return Answer(204, None, headers)
    return Answer(200, "".join(f"{entry.get('name', entry.get('subdir'))}\n" for entry in entries).encode(), headers)


def _xml(entry: JSON, item: str) -> str:
    if "subdir" in entry:
        return f"<subdir name={quoteattr(entry['subdir'])}><name>{escape(entry['subdir'])}</name></subdir>"
    fields = "".join(f"<{key}>{escape(str(value))}</{key}>" for key, value in entry.items())
    return f"<{item}>{fields}</{item}>"
