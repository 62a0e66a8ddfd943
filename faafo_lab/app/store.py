"""All database work of the API: SQLAlchemy Core, plain functions that block.

The API calls them in a small pool of threads. (Measured: SQLAlchemy's asyncio half costs every API 8 MB and half a
second of CPU at its start, which is two seconds on a quarter of a core.) All times are the database's, so several
APIs need no common clock. Every method is one transaction and safe to repeat, so one that meets a connection that
broke since its last use is tried once more; after that it raises ``DatabaseAway``.
"""

import functools
import logging
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import IO, Any, Concatenate, ParamSpec, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine, RowMapping
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from faafo_lab.app import database
from faafo_lab.app.database import now, shifted
from faafo_lab.app.errors import BadRequest, Conflict, DatabaseAway, ImagesAway, NotFound
from faafo_lab.app.julia import Task
from faafo_lab.app.machine import Load
from faafo_lab.app.schema import PIECE_BYTES, fractals, image_pieces, loose_images, metadata, nodes
from faafo_lab.app.settings import LEASE_SECONDS, NODE_FORGOTTEN_SECONDS, NODE_LOST_SECONDS
from faafo_lab.app.validation import Heartbeat, Result

log = logging.getLogger(__name__)

CONNECTIONS = 4
OUTBOX_BATCH = 200
LOOSE_BATCH = 50
LOOSE_SECONDS = 3600.0  # until an image that was put outside must have its row
EMPTY_SECONDS = 4.0  # between a message's end in the queue and its worker's lease
DOUBLED_AT_MOST = 5  # times
OVERTAKEN_SECONDS = 10.0  # by which the order of two messages is beyond doubt
TASK_FIELDS = ("uuid", "width", "height", "iterations", "xa", "xb", "ya", "yb")
ORDERS = ("oldest", "newest")

PUBLISHED: dict[str, Any] = {"published_at": now(), "publications": fractals.c.publications + 1}

P = ParamSpec("P")
R = TypeVar("R")


def _transaction(
    method: Callable[Concatenate["Store", Connection, P], R],
) -> Callable[Concatenate["Store", P], R]:
    """Run a method in a transaction of its own; try once more where the connection had broken."""

    @functools.wraps(method)
    def run(self: "Store", /, *args: P.args, **kwargs: P.kwargs) -> R:
        for last in (False, True):
            try:
                with self._engine.begin() as connection:
                    return method(self, connection, *args, **kwargs)
            except DBAPIError as error:
                if database.missing_table(error):
                    raise DatabaseAway("The database answers, but its tables are not there yet.") from None
                if not last and database.worth_another_try(error):
                    continue
                if database.away(error):
                    raise DatabaseAway(f"The database does not answer: {_reason(error)}") from None
                raise
            except PoolTimeout:
                raise DatabaseAway("The database does not answer: all connections are waiting for it.") from None
        raise AssertionError("unreachable")

    return run


