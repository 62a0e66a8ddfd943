"""Runs SQLAlchemy's statements on the driver's own cursor.

SQLAlchemy keeps the engines exchangeable: tables, statements, connections. It compiles each statement once; then the
driver runs the text. (Measured: a page of ten rows takes a third of the time that ``Connection.execute`` takes.) So a
statement is made once, with ``bindparam`` for what changes, and its rows are plain tuples.

    FIND = sa.select(fractals.c.width).where(fractals.c.uuid == sa.bindparam("uuid"))
    with database.begin(READING) as transaction:
        row = transaction.row(FIND, uuid=uuid)
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import Enum, auto
from functools import partial
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.sql import Executable
from sqlalchemy.sql.compiler import SQLCompiler

from faafo_lab.app.database import SNAPSHOT, Meaning, meaning, pipelined
from faafo_lab.app.errors import DatabaseAway

Row = tuple[Any, ...]

RETRY_SECONDS = 1.0  # a database that could not be connected to is not tried again before

_ONE: sa.Select[Any] = sa.select(sa.literal_column("1"))


class Mode(Enum):
    """How statements belong together."""

    READING = auto()  # they do not: each sees what is committed by then
    SNAPSHOT = auto()  # all see the same, and none writes
    WRITING = auto()  # all or none take effect


class DatabaseError(Exception):
    """An error of the driver, and what it means."""

    def __init__(self, error: BaseException, means: Meaning, broken: bool):
        said = str(error.args[-1] if error.args else "").strip() or type(error).__name__
        super().__init__(said.splitlines()[0])
        self.means = means
        self.may_repeat = broken or means in (Meaning.CLASH, Meaning.DUPLICATE)


class _Text(NamedTuple):
    sql: str
    constants: dict[str, Any]


class Transaction:
    """Runs statements on one connection."""

    def __init__(self, connection: Any, options: dict[str, Any], texts: "_Texts"):
        self._connection = connection
        self._cursor: Callable[[], Any] = partial(connection.cursor, **options)
        self._texts = texts

    def rows(self, statement: Executable, **values: Any) -> Sequence[Row]:
        """All rows."""
        rows: Sequence[Row] = self._execute(statement, values).fetchall()
        return rows

    def rows_for_each(self, asked: Sequence[tuple[Executable, dict[str, Any]]]) -> list[Sequence[Row]]:
        """All rows of each statement with its values. They go together: one wait for all, where the driver can."""
        if len(asked) == 1:
            [(statement, values)] = asked
            return [self.rows(statement, **values)]
        with pipelined(self._connection):
            cursors = [self._execute(statement, values) for statement, values in asked]
            return [cursor.fetchall() for cursor in cursors]

    def row(self, statement: Executable, **values: Any) -> Row | None:
        """The first row, None where there is none."""
        row: Row | None = self._execute(statement, values).fetchone()
        return row

    def run(self, statement: Executable, **values: Any) -> None:
        """Change something."""
        self._execute(statement, values)

    def run_many(self, statement: Executable, rows: Sequence[dict[str, Any]]) -> None:
        """Change something once for each of ``rows``."""
        text = self._texts[statement]
        self._cursor().executemany(text.sql, [text.constants | row for row in rows])

    def settle(self) -> None:
        """Wait until all that was run so far is done."""
        # Not psycopg's Pipeline.sync(): it waits for ever where the last statement is larger than a socket's buffer
        self.row(_ONE)

    def say(self, sql: str) -> None:
        """Run what has no parameters."""
        self._cursor().execute(sql)

    def _execute(self, statement: Executable, values: dict[str, Any]) -> Any:
        text = self._texts[statement]
        cursor = self._cursor()
        cursor.execute(text.sql, text.constants | values if text.constants else values)
        return cursor


class _Texts(dict[Executable, _Text]):
    """Each statement's text, for one engine."""

    def __init__(self, engine: Engine):
        super().__init__()
        self._dialect = engine.dialect

    def __missing__(self, statement: Executable) -> _Text:
        compiled = statement.compile(dialect=self._dialect)  # type: ignore[attr-defined]
        assert isinstance(compiled, SQLCompiler)
        constants = {name: one.value for one, name in compiled.bind_names.items() if not one.required}
        self[statement] = text = _Text(str(compiled), constants)
        return text


class Database:
    """A database's connections. Every method raises ``DatabaseAway``."""

    def __init__(self, engine: Engine):
        self._engine = engine
        self._texts = _Texts(engine)
        self._driver: Any = engine.dialect.dbapi
        self._away_until, self._why = 0.0, ""
        self._is_disconnect: Any = engine.dialect.is_disconnect
        self._begin = {Mode.SNAPSHOT: SNAPSHOT[engine.dialect.name], Mode.WRITING: ["BEGIN"]}
        # binary: PostgreSQL's driver reads numbers and moments in half the time
        self._options = {"binary": True} if engine.dialect.name == "postgresql" else {}

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """SQLAlchemy's own connection, for what is done once."""
        try:
            with self._engine.connect() as connection:
                yield connection
        except PoolTimeout:
            raise self._busy() from None
        except DBAPIError as error:
            raise self._error(error.orig or error, broken=False) from None

    @contextmanager
    def begin(self, mode: Mode) -> Iterator[Transaction]:
        """Statements that belong together as ``mode`` says. Raises ``DatabaseError`` for what the driver raises."""
        if time.monotonic() < self._away_until:  # each try may take seconds: those who wait are not let wait in line
            raise DatabaseAway(f"The database does not answer: {self._why}")
        try:
            pooled = self._engine.raw_connection()
        except PoolTimeout:
            raise self._busy() from None
        except (self._driver.Error, DBAPIError) as error:  # SQLAlchemy asks an engine's first connection itself
            failed_to_connect = self._error(getattr(error, "orig", None) or error, broken=False)
            self._away_until, self._why = time.monotonic() + RETRY_SECONDS, str(failed_to_connect)
            raise failed_to_connect from error
        connection: Any = pooled.dbapi_connection
        transaction = Transaction(connection, self._options, self._texts)
        try:
            if mode is Mode.READING:
                yield transaction
            else:
                with pipelined(connection):
                    for sql in self._begin[mode]:
                        transaction.say(sql)
                    yield transaction
                    transaction.say("COMMIT")
        except BaseException as error:
            failed = isinstance(error, self._driver.Error)
            broken = failed and self._is_disconnect(error, connection, None)
            if not broken and mode is not Mode.READING:
                try:
                    connection.rollback()
                except self._driver.Error:
                    broken = True
            if broken:
                pooled.invalidate(error)
            if failed:
                raise self._error(error, broken) from error
            raise
        finally:
            pooled.close()

    def _busy(self) -> DatabaseAway:
        return DatabaseAway("The database does not answer: all connections are waiting for it.")

    def _error(self, error: BaseException, broken: bool) -> DatabaseError:
        return DatabaseError(error, meaning(error, self._driver), broken)
