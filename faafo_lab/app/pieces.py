"""The images' rows: the pieces of those that the database keeps, the list of those outside that are loose, and places.

A loose image has no row that refers to it, not yet or no more. Whoever reaches its place deletes it when it is due.
"""

import hashlib
from typing import IO, NamedTuple

import sqlalchemy as sa
from sqlalchemy import bindparam

from faafo_lab.app.database import now, shifted
from faafo_lab.app.errors import NotFound
from faafo_lab.app.schema import PIECE_BYTES, fractals, image_pieces, image_places, loose_images
from faafo_lab.app.transaction import Transaction

LOOSE_BATCH = 50
LOOSE_SECONDS = 3600.0  # until an image that was put outside must have its row

MADE_PAGE = 200  # images


class Made(NamedTuple):
    """A fractal's image: where it is, and what its bytes must be."""

    number: int
    uuid: str
    image: str
    checksum: str
    size: int


_this_piece, _this = image_pieces.c.image == bindparam("of"), loose_images.c.image == bindparam("of")

_INSERT = sa.insert(image_pieces).values({name: bindparam(name) for name in ("image", "start", "data")})
_READ = (
    sa.select(image_pieces.c.start, image_pieces.c.data)
    .where(
        _this_piece,
        image_pieces.c.start > bindparam("after", type_=sa.BigInteger),
        image_pieces.c.start < bindparam("stop", type_=sa.BigInteger),
    )
    .order_by(image_pieces.c.start)
)
_REMOVE = sa.delete(image_pieces).where(_this_piece).returning(image_pieces.c.start)
_PIECE = sa.select(image_pieces.c.data).where(_this_piece, image_pieces.c.start == bindparam("at"))
_within = shifted(now(), bindparam("seconds", type_=sa.Double))
_EXPECT = sa.insert(loose_images).values(image=bindparam("of"), delete_after=_within)
_LOOSEN = sa.insert(loose_images).values(image=bindparam("of"), delete_after=now())
_GIVE_UP = sa.update(loose_images).where(_this).values(delete_after=now())
_CLAIM = sa.delete(loose_images).where(_this).returning(loose_images.c.image)
_begins = sa.func.left(loose_images.c.image, bindparam("length", type_=sa.Integer)) == bindparam("place")
_LOOSE = (
    sa.select(loose_images.c.image)
    .where(loose_images.c.delete_after < now(), _begins)
    .order_by(loose_images.c.delete_after)
    .limit(LOOSE_BATCH)
)

_this_place = image_places.c.place == bindparam("of")
_KNOWN_PLACE = sa.select(image_places.c.url).where(_this_place).with_for_update()
_NOTE = sa.insert(image_places).values(place=bindparam("of"), url=bindparam("new_url"))
_NOTE_AGAIN = sa.update(image_places).where(_this_place).values(url=bindparam("new_url"))
_NOTED = sa.select(image_places.c.place, image_places.c.url).order_by(image_places.c.place)
_MADE = (
    sa.select(*(fractals.c[name] for name in Made._fields))
    .where(fractals.c.number > bindparam("last", type_=sa.BigInteger), fractals.c.image.is_not(None))
    .order_by(fractals.c.number)
    .limit(MADE_PAGE)
)


def place(image: str) -> str:
    """Where an image is, without its name: ``database``, ``file://HOST``, ``swift://CONTAINER``."""
    return image.rpartition("/")[0] or image.partition(":")[0]


def insert(transaction: Transaction, image: str, picture: IO[bytes]) -> None:
    """Keep an image in the database."""
    picture.seek(0)
    start = 0
    while piece := picture.read(PIECE_BYTES):
        transaction.run(_INSERT, image=image, start=start, data=piece)
        transaction.settle()  # no more than a piece is in memory
        start += len(piece)


def remove(transaction: Transaction, image: str) -> bool:
    """Delete an image from the database; whether it was there."""
    return transaction.row(_REMOVE, of=image) is not None


def read(transaction: Transaction, image: str, start: int, stop: int) -> bytes:
    """The bytes ``[start, stop)`` of an image in the database, fewer where it ends; raises ``NotFound``."""
    rows = transaction.rows(_READ, of=image, after=start - PIECE_BYTES, stop=stop)
    if not rows:
        raise NotFound("The image has just been deleted.")
    return b"".join(bytes(data[max(start - begin, 0) : stop - begin]) for begin, data in rows)


def checksum(transaction: Transaction, image: str) -> str:
    """The SHA-256 of an image in the database, in hexadecimal, as it is read back."""
    digest, start = hashlib.sha256(), 0
    while row := transaction.row(_PIECE, of=image, at=start):
        digest.update(row[0])
        start += len(row[0])
    return digest.hexdigest()


def discard(transaction: Transaction, image: str) -> None:
    """No row refers to an image any more: delete it from the database; outside it is loose from now on."""
    if not remove(transaction, image):
        loosen(transaction, image)


def expect(transaction: Transaction, image: str, seconds: float = LOOSE_SECONDS) -> None:
    """Announce an image that is about to be put outside; it is loose until it is claimed, within so many seconds."""
    transaction.run(_EXPECT, of=image, seconds=seconds)


def claim(transaction: Transaction, image: str) -> bool:
    """A row refers to an announced image; whether it is still there."""
    return transaction.row(_CLAIM, of=image) is not None


def loosen(transaction: Transaction, image: str) -> None:
    """No row refers to an image any more."""
    transaction.run(_LOOSEN, of=image)


def give_up(transaction: Transaction, image: str) -> None:
    """An announced image is of no use."""
    transaction.run(_GIVE_UP, of=image)


def loose(transaction: Transaction, place: str) -> list[str]:
    """Images to delete, of those whose place begins so."""
    return [image for (image,) in transaction.rows(_LOOSE, length=len(place), place=place)]


def forget(transaction: Transaction, image: str) -> None:
    """A loose image has been deleted."""
    transaction.run(_CLAIM, of=image)


def made(transaction: Transaction, last: int) -> list[Made]:
    """The next images of all, in the order of their fractals, from number ``last`` on: a page of them."""
    return [Made(*row) for row in transaction.rows(_MADE, last=last)]


def note(transaction: Transaction, place: str, url: str) -> None:
    """Let every API read a place."""
    known = transaction.row(_KNOWN_PLACE, of=place)
    if known != (url,):
        transaction.run(_NOTE_AGAIN if known else _NOTE, of=place, new_url=url)


def noted(transaction: Transaction) -> dict[str, str]:
    """The places that every API reads, with their URLs."""
    return {str(place): str(url) for place, url in transaction.rows(_NOTED)}
