"""All places of images that one machine reaches: its own, the database, and those that are noted in the database.

An API notes its own place where others reach it, too, and ``faafo move-images`` notes the place that it moves images
to, before it moves the first one. An API that meets a row with a place that it does not know looks the note up. So
all APIs read from a place as soon as a row says so, without a restart, whatever their own settings are.
"""

import logging
from typing import IO, Any

from faafo_lab.app import pieces
from faafo_lab.app.errors import FilesAway, SettingsError
from faafo_lab.app.files.directory import DirectoryFiles
from faafo_lab.app.files.opening import open_files
from faafo_lab.app.images.base import DATABASE, DatabaseImages, Images, elsewhere
from faafo_lab.app.images.outside import DirectoryImages, OutsideImages
from faafo_lab.app.store import Store
from faafo_lab.app.validation import Result

log = logging.getLogger(__name__)


def open_images(url: str, store: Store, host: str) -> Images:
    """The place that ``url`` names; ``host`` is this machine's name. Raises ``SettingsError``, without a password."""
    if url.partition(":")[0] == DATABASE:
        return DatabaseImages(store)
    files = open_files(url, host, "FAAFO_IMAGES_URL", DATABASE)
    return DirectoryImages(store, files) if isinstance(files, DirectoryFiles) else OutsideImages(store, files)


class Places:
    """The images of a deployment, as one machine reaches them. Raises what ``Images`` raises, from any thread."""

    def __init__(self, url: str, store: Store, host: str):
        """``url`` is this machine's own place; raises ``SettingsError``."""
        self._store = store
        self._host = host
        self._url = url
        self.own = open_images(url, store, host)
        self._of_url: dict[str, Images] = {}
        self._found: dict[str, tuple[str, Images]] = {}  # by place, with its URL

    def keep(self, uuid: str, result: Result, picture: IO[bytes]) -> tuple[dict[str, Any], bool]:
        """Keep a result and its PNG in the own place, as ``Images.keep`` does."""
        return self.own.keep(uuid, result, picture)

    def read(self, image: str, start: int, stop: int) -> bytes:
        """The bytes ``[start, stop)`` of an image, wherever it is; raises ``NotFound`` where it is out of reach."""
        return self.of(image).read(image, start, stop)

    def of(self, image: str) -> Images:
        """The place of an image; raises ``NotFound`` where it is out of reach."""
        if place := self.named(pieces.place(image)):
            return place
        if _scheme(image) == _scheme(self.own.place):  # two machines may share a directory
            return self.own
        raise elsewhere(image, self.own.place)

    def named(self, place: str) -> Images | None:
        """The place that the API calls so; None where it is out of reach."""
        if place in self._found:
            return self._found[place][1]
        if place == self.own.place:
            return self.own
        if place == DATABASE:
            return self._open(DATABASE)
        # The note may change: a place is given a new password
        url = self._store.read(pieces.noted).get(place)
        return self._open(url) if url and self._reaches(place) else None

    def find(self, text: str) -> Images:
        """The place with this URL, or that the API calls so; from now on it is known here.

        Raises ``SettingsError``, also for a directory where this machine has another one already.
        """
        if known := self.named(text):
            return known
        found = open_images(text, self._store, self._host)
        if isinstance(found, DirectoryImages):
            known = self.named(found.place)
            if isinstance(known, DirectoryImages) and known.directory != found.directory:
                raise SettingsError(f"The images of '{self._host}' are in {known.directory}: it can't have two places.")
        self._found[found.place] = text, found
        return found

    def note_own(self) -> None:
        """Let all APIs read this one's own place, where they reach it."""
        if not isinstance(self.own, DatabaseImages | DirectoryImages):
            self._store.write(pieces.note, self.own.place, self._url)

    def note(self, place: Images) -> None:
        """Let all APIs that reach a place read from it: one that was found by its URL."""
        url = self._found.get(place.place, ("", place))[0]
        if url and not (isinstance(place, DirectoryImages) and place.place == self.own.place):
            self._store.write(pieces.note, place.place, url)

    def sweep(self) -> None:
        """Delete what no row refers to, in all places that are outside the database."""
        for place in {self.own.place, *self._found, *self._store.read(pieces.noted)} - {DATABASE}:
            while loose := self._store.read(pieces.loose, f"{place}/"):
                images = self.named(place)
                if not isinstance(images, OutsideImages):
                    break
                try:
                    for image in loose:
                        images.delete(image)
                        self._store.write(pieces.forget, image)
                except FilesAway as error:
                    log.warning("%d images stay at %s for now: %s", len(loose), place, error)
                    break

    def _reaches(self, place: str) -> bool:
        """Whether a noted place is more than another machine's disk."""
        return _scheme(place) != "file" or place == f"file://{self._host}"

    def _open(self, url: str) -> Images | None:
        """The place that a note says; None where this machine cannot open it."""
        if url not in self._of_url:
            try:
                self._of_url[url] = open_images(url, self._store, self._host)
            except SettingsError as error:
                log.warning("a place of images is out of reach: %s", error)
                return None
        return self._of_url[url]


def _scheme(location: str) -> str:
    return location.partition(":")[0]
