"""The tables. A fractal's row is the truth about it; the queue is only the fast path.

fractals       what was asked for, who works on it (the lease), what came out
image_pieces   the PNGs that the database keeps, in pieces, apart from the rows so that no list ever reads them
loose_images   images outside that no row refers to, not yet or no more: the sweep deletes them
image_places   places outside that images were put or moved to: every API reads them, whichever its own place is
counters       how many fractals were created, deleted, done and failed: what would take long to count
gaps           how many of each block of numbers were deleted: see ``numbers``
events         what happened to fractals lately: see ``events``
withdrawn      which orders were deleted lately: see ``generations``
runs           who serves: every run of an API or a worker, as it last reported: see ``nodes``
"""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    text,
)

from faafo_lab.app.database import Time, now

metadata = MetaData()

# MariaDB compares as PostgreSQL does: 'a' is not 'A'
MARIADB: dict[str, Any] = {"mariadb_engine": "InnoDB", "mariadb_charset": "utf8mb4", "mariadb_collate": "utf8mb4_bin"}

UUID_LENGTH, NAME_LENGTH, LOCATION_LENGTH = 36, 255, 400
PIECE_BYTES = 1024 * 1024  # of an image: a row that every database and every memory has room for

fractals = Table(
    "fractals",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),  # 1, 2, 3 …: see ``numbers``
    Column("uuid", String(UUID_LENGTH), nullable=False, unique=True),
    # What was asked for
    Column("width", Integer, nullable=False),
    Column("height", Integer, nullable=False),
    Column("iterations", Integer, nullable=False),
    Column("xa", Double, nullable=False),
    Column("xb", Double, nullable=False),
    Column("ya", Double, nullable=False),
    Column("yb", Double, nullable=False),
    Column("created_at", Time, nullable=False, server_default=now()),
    # On its way: NULL is "not in the queue" (the outbox); the lease says which run of which worker has it
    Column("published_at", Time),
    Column("leased_by", String(NAME_LENGTH)),
    Column("lease_run", String(UUID_LENGTH)),
    Column("lease_until", Time),
    Column("publications", Integer, nullable=False, server_default="0"),  # since a worker last had the lease
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("started_at", Time),  # when the worker that made it, or is at it, took the lease
    Column("lost", Text),  # the attempts that were lost: see ``attempts``
    # What went wrong: how often, the last reason, when it is tried again; and since when it is not: see ``failures``
    Column("failures", Integer, nullable=False, server_default="0"),
    Column("failure", Text),
    Column("retry_at", Time),
    Column("failed_at", Time),
    # What came out
    Column("completed_at", Time),
    Column("c_re", Double),
    Column("c_im", Double),
    Column("duration", Double),
    Column("size", Integer),
    Column("checksum", String(64)),
    Column("generated_by", String(NAME_LENGTH)),
    Column("image", String(LOCATION_LENGTH)),  # where it is: see ``images``
    **MARIADB,
)
# Each of a fractal's states is found at once, however many are in another
_OUTBOX = "completed_at IS NULL AND failed_at IS NULL AND lease_until IS NULL AND published_at IS NULL"
_QUEUED = "completed_at IS NULL AND failed_at IS NULL AND lease_until IS NULL AND published_at IS NOT NULL"
_WAITING = "completed_at IS NULL AND failed_at IS NULL AND lease_until IS NULL"


def _index(name: str, *columns: str, where: str | None = None) -> None:
    """An index of a part of the table for PostgreSQL; of all of it for MariaDB, which knows no others."""
    index = Index(f"fractals_{name}", *(fractals.c[column] for column in columns), postgresql_where=text(where or ""))
    index.ddl_if(dialect="postgresql" if where else "mariadb")


_index("outbox", "number", where=_OUTBOX)
_index("queued", "published_at", where=_QUEUED)
_index("waiting", "number", where=_WAITING)
_index("leased", "lease_until", where="lease_until IS NOT NULL")
_index("done", "completed_at", "number", where="completed_at IS NOT NULL")
_index("to_do", "completed_at", "lease_until", "published_at", "number")
_index("not_in_work", "completed_at", "failed_at", "lease_until", "number")
_index("lease_until", "lease_until")
_index("completed_at", "completed_at", "number")

image_pieces = Table(
    "image_pieces",
    metadata,
    Column("image", String(LOCATION_LENGTH), primary_key=True),
    Column("start", Integer, primary_key=True, autoincrement=False),  # of its first byte in the image
    Column("data", LargeBinary(PIECE_BYTES), nullable=False),
    **MARIADB,
)

loose_images = Table(
    "loose_images",
    metadata,
    Column("image", String(LOCATION_LENGTH), primary_key=True),
    Column("delete_after", Time, nullable=False, index=True),
    **MARIADB,
)

image_places = Table(
    "image_places",
    metadata,
    Column("place", String(LOCATION_LENGTH), primary_key=True),
    Column("url", Text, nullable=False),  # with what is needed to log in there: as secret as the images themselves
    **MARIADB,
)

counters = Table(
    "counters",
    metadata,
    Column("name", String(16), primary_key=True),
    Column("value", BigInteger, nullable=False),
    **MARIADB,
)

gaps = Table(
    "gaps",
    metadata,
    Column("block", BigInteger, primary_key=True, autoincrement=False),
    Column("deleted", Integer, nullable=False),
    **MARIADB,
)

events = Table(
    "events",
    metadata,
    Column("id", BigInteger, primary_key=True),
    Column("at", Time, nullable=False),
    Column("what", String(16), nullable=False),
    Column("worker", String(NAME_LENGTH)),
    Column("numbers", Text, nullable=False),  # of the fractals, with commas between
    **MARIADB,
)

withdrawn = Table(
    "withdrawn",
    metadata,
    Column("uuid", String(UUID_LENGTH), primary_key=True),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("withdrawn_at", Time, nullable=False, index=True),
    **MARIADB,
)

runs = Table(
    "runs",
    metadata,
    Column("name", String(NAME_LENGTH), primary_key=True),
    Column("role", String(16), primary_key=True),
    Column("run", String(UUID_LENGTH), primary_key=True),  # a new one each time the program starts
    Column("state", String(16), nullable=False),
    Column("drain", Boolean, nullable=False, server_default=text("false")),
    Column("load_average", Text),
    Column("cpu_percent", Double),
    Column("cores", Integer),
    Column("working_on", Text, nullable=False),
    Column("version", String(64)),
    Column("endpoint", String(NAME_LENGTH)),  # where workers reach an API
    Column("started_at", Time, nullable=False, server_default=now()),
    Column("last_heard", Time, nullable=False),
    **MARIADB,
)
