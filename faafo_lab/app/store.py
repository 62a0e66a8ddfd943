"""All database work of the API: functions that block, which it calls in a small pool of threads.

What one part of the database's work can do alone, such as ``outbox`` or ``pieces``, is run as it is:
``store.read(nodes.listed)``, ``store.write(outbox.published, numbers)``. The methods are what takes several parts.

(Measured: SQLAlchemy's asyncio half costs every API 8 MB and half a second of CPU at its start, which is two seconds
on a quarter of a core.) All times are the database's. All of it is one transaction each and safe to repeat, so
what meets a connection that broke since its last use is tried once more; after that it raises ``DatabaseAway``.
"""

import functools
from collections.abc import Callable, Sequence
from typing import IO, Any, Concatenate, ParamSpec, TypeVar

import sqlalchemy as sa
from sqlalchemy import bindparam

from faafo_lab.app import database, events, failures, generations, listing, nodes, numbers, outbox, pieces
from faafo_lab.app.database import Meaning, now, one_of
from faafo_lab.app.errors import AppError, Conflict, DatabaseAway, ImagesAway, NotFound, TooManyWaiting
from faafo_lab.app.julia import Task
from faafo_lab.app.listing import COLUMNS, TASK_FIELDS, FractalsPage, PageQuery
from faafo_lab.app.machine import MachineLoad
from faafo_lab.app.numbers import Totals
from faafo_lab.app.schema import fractals, metadata
from faafo_lab.app.transaction import Database, DatabaseError, Mode, Row, Transaction
from faafo_lab.app.validation import Failure, Heartbeat, Lease, Result

CONNECTIONS = 7
TRIES = 5  # to add what others add or delete at the same time

_TOO_MANY = "{} fractals are waiting, and no more are accepted (FAAFO_WAITING_MAX): try again when some are done."

P = ParamSpec("P")
R = TypeVar("R")

_uuid, _uuids = fractals.c.uuid == bindparam("uuid"), one_of(fractals.c.uuid, bindparam("uuids"))

_ADD = sa.insert(fractals).values({name: bindparam(name) for name in ("number", *TASK_FIELDS, "created_at")})
_FIND_SOME = sa.select(*COLUMNS).where(_uuids)
_STATE = sa.select(fractals.c.number, fractals.c.completed_at, fractals.c.failed_at, fractals.c.image).where(_uuid)
_LOCK = _STATE.with_for_update()
_IMAGE = sa.select(fractals.c.checksum, fractals.c.size, fractals.c.image).where(_uuid)
_RESULT_FIELDS = ("duration", "size", "checksum", "generated_by", "c_re", "c_im", "image")
# who made it may have no lease (any more), while another is at it
_started = sa.case((fractals.c.leased_by == bindparam("new_generated_by"), fractals.c.started_at))
_MADE = {"completed_at": now(), "failed_at": None, "failure": None, "started_at": _started, **outbox.NO_LEASE}
_COMPLETE = (
    sa.update(fractals)
    .where(fractals.c.number == bindparam("of"))
    .values(**_MADE, **{name: bindparam(f"new_{name}") for name in _RESULT_FIELDS})
)
_CHECKSUM = sa.select(fractals.c.checksum).where(_uuid)
_MOVE = sa.update(fractals).where(_uuid).values(image=bindparam("new_image"))
_DELETE = (
    sa.delete(fractals)
    .where(_uuid)
    .returning(fractals.c.number, fractals.c.completed_at, fractals.c.failed_at, fractals.c.image)
)
_working = sa.select(sa.func.count()).where(fractals.c.lease_until.is_not(None)).scalar_subquery()
_STATS = sa.select(_working, outbox.waiting_since, now(), *(numbers.counter(name) for name in Totals._fields))


