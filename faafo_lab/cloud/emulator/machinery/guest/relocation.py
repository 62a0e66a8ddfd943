"""A disk at another place: a machine's root is always /, but an instance's is a directory of the host.

A snapshot lists its text files that name the disk by its place (units and their environment, say), and the instance
that boots from it puts its own place there, as package managers do that install into any directory. It also lists the
symbolic links that lead out of the disk (to /usr/bin/python3, say), which no image may have: those are made at the end,
when all that the cloud itself writes is there, so that none can take its place.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

# Where a snapshot has its list: {"place": …, "files": […], "links": {name: target}}
LIST = "var/lib/cloud/relocate.json"
TEXT_BYTES_MAX = 1 << 20


def names_place(data: bytes, place: Path) -> bool:
    """Whether this is a text with the disk's place in it."""
    return b"\0" not in data and bytes(place) in data


def listing(place: Path, files: Iterable[str], links: Mapping[str, str]) -> bytes:
    """The content of the list."""
    return json.dumps({"place": str(place), "files": sorted(files), "links": dict(links)}).encode()


def relocate(disk: Path, place: Path) -> None:
    """Put `place`, where the disk in `disk` is going to be, into the files of its list. Raises OSError."""
    wanted = _list(disk)
    old, files = wanted.get("place"), wanted.get("files")
    if not isinstance(old, str) or not old or not isinstance(files, list):
        return
    for name in files:
        path = disk / str(name)
        if _inside(path, disk) and path.is_file() and not path.is_symlink():
            path.write_bytes(path.read_bytes().replace(old.encode(), bytes(place)))


def restore_links(disk: Path) -> None:
    """Make the links that lead out of the disk, where nothing is in their place; then the list is done with."""
    links = _list(disk).get("links")
    for name, target in links.items() if isinstance(links, dict) else ():
        path = disk / str(name)
        if _inside(path.parent, disk) and path.name not in ("", ".."):
            with contextlib.suppress(OSError):  # something is there, or its directory isn't
                path.symlink_to(str(target))
    (disk / LIST).unlink(missing_ok=True)


def _list(disk: Path) -> dict[str, Any]:
    try:
        found = json.loads((disk / LIST).read_bytes())
    except (FileNotFoundError, ValueError):
        return {}  # an image that is no snapshot
    return found if isinstance(found, dict) else {}


def _inside(path: Path, disk: Path) -> bool:
    return path.resolve().is_relative_to(disk.resolve())
