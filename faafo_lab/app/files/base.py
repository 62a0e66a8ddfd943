"""The interface to a place of files."""

import hashlib
import os
from abc import ABC, abstractmethod
from typing import IO

from faafo_lab.app.errors import FilesAway

READ_BYTES = 1024 * 1024  # at a time


class Files(ABC):
    """Files in one place. Every method blocks, and may be called from any thread.

    ``place`` is what to call it. All raise ``FilesAway`` where the place does not answer or is full.
    """

    place: str

    @abstractmethod
    def put(self, name: str, file: IO[bytes], kind: str) -> None:
        """Keep a file, whole or not at all; ``kind`` is its media type. One of this name is replaced."""

    @abstractmethod
    def read(self, name: str, start: int, stop: int) -> bytes:
        """The bytes ``[start, stop)`` of a file, which has so many; raises ``FileNotFoundError``."""

    @abstractmethod
    def whole(self, name: str) -> bytes:
        """All bytes of a file that is not large; raises ``FileNotFoundError``."""

    @abstractmethod
    def delete(self, name: str) -> None:
        """Delete a file, whole or half-made; one that is not there is deleted already."""

    @abstractmethod
    def names(self, prefix: str = "") -> list[str]:
        """The names of the whole files that begin so, in order."""

    def put_checked(self, name: str, file: IO[bytes], kind: str) -> str:
        """Keep a file, and read it back; its SHA-256. Raises ``FilesAway`` where other bytes come back."""
        file.seek(0)
        digest = hashlib.sha256()
        while piece := file.read(READ_BYTES):
            digest.update(piece)
        checksum, size = digest.hexdigest(), file.seek(0, os.SEEK_END)
        file.seek(0)
        self.put(name, file, kind)
        if self.copy(name, size) != checksum:
            self.delete(name)
            raise FilesAway(f"{self.place} gives back other bytes than it was given.")
        return checksum

    def copy(self, name: str, size: int, to: IO[bytes] | None = None) -> str:
        """Read the first ``size`` bytes of a file, into ``to`` if given; their SHA-256, in hexadecimal."""
        digest, start = hashlib.sha256(), 0
        while start < size and (piece := self.read(name, start, min(start + READ_BYTES, size))):
            digest.update(piece)
            if to:
                to.write(piece)
            start += len(piece)
        return digest.hexdigest()
