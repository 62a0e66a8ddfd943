"""Moves the images that there are from one place to another (``faafo move-images``), while all of them are read.

Each image is copied under a name of its own, and the copy is read back from its place and must have the checksum that
the fractal's row says; then one transaction lets the row say the new place, and the old one is deleted. Wherever that
is interrupted, the row says a place where the image is whole, and what is left over is loose (see ``pieces``): the next
run, or an API, deletes it. So a run may be interrupted and repeated at any time, and several may go on at once.

An image that is missing or damaged where its row says it is stays as it is, and is reported.
"""

import hashlib
import random
import signal
import tempfile
import threading
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO

from faafo_lab.app import nodes, pieces, settings
from faafo_lab.app.errors import FilesAway, ImagesAway, NotFound, SettingsError
from faafo_lab.app.images import Images, Places
from faafo_lab.app.images.outside import DirectoryImages
from faafo_lab.app.pieces import Made
from faafo_lab.app.schema import PIECE_BYTES
from faafo_lab.app.store import Store
from faafo_lab.app.transaction import Transaction

AT_ONCE = 4  # images: while one waits for the object store, another one is read
ROUNDS = 3  # without a single image moved, before the run ends


@dataclass
class Moved:
    """What became of the images: how many, or the uuids of their fractals."""

    to: str
    moved: int = 0
    bytes: int = 0  # of those
    already: int = 0  # were there before
    left: int = 0  # still to move: the run was interrupted
    missing: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)
    out_of_reach: dict[str, int] = field(default_factory=dict)  # by place: on the disks of other machines

    @property
    def complete(self) -> bool:
        """Whether all images are moved that this machine reaches."""
        return not (self.left or self.missing or self.damaged)

    def __str__(self) -> str:
        lines = [f"{images(self.moved)} ({self.bytes} bytes) moved to {self.to}; {self.already} already there."]
        lines += [f"{images(number)} at {place}: move them there." for place, number in self.out_of_reach.items()]
        for uuids, what in ((self.missing, "missing"), (self.damaged, "damaged, and left alone")):
            if uuids:
                lines.append(f"{images(len(uuids))} {what}, of {', '.join(uuids)}.")
        if self.left:
            lines.append(f"Interrupted: {images(self.left)} left. The same command goes on.")
        return "\n".join(lines)


def images(number: int) -> str:
    """A number of images, in words."""
    return f"{number} image{'s' * (number != 1)}"


