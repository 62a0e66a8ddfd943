"""The interface to a place of images, and what the places have in common."""

import secrets
from abc import ABC, abstractmethod
from typing import IO, Any

from faafo_lab.app import pieces
from faafo_lab.app.errors import NotFound
from faafo_lab.app.store import Store
from faafo_lab.app.validation import Result

DATABASE = "database"


class Images(ABC):
    """The images in one place, as one machine reaches it. Every method blocks, and may be called from any thread.

    ``place`` is what the API calls it. All raise ``DatabaseAway``, and ``FilesAway`` where the place does not answer
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


def new_name(uuid: str) -> str:
    """A name that no other image has: two results of one fractal are two files."""
    return f"{uuid}.{secrets.token_hex(4)}.png"


def elsewhere(image: str, here: str) -> NotFound:
    """What to say of an image that this API does not have."""
    there = pieces.place(image)
    if there == here:
        return NotFound(f"The image is missing at {here}, where it was put.")
    return NotFound(f"The image is at {there}, and this API has only what is at {here}: it is not shared.")
