"""Files on this machine's own disk: what one machine has been given, another does not have.

A file has another name until all of it is on the disk.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import copyfileobj
from typing import IO

from faafo_lab.app.errors import FilesAway
from faafo_lab.app.files.base import READ_BYTES, Files

UNFINISHED = ".part"


class DirectoryFiles(Files):
    """Files in a directory of this machine, whose name is ``host``."""

    def __init__(self, directory: Path, host: str):
        self.place = f"file://{host}"
        self.directory = directory
        self._host = host

    def put(self, name: str, file: IO[bytes], kind: str) -> None:
        """Keep a file: write it beside, then rename it."""
        with self._trouble():
            path, unfinished = self.directory / name, self.directory / (name + UNFINISHED)
            try:
                with unfinished.open("xb") as copy:
                    copyfileobj(file, copy, READ_BYTES)
                    copy.flush()
                    os.fsync(copy.fileno())
                unfinished.rename(path)
            except BaseException:
                unfinished.unlink(missing_ok=True)
                raise
            sync(self.directory)

    def read(self, name: str, start: int, stop: int) -> bytes:
        """The bytes ``[start, stop)`` of a file."""
        with self._trouble(), (self.directory / name).open("rb") as file:
            return os.pread(file.fileno(), stop - start, start)

    def whole(self, name: str) -> bytes:
        """All bytes of a file."""
        with self._trouble():
            return (self.directory / name).read_bytes()

    def delete(self, name: str) -> None:
        """Delete a file, whole or half-made."""
        with self._trouble():
            for one in (name, name + UNFINISHED):
                (self.directory / one).unlink(missing_ok=True)

    def names(self, prefix: str = "") -> list[str]:
        """The files whose names begin so."""
        with self._trouble():
            names = sorted(path.name for path in self.directory.iterdir())
        return [name for name in names if name.startswith(prefix) and not name.endswith(UNFINISHED)]

    @contextmanager
    def _trouble(self) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise
        except OSError as error:
            raise FilesAway(f"The disk of '{self._host}' takes no files: {error.strerror or error}.") from None


def sync(directory: Path) -> None:
    """Make a rename last."""
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