class Store:
    """The application's database, shared by all its APIs."""

    def __init__(self, url: str):
        """Connect lazily to ``url``: ``postgresql://USER:PASSWORD@HOST:PORT/NAME``, or ``mysql://…`` for MariaDB."""
        self._engine: Engine = database.connect(url, CONNECTIONS)

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    @_transaction
    def create_tables(self, connection: Connection) -> None:
        """Create what is missing."""
        with database.alone(connection):
            metadata.create_all(connection)

    @_transaction
    def check(self, connection: Connection) -> None:
        """Raise ``DatabaseAway`` unless the database answers and has the tables."""
        connection.execute(sa.select(fractals.c.uuid).limit(1))

    # Fractals

    @_transaction
    def add(self, connection: Connection, task: Task) -> tuple[dict[str, Any], bool]:
        """Accept a task; the fractal, and whether it is new. The same one again is accepted again.

        Raises ``Conflict`` where the uuid belongs to another fractal.
        """
        try:
            with connection.begin_nested():
                connection.execute(sa.insert(fractals).values(task.as_dict()))
            new = True
        except IntegrityError:
            new = False
        row = connection.execute(sa.select(fractals).where(fractals.c.uuid == task.uuid)).mappings().first()
        if row is None:
            raise DatabaseAway(f"Fractal {task.uuid} was deleted just now: send it again.")
        if any(row[name] != value for name, value in task.as_dict().items()):
            raise Conflict(f"'uuid' {task.uuid} belongs to another fractal: choose a new one.")
        return _fractal(row), new

    @_transaction
    def get(self, connection: Connection, uuid: str) -> dict[str, Any]:
        """One fractal; raises ``NotFound``."""
        row = connection.execute(sa.select(fractals).where(fractals.c.uuid == uuid)).mappings().first()
        if row is None:
            raise _no_fractal(uuid)
        return _fractal(row)

    @_transaction
    def page(
        self,
        connection: Connection,
        page: int,
        results_per_page: int | None,
        order: str = "oldest",
        completed: bool = False,
    ) -> tuple[int, list[dict[str, Any]]]:
        """How many fractals there are, and those of one page (from 1; ``results_per_page`` None: all)."""
        if order not in ORDERS:
            raise BadRequest(f"'order' must be one of {', '.join(ORDERS)}.")
        wanted = fractals.c.completed_at.is_not(None) if completed else sa.true()
        count = connection.scalar(sa.select(sa.func.count()).select_from(fractals).where(wanted)) or 0
        keys = (fractals.c.completed_at if completed else fractals.c.created_at, fractals.c.uuid)
        statement = sa.select(fractals).where(wanted)
        statement = statement.order_by(*(key.desc() if order == "newest" else key for key in keys))
        if results_per_page is not None:
            statement = statement.limit(results_per_page).offset((page - 1) * results_per_page)
        return count, [_fractal(row) for row in connection.execute(statement).mappings()]

    @_transaction
    def complete(
        self, connection: Connection, uuid: str, result: Result, image: str, picture: IO[bytes] | None = None
    ) -> tuple[dict[str, Any], bool]:
        """Keep a result; the fractal, and whether this result won. The first wins, others are dropped.

        ``image`` says where the picture is: outside, where ``expect_image`` announced it, unless ``picture`` is given:
        that one goes into the database. Raises ``NotFound``, and ``ImagesAway`` where what was announced is gone.
        """
        wanted = fractals.c.uuid == uuid
        if connection.scalar(sa.select(sa.func.count()).where(wanted, fractals.c.completed_at.is_(None))):
            if picture:  # before the row is locked: a large one takes a while
                _insert_pieces(connection, image, picture)
            won = self._complete(connection, uuid, result, image)
            if won and not picture:
                announced = sa.delete(loose_images).where(loose_images.c.image == image)
                if not connection.execute(announced).rowcount:
                    raise ImagesAway("The image took too long on its way and was given up: send it again.")
            if picture and not won:
                connection.execute(sa.delete(image_pieces).where(image_pieces.c.image == image))
        row = connection.execute(sa.select(fractals).where(wanted)).mappings().first()
        if row is None:
            raise _no_fractal(uuid)
        return _fractal(row), row["image"] == image

    def _complete(self, connection: Connection, uuid: str, result: Result, image: str) -> bool:
        """Write a result into the row, unless it has one."""
        c_re, c_im = result.c or (None, None)
        written = connection.execute(
            sa.update(fractals)
            .where(fractals.c.uuid == uuid, fractals.c.completed_at.is_(None))
            .values(
                completed_at=now(),
                duration=result.duration,
                size=result.size,
                checksum=result.checksum,
                generated_by=result.generated_by,
                image=image,
                c_re=c_re,
                c_im=c_im,
                leased_by=None,
                lease_run=None,
                lease_until=None,
            )
        )
        return written.rowcount > 0

    @_transaction
    def delete(self, connection: Connection, uuid: str) -> None:
        """Delete a fractal and its image; raises ``NotFound``. An image outside is loose from now on."""
        row = connection.execute(sa.delete(fractals).where(fractals.c.uuid == uuid).returning(fractals.c.image)).first()
        if row is None:
            raise _no_fractal(uuid)
        if row.image is not None:
            pieces = sa.delete(image_pieces).where(image_pieces.c.image == row.image)
            if not connection.execute(pieces).rowcount:
                connection.execute(sa.insert(loose_images).values(image=row.image, delete_after=now()))

    # Images

    @_transaction
    def image(self, connection: Connection, uuid: str) -> tuple[str, int, str]:
        """Checksum, size (bytes) and place of a fractal's image; raises ``NotFound``, also where it is not made yet."""
        row = connection.execute(
            sa.select(fractals.c.checksum, fractals.c.size, fractals.c.image).where(fractals.c.uuid == uuid)
        ).first()
        if row is None:
            raise _no_fractal(uuid)
        if row.image is None:
            raise NotFound(f"Fractal {uuid} is not made yet: ask again later.")
        return row.checksum, row.size, row.image

    @_transaction
    def image_bytes(self, connection: Connection, image: str, start: int, stop: int) -> bytes:
        """The bytes ``[start, stop)`` of an image in the database, fewer where it ends; raises ``NotFound``."""
        rows = connection.execute(
            sa.select(image_pieces.c.start, image_pieces.c.data)
            .where(
                image_pieces.c.image == image,
                image_pieces.c.start > start - PIECE_BYTES,
                image_pieces.c.start < stop,
            )
            .order_by(image_pieces.c.start)
        ).all()
        if not rows:
            raise NotFound("The image has just been deleted.")
        return b"".join(bytes(row.data[max(start - row.start, 0) : stop - row.start]) for row in rows)

    @_transaction
    def expect_image(self, connection: Connection, image: str) -> None:
        """Announce an image that is about to be put outside; it is loose until ``complete``."""
        connection.execute(sa.insert(loose_images).values(image=image, delete_after=shifted(now(), LOOSE_SECONDS)))

    @_transaction
    def loosen_image(self, connection: Connection, image: str) -> None:
        """An announced image is of no use."""
        connection.execute(sa.update(loose_images).where(loose_images.c.image == image).values(delete_after=now()))

    @_transaction
    def loose_images(self, connection: Connection, place: str) -> list[str]:
        """Images to delete, of those whose place begins so."""
        return list(
            connection.scalars(
                sa.select(loose_images.c.image)
                .where(loose_images.c.delete_after < now(), loose_images.c.image.startswith(place, autoescape=True))
                .order_by(loose_images.c.delete_after)
                .limit(LOOSE_BATCH)
            )
        )

    @_transaction
    def forget_image(self, connection: Connection, image: str) -> None:
        """A loose image has been deleted."""
        connection.execute(sa.delete(loose_images).where(loose_images.c.image == image))

    @_transaction
    def stats(self, connection: Connection) -> dict[str, int]:
        """How many fractals are waiting, leased to a worker, and done."""
        done = fractals.c.completed_at.is_not(None)
        leased = fractals.c.lease_until.is_not(None)
        row = connection.execute(
            sa.select(
                *(
                    sa.func.coalesce(sa.func.sum(sa.case((condition, 1), else_=0)), 0).label(name)
                    for name, condition in (
                        ("waiting", sa.and_(sa.not_(done), sa.not_(leased))),
                        ("working", sa.and_(sa.not_(done), leased)),
                        ("done", done),
                    )
                )
            )
        ).one()
        return {name: int(value) for name, value in row._mapping.items()}

    # Nothing accepted is lost

    @_transaction
    def mark_published(self, connection: Connection, uuids: Sequence[str]) -> None:
        """These are in the queue."""
        connection.execute(
            sa.update(fractals).where(fractals.c.uuid.in_(uuids), fractals.c.published_at.is_(None)).values(PUBLISHED)
        )

    @_transaction
    def publish_outbox(
        self, connection: Connection, publish: Callable[[list[Task], bool], None], after_seconds: float
    ) -> int:
        """Hand the oldest tasks that are not in the queue for ``after_seconds`` to ``publish``; how many.

        ``publish(tasks, again)`` is told whether a worker has had them before. Another API skips those that this
        one holds.
        """
        again = (fractals.c.attempts > 0).label("again")
        rows = connection.execute(
            sa.select(*(fractals.c[name] for name in TASK_FIELDS), again)
            .where(
                fractals.c.completed_at.is_(None),
                fractals.c.lease_until.is_(None),
                fractals.c.published_at.is_(None),
                fractals.c.created_at < shifted(now(), -after_seconds),
            )
            .order_by(fractals.c.created_at)
            .limit(OUTBOX_BATCH)
            .with_for_update(skip_locked=True)
        ).all()
        if rows:
            for had_before in (True, False):
                publish([Task(*row[:-1]) for row in rows if row.again is had_before], had_before)
            uuids = [row.uuid for row in rows]
            connection.execute(sa.update(fractals).where(fractals.c.uuid.in_(uuids)).values(PUBLISHED))
        return len(rows)

    @_transaction
    def take_back_expired(self, connection: Connection) -> list[tuple[str, str]]:
        """Put tasks whose lease has expired back into the outbox; their uuids and who had them."""
        expired = (
            sa.select(fractals.c.uuid, fractals.c.leased_by)
            .where(fractals.c.completed_at.is_(None), fractals.c.lease_until < now())
            .limit(OUTBOX_BATCH)
            .with_for_update(skip_locked=True)
        )
        rows = connection.execute(expired).all()
        self._to_outbox(connection, [row.uuid for row in rows])
        return [(row.uuid, row.leased_by) for row in rows]

    @_transaction
    def refill(self, connection: Connection, queue_is_empty: bool) -> int:
        """Put what should be in the queue, and is not, into the outbox; how many.

        The queue is empty: what was published and nobody has taken. It is not: what was overtaken, for the queue is
        first in, first out. Both may be in the hands of a worker that takes no lease, such as the original's; so the
        patience doubles each time.
        """
        doubled = sa.func.power(2, sa.func.least(fractals.c.publications, DOUBLED_AT_MOST) - 1)
        lost = sa.and_(
            fractals.c.completed_at.is_(None),
            fractals.c.lease_until.is_(None),
            fractals.c.published_at < shifted(now(), -EMPTY_SECONDS * doubled),
        )
        if not queue_is_empty:
            taken = sa.select(sa.func.max(fractals.c.published_at)).where(
                fractals.c.completed_at.is_(None), fractals.c.lease_until.is_not(None), fractals.c.attempts == 1
            )
            overtaken = connection.scalar(sa.select(shifted(taken.scalar_subquery(), -OVERTAKEN_SECONDS)))
            if overtaken is None:
                return 0
            lost = sa.and_(lost, fractals.c.attempts == 0, fractals.c.published_at < overtaken)
        rows = connection.execute(sa.select(fractals.c.uuid).where(lost).with_for_update(skip_locked=True)).all()
        self._to_outbox(connection, [row.uuid for row in rows])
        return len(rows)

    def _to_outbox(self, connection: Connection, uuids: Sequence[str]) -> None:
        if uuids:
            connection.execute(
                sa.update(fractals)
                .where(fractals.c.uuid.in_(uuids))
                .values(published_at=None, leased_by=None, lease_run=None, lease_until=None)
            )

    # Nodes

    @_transaction
    def heard(self, connection: Connection, beat: Heartbeat) -> tuple[bool, dict[str, str]]:
        """A worker's heartbeat: renew or take its leases. Whether it shall drain, and what became of each uuid.

        "yours": go on; "done": somebody else was faster; "taken": another worker has it; "gone": deleted.
        """
        drain = self._write_node(
            connection,
            "worker",
            name=beat.name,
            run=beat.run,
            state=beat.state,
            load_average=beat.load_average,
            cpu_percent=beat.cpu_percent,
            cores=beat.cores,
            working_on=beat.working_on,
            version=beat.version,
        )
        return drain, self._lease(connection, beat) if beat.working_on else {}

    def _lease(self, connection: Connection, beat: Heartbeat) -> dict[str, str]:
        """Take or renew the leases of what a worker has in hand."""
        free = sa.or_(fractals.c.lease_until.is_(None), fractals.c.lease_until < now())
        rows = connection.execute(
            sa.select(fractals.c.uuid, fractals.c.completed_at, fractals.c.lease_run == beat.run, free.label("free"))
            .where(fractals.c.uuid.in_(beat.working_on))
            .order_by(fractals.c.uuid)
            .with_for_update()
        ).all()
        answer = dict.fromkeys(beat.working_on, "gone")
        for uuid, completed_at, mine, is_free in rows:
            answer[uuid] = "done" if completed_at else "yours" if mine or is_free else "taken"
        if yours := [uuid for uuid, what in answer.items() if what == "yours"]:
            mine = sa.func.coalesce(fractals.c.lease_run == beat.run, sa.false())
            connection.execute(
                sa.update(fractals)
                .where(fractals.c.uuid.in_(yours))
                .values(
                    leased_by=beat.name,
                    lease_run=beat.run,
                    lease_until=shifted(now(), LEASE_SECONDS),
                    publications=0,
                    attempts=fractals.c.attempts + sa.case((mine, 0), else_=1),
                )
            )
        return answer

    @_transaction
    def hand_back(self, connection: Connection, name: str, run: str) -> None:
        """A worker leaves: what it had goes back, its node row goes."""
        uuids = connection.scalars(
            sa.select(fractals.c.uuid).where(fractals.c.lease_run == run, fractals.c.completed_at.is_(None))
        ).all()
        self._to_outbox(connection, uuids)
        connection.execute(sa.delete(nodes).where(nodes.c.name == name, nodes.c.run == run))

    @_transaction
    def serving(self, connection: Connection, name: str, run: str, load: Load, version: str) -> None:
        """An API's heartbeat; forgets nodes that were silent for long."""
        self._write_node(
            connection,
            "api",
            name=name,
            run=run,
            state="serving",
            load_average=load.load_average,
            cpu_percent=load.cpu_percent,
            cores=load.cores,
            working_on=(),
            version=version,
        )
        connection.execute(sa.delete(nodes).where(nodes.c.last_heard < shifted(now(), -NODE_FORGOTTEN_SECONDS)))

    def _write_node(self, connection: Connection, role: str, **values: Any) -> bool:
        """Insert or update a node's row; whether it shall drain (a new run of a program begins anew)."""
        values |= {"last_heard": now()}
        this = sa.and_(nodes.c.name == values["name"], nodes.c.role == role)
        same = nodes.c.run == values["run"]
        kept = {
            "drain": sa.and_(nodes.c.drain, same),
            "started_at": sa.case((same, nodes.c.started_at), else_=now()),
        }
        if not connection.execute(sa.update(nodes).where(this).values(**values, **kept)).rowcount:
            connection.execute(sa.insert(nodes).values(role=role, **values))
        return bool(connection.scalar(sa.select(nodes.c.drain).where(this)))

    @_transaction
    def nodes(self, connection: Connection) -> list[dict[str, Any]]:
        """Every API and worker, by role and name."""
        rows = connection.execute(sa.select(nodes, now().label("now")).order_by(nodes.c.role, nodes.c.name))
        return [_node(row) for row in rows.mappings()]

    @_transaction
    def drain(self, connection: Connection, name: str, wish: bool) -> dict[str, Any]:
        """Ask a worker to take no more tasks, or to go on; raises ``NotFound``."""
        this = sa.and_(nodes.c.name == name, nodes.c.role == "worker")
        connection.execute(sa.update(nodes).where(this).values(drain=wish))
        row = connection.execute(sa.select(nodes, now().label("now")).where(this)).mappings().first()
        if row is None:
            raise NotFound(f"There is no worker '{name}': GET /v1/node lists them.")
        return _node(row)


