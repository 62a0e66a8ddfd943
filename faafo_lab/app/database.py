"""The database engines, PostgreSQL and MariaDB, and all in which they differ.

``connect`` makes SQLAlchemy's engine of a URL. ``Time`` is a column that keeps a moment; ``now`` and ``shifted`` are
the database's own clock, so several APIs need no common one. ``one_of`` is a condition on a list. ``alone`` is a lock
for what only one API may do at a time. ``Meaning`` says what an error means.
"""

import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import datetime
from enum import Enum, auto
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql
from sqlalchemy.engine import Connection, Dialect, Engine
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator, TypeEngine

from faafo_lab.app.errors import DatabaseAway, SettingsError

CONNECT_SECONDS = 3  # to a database that does not answer
DEAD_PEER_SECONDS = 6  # to notice that a database machine vanished
ANSWER_SECONDS = 20  # of MariaDB, whose driver notices no vanished machine before
LOCK_SECONDS = 5  # for rows that another transaction has
FORGOTTEN_SECONDS = 20  # after which the database ends a transaction whose API has vanished
POOL_SECONDS = 5  # to wait for a free connection
LOCK_NUMBER, LOCK_NAME = 0x_FAAF0, "faafo"

DRIVERS = {"postgresql": "postgresql+psycopg", "mysql": "mariadb+pymysql", "mariadb": "mariadb+pymysql"}


def connect(url: str, connections: int) -> Engine:
    """An engine that connects when it is first used; raises ``SettingsError`` for a URL that is none."""
    scheme, separator, rest = url.partition("://")
    name, _, driver = scheme.partition("+")
    if not separator or name not in DRIVERS or driver not in ("", DRIVERS[name].partition("+")[2]):
        raise SettingsError("The database URL must begin with postgresql:// or mysql://.")
    # what its pool meets on a broken connection, with a traceback: whoever uses the connection will say so
    logging.getLogger("sqlalchemy.pool").setLevel(logging.CRITICAL)
    options = _postgresql() if name == "postgresql" else _mariadb()
    try:
        return sa.create_engine(
            f"{DRIVERS[name]}://{rest}",
            pool_size=connections,
            max_overflow=0,
            pool_timeout=POOL_SECONDS,
            pool_reset_on_return=None,  # ``transaction`` ends what it has begun
            connect_args={"autocommit": True, "connect_timeout": CONNECT_SECONDS} | options,
        )
    except (sa.exc.ArgumentError, ValueError):
        raise SettingsError(f"The database URL must look like {name}://USER:PASSWORD@HOST:PORT/NAME.") from None


def _postgresql() -> dict[str, Any]:
    # Each statement has its index. While nothing has analysed a table that grows, the planner would read all of its
    # rows for the few with a lease, every second and with every GET /v1/stats: the longer, the more wait.
    # Nor by a bitmap, which cannot mark the entries of rows that have moved on, so that they would be read again.
    milliseconds = {"lock_timeout": LOCK_SECONDS, "idle_in_transaction_session_timeout": FORGOTTEN_SECONDS}
    return {
        "tcp_user_timeout": DEAD_PEER_SECONDS * 1000,
        "keepalives_idle": DEAD_PEER_SECONDS,
        "keepalives_interval": 2,
        "keepalives_count": 3,
        "application_name": "faafo-api",
        "options": "-c timezone=UTC -c enable_seqscan=off -c enable_bitmapscan=off "
        + " ".join(f"-c {name}={time * 1000}" for name, time in milliseconds.items()),
    }


def _mariadb() -> dict[str, Any]:
    # SIMULTANEOUS_ASSIGNMENT: an UPDATE computes all its values from the row as it was, as in standard SQL
    settings = [
        "time_zone = '+00:00'",
        "sql_mode = 'TRADITIONAL,SIMULTANEOUS_ASSIGNMENT'",
        "tx_isolation = 'READ-COMMITTED'",
        f"innodb_lock_wait_timeout = {LOCK_SECONDS}",
        f"idle_write_transaction_timeout = {FORGOTTEN_SECONDS}",
    ]
    return {
        "read_timeout": ANSWER_SECONDS,
        "write_timeout": ANSWER_SECONDS,
        "init_command": f"SET SESSION {', '.join(settings)}",
        "program_name": "faafo-api",
    }


class Time(TypeDecorator[Any]):
    """A moment in UTC, to the microsecond: an aware datetime, a naive one of MariaDB, which knows no time zones."""

    impl = sa.DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """The engine's own type."""
        kind = sa.DateTime(timezone=True) if dialect.name == "postgresql" else mysql.DATETIME(fsp=6)
        return dialect.type_descriptor(kind)


def iso(moment: datetime | None) -> str | None:
    """A moment as the API writes it: in UTC, to the microsecond."""
    return f"{moment.replace(tzinfo=None).isoformat(timespec='microseconds')}+00:00" if moment else None


