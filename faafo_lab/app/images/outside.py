"""Images outside the database: on the API's own disk (``file:///DIR``), or in an object store."""

import os
from contextlib import suppress
from typing import IO, Any

from faafo_lab.app import pieces
from faafo_lab.app.errors import DatabaseAway, ImagesAway
from faafo_lab.app.files import Files
from faafo_lab.app.files.directory import DirectoryFiles
from faafo_lab.app.images.base import Images, elsewhere, new_name
from faafo_lab.app.store import Store
from faafo_lab.app.validation import Result

COPY_SECONDS, COPY_BYTES_PER_SECOND = 60.0, 100_000  # that a copy may take, and how slow the places may be
PNG = "image/png"


class OutsideImages(Images):
    """Images as ``files`` outside the database, at locations ``PLACE/NAME``."""

    def __init__(self, store: Store, files: Files):
        super().__init__(store, files.place)
        self._files = files

    def keep(self, uuid: str, result: Result, picture: IO[bytes]) -> tuple[dict[str, Any], bool]:
        """Keep a result and its PNG."""
        name = new_name(uuid)
        image = f"{self.place}/{name}"
        self._store.write(pieces.expect, image)
        picture.seek(0)
        self._files.put(name, picture, PNG)
        try:
            fractal, won = self._store.complete(uuid, result, image)
        except ImagesAway:  # it was given up meanwhile, perhaps before all of it was there
            self._store.write(pieces.loosen, image)
            raise
        if not won:
            self._store.write(pieces.give_up, image)
        return fractal, won

    def take(self, uuid: str, image: str, checksum: str, picture: IO[bytes]) -> bool:
        """Keep a copy of an image."""
        name = new_name(uuid)
        copy = f"{self.place}/{name}"
        size = picture.seek(0, os.SEEK_END)
        # for as long as it may take, not for an hour: who looks into the place sees soon what a killed mover left
        self._store.write(pieces.expect, copy, COPY_SECONDS + size / COPY_BYTES_PER_SECOND)
        moved = False
        try:
            picture.seek(0)
            self._files.put(name, picture, PNG)
            if self._files.copy(name, size) != checksum:
                raise ImagesAway(f"{self.place} gives back other bytes than it was given.")
            moved = self._store.move(uuid, image, copy)
        finally:
            if not moved:
                with suppress(DatabaseAway):  # else it is loose a little later
                    self._store.write(pieces.give_up, copy)
        return moved

    def read(self, image: str, start: int, stop: int) -> bytes:
        """The bytes ``[start, stop)`` of an image."""
        try:
            return self._files.read(image.rpartition("/")[2], start, stop)
        except FileNotFoundError:
            raise elsewhere(image, self.place) from None

    def delete(self, image: str) -> None:
        """Delete an image."""
        self._files.delete(image.rpartition("/")[2])


class DirectoryImages(OutsideImages):
    """Images in a directory of this machine: what one API has been given, another does not have."""

    def __init__(self, store: Store, files: DirectoryFiles):
        super().__init__(store, files)
        self.directory = files.directory
