"""Sockets that listen, and short places for Unix sockets: their paths may have 107 bytes, however deep the state
directory lies."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import socket
import stat
from pathlib import Path

BACKLOG = 512
_PATH_BYTES_MAX = 107
_LONGEST_NAME = "/123456789012345678901234567890123456/init.sock"  # an instance's id and a file in its directory


class SocketsDirError(Exception):
    """There is no safe, short place for the instances' sockets."""


def sockets_dir(state_dir: Path) -> Path:
    """The sockets' directory of a state directory: below `$XDG_RUNTIME_DIR`, else /tmp; named by both and the user.

    Made with mode 0700 where it does not exist. Raises SocketsDirError when somebody else owns the name.
    """
    digest = hashlib.sha256(os.fsencode(state_dir.resolve())).hexdigest()[:10]
    name = f"faafo-{os.getuid()}-{digest}"
    for base in (os.environ.get("XDG_RUNTIME_DIR"), "/tmp"):  # noqa: S108 (owner and mode are checked below)
        if not base or not os.access(base, os.W_OK | os.X_OK):
            continue
        place = Path(base) / name
        if len(os.fsencode(place)) + len(_LONGEST_NAME) <= _PATH_BYTES_MAX:
            _claim(place)
            return place
    raise SocketsDirError(
        "neither XDG_RUNTIME_DIR nor /tmp can hold the instances' sockets: set XDG_RUNTIME_DIR to a short, "
        "writable directory"
    )


def _claim(place: Path) -> None:
    with contextlib.suppress(FileExistsError):
        place.mkdir(mode=0o700)
    seen = place.lstat()
    if not stat.S_ISDIR(seen.st_mode) or seen.st_uid != os.getuid():
        raise SocketsDirError(f"{place} belongs to somebody else: remove it, or set XDG_RUNTIME_DIR")
    if stat.S_IMODE(seen.st_mode) != 0o700:
        place.chmod(0o700)


def remove(place: Path) -> None:
    """Remove a sockets' directory and all that is in it; nothing where there is none."""
    shutil.rmtree(place, ignore_errors=True)


def listening(place: tuple[str, int]) -> socket.socket:
    """A socket that listens at an address and port, and does not block. Raises OSError."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setblocking(False)
        sock.bind(place)
        sock.listen(BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock
