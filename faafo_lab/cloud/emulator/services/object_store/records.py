"""The rows of accounts, containers and objects, and, for lists, the names in order.

The ids are paths: AUTH_x, AUTH_x/container, AUTH_x/container/object. An object's row:

    account, container, name    where it is
    file, bytes, etag           its data (see `files`); a large object's is its manifest
    type, timestamp, meta       Content-Type, "1700000000.00000", the headers that it keeps
    delete_at                   seconds since the epoch, or None
    slo                         None, or of a static large object what all segments have: {"bytes", "etag"}, and
                                how many "parts" and how "deep" it is, with those of large objects in it
"""

from __future__ import annotations

import time
from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from faafo_lab.cloud.emulator.common.store import Row, Store


@dataclass
class Shelf:
    """The names of what is in an account or in a container, in the order of their UTF-8, and the bytes of it all."""

    names: list[str] = field(default_factory=list)
    bytes: int = 0

    def add(self, name: str) -> None:
        """Add a name that is not there."""
        insort(self.names, name)

    def drop(self, name: str) -> None:
        """Take away a name that is there."""
        del self.names[bisect_left(self.names, name)]


class Records:
    """All rows of the object store. Every change is one transaction; the order of names follows it."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._accounts = store.table("swift_account")
        self._containers = store.table("swift_container")
        self._objects = store.table("swift_object")
        self._shelves: dict[str, Shelf] = {}
        self._last = 0.0
        for row in self._containers:
            self.shelf(row["account"]).names.append(row["name"])
        for row in self._objects:
            shelf = self.shelf(f"{row['account']}/{row['container']}")
            shelf.names.append(row["name"])
            shelf.bytes += row["bytes"]
        for shelf in self._shelves.values():
            shelf.names.sort()

    def shelf(self, id: str) -> Shelf:
        """What is in the account AUTH_x or in the container AUTH_x/container."""
        return self._shelves.setdefault(id, Shelf())

    def moment(self) -> str:
        """Now, as Swift writes it, and later than any moment before."""
        self._last = max(time.time(), self._last + 0.00001)
        return f"{self._last:.5f}"

    # Accounts: there as soon as somebody asks

    def account(self, account: str) -> Row:
        """An account's row: id, timestamp, meta."""
        row = self._accounts.get(account)
        return row or {"id": account, "timestamp": self.moment(), "meta": {}}

    def put_account(self, row: Row) -> None:
        """Keep an account's row."""
        self._accounts.put(row)

    def totals(self, account: str) -> tuple[int, int]:
        """How many objects and how many bytes all containers of an account have."""
        shelves = [self.shelf(f"{account}/{name}") for name in self.shelf(account).names]
        return sum(len(shelf.names) for shelf in shelves), sum(shelf.bytes for shelf in shelves)

    # Containers

    def container(self, account: str, name: str) -> Row | None:
        """A container's row: id, account, name, timestamp, meta."""
        return self._containers.get(f"{account}/{name}")

    def put_container(self, row: Row) -> None:
        """Keep a new container, or new metadata of one."""
        new = row["id"] not in self._containers
        with self._store.transaction():
            if row["account"] not in self._accounts:
                self._accounts.put(self.account(row["account"]))
            self._containers.put(row)
        if new:
            self.shelf(row["account"]).add(row["name"])

    def delete_container(self, row: Row) -> None:
        """Delete an empty container."""
        self._containers.delete(row["id"])
        self.shelf(row["account"]).drop(row["name"])
        self._shelves.pop(row["id"], None)

    # Objects

    def object(self, account: str, container: str, name: str) -> Row | None:
        """An object's row, unless its time is over."""
        row = self.stored(account, container, name)
        return None if row is None or is_over(row) else row

    def stored(self, account: str, container: str, name: str) -> Row | None:
        """An object's row, even if its time is over."""
        return self._objects.get(f"{account}/{container}/{name}")

    def objects(self) -> Iterator[Row]:
        """All rows of objects."""
        return iter(self._objects)

    def change(self, put: Iterable[Row] = (), remove: Iterable[Row] = ()) -> set[str]:
        """Keep and remove rows of objects, all of them or none; returns the files that nothing names any more."""
        put, remove = list(put), list(remove)
        before = {row["id"]: self._objects.get(row["id"]) for row in (*remove, *put)}
        with self._store.transaction():
            for row in remove:
                self._objects.delete(row["id"])
            for row in put:
                self._objects.put(row)
        for id, old in before.items():
            new = self._objects.get(id)
            known = old or new
            if known is None:
                continue
            shelf = self.shelf(f"{known['account']}/{known['container']}")
            shelf.bytes += (new["bytes"] if new else 0) - (old["bytes"] if old else 0)
            if old is None:
                shelf.add(known["name"])
            elif new is None:
                shelf.drop(known["name"])
        return {old["file"] for old in before.values() if old} - {row["file"] for row in put}


def is_over(row: Row) -> bool:
    """Whether the time has come at which an object is to be deleted."""
    return row["delete_at"] is not None and bool(row["delete_at"] <= time.time())


def moved(row: Row, account: str, container: str, name: str) -> Row:
    """The same object at another place."""
    return {**row, "id": f"{account}/{container}/{name}", "account": account, "container": container, "name": name}
