"""What to make of a server's user data.

UserDataError    it is not something that can be run; one clear sentence
"""

from __future__ import annotations

import base64
import binascii
import gzip
import io
import zlib

BYTES_MAX = 16 << 20


class UserDataError(Exception):
    """Why the user data is not run."""


def script(user_data: str) -> bytes:
    """The script in base64 user data, gzip'ed or plain. Raises UserDataError for anything else."""
    try:
        data = base64.b64decode(user_data, validate=False)
        if data[:2] == b"\x1f\x8b":
            data = gzip.GzipFile(fileobj=io.BytesIO(data)).read(BYTES_MAX + 1)
    except (binascii.Error, ValueError, OSError, EOFError, zlib.error) as error:
        raise UserDataError(f"The user data cannot be decoded: {error}.") from error
    if len(data) > BYTES_MAX:
        raise UserDataError(f"The user data has more than {BYTES_MAX >> 20} MB when unpacked: it is not run.")
    if not data.startswith(b"#!"):
        first = data.split(b"\n", 1)[0][:60].decode(errors="replace").strip()
        raise UserDataError(
            f"The user data starts with {first!r}: this cloud runs scripts, which start with #!. It is not run."
        )
    return data
