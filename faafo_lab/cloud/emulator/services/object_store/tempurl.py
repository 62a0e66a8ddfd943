"""Temporary URLs: a signature in the query lets anybody who has it do one thing with one object, or with a prefix.

Source: https://docs.openstack.org/swift/latest/api/temporary_url_middleware.html
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from urllib.parse import quote

from faafo_lab.cloud.emulator.common.numbers import whole

METHODS = ("GET", "HEAD", "PUT", "POST", "DELETE")
DIGESTS = ("sha1", "sha256", "sha512")
KEYS = ("Temp-Url-Key", "Temp-Url-Key-2")
_SIGNED_FOR = {"HEAD": ("HEAD", "GET", "POST", "PUT")}  # who may do one of these may look, too


def keys(meta: Mapping[str, str], kind: str) -> list[str]:
    """The keys of an account or a container."""
    return [meta[name] for name in (f"X-{kind}-Meta-{key}" for key in KEYS) if name in meta]


def valid(method: str, path: str, query: Mapping[str, list[str]], keys: Iterable[str]) -> bool:
    """Whether one of the keys has signed this: `path` is /v1/ACCOUNT/CONTAINER/OBJECT, not quoted."""
    first = {name: values[0] for name, values in query.items()}
    expires = _seconds(first.get("temp_url_expires", ""))
    signature = _signature(first.get("temp_url_sig", ""))
    if method not in METHODS or expires is None or signature is None or expires < time.time():
        return False
    if "temp_url_ip_range" in first:
        return False  # not offered
    digest, given = signature
    signed = path
    if (prefix := first.get("temp_url_prefix")) is not None:
        account, container, name = path.removeprefix("/v1/").split("/", 2)
        if not name.startswith(prefix):
            return False
        signed = f"prefix:/v1/{account}/{container}/{prefix}"
    texts = [f"{wanted}\n{expires}\n{signed}".encode() for wanted in _SIGNED_FOR.get(method, (method,))]
    right = (hmac.digest(key.encode("latin-1"), text, digest) for key in keys for text in texts)
    return any(hmac.compare_digest(each, given) for each in right)


def disposition(query: Mapping[str, list[str]], name: str, kept: str | None) -> str:
    """What a download by such a URL is to be called (Content-Disposition)."""
    filename = query.get("filename", [""])[0]
    if "inline" in query:
        return "inline" + (_filename(filename) if filename else "")
    if filename or not kept:
        return "attachment" + _filename(filename or name.rstrip("/").rpartition("/")[2] or name)
    return kept


def _filename(name: str) -> str:
    plain = "".join(each if each.isascii() and each.isprintable() and each not in '"\\' else "_" for each in name)
    return f"; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"


def _seconds(text: str) -> int | None:
    """The moment in seconds since the epoch: a number, or ISO 8601 in UTC."""
    if (number := whole(text)) is not None:
        return number
    for form in ("%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%SZ"):
        try:
            return int(datetime.strptime(text, form).replace(tzinfo=UTC).timestamp())
        except ValueError:
            continue
    return None


def _signature(text: str) -> tuple[str, bytes] | None:
    """Which digest, and its value: hex digits, or DIGEST:BASE64."""
    digest, colon, value = text.partition(":")
    try:
        if colon:
            given = base64.b64decode(value.replace("-", "+").replace("_", "/") + "=" * (-len(value) % 4), validate=True)
            return (digest, given) if digest in DIGESTS else None
        given = bytes.fromhex(text)
    except (ValueError, binascii.Error):
        return None
    return next(((each, given) for each in DIGESTS if hashlib.new(each).digest_size == len(given)), None)