class now(FunctionElement[Any]):
    """The database's time."""

    type = Time()
    inherit_cache = True


class shifted(FunctionElement[Any]):
    """``shifted(moment, seconds)``: a moment later, or earlier."""

    type = Time()
    inherit_cache = True


@compiles(now, "postgresql")
def _now(element: now, compiler: SQLCompiler, **kwargs: Any) -> str:
    return "now()"


@compiles(now, "mariadb")
def _now_mariadb(element: now, compiler: SQLCompiler, **kwargs: Any) -> str:
    return "now(6)"


@compiles(shifted, "postgresql")
def _shifted(element: shifted, compiler: SQLCompiler, **kwargs: Any) -> str:
    moment, seconds = (compiler.process(clause, **kwargs) for clause in element.clauses)
    return f"({moment} + {seconds} * interval '1 second')"


@compiles(shifted, "mariadb")
def _shifted_mariadb(element: shifted, compiler: SQLCompiler, **kwargs: Any) -> str:
    moment, seconds = (compiler.process(clause, **kwargs) for clause in element.clauses)
    return f"({moment} + interval {seconds} * 1000000 microsecond)"


class one_of(FunctionElement[bool]):
    """``one_of(column, bindparam(...))``: the column's value is in the list (a tuple for MariaDB, not empty)."""

    type = sa.Boolean()
    inherit_cache = True


@compiles(one_of, "postgresql")
def _one_of(element: one_of, compiler: SQLCompiler, **kwargs: Any) -> str:
    column, values = element.clauses
    return f"{compiler.process(column, **kwargs)} = ANY(%({values.key})s)"


@compiles(one_of, "mariadb")
def _one_of_mariadb(element: one_of, compiler: SQLCompiler, **kwargs: Any) -> str:
    column, values = element.clauses
    return f"{compiler.process(column, **kwargs)} IN %({values.key})s"


SNAPSHOT = {
    "postgresql": ["BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"],
    "mariadb": ["SET TRANSACTION ISOLATION LEVEL REPEATABLE READ", "START TRANSACTION READ ONLY"],
}


def pipelined(connection: Any) -> AbstractContextManager[Any]:
    """Send statements without waiting for each one's answer, where the driver can."""
    pipeline: AbstractContextManager[Any] = connection.pipeline() if hasattr(connection, "pipeline") else nullcontext()
    return pipeline


@contextmanager
def alone(connection: Connection) -> Iterator[None]:
    """In a transaction, and nobody else is in here until it ends; raises ``DatabaseAway`` where that takes too long."""
    connection.exec_driver_sql("BEGIN")
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(LOCK_NUMBER)))
    elif not connection.scalar(sa.select(sa.func.get_lock(LOCK_NAME, LOCK_SECONDS))):
        raise DatabaseAway("The database does not answer: another API prepares its tables.")
    try:
        yield
        connection.exec_driver_sql("COMMIT")
    except BaseException:
        if not connection.invalidated:  # else it broke, and the database has rolled back and released by itself
            connection.exec_driver_sql("ROLLBACK")
        raise
    finally:
        if connection.dialect.name == "mariadb" and not connection.invalidated:
            connection.execute(sa.select(sa.func.release_lock(LOCK_NAME)))


class Meaning(Enum):
    """What an error of a driver means."""

    NO_TABLES = auto()  # the database answers, and has not our tables
    OLD_TABLES = auto()  # those of another version
    DUPLICATE = auto()  # the key is taken
    CLASH = auto()  # with another transaction: the same again may well succeed
    AWAY = auto()  # the database is at fault, not what was asked of it
    WRONG = auto()  # what was asked of it


# By SQLSTATE (PostgreSQL) and by number (MariaDB)
MEANINGS: dict[str | int, Meaning] = {
    **dict.fromkeys(("42P01", 1146), Meaning.NO_TABLES),
    **dict.fromkeys(("42703", 1054), Meaning.OLD_TABLES),
    **dict.fromkeys(("23505", 1062), Meaning.DUPLICATE),
    **dict.fromkeys(("40P01", "40001", 1213, 1020), Meaning.CLASH),
    **dict.fromkeys(("55P03", 1205), Meaning.AWAY),
}


def meaning(error: BaseException, driver: Any) -> Meaning:
    """What an error of ``driver`` (a DB-API module) means."""
    number = error.args[0] if error.args and isinstance(error.args[0], int) else None
    code = number if number is not None else getattr(error, "sqlstate", None)
    if code in MEANINGS:
        return MEANINGS[code]
    at_fault = (driver.OperationalError, driver.InterfaceError, driver.InternalError)
    return Meaning.AWAY if isinstance(error, at_fault) else Meaning.WRONG
