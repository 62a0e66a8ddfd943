"""Sockets that listen, and short places for Unix sockets: their paths may have 107 bytes, however deep the state
directory lies."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import os
import shutil
import socket
import stat
from collections.abc import Callable
from pathlib import Path

from faafo_lab.cloud.emulator.errors import StateError

log = logging.getLogger(__name__)

_BACKLOG = 512
_RETRY_SECONDS = 1.0
_PATH_BYTES_MAX = 107
_LONGEST_NAME = "/123456789012345678901234567890123456/init.sock"  # an instance's id and a file in its directory


def sockets_dir(state_dir: Path) -> Path:
    """The sockets' directory of a state directory: below `$XDG_RUNTIME_DIR`, else /tmp; named by both and the user.

    Made with mode 0700 where it does not exist. Raises StateError where there is no safe, short place.
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
    raise StateError(
        "Neither XDG_RUNTIME_DIR nor /tmp can hold the instances' sockets: set XDG_RUNTIME_DIR to a short, writable "
        "directory."
    )


def _claim(place: Path) -> None:
    with contextlib.suppress(FileExistsError):
        place.mkdir(mode=0o700)
    seen = place.lstat()
    if not stat.S_ISDIR(seen.st_mode) or seen.st_uid != os.getuid():
        raise StateError(f"{place} belongs to somebody else: remove it, or set XDG_RUNTIME_DIR.")
    if stat.S_IMODE(seen.st_mode) != 0o700:
        place.chmod(0o700)


def remove(place: Path) -> None:
    """Remove a sockets' directory and all that is in it; nothing where there is none."""
    shutil.rmtree(place, ignore_errors=True)


class Listening:
    """A socket that listens: in the running loop, `take` is called with each connection, which does not block."""

    def __init__(self, place: tuple[str, int] | Path, take: Callable[[socket.socket], None]) -> None:
        """`place` is an address and port, or a file. Raises OSError."""
        self._loop = asyncio.get_running_loop()
        self._take = take
        self._sock = socket.socket(socket.AF_UNIX if isinstance(place, Path) else socket.AF_INET)
        try:
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._sock.setblocking(False)
            self._sock.bind(str(place) if isinstance(place, Path) else place)
            self._sock.listen(_BACKLOG)
        except OSError:
            self._sock.close()
            raise
        self.resume()

    def pause(self) -> None:
        """Let whoever connects wait."""
        self._loop.remove_reader(self._sock)

    def resume(self) -> None:
        if self._sock.fileno() >= 0:
            self._loop.add_reader(self._sock, self._accept)

    def close(self) -> None:
        self.pause()
        self._sock.close()

    def _accept(self) -> None:
        try:
            connection, _ = self._sock.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return  # it has hung up already
        except OSError as error:  # too many files are open, say
            log.warning("a connection could not be taken: %s", error)
            self.pause()
            self._loop.call_later(_RETRY_SECONDS, self.resume)
            return
        connection.setblocking(False)
        self._take(connection)
