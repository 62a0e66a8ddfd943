"""What is in a server's user data: its parts, however they are packed.

    base64, gzip'ed or plain, of    a script (#!…), a #cloud-config, a #cloud-boothook,
                                    a #cloud-config-archive, or a MIME multipart message of these

Source: https://docs.cloud-init.io/en/latest/explanation/format.html

UserDataError    it is nothing that can be used; one clear sentence
"""

from __future__ import annotations

import base64
import binascii
import gzip
import io
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.message import Message
from email.parser import BytesParser
from typing import Any

import yaml

BYTES_MAX = 16 << 20
_PARTS_MAX = 1000
_GZIP = b"\x1f\x8b"
# What a message has so near its start, in capitals or not; a script that only names it is still one
_MIME, _MIME_BYTES = b"mime-version:", 4096

SCRIPT, CONFIG, BOOTHOOK = "text/x-shellscript", "text/cloud-config", "text/cloud-boothook"
EVERY_BOOT = "text/x-shellscript-per-boot"
# In the order in which cloud-init runs them
SCRIPTS = ("text/x-shellscript-per-once", EVERY_BOOT, "text/x-shellscript-per-instance", SCRIPT)
_ARCHIVE = "text/cloud-config-archive"
_BY_START = (  # the longer of two goes first
    (b"#!", SCRIPT),
    (b"#cloud-config-archive", _ARCHIVE),
    (b"#cloud-config-jsonp", "text/cloud-config-jsonp"),
    (b"#cloud-config", CONFIG),
    (b"#cloud-boothook", BOOTHOOK),
    (b"#include", "text/x-include-url"),
    (b"#part-handler", "text/part-handler"),
    (b"#upstart-job", "text/upstart-job"),
    (b"## template: jinja", "text/jinja2"),
)
_SAYS_NOTHING = ("text/plain", "text/x-not-multipart", "application/octet-stream")
_REFUSED = {
    "text/x-include-url": "an #include fetches user data from the network",
    "text/x-include-once-url": "an #include fetches user data from the network",
    "text/part-handler": "a part handler is a program of cloud-init's own",
    "text/jinja2": "a template needs cloud-init's own variables",
    "text/cloud-config-jsonp": "a JSON patch changes another part",
    "text/upstart-job": "there is no upstart",
}


class UserDataError(Exception):
    """Why the user data is not used."""


@dataclass(frozen=True)
class Part:
    """One part: what it is, a name for it, and its content."""

    type: str
    name: str
    data: bytes
    merging: str = ""  # how a #cloud-config joins those before it, where a header of its part says so


@dataclass
class Parts:
    """All parts, in their order, and what is wrong with those that are left out."""

    found: list[Part] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def of(self, *types: str) -> Iterator[Part]:
        """The parts of these types."""
        return (part for part in self.found if part.type in types)

    def _add(self, data: bytes, type: str, name: str | None, merging: str = "", otherwise: str = "") -> None:
        """Add what is in this data, unpacked as often as need be; `otherwise` is its type where nothing tells of one.

        Raises UserDataError.
        """
        data = gunzip(data)
        number = len(self.found) + len(self.problems) + 1
        if number > _PARTS_MAX:
            raise UserDataError(f"The user data has more than {_PARTS_MAX} parts: it is not run.")
        if type in (*_SAYS_NOTHING, SCRIPT) or type.endswith("gzip"):
            message = BytesParser().parsebytes(data) if _MIME in data[:_MIME_BYTES].lower() else None
            if message is not None and "mime-version" in message:
                self._add_message(message)
                return
            start = data.lstrip()[:40].lower()
            otherwise = SCRIPT if type == SCRIPT else otherwise
            type = next((each for known, each in _BY_START if start.startswith(known)), otherwise)
        if type == _ARCHIVE:
            self._add_archive(data)
        elif type in (*SCRIPTS, CONFIG, BOOTHOOK):
            if data.partition(b"\n")[0].endswith(b"\r"):  # from Windows: no kernel would find the interpreter
                data = data.replace(b"\r\n", b"\n")
            self.found.append(Part(type, self._name(name, number), data, merging))
        elif type in _REFUSED:
            self.problems.append(f"Part {number} ({type}) is not used: {_REFUSED[type]}, which this cloud does not do.")
        else:
            first = data.split(b"\n", 1)[0][:60].decode(errors="replace").strip()
            what = f"is of type {type}" if type else f"starts with {first!r}"
            self.problems.append(
                f"Part {number} of the user data {what}: this cloud runs scripts, which start with #!, and knows "
                "#cloud-config and #cloud-boothook. It is not used."
            )

    def _add_message(self, message: Message[str, str]) -> None:
        for each in message.walk():
            if each.is_multipart():
                continue
            data = each.get_payload(decode=True)
            merging = str(each.get("Merge-Type") or each.get("X-Merge-Type") or "")
            self._add(data if isinstance(data, bytes) else b"", each.get_content_type(), each.get_filename(), merging)

    def _add_archive(self, data: bytes) -> None:
        items = load_yaml(data, "The #cloud-config-archive")
        if not isinstance(items, list):
            raise UserDataError("The #cloud-config-archive must be a list of parts.")
        for item in items:
            part = item if isinstance(item, dict) else {"content": item}
            content = part.get("content")
            if not isinstance(content, str | bytes):
                raise UserDataError("Each part of the #cloud-config-archive needs a text as its content.")
            encoded = content.encode() if isinstance(content, str) else content
            merging = str(part.get("Merge-Type") or part.get("X-Merge-Type") or "")
            self._add(encoded, str(part.get("type") or _SAYS_NOTHING[0]), part.get("filename"), merging, CONFIG)

    def _name(self, wanted: object, number: int) -> str:
        """A file name for a part: the one that it brings, made harmless, or part-001, part-002 …"""
        name = re.sub(r"[^A-Za-z0-9._-]", "_", str(wanted or "").rsplit("/", 1)[-1]).lstrip(".")[:100]
        if not name or any(part.name == name for part in self.found):
            return f"part-{number:03d}"
        return name


def parts(user_data: str) -> Parts:
    """The parts of base64 user data. Raises UserDataError where it cannot be read at all."""
    try:
        data = base64.b64decode(user_data, validate=False)
    except (binascii.Error, ValueError) as error:
        raise UserDataError(f"The user data cannot be decoded: {error}.") from error
    found = Parts()
    found._add(data, _SAYS_NOTHING[0], None)
    return found


def gunzip(data: bytes) -> bytes:
    """Unpacked, where it is gzip'ed. Raises UserDataError for broken or boundless data."""
    if not data.startswith(_GZIP):
        return data
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
            data = file.read(BYTES_MAX + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise UserDataError(f"The user data cannot be decoded: {error}.") from error
    if len(data) > BYTES_MAX:
        raise UserDataError(f"The user data has more than {BYTES_MAX >> 20} MB when unpacked: it is not run.")
    return data


def load_yaml(data: bytes, what: str) -> Any:
    """The YAML value in this data. Raises UserDataError."""
    try:
        return yaml.safe_load(data)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        said = " ".join(str(error).split())[:200]
        raise UserDataError(f"{what} is no YAML: {said}.") from error