def _in(
    mode: Mode,
) -> Callable[[Callable[Concatenate["Store", Transaction, P], R]], Callable[Concatenate["Store", P], R]]:
    """Run a method with a transaction of its own."""

    def decorate(method: Callable[Concatenate["Store", Transaction, P], R]) -> Callable[Concatenate["Store", P], R]:
        @functools.wraps(method)
        def run(self: "Store", /, *args: P.args, **kwargs: P.kwargs) -> R:
            return self._run(mode, lambda transaction: method(self, transaction, *args, **kwargs))

        return run

    return decorate


def _said(error: DatabaseError) -> Exception:
    """What the API makes of a database's error."""
    if error.means is Meaning.NO_TABLES:
        return DatabaseAway("The database answers, but its tables are not there yet.")
    if error.means is Meaning.OLD_TABLES:
        return DatabaseAway("The database's tables are those of another version of faafo-lab: give it a new database.")
    if error.means in (Meaning.AWAY, Meaning.CLASH):
        return DatabaseAway(f"The database does not answer: {error}")
    return error


class Store:
    """The application's database, shared by all its APIs."""

    def __init__(self, url: str, waiting_max: int = 100_000):
        """Connect lazily to ``url``: ``postgresql://USER:PASSWORD@HOST:PORT/NAME``, or ``mysql://…`` for MariaDB.

        ``add_many`` refuses what would make more than ``waiting_max`` fractals wait.
        """
        self._engine = database.connect(url, CONNECTIONS)
        self._database = Database(self._engine)
        self.waiting_max = waiting_max
        self._gaps = False  # once something was deleted, there are gaps for ever

    def close(self) -> None:
        """Close all connections."""
        self._database.close()

    def create_tables(self) -> None:
        """Create the tables that are missing."""
        try:
            with self._database.connection() as connection, database.alone(connection):
                metadata.create_all(connection)
                numbers.prepare(connection)
        except DatabaseError as error:
            raise _said(error) from error.__cause__

    def read(self, do: Callable[Concatenate[Transaction, P], R], *args: P.args, **kwargs: P.kwargs) -> R:
        """What a part finds out."""
        return self._run(Mode.READING, lambda transaction: do(transaction, *args, **kwargs))

    def write(self, do: Callable[Concatenate[Transaction, P], R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Let a part change something."""
        return self._run(Mode.WRITING, lambda transaction: do(transaction, *args, **kwargs))

    def _run(self, mode: Mode, do: Callable[[Transaction], R]) -> R:
        """Do it in a transaction; try once more where the connection had broken."""
        for may_repeat in (True, False):
            try:
                with self._database.begin(mode) as transaction:
                    return do(transaction)
            except DatabaseError as error:
                if not (may_repeat and error.may_repeat):
                    raise _said(error) from error.__cause__
        raise AssertionError("the last try returns or raises")

    # Fractals

    def add(self, task: Task) -> tuple[dict[str, Any], bool]:
        """Accept a task; the fractal, and whether it is new. The same one again is accepted again.

        One that has failed is tried anew.

        Raises ``Conflict`` where the uuid belongs to another fractal, ``TooManyWaiting`` where there are.
        """
        [answer] = self.add_many([task])
        if isinstance(answer, AppError):
            raise answer
        return answer

    def add_many(self, tasks: Sequence[Task]) -> list[tuple[dict[str, Any], bool] | AppError]:
        """Accept tasks in one transaction; for each what ``add`` returns, or what it raises."""
        first: dict[str, Task] = {}
        for task in tasks:
            first.setdefault(task.uuid, task)
        known: dict[str, dict[str, Any]] = {}
        added: dict[str, dict[str, Any]] = {}
        for _ in range(TRIES):
            new = [task for task in first.values() if task.uuid not in known]
            try:
                added = self._insert(new) if new else {}
                break
            except DatabaseError as error:
                if error.means is not Meaning.DUPLICATE:
                    raise
                known |= self._find(list(first))
        else:
            raise DatabaseAway("The database is busy with the same fractals: try again.")
        if refused := [uuid for uuid in first if uuid not in added and uuid not in known]:
            known |= self._find(refused)  # what was accepted before stays so
        same = [task.uuid for task in first.values() if _is_of(task, known.get(task.uuid))]
        if failed := [uuid for uuid in same if known[uuid]["failed_at"]]:
            known |= self._anew(failed)
        answers: list[tuple[dict[str, Any], bool] | AppError] = []
        for task in tasks:
            fractal = added.get(task.uuid) or known.get(task.uuid)
            if fractal is not None and not _is_of(task, fractal):
                answers.append(Conflict(f"'uuid' {task.uuid} belongs to another fractal: choose a new one."))
            elif fractal is None or fractal["failed_at"]:
                answers.append(TooManyWaiting(_TOO_MANY.format(self.waiting_max)))
            else:
                answers.append((fractal, first.pop(task.uuid, None) is not None and task.uuid in added))
        return answers

    @_in(Mode.WRITING)
    def _insert(self, transaction: Transaction, tasks: Sequence[Task]) -> dict[str, dict[str, Any]]:
        """Insert as many of the tasks as may wait: the fractals by their uuid."""
        # From here on nobody else adds: an API that its governor stops here holds up the others, so it asks only once
        numbers.count(transaction, numbers.CREATED, len(tasks))
        totals, moment = numbers.totals_now(transaction)
        if too_many := min(max(totals.to_do - self.waiting_max, 0), len(tasks)):
            numbers.count(transaction, numbers.CREATED, -too_many)
            tasks = tasks[:-too_many]
        if not tasks:
            return {}
        before = totals.created - too_many - len(tasks)
        rows = [
            task.as_dict() | {"number": number, "created_at": moment}
            for number, task in enumerate(tasks, start=before + 1)
        ]
        transaction.run_many(_ADD, rows)
        events.note(transaction, events.ACCEPTED, [row["number"] for row in rows])
        return {
            task.uuid: listing.shown_new(task, row["number"], moment) for task, row in zip(tasks, rows, strict=True)
        }

    @_in(Mode.READING)
    def _find(self, transaction: Transaction, uuids: list[str]) -> dict[str, dict[str, Any]]:
        """Those of these fractals that there are, by their uuid."""
        return {row[0]: listing.shown(row) for row in transaction.rows(_FIND_SOME, uuids=uuids)}

    @_in(Mode.WRITING)
    def _anew(self, transaction: Transaction, uuids: list[str]) -> dict[str, dict[str, Any]]:
        """Try these anew, unless too many would wait: the fractals by their uuid."""
        failures.forget(transaction, uuids, self.waiting_max)
        return {row[0]: listing.shown(row) for row in transaction.rows(_FIND_SOME, uuids=uuids)}

    @_in(Mode.READING)
    def get(self, transaction: Transaction, uuid: str) -> dict[str, Any]:
        """One fractal; raises ``NotFound``."""
        return _fractal(transaction, uuid)

    def page(
        self, page: int, results_per_page: int | None, order: str = "oldest", completed: bool = False
    ) -> tuple[int, list[dict[str, Any]]]:
        """How many fractals there are, and those of one page (from 1; ``results_per_page`` None: all)."""
        wanted = listing.wanted(page, results_per_page, order)
        if completed:
            return self.read(listing.page_of_done, wanted)
        [found] = self.pages([wanted])
        return found

    def pages(self, wanted: Sequence[PageQuery]) -> list[FractalsPage]:
        """How many fractals there are, and those of each page."""
        found: list[FractalsPage | None] = (
            [None] * len(wanted) if self._gaps else self.read(listing.pages_without_gaps, wanted)
        )
        rest = [one for one, page in zip(wanted, found, strict=True) if page is None]
        behind_gaps = iter(self._pages(rest) if rest else ())
        return [page or next(behind_gaps) for page in found]

    @_in(Mode.SNAPSHOT)
    def _pages(self, transaction: Transaction, wanted: Sequence[PageQuery]) -> list[FractalsPage]:
        totals = numbers.totals(transaction)
        self._gaps = totals.deleted > 0
        return [(totals.all, listing.page(transaction, totals.all, one)) for one in wanted]

    @_in(Mode.WRITING)
    def complete(
        self, transaction: Transaction, uuid: str, result: Result, image: str, picture: IO[bytes] | None = None
    ) -> tuple[dict[str, Any], bool]:
        """Keep a result; the fractal, and whether this result won. The first of the order wins, others are dropped.

        ``image`` says where the picture is: outside, where ``pieces.expect`` announced it, unless ``picture`` is given:
        that one goes into the database. Raises ``NotFound``, and ``ImagesAway`` where what was announced is gone.
        """
        number, completed_at, _, made = _found(transaction.row(_STATE, uuid=uuid), uuid)
        if completed_at is not None or not generations.meant(transaction, uuid, number, result.generation):
            if made != image:  # else it came before, and its answer was lost
                events.note(transaction, events.LATE, [result.generation or number], result.generated_by)
            return _fractal(transaction, uuid), made == image
        if picture:  # before the row is locked: a large one takes a while
            pieces.insert(transaction, image, picture)
        number, completed_at, failed_at, _ = _found(transaction.row(_LOCK, uuid=uuid), uuid)
        if completed_at is not None or not generations.meant(transaction, uuid, number, result.generation):
            if picture:
                pieces.remove(transaction, image)
            events.note(transaction, events.LATE, [result.generation or number], result.generated_by)
            return _fractal(transaction, uuid), False
        if not picture and not pieces.claim(transaction, image):
            raise ImagesAway("The image took too long on its way and was given up: send it again.")
        c_re, c_im = result.c or (None, None)
        transaction.run(
            _COMPLETE,
            of=number,
            new_duration=result.duration,
            new_size=result.size,
            new_checksum=result.checksum,
            new_generated_by=result.generated_by,
            new_c_re=c_re,
            new_c_im=c_im,
            new_image=image,
        )
        fractal = _fractal(transaction, uuid)
        events.note(transaction, events.DONE, [number], result.generated_by)
        numbers.count(transaction, numbers.DONE, 1)
        if failed_at is not None:
            numbers.count(transaction, numbers.FAILED, -1)
        return fractal, True

    @_in(Mode.WRITING)
    def delete(self, transaction: Transaction, uuid: str) -> None:
        """Delete a fractal and its image; raises ``NotFound``. An image outside is loose from now on."""
        number, completed_at, failed_at, image = _found(transaction.row(_DELETE, uuid=uuid), uuid)
        if image is not None:
            pieces.discard(transaction, image)
        generations.withdraw(transaction, uuid, number)
        events.note(transaction, events.DELETED, [number])
        numbers.forget(transaction, number, done=completed_at is not None, failed=failed_at is not None)
        self._gaps = True

    # Images

    @_in(Mode.READING)
    def image(self, transaction: Transaction, uuid: str) -> tuple[str, int, str]:
        """Checksum, size (bytes) and place of a fractal's image; raises ``NotFound``, also where it is not made yet."""
        checksum, size, image = _found(transaction.row(_IMAGE, uuid=uuid), uuid)
        if image is None:
            raise NotFound(f"Fractal {uuid} is not made yet: ask again later.")
        return checksum, size, image

    @_in(Mode.WRITING)
    def move(
        self,
        transaction: Transaction,
        uuid: str,
        old: str,
        new: str,
        picture: IO[bytes] | None = None,
    ) -> bool:
        """An image has a copy: from now on its row says so, and the old one is deleted, or loose. Whether it is so.

        It is not where the fractal was deleted meanwhile, where somebody else has moved the image, and where the copy
        took too long on its way and was given up.

        ``new`` is outside, where ``pieces.expect`` announced it, unless ``picture`` is given: that goes into the
        database. Raises ``ImagesAway`` where the database gives back another one.
        """
        if picture:
            pieces.insert(transaction, new, picture)
        row = transaction.row(_LOCK, uuid=uuid)
        now_at = None if row is None else row[-1]
        if now_at != old:
            if picture and now_at != new:
                pieces.remove(transaction, new)
            return now_at == new
        if picture:
            [checksum] = transaction.row(_CHECKSUM, uuid=uuid) or [None]
            if pieces.checksum(transaction, new) != checksum:
                raise ImagesAway(f"{pieces.place(new)} gives back other bytes than it was given.")
        elif not pieces.claim(transaction, new):
            pieces.loosen(transaction, new)
            return False
        transaction.run(_MOVE, uuid=uuid, new_image=new)
        pieces.discard(transaction, old)
        return True

    @_in(Mode.READING)
    def stats(self, transaction: Transaction) -> tuple[dict[str, int], float]:
        """How many fractals are waiting, leased to a worker, done, and failed; and how old the oldest that waits is.

        In seconds, 0.0 where nothing waits.
        """
        [[working, since, moment, *counted]] = transaction.rows(_STATS)
        totals = Totals(*counted)
        counts = {"waiting": totals.to_do - working, "working": working, "done": totals.done, "failed": totals.failed}
        return counts, max((moment - since).total_seconds(), 0.0) if since else 0.0

    @_in(Mode.WRITING)
    def fail(self, transaction: Transaction, uuid: str, failure: Failure) -> tuple[dict[str, Any], bool]:
        """A worker cannot make what it has: it is tried again, later, or has failed. The fractal, and whether it has.

        Raises ``NotFound``.
        """
        failed = failures.note(transaction, uuid, failure)
        return _fractal(transaction, uuid), failed

    # Nodes

    @_in(Mode.WRITING)
    def heard(self, transaction: Transaction, beat: Heartbeat) -> tuple[bool, dict[str, Lease], list[str]]:
        """A worker's heartbeat: renew or take its leases. Whether it has to drain, what became of each uuid, and where
        workers reach the APIs that serve."""
        drain = nodes.write(
            transaction,
            "worker",
            beat.name,
            run=beat.run,
            state=beat.state,
            load_average=beat.load_average,
            cpu_percent=beat.cpu_percent,
            cores=beat.cores,
            working_on=beat.working_on,
            version=beat.version,
            endpoint=None,
        )
        leases = outbox.lease(transaction, beat) if beat.working_on else {}
        return drain, leases, nodes.serving(transaction)

    @_in(Mode.WRITING)
    def hand_back(self, transaction: Transaction, name: str, run: str) -> None:
        """A worker leaves: what it had goes back, its node row goes."""
        outbox.hand_back(transaction, run)
        nodes.leave(transaction, name, run)

    @_in(Mode.WRITING)
    def serving(
        self, transaction: Transaction, name: str, run: str, load: MachineLoad, version: str, endpoint: str | None
    ) -> None:
        """An API's heartbeat. Forgets silent nodes, orders that were deleted long ago, and old events."""
        nodes.write(
            transaction,
            "api",
            name,
            run=run,
            state="serving",
            load_average=load.load_average,
            cpu_percent=load.cpu_percent,
            cores=load.cores,
            working_on=(),
            version=version,
            endpoint=endpoint,
        )
        nodes.forget_silent(transaction)
        generations.forget(transaction)
        events.forget(transaction)


def _fractal(transaction: Transaction, uuid: str) -> dict[str, Any]:
    return listing.shown(_found(transaction.row(listing.FIND, uuid=uuid), uuid))


def _is_of(task: Task, fractal: dict[str, Any] | None) -> bool:
    return fractal is not None and all(fractal[name] == value for name, value in task.as_dict().items())


def _found(row: Row | None, uuid: str) -> Row:
    if row is None:
        raise NotFound(f"There is no fractal {uuid}.")
    return row
