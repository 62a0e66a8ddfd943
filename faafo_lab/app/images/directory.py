"""Images on the API's own disk (``file:///DIR``): what one API has been given, another does not have.

An instance's disk begins at its ``INSTANCE_ROOT``. A file has another name until all of it is on the disk.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import copyfileobj
from typing import IO
from urllib.parse import unquote, urlsplit

from faafo_lab.app import settings
from faafo_lab.app.errors import ImagesAway, SettingsError
from faafo_lab.app.images.base import OutsideImages
from faafo_lab.app.schema import PIECE_BYTES
from faafo_lab.app.store import Store

UNFINISHED = ".part"


class DirectoryImages(OutsideImages):
    """Images in a directory of this machine."""

    def __init__(self, url: str, store: Store, host: str):
        """Make the directory where it is missing; raises ``SettingsError`` where it cannot be written to."""
        super().__init__(store, f"file://{host}")
        parts = urlsplit(url)
        path = unquote(parts.path)
        if parts.netloc not in ("", "localhost") or path.strip("/") == "":
            raise SettingsError(f"FAAFO_IMAGES_URL must be file:///DIRECTORY with three slashes: got '{url}'.")
        self._host = host
        self.directory = settings.root() / path.lstrip("/")
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SettingsError(f"The images' directory {path} cannot be made: {error.strerror}.") from None
        if not os.access(self.directory, os.W_OK | os.X_OK):
            raise SettingsError(f"The images' directory {path} cannot be written to by this user.")

    def put_file(self, name: str, picture: IO[bytes]) -> None:
        """Keep a file: write it beside, then rename it."""
        with self._trouble():
            path, unfinished = self.directory / name, self.directory / (name + UNFINISHED)
            try:
                with unfinished.open("xb") as file:
                    copyfileobj(picture, file, PIECE_BYTES)
                    file.flush()
                    os.fsync(file.fileno())
                unfinished.rename(path)
            except BaseException:
                unfinished.unlink(missing_ok=True)
                raise
            _sync(self.directory)

    def read_file(self, name: str, start: int, stop: int) -> bytes:
        """The bytes ``[start, stop)`` of a file."""
        with self._trouble(), (self.directory / name).open("rb") as file:
            return os.pread(file.fileno(), stop - start, start)

    def delete_file(self, name: str) -> None:
        """Delete a file, whole or half-made."""
        with self._trouble():
            for one in (name, name + UNFINISHED):
                (self.directory / one).unlink(missing_ok=True)

    @contextmanager
    def _trouble(self) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise
        except OSError as error:
            raise ImagesAway(f"The disk of '{self._host}' takes no images: {error.strerror or error}.") from None


def _sync(directory: Path) -> None:
    """Make a rename last."""
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
