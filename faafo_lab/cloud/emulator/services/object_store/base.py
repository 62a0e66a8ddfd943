"""What all of Swift's operations share: what there is, and who may do what.

The project's own user may do everything in the account AUTH_project; others what a container's access lists or a
temporary URL let them do. Every change is one transaction; the order of names follows it.

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
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from urllib.parse import quote

from faafo_lab.cloud.emulator.common.names import ROLES
from faafo_lab.cloud.emulator.common.service import Fault, Request
from faafo_lab.cloud.emulator.common.store import Row
from faafo_lab.cloud.emulator.services.object_store import acl
from faafo_lab.cloud.emulator.services.object_store.files import Files
from faafo_lab.cloud.emulator.site import Site

MISSING = "The resource could not be found."
POLICY = "Policy-0"


@dataclass
class Shelf:
    """The names of what is in an account or in a container, in the order of their UTF-8, and the bytes of it all."""

    names: list[str] = field(default_factory=list)
    bytes: int = 0


class Collection:
    """All accounts, containers and objects, and who may do what with them."""

    def __init__(self, site: Site) -> None:
        self.files = Files(site.directory / "objects")
        self._store = store = site.store
        self.accounts = store.table("swift_account")
        self.containers = store.table("swift_container")
        self.objects = store.table("swift_object")
        self._shelves: dict[str, Shelf] = {}
        self._last = 0.0
        for row in self.containers:
            self.shelf(row["account"]).names.append(row["name"])
        for row in self.objects:
            shelf = self.shelf(f"{row['account']}/{row['container']}")
            shelf.names.append(row["name"])
            shelf.bytes += row["bytes"]
        for shelf in self._shelves.values():
            shelf.names.sort()

    # Who may do what

    def owns(self, request: Request, account: str) -> bool:
        """Whether it is the asking project's own account."""
        token = request._token
        return token is not None and token.project_id is not None and account == f"AUTH_{token.project_id}"

    def may(self, request: Request, right: str, account: str, container: str) -> bool:
        """Whether who asks may `read` or `write` a container's objects, `list` them, or has all rights (`own`)."""
        if self.owns(request, account):
            return True
        if request.scope:
            return right in ("read", "write") and request.scope in (account, f"{account}/{container}")
        row = self.get_container(account, container) if right != "own" else None
        if row is None:
            return False
        allowed = row["meta"].get("X-Container-Write" if right == "write" else "X-Container-Read", "")
        referrer = request.headers.get("Referer", "")
        if right != "write" and acl.lets_anybody(allowed, referrer, listing=right == "list"):
            return True
        token = request._token
        if token is None or token.project_id is None:
            return False
        project, user = (token.project_id, token.project_name or ""), (token.user_id, token.user_name)
        return acl.lets_user(allowed, project, user, ROLES)

    def authorize(self, request: Request, right: str, account: str, container: str) -> None:
        """Raises a 401 `Fault` for nobody in particular, a 403 one for somebody."""
        if self.may(request, right, account, container):
            return
        if request._token is None:
            message = (
                "This server could not verify that you are authorized to access the document you requested."
                if not request.headers.get("X-Auth-Token")
                else "Authentication required"
            )
            raise unknown(account, message)
        raise Fault(403, "Access was denied to this resource.")

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
        row = self.accounts.get(account)
        return row or {"id": account, "timestamp": self.moment(), "meta": {}}

    def totals(self, account: str) -> tuple[int, int]:
        """How many objects and how many bytes all containers of an account have."""
        shelves = [self.shelf(f"{account}/{name}") for name in self.shelf(account).names]
        return sum(len(shelf.names) for shelf in shelves), sum(shelf.bytes for shelf in shelves)

    # Containers

    def get_container(self, account: str, name: str) -> Row | None:
        """A container's row: id, account, name, timestamp, meta."""
        return self.containers.get(f"{account}/{name}")

    def new_container(self, account: str, name: str) -> Row:
        """The row of a new container."""
        return {"id": f"{account}/{name}", "account": account, "name": name, "timestamp": self.moment(), "meta": {}}

    def put_container(self, row: Row) -> None:
        """Keep a new container, or new metadata of one."""
        new = row["id"] not in self.containers
        with self._store.transaction():
            if row["account"] not in self.accounts:
                self.accounts.put(self.account(row["account"]))
            self.containers.put(row)
        if new:
            insort(self.shelf(row["account"]).names, row["name"])

    def delete_container(self, row: Row) -> None:
        """Delete an empty container."""
        self.containers.delete(row["id"])
        _drop(self.shelf(row["account"]), row["name"])
        self._shelves.pop(row["id"], None)

    # Objects

    def get_object(self, account: str, container: str, name: str) -> Row | None:
        """An object's row, unless its time is over."""
        row: Row | None = self.objects.get(f"{account}/{container}/{name}")
        return None if row is None or is_over(row) else row

    def change(self, put: Iterable[Row] = (), remove: Iterable[Row] = ()) -> None:
        """Keep and remove rows of objects, all of them or none, and the files that nothing names any more."""
        put, remove = list(put), list(remove)
        before = {row["id"]: self.objects.get(row["id"]) for row in (*remove, *put)}
        with self._store.transaction():
            for row in remove:
                self.objects.delete(row["id"])
            for row in put:
                self.objects.put(row)
        for id, old in before.items():
            new = self.objects.get(id)
            known = old or new
            if known is None:
                continue
            shelf = self.shelf(f"{known['account']}/{known['container']}")
            shelf.bytes += (new["bytes"] if new else 0) - (old["bytes"] if old else 0)
            if old is None:
                insort(shelf.names, known["name"])
            elif new is None:
                _drop(shelf, known["name"])
        self.files.remove({old["file"] for old in before.values() if old} - {row["file"] for row in put})

    # What must be there

    def container(self, account: str, container: str) -> Row:
        """A container. Raises a 404 `Fault`."""
        row = self.get_container(account, container)
        if row is None:
            raise Fault(404, MISSING)
        return row

    def object(self, account: str, container: str, name: str) -> Row:
        """An object. Raises a 404 `Fault`."""
        row = self.get_object(account, container, name)
        if row is None:
            raise Fault(404, MISSING)
        return row


def _drop(shelf: Shelf, name: str) -> None:
    del shelf.names[bisect_left(shelf.names, name)]


def is_over(row: Row) -> bool:
    """Whether the time has come at which an object is to be deleted."""
    return row["delete_at"] is not None and bool(row["delete_at"] <= time.time())


def moved(row: Row, account: str, container: str, name: str) -> Row:
    """The same object at another place."""
    return {**row, "id": f"{account}/{container}/{name}", "account": account, "container": container, "name": name}


def unknown(account: str, message: str) -> Fault:
    """The answer to somebody who has not said who it is."""
    return Fault(401, message, headers={"WWW-Authenticate": f'Swift realm="{quote(account)}"'})


async def text(chunks: AsyncIterator[bytes] | None, limit: int) -> bytes:
    """All of a body that is short. Raises a 413 `Fault`."""
    assert chunks is not None
    body = bytearray()
    async for chunk in chunks:
        body += chunk
        if len(body) > limit:
            raise Fault(413, f"The body may have {limit} bytes at most.")
    return bytes(body)