class Mover:
    """Moves images to ``target`` from the places ``sources``, which are as the API calls them.

    Without ``sources`` from all other places that this machine reaches. ``show`` is called with what became of the
    images so far, and with how many images and bytes there are to move: at the beginning, and after each image.
    """

    def __init__(
        self,
        store: Store,
        places: Places,
        target: Images,
        sources: Collection[str] = (),
        show: Callable[[Moved, int, int], None] = lambda moved, number, size: None,
    ):
        self._store, self._places, self._target, self._show = store, places, target, show
        self._sources = sources
        self._reached: dict[str, bool] = {target.place: False}  # whether images at a place are moved
        self._bad: set[str] = set()  # images
        self._stopping = threading.Event()
        self._counting = threading.Lock()
        self._moved = Moved(target.place)

    def stop(self) -> None:
        """Let ``run`` end after the images that it is at."""
        self._stopping.set()

    def run(self) -> Moved:
        """Move all images, those too that come meanwhile; raises ``DatabaseAway`` and ``FilesAway``."""
        moved = self._moved
        self._places.sweep()  # what an earlier run has left
        number, size = self._survey()
        self._show(moved, number, size)
        rounds = 0
        with ThreadPoolExecutor(AT_ONCE, "move") as pool:
            while not self._stopping.is_set():
                before, found = moved.moved, 0
                for page in self._pages():
                    rows = [row for row in page if self._is_to_move(row)]
                    found += len(rows)
                    random.shuffle(rows)  # another mover at the same images begins with others
                    for _ in _done(pool, self._move, rows):
                        self._show(moved, number, size)
                    self._places.sweep()
                if not found:
                    return moved
                rounds = 0 if moved.moved > before else rounds + 1
                if rounds == ROUNDS:
                    raise ImagesAway(f"{images(found)} took too long on the way to {moved.to}: try again.")
        moved.left = sum(self._is_to_move(row) for page in self._pages() for row in page)
        return moved

    def _survey(self) -> tuple[int, int]:
        """How many images, and bytes, there are to move; notes what is there already, and what is out of reach."""
        number = size = 0
        for row in (row for page in self._pages() for row in page):
            place = pieces.place(row.image)
            if self._is_to_move(row):
                number, size = number + 1, size + row.size
            elif place == self._target.place:
                self._moved.already += 1
            elif not self._sources or place in self._sources:
                self._moved.out_of_reach[place] = self._moved.out_of_reach.get(place, 0) + 1
        return number, size

    def _pages(self) -> Iterator[list[Made]]:
        """All images, page by page."""
        last = 0
        while page := self._store.read(pieces.made, last):
            yield page
            last = page[-1].number

    def _is_to_move(self, row: Made) -> bool:
        place = pieces.place(row.image)
        if place not in self._reached:
            wanted = not self._sources or place in self._sources
            self._reached[place] = wanted and self._places.named(place) is not None
        return self._reached[place] and row.image not in self._bad

    def _move(self, row: Made) -> None:
        """Move one image, unless it is bad; where somebody else does, or deletes it, that is as good."""
        for may_repeat in (True, False):
            if self._stopping.is_set():
                return
            with tempfile.SpooledTemporaryFile(max_size=PIECE_BYTES) as picture:
                if (bad := self._copy(row, picture)) is not None:
                    if self._is_still_there(row):
                        self._bad.add(row.image)
                        bad.append(row.uuid)
                    return
                try:
                    if self._target.take(row.uuid, row.image, row.checksum, picture):
                        with self._counting:
                            self._moved.moved += 1
                            self._moved.bytes += row.size
                    return
                except FilesAway:
                    if not may_repeat:
                        raise

    def _copy(self, row: Made, to: IO[bytes]) -> list[str] | None:
        """Read an image from its place; the list that a bad one belongs into."""
        digest, start = hashlib.sha256(), 0
        try:
            while start < row.size and (
                piece := self._places.read(row.image, start, min(start + PIECE_BYTES, row.size))
            ):
                digest.update(piece)
                to.write(piece)
                start += len(piece)
        except NotFound:
            return self._moved.missing
        return None if digest.hexdigest() == row.checksum else self._moved.damaged

    def _is_still_there(self, row: Made) -> bool:
        """Whether the row of a fractal still says this place of its image."""
        try:
            return self._store.image(row.uuid)[-1] == row.image
        except NotFound:
            return False


def _done(pool: ThreadPoolExecutor, do: Callable[[Made], None], rows: Iterable[Made]) -> Iterator[None]:
    """Do it for all rows in the pool, one result after the other; after the first failure no more begin."""
    futures = [pool.submit(do, row) for row in rows]
    try:
        for future in as_completed(futures):
            yield future.result()
    finally:
        for future in futures:
            future.cancel()


def run(source: str, target: str, show: Callable[[Moved, int, int], None]) -> Moved:
    """What ``faafo move-images`` does, with the settings of this machine's API where it has one.

    The places are URLs, or what the API calls them; ``source`` "" means all others. SIGINT and SIGTERM end it after the
    images that it is at. Raises ``SettingsError``, ``DatabaseAway`` and ``FilesAway``.
    """
    settings.take_over("faafo-api")
    store = Store(settings.database_url())
    try:
        places = Places(settings.images_url(), store, settings.hostname())
        to = _found(places, target, "--to")
        sources = [_found(places, source, "--from").place] if source else []
        if to.place in sources:
            raise SettingsError(f"--from and --to are both {to.place}: give the new place another name.")
        if isinstance(to, DirectoryImages) and not store.read(_serves, settings.hostname()):
            raise SettingsError(f"No API serves on '{settings.hostname()}', so nobody could read from its disk.")
        places.note(to)
        mover = Mover(store, places, to, sources, show)
        with _signals(mover.stop):
            return mover.run()
    finally:
        store.close()


def _found(places: Places, text: str, option: str) -> Images:
    try:
        return places.find(text)
    except SettingsError as error:
        raise SettingsError(str(error).replace("FAAFO_IMAGES_URL", option)) from None


def _serves(transaction: Transaction, name: str) -> bool:
    """Whether an API of this name serves."""
    listed = nodes.listed(transaction)
    return any((one["role"], one["name"], one["state"]) == ("api", name, "serving") for one in listed)


@contextmanager
def _signals(stop: Callable[[], None]) -> Iterator[None]:
    """SIGINT and SIGTERM stop it; the second one ends the program."""
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def stopped(number: int, frame: object) -> None:
        signal.signal(number, kept[signal.Signals(number)])
        stop()

    for number in kept:
        signal.signal(number, stopped)
    try:
        yield
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)
