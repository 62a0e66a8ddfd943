"""The images' rows: the pieces of those that the database keeps, and the list of those outside that are loose."""

from typing import IO

import sqlalchemy as sa
from sqlalchemy import bindparam

from faafo_lab.app.database import now, shifted
from faafo_lab.app.errors import NotFound
from faafo_lab.app.schema import PIECE_BYTES, image_pieces, loose_images
from faafo_lab.app.transaction import Transaction

LOOSE_BATCH = 50
LOOSE_SECONDS = 3600.0  # until an image that was put outside must have its row

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
_EXPECT = sa.insert(loose_images).values(image=bindparam("of"), delete_after=shifted(now(), LOOSE_SECONDS))
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


def expect(transaction: Transaction, image: str) -> None:
    """Announce an image that is about to be put outside; it is loose until it is claimed."""
    transaction.run(_EXPECT, of=image)


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
