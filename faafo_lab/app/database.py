"""The database engines, PostgreSQL and MariaDB, and all in which they differ.

``connect`` makes SQLAlchemy's engine of a URL. ``Time`` is a column that takes and gives aware datetimes; ``now`` and
``shifted`` are the database's own clock, so several APIs need no common one. ``alone`` is a lock for what only one API
may do at a time. ``missing_table`` and ``worth_another_try`` say what an error means.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql
from sqlalchemy.engine import Connection, Dialect, Engine
from sqlalchemy.exc import DBAPIError, InterfaceError, InternalError, OperationalError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator, TypeEngine

from faafo_lab.app.errors import DatabaseAway, SettingsError

CONNECT_SECONDS = 3  # to a database that does not answer
DEAD_PEER_SECONDS = 6  # to notice that a database machine vanished
ANSWER_SECONDS = 20  # of MariaDB, whose driver notices no vanished machine before
LOCK_SECONDS = 5  # for rows that another transaction has
FORGOTTEN_SECONDS = 5  # after which the database ends a transaction whose API has vanished
POOL_SECONDS = 5  # to wait for a free connection
LOCK_NUMBER, LOCK_NAME = 0x_FAAF0, "faafo"

# Errors by SQLSTATE (PostgreSQL) and by number (MariaDB)
UNDEFINED_TABLE = ("42P01", 1146)
DEADLOCK = ("40P01", 1213)
DUPLICATE = ("23505", 1062)  # where two insert what neither has found
LOCKED = ("55P03", 1205)

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
            isolation_level="READ COMMITTED",
            connect_args=options,
        )
    except (sa.exc.ArgumentError, ValueError):
        raise SettingsError(f"The database URL must look like {name}://USER:PASSWORD@HOST:PORT/NAME.") from None


def _postgresql() -> dict[str, Any]:
    milliseconds = {"lock_timeout": LOCK_SECONDS, "idle_in_transaction_session_timeout": FORGOTTEN_SECONDS}
    return {
        "connect_timeout": CONNECT_SECONDS,
        "tcp_user_timeout": DEAD_PEER_SECONDS * 1000,
        "keepalives_idle": DEAD_PEER_SECONDS,
        "keepalives_interval": 2,
        "keepalives_count": 3,
        "application_name": "faafo-api",
        "options": " ".join(f"-c {name}={seconds * 1000}" for name, seconds in milliseconds.items()),
    }


def _mariadb() -> dict[str, Any]:
    # SIMULTANEOUS_ASSIGNMENT: an UPDATE computes all its values from the row as it was, as in standard SQL
    settings = [
        "time_zone = '+00:00'",
        "sql_mode = 'TRADITIONAL,SIMULTANEOUS_ASSIGNMENT'",
        f"innodb_lock_wait_timeout = {LOCK_SECONDS}",
        f"idle_write_transaction_timeout = {FORGOTTEN_SECONDS}",
    ]
    return {
        "connect_timeout": CONNECT_SECONDS,
        "read_timeout": ANSWER_SECONDS,
        "write_timeout": ANSWER_SECONDS,
        "init_command": f"SET SESSION {', '.join(settings)}",
        "program_name": "faafo-api",
    }


class Time(TypeDecorator[datetime]):
    """A moment, to the microsecond: an aware datetime."""

    impl = sa.DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """MariaDB knows no time zones: there it is the UTC of the session."""
        kind = sa.DateTime(timezone=True) if dialect.name == "postgresql" else mysql.DATETIME(fsp=6)
        return dialect.type_descriptor(kind)

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """To the database."""
        return value if value is None or dialect.name == "postgresql" else value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """From the database."""
        return value.replace(tzinfo=UTC) if value and value.tzinfo is None else value


class now(FunctionElement[datetime]):
    """The database's time."""

    type = Time()
    inherit_cache = True


class shifted(FunctionElement[datetime]):
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


@contextmanager
def alone(connection: Connection) -> Iterator[None]:
    """Nobody else is in here until the transaction ends; raises ``DatabaseAway`` where that takes too long."""
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(LOCK_NUMBER)))
        yield
        return
    if not connection.scalar(sa.select(sa.func.get_lock(LOCK_NAME, LOCK_SECONDS))):
        raise DatabaseAway("The database does not answer: another API prepares its tables.")
    try:
        yield
    finally:
        connection.execute(sa.select(sa.func.release_lock(LOCK_NAME)))


def missing_table(error: DBAPIError) -> bool:
    """Whether the database answers, and has not our tables."""
    return _code(error) in UNDEFINED_TABLE


def worth_another_try(error: DBAPIError) -> bool:
    """Whether the same again, at once, may well succeed: a broken connection, a deadlock, the same row by two."""
    return error.connection_invalidated or _code(error) in DEADLOCK + DUPLICATE


def away(error: DBAPIError) -> bool:
    """Whether it is the database that is at fault, not what was asked of it."""
    return isinstance(error, OperationalError | InterfaceError | InternalError) or _code(error) in LOCKED


def _code(error: DBAPIError) -> str | int | None:
    """MariaDB's number, or PostgreSQL's SQLSTATE."""
    original = error.orig
    if original is not None and original.args and isinstance(original.args[0], int):
        return original.args[0]
    return getattr(original, "sqlstate", None)