def _insert_pieces(connection: Connection, image: str, picture: IO[bytes]) -> None:
    picture.seek(0)
    start = 0
    while piece := picture.read(PIECE_BYTES):
        connection.execute(sa.insert(image_pieces).values(image=image, start=start, data=piece))
        start += len(piece)


def _reason(error: DBAPIError) -> str:
    lines = str(error.orig).strip().splitlines()
    return lines[0] if lines else type(error.orig).__name__


def _no_fractal(uuid: str) -> NotFound:
    return NotFound(f"There is no fractal {uuid}.")


def _iso(time: datetime | None) -> str | None:
    return time.astimezone(UTC).isoformat(timespec="microseconds") if time else None


def _fractal(row: RowMapping) -> dict[str, Any]:
    """What the API tells about a fractal."""
    names: Iterable[str] = (*TASK_FIELDS, "duration", "size", "checksum", "generated_by", "attempts", "leased_by")
    shown = {name: row[name] for name in names}
    shown["c"] = None if row["c_re"] is None else [row["c_re"], row["c_im"]]
    return shown | {name: _iso(row[name]) for name in ("created_at", "published_at", "completed_at")}


def _node(row: RowMapping) -> dict[str, Any]:
    """What the API tells about a node; one that is silent is "lost", whatever it said last."""
    names = ("name", "role", "state", "drain", "working_on", "load_average", "cpu_percent", "cores", "version")
    silent = max((row["now"] - row["last_heard"]).total_seconds(), 0.0)
    shown = {name: row[name] for name in names}
    if silent > NODE_LOST_SECONDS:
        shown["state"] = "lost"
    return shown | {
        "started_at": _iso(row["started_at"]),
        "last_heard": _iso(row["last_heard"]),
        "seconds_since_heard": round(silent, 3),
    }
