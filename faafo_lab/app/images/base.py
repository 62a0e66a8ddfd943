"""The interface to a place of images, and what the places have in common."""

import hashlib
import os
import secrets
from abc import ABC, abstractmethod
from contextlib import suppress
from typing import IO, Any

from faafo_lab.app import pieces
from faafo_lab.app.errors import DatabaseAway, ImagesAway, NotFound
from faafo_lab.app.schema import PIECE_BYTES
from faafo_lab.app.store import Store
from faafo_lab.app.validation import Result

DATABASE = "database"
COPY_SECONDS, COPY_BYTES_PER_SECOND = 60.0, 100_000  # that a copy may take, and how slow the places may be


class Images(ABC):
    """The images in one place, as one machine reaches it. Every method blocks, and may be called from any thread.

    ``place`` is what the API calls it. All raise ``DatabaseAway``, and ``ImagesAway`` where the place does not answer
    or is full.
    """

    def __init__(self, store: Store, place: str):
        self._store = store
        self.place = place

    @abstractmethod
    def keep(self, uuid: str, result: Result, picture: IO[bytes]) -> tuple[dict[str, Any], bool]:
        """Keep a result and its PNG: the fractal, and whether this result won. The first wins, others are dropped."""

    @abstractmethod
    def take(self, uuid: str, image: str, checksum: str, picture: IO[bytes]) -> bool:
        """Keep a copy of a fractal's image, which is elsewhere: its row says so once the copy was read back.

        Whether it does: not where the fractal was deleted meanwhile, or somebody else has moved the image. The old one
        is deleted, or loose.
        """

    @abstractmethod
    def read(self, image: str, start: int, stop: int) -> bytes:
        """The bytes ``[start, stop)`` of an image, fewer where it ends; ``image`` is what the row says.

        Raises ``NotFound`` where it is not there.
        """

    def checksum(self, image: str, size: int) -> str:
        """The SHA-256 of an image's first ``size`` bytes, in hexadecimal, as they are read; raises ``NotFound``."""
        digest, start = hashlib.sha256(), 0
        while start < size and (piece := self.read(image, start, min(start + PIECE_BYTES, size))):
            digest.update(piece)
            start += len(piece)
        return digest.hexdigest()


class DatabaseImages(Images):
    """Images in the database: rows of at most ``PIECE_BYTES``, in one transaction with the fractal's."""

    def __init__(self, store: Store):
        super().__init__(store, DATABASE)

    def keep(self, uuid: str, result: Result, picture: IO[bytes]) -> tuple[dict[str, Any], bool]:
        """Keep a result and its PNG."""
        return self._store.complete(uuid, result, f"{DATABASE}:{new_name(uuid)}", picture)

    def take(self, uuid: str, image: str, checksum: str, picture: IO[bytes]) -> bool:
        """Keep a copy of an image."""
        return self._store.move(uuid, image, f"{DATABASE}:{new_name(uuid)}", picture)

    def read(self, image: str, start: int, stop: int) -> bytes:
        """The bytes ``[start, stop)`` of an image."""
        return self._store.read(pieces.read, image, start, stop)


class OutsideImages(Images):
    """Images outside the database: files, at locations ``PLACE/NAME``.

    A place's own class says how to put, read and delete one of them.
    """

    @abstractmethod
    def put_file(self, name: str, picture: IO[bytes]) -> None:
        """Keep a file, whole or not at all."""

    @abstractmethod
    def read_file(self, name: str, start: int, stop: int) -> bytes:
        """The bytes ``[start, stop)`` of a file; raises ``FileNotFoundError``."""

    @abstractmethod
    def delete_file(self, name: str) -> None:
        """Delete a file, whole or half-made; one that is not there is deleted already."""

    def keep(self, uuid: str, result: Result, picture: IO[bytes]) -> tuple[dict[str, Any], bool]:
        """Keep a result and its PNG."""
        name = new_name(uuid)
        image = f"{self.place}/{name}"
        self._store.write(pieces.expect, image)
        picture.seek(0)
        self.put_file(name, picture)
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
            self.put_file(name, picture)
            if self.checksum(copy, size) != checksum:
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
            return self.read_file(image.rpartition("/")[2], start, stop)
        except FileNotFoundError:
            raise elsewhere(image, self.place) from None

    def delete(self, image: str) -> None:
        """Delete an image."""
        self.delete_file(image.rpartition("/")[2])


def new_name(uuid: str) -> str:
    """A name that no other image has: two results of one fractal are two files."""
    return f"{uuid}.{secrets.token_hex(4)}.png"


def elsewhere(image: str, here: str) -> NotFound:
    """What to say of an image that this API does not have."""
    there = pieces.place(image)
    if there == here:
        return NotFound(f"The image is missing at {here}, where it was put.")
    return NotFound(f"The image is at {there}, and this API has only what is at {here}: it is not shared.")
