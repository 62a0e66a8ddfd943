"""The object store: the service, which puts its parts together; its words, and how it finds out who asks."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from html import escape
from http import HTTPStatus
from typing import NoReturn

from faafo_lab.cloud.emulator.common.service import Answer, Fault, Request, Service, route
from faafo_lab.cloud.emulator.common.store import Row
from faafo_lab.cloud.emulator.common.token import Tokens
from faafo_lab.cloud.emulator.services.object_store import metadata, tempurl
from faafo_lab.cloud.emulator.services.object_store.accounts import Accounts
from faafo_lab.cloud.emulator.services.object_store.base import Collection, unknown
from faafo_lab.cloud.emulator.services.object_store.containers import Containers
from faafo_lab.cloud.emulator.services.object_store.expirer import Expirer
from faafo_lab.cloud.emulator.services.object_store.files import Piece, length, stream
from faafo_lab.cloud.emulator.services.object_store.manifests import Manifests
from faafo_lab.cloud.emulator.services.object_store.objects import Objects
from faafo_lab.cloud.emulator.site import Site

HTML = "text/html; charset=UTF-8"
RIGHTS = {"GET": "read", "HEAD": "read", "COPY": "read", "PUT": "write", "POST": "write", "DELETE": "write"}
NOT_HERE = {  # what a client must not think has been done
    "X-Container-Sync-To": "copies to another cluster",
    "X-Symlink-Target": "links",
    "X-Versions-Enabled": "versions in the container itself",
    "extract-archive": "archives that are unpacked",
    "version-id": "versions in the container itself",
}
NO_QUOTA = -1


class ObjectStore(Service):
    """The object storage service."""

    prefix, type, name, endpoint = "/v1", "object-store", "swift", "/AUTH_{project}"
    roots = ("/info", "/healthcheck")
    no_path = "[\0\udc80-\udcff]"
    PARTS = (Accounts, Containers, Objects)
    QUOTAS = {"object_store_bytes": NO_QUOTA}  # noqa: RUF012

    def __init__(self, site: Site, tokens: Tokens) -> None:
        super().__init__(site, tokens)
        self._all = collection = Collection(site)
        self._expirer = Expirer(collection)
        self.close = self._expirer.close
        manifests, quota = Manifests(collection), site.quotas.get("object_store_bytes", NO_QUOTA)
        self.containers = Containers(collection)
        self.objects = Objects(collection, manifests, self._expirer, quota)
        self.accounts = Accounts(collection, self.containers, self.objects, quota)

    def setup(self) -> None:
        """Remove what cut-short uploads have left, and see whose time is over."""
        self._all.files.setup({row["file"] for row in self._all.objects})
        for row in self._all.objects:
            self._expirer.watch(row)

    # What other services keep in a project's account

    async def keep(self, project: str, container: str, name: str, parts: Sequence[Piece | bytes]) -> None:
        """Write an object of these parts, and its container where it is missing. Raises a `Fault`."""
        account = f"AUTH_{project}"
        metadata.check_names(container, name)
        if self._all.get_container(account, container) is None:
            self._all.put_container(self._all.new_container(account, container))
        row = self.objects.new({"Content-Type": "application/octet-stream"}, account, container, name)
        await self.objects.keep(row, stream(parts), length=length(parts))

    def kept(self, project: str, container: str, prefix: str) -> list[Row]:
        """The rows of the objects whose names begin so, in their order."""
        account = f"AUTH_{project}"
        names = self._all.shelf(f"{account}/{container}").names if self._all.get_container(account, container) else []
        found = (self._all.get_object(account, container, name) for name in names if name.startswith(prefix))
        return [row for row in found if row is not None]

    def pieces(self, row: Row) -> list[Piece]:
        """An object's data."""
        return self._all.files.piece(row["file"], row["bytes"])

    # Words

    def path(self, path: str) -> str:
        """A slash behind an account or a container is nothing; behind an object, it is part of the name."""
        return path[:-1] if re.fullmatch("/[^/]+(/[^/]+)?/", path) else path

    def no_text(self, request: Request) -> NoReturn:
        """Swift's answer to a path with bytes that are no text."""
        raise Fault(412, "Invalid UTF8 or contains NULL")

    def answer_headers(self, request: Request) -> dict[str, str]:
        """Swift names its transactions tx…, and gives even an empty answer a type."""
        digits = request.id.removeprefix("req-").replace("-", "")[:21]
        transaction = f"tx{digits}-{int(time.time()):010x}"
        return {"Content-Type": HTML, "X-Trans-Id": transaction, "X-Openstack-Request-Id": transaction}

    def refuse(self, fault: Fault) -> Answer:
        """Swift's form: a little page."""
        title = HTTPStatus(fault.status).phrase
        text = f"<html><h1>{title}</h1><p>{escape(fault.message)}</p></html>"
        return Answer(fault.status, text.encode(errors="replace"), {"Content-Type": HTML, **fault.headers})

    # Who asks

    def authenticate(self, request: Request) -> None:
        """Find out who asks, and whether they may. Raises 401 and 403 `Fault`s, and a 400 one for what is not there."""
        request._token = self.token(request)
        account, container, name = (*request.path[1:].split("/", 2), "", "")[:3]
        if name and request.query.keys() & {"temp_url_sig", "temp_url_expires"}:
            request._token, request.scope = None, self._scope(request, account, container, name)
        right = "own" if not container else RIGHTS[request.method]
        if container and not name:
            right = "list" if right == "read" else "own"
        self._all.authorize(request, right, account, container)
        if missing := [name for name in NOT_HERE if name in request.headers or name in request.query]:
            raise Fault(400, f"{missing[0]} is for {NOT_HERE[missing[0]]}, which this object store has not.")

    def _scope(self, request: Request, account: str, container: str, name: str) -> str:
        """What a temporary URL opens: a container or an account. Raises a 401 `Fault`."""
        row = self._all.get_container(account, container)
        for scope, keys in (
            (account, tempurl.keys(self._all.account(account)["meta"], "Account")),
            (f"{account}/{container}", tempurl.keys(row["meta"] if row else {}, "Container")),
        ):
            if tempurl.valid(request.method, f"{self.prefix}/{account}/{container}/{name}", request.query, keys):
                return scope
        raise unknown(account, "Temp URL invalid")

    @route("GET", "/healthcheck", open=True)
    def healthcheck(self, request: Request) -> Answer:
        """Whether it works."""
        return Answer(200, b"OK", {"Content-Type": "text/plain"})
