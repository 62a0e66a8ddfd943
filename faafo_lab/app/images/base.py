"""The interface to the images, and what the places have in common."""

import logging
import secrets
from abc import ABC, abstractmethod
from typing import IO, Any

from faafo_lab.app import pieces
from faafo_lab.app.errors import ImagesAway, NotFound
from faafo_lab.app.store import Store
from faafo_lab.app.validation import Result

log = logging.getLogger(__name__)

DATABASE = "database"


class Images(ABC):
    """The images of a deployment, as one API reaches them. Every method blocks, and may be called from any thread.

    All raise ``DatabaseAway``, and ``ImagesAway`` where the place does not answer or is full.
    """

    @abstractmethod
    def keep(self, uuid: str, result: Result, picture: IO[bytes]) -> tuple[dict[str, Any], bool]:
        """Keep a result and its PNG: the fractal, and whether this result won. The first wins, others are dropped."""

    @abstractmethod
    def read(self, image: str, start: int, stop: int) -> bytes:
        """The bytes ``[start, stop)`` of an image, fewer where it ends; ``image`` is what the row says.

        Raises ``NotFound`` where this API does not have it.
        """

    def sweep(self) -> None:  # noqa: B027  (the database has nothing to sweep)
        """Delete what no row refers to."""


class DatabaseImages(Images):
    """Images in the database: rows of at most ``PIECE_BYTES``, in one transaction with the fractal's."""

    def __init__(self, store: Store):
        self._store = store

    def keep(self, uuid: str, result: Result, picture: IO[bytes]) -> tuple[dict[str, Any], bool]:
        """Keep a result and its PNG."""
        return self._store.complete(uuid, result, f"{DATABASE}:{new_name(uuid)}", picture)

    def read(self, image: str, start: int, stop: int) -> bytes:
        """The bytes ``[start, stop)`` of an image."""
        if not image.startswith(f"{DATABASE}:"):
            raise elsewhere(image, DATABASE)
        return self._store.read(pieces.read, image, start, stop)


class OutsideImages(Images):
    """Images outside the database; those that are in it from earlier days are read, too.

    A place's own class says how to put, read and delete one file. Its locations are ``PLACE/NAME``.
    """

    def __init__(self, store: Store, place: str):
        self._store = store
        self._database = DatabaseImages(store)
        self._place = place

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
        image = f"{self._place}/{name}"
        self._store.write(pieces.expect, image)
        picture.seek(0)
        self.put_file(name, picture)
        fractal, won = self._store.complete(uuid, result, image)
        if not won:
            self._store.write(pieces.give_up, image)
        return fractal, won

    def read(self, image: str, start: int, stop: int) -> bytes:
        """The bytes ``[start, stop)`` of an image."""
        if image.startswith(f"{DATABASE}:"):
            return self._database.read(image, start, stop)
        if _scheme(image) != _scheme(self._place):
            raise elsewhere(image, self._place)
        try:
            return self.read_file(image.rpartition("/")[2], start, stop)
        except FileNotFoundError:
            raise elsewhere(image, self._place) from None

    def sweep(self) -> None:
        """Delete what no row refers to."""
        for image in self._store.read(pieces.loose, f"{self._place}/"):
            try:
                self.delete_file(image.rpartition("/")[2])
            except ImagesAway as error:
                log.warning("%s stays for now: %s", image, error)
                return
            self._store.write(pieces.forget, image)


def new_name(uuid: str) -> str:
    """A name that no other image has: two results of one fractal are two files."""
    return f"{uuid}.{secrets.token_hex(4)}.png"


def elsewhere(image: str, here: str) -> NotFound:
    """What to say of an image that this API does not have."""
    there = pieces.place(image)
    if there == here:
        return NotFound(f"The image is missing at {here}, where it was put.")
    return NotFound(f"The image is at {there}, and this API has only what is at {here}: it is not shared.")


def _scheme(location: str) -> str:
    return location.partition(":")[0]
