"""An instance's console log: a file of bounded size, lines stamped with the seconds since boot, as a kernel's."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

KEPT_BYTES = 256 * 1024
_SLACK_BYTES = 64 * 1024


class Console:
    """Writes the log. A full disk loses lines, not the instance."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._booted = time.monotonic()
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._size = os.fstat(self._fd).st_size
        self._midline = False

    @property
    def uptime(self) -> float:
        """Seconds since boot."""
        return time.monotonic() - self._booted

    def line(self, text: str) -> None:
        """Write a stamped line."""
        clean = "".join(character if character.isprintable() else " " for character in text)
        start = "\n" if self._midline else ""
        self._midline = False
        self._write(f"{start}[{self.uptime:12.6f}] {clean}\n".encode())

    def raw(self, data: bytes) -> None:
        """Write the output of a program as it is."""
        if data:
            self._midline = not data.endswith(b"\n")
            self._write(data)

    def _write(self, data: bytes) -> None:
        with contextlib.suppress(OSError):
            os.write(self._fd, data)
            self._size += len(data)
            if self._size > KEPT_BYTES + _SLACK_BYTES:
                self._cut()

    def _cut(self) -> None:
        """Keep the last KEPT_BYTES, from the start of a line, in a new file."""
        kept = self._path.read_bytes()[-KEPT_BYTES:]
        kept = kept[kept.find(b"\n") + 1 :]
        new = self._path.with_name(self._path.name + ".new")
        new.write_bytes(kept)
        new.chmod(0o600)
        os.rename(new, self._path)
        os.close(self._fd)
        self._fd = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        self._size = len(kept)
