"""The embedded cloud's state: plain JSON rows, in memory for reading, written through to SQLite at each change.

    store = Store(Path("state.sqlite"))
    servers = store.table("server")
    with store.transaction():                 # all of it or nothing, in memory and on disk
        servers.put({"id": "1", "name": "app-api-1"})
        servers.update("1", status="ACTIVE")
    servers.get("1")                          # {'id': '1', 'name': 'app-api-1', 'status': 'ACTIVE'}

A row is never changed in place: `update` makes a new one, so that a transaction that fails can put back the old.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

from faafo_lab.cloud.emulator.errors import StateError, VersionError

SCHEMA_VERSION = 1

Row = dict[str, Any]
R = TypeVar("R", bound=Mapping[str, Any])  # a row of one kind: a TypedDict says its fields


class Store:
    """The tables of one state directory. Used from one thread; `locks` keep other processes out (see `control`)."""

    def __init__(self, path: Path) -> None:
        """Open or create the database at `path`.

        Raises `VersionError` where another version wrote it (and leaves it as it is), `StateError` where it cannot be
        read or written.
        """
        self._tables: dict[str, Table[Any]] = {}
        self._undo: list[tuple[Table[Any], str, Row | None]] | None = None
        self._watchers: list[tuple[frozenset[str], Callable[[], None]]] = []
        try:
            self._db = sqlite3.connect(path, isolation_level=None)
            os.chmod(path, 0o600)
            self._open(path)
        except (sqlite3.Error, ValueError) as error:  # ValueError: a row that is no JSON any more
            raise StateError(
                f"The state in {path} cannot be read ({error}): use another state directory, or remove this one."
            ) from error

    def _open(self, path: Path) -> None:
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        tables = self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if version != SCHEMA_VERSION and (version or tables):
            self._db.close()
            raise VersionError(
                f"The state in {path} has version {version}, and this faafo-lab reads version {SCHEMA_VERSION}: "
                "use the faafo-lab that wrote it, or another state directory."
            )
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")  # survives SIGKILL; a power cut may cost the last moments
        if not version:
            self._db.executescript(
                "BEGIN; CREATE TABLE row (kind TEXT, id TEXT, body TEXT NOT NULL, PRIMARY KEY (kind, id))"
                f" WITHOUT ROWID; PRAGMA user_version = {SCHEMA_VERSION}; COMMIT"
            )
        for kind, id, body in self._db.execute("SELECT kind, id, body FROM row ORDER BY kind, id"):
            self.table(kind).rows[id] = json.loads(body)

    def table(self, kind: str) -> Table[Any]:
        """The table of this kind of resource; it need not be declared first."""
        if kind not in self._tables:
            self._tables[kind] = Table(self, kind)
        return self._tables[kind]

    def watch(self, kinds: set[str], callback: Callable[[], None]) -> None:
        """Call `callback` after each transaction that changed a row of one of these kinds."""
        self._watchers.append((frozenset(kinds), callback))

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All changes inside happen together, or, where an exception leaves the block, not at all.

        Must not be held over an `await`. A transaction in a transaction is part of the outer one.
        """
        if self._undo is not None:
            yield
            return
        self._undo = []
        try:
            yield
            self._write()
        except BaseException:
            for table, id, old in reversed(self._undo):
                if old is None:
                    table.rows.pop(id, None)
                else:
                    table.rows[id] = old
            self._undo = None
            raise
        changed = {table.kind for table, _, _ in self._undo}
        self._undo = None
        for kinds, callback in self._watchers:
            if kinds & changed:
                callback()

    def _write(self) -> None:
        assert self._undo is not None
        if not self._undo:
            return
        self._db.execute("BEGIN IMMEDIATE")
        try:
            for table, id in {(table, id): None for table, id, _ in self._undo}:
                if id in table.rows:
                    body = json.dumps(table.rows[id])
                    self._db.execute("INSERT OR REPLACE INTO row VALUES (?, ?, ?)", (table.kind, id, body))
                else:
                    self._db.execute("DELETE FROM row WHERE kind = ? AND id = ?", (table.kind, id))
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    def changing(self, table: Table[Any], id: str) -> None:
        """Remember the row as it is before a change; `Table` calls this."""
        assert self._undo is not None
        self._undo.append((table, id, table.rows.get(id)))

    def close(self) -> None:
        """Close the database."""
        self._db.close()


class Table(Generic[R]):
    """The rows of one kind, by id."""

    def __init__(self, store: Store, kind: str) -> None:
        self.kind = kind
        self.rows: dict[str, R] = {}
        self._store = store

    def __iter__(self) -> Iterator[R]:
        return iter(list(self.rows.values()))

    def __len__(self) -> int:
        return len(self.rows)

    def __contains__(self, id: str) -> bool:
        return id in self.rows

    def __getitem__(self, id: str) -> R:
        return self.rows[id]

    def get(self, id: str | None) -> R | None:
        """The row with this id, or None."""
        return self.rows.get(id) if id is not None else None

    def where(self, **equal: Any) -> list[R]:
        """The rows whose fields have these values."""
        return [row for row in self.rows.values() if all(row.get(key) == value for key, value in equal.items())]

    def put(self, row: R) -> R:
        """Insert or replace the row with `row["id"]`; returns it."""
        with self._store.transaction():
            self._store.changing(self, row["id"])
            self.rows[row["id"]] = row
        return row

    def update(self, id: str, **changes: Any) -> R:
        """Change these fields of the row; returns the new row. Raises KeyError where there is none."""
        return self.put(cast(R, {**self.rows[id], **changes}))

    def delete(self, id: str) -> None:
        """Remove the row, if it is there."""
        with self._store.transaction():
            if id in self.rows:
                self._store.changing(self, id)
                del self.rows[id]
