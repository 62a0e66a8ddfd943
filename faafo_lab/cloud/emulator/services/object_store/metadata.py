"""Headers that an account, a container or an object keeps, and the limits of names and of metadata.

Header values are kept as HTTP has them: bytes, read as Latin-1. What means a name is quoted UTF-8 (`meant`).
"""

from __future__ import annotations

import mimetypes
import re
import time
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import unquote_to_bytes

from faafo_lab.cloud.emulator.common.service import Fault

ACCOUNT_NAME_BYTES = CONTAINER_NAME_BYTES = 256
OBJECT_NAME_BYTES = 1024
META_NAME_BYTES = 128
META_VALUE_BYTES = 256
META_COUNT = 90
META_BYTES = 4096
MAX_FILE_BYTES = 5 * (1 << 30) + 2

CONTAINER_SETTINGS = (
    *("X-Container-Read", "X-Container-Write", "X-Versions-Location", "X-History-Location"),
    "X-Container-Sync-Key",
)
OBJECT_SETTINGS = (
    *("Content-Disposition", "Content-Encoding", "Content-Language", "Cache-Control", "Expires", "X-Robots-Tag"),
    "X-Object-Manifest",
)
QUOTAS = {"X-Container-Meta-Quota-Bytes": "bytes", "X-Container-Meta-Quota-Count": "count"}


Headers = Mapping[str, str]


def meant(value: str) -> str:
    """A name in a header: quoted or not, UTF-8. Raises a 412 `Fault`."""
    try:
        text = unquote_to_bytes(value.encode("latin-1")).decode()
    except UnicodeError:
        raise Fault(412, "Invalid UTF8 or contains NULL") from None
    if "\0" in text:
        raise Fault(412, "Invalid UTF8 or contains NULL")
    return text


def is_true(text: str | None) -> bool:
    """Whether a header or a parameter says yes, in one of Swift's ways."""
    return (text or "").lower() in ("true", "1", "yes", "on", "t", "y")


def checked(name: str, value: str) -> str:
    """A header's value. Raises a 400 `Fault` for one that could not be sent back."""
    try:
        value.encode("latin-1").decode()
    except UnicodeError:
        raise Fault(400, f"{name} must be valid UTF-8.") from None
    if re.search(r"[\x00-\x1f\x7f]", value):
        raise Fault(400, f"{name} must not have control characters.")
    return value


def check_names(container: str, name: str = "") -> None:
    """Raises a 400 `Fault` for names that are too long, and for the two that would lead astray."""
    if (length := len(container.encode())) > CONTAINER_NAME_BYTES:
        raise Fault(400, f"Container name length of {length} longer than {CONTAINER_NAME_BYTES}")
    if container in (".", ".."):
        raise Fault(400, f"Invalid container name '{container}'")
    if (length := len(name.encode())) > OBJECT_NAME_BYTES:
        raise Fault(400, f"Object name length of {length} longer than {OBJECT_NAME_BYTES}")


def _check(meta: Mapping[str, str], kind: str) -> None:
    """Swift's limits of metadata. Raises a 400 `Fault`."""
    prefix = f"X-{kind}-Meta-"
    own = {name.removeprefix(prefix): value for name, value in meta.items() if name.startswith(prefix)}
    for name, value in own.items():
        if not name:
            raise Fault(400, "Metadata name cannot be empty")
        if len(name) > META_NAME_BYTES:
            raise Fault(400, f"Metadata name too long: {prefix}{name}")
        if len(value) > META_VALUE_BYTES:
            raise Fault(400, f"Metadata value longer than {META_VALUE_BYTES}: {prefix}{name}")
    if len(own) > META_COUNT:
        raise Fault(400, f"Too many metadata items; max {META_COUNT}")
    if sum(len(name) + len(value) for name, value in own.items()) > META_BYTES:
        raise Fault(400, f"Total metadata too large; max {META_BYTES}")


def merged(kind: str, headers: Mapping[str, str], before: Mapping[str, str], settings: Iterable[str] = ()) -> Any:
    """The metadata of an account or a container after a request: given ones are set, empty and X-Remove- ones go.

    Raises a 400 `Fault`.
    """
    meta = dict(before)
    prefix, removing = f"X-{kind}-Meta-", f"X-Remove-{kind}-Meta-"
    removed_settings = {f"X-Remove-{name.removeprefix('X-')}": name for name in settings}
    for name in headers:
        if name.startswith(removing):
            meta.pop(prefix + name.removeprefix(removing), None)
        elif name in removed_settings:
            meta.pop(removed_settings[name], None)
    for name, value in headers.items():
        if name.startswith(prefix) or name in settings:
            if value.strip():
                meta[name] = checked(name, value)
            else:
                meta.pop(name, None)
    _check(meta, kind)
    return meta


def object_meta(headers: Mapping[str, str]) -> dict[str, str]:
    """What an object keeps of a request's headers. Raises a 400 `Fault`."""
    meta = {
        name: checked(name, value)
        for name, value in headers.items()
        if name.startswith("X-Object-Meta-") or (name in OBJECT_SETTINGS and value)
    }
    _check(meta, "Object")
    if manifest := meta.get("X-Object-Manifest"):
        container, _, prefix = meant(manifest).partition("/")
        if not container or not prefix or "?" in manifest or "&" in manifest:
            raise Fault(400, "X-Object-Manifest must be in the format container/prefix")
    return meta


def delete_at(headers: Mapping[str, str]) -> int | None:
    """When the object is to be deleted, in seconds since the epoch. Raises a 400 `Fault`."""
    for name, start in (("X-Delete-After", time.time()), ("X-Delete-At", 0.0)):
        if text := headers.get(name):
            if not re.fullmatch(r"-?[0-9]{1,15}", text.strip()):
                raise Fault(400, f"Non-integer {name}")
            moment = int(start + int(text))
            if moment <= time.time():
                raise Fault(400, f"{name} in past")
            return moment
    return None


def content_type(headers: Mapping[str, str], name: str) -> str:
    """An object's type: as the request says, or else guessed from its name."""
    given = headers.get("Content-Type", "").strip()
    if given and not is_true(headers.get("X-Detect-Content-Type")):
        return checked("Content-Type", given)
    return mimetypes.guess_type(name, strict=False)[0] or "application/octet-stream"
