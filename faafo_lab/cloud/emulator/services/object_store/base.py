"""What all of Swift's operations share: its words, the names in a path, and who may do what.

The project's own user may do everything in the account AUTH_project; others what a container's access lists or a
temporary URL let them do.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from html import escape
from http import HTTPStatus
from typing import NoReturn
from urllib.parse import quote

from faafo_lab.cloud.emulator.common.names import ROLES
from faafo_lab.cloud.emulator.common.service import JSON, Answer, Fault, Request, Service, route
from faafo_lab.cloud.emulator.common.store import Row
from faafo_lab.cloud.emulator.common.token import Tokens
from faafo_lab.cloud.emulator.services.object_store import acl, tempurl
from faafo_lab.cloud.emulator.services.object_store.files import Files
from faafo_lab.cloud.emulator.services.object_store.records import Records
from faafo_lab.cloud.emulator.site import Site

HTML = "text/html; charset=UTF-8"
MISSING = "The resource could not be found."
RIGHTS = {"GET": "read", "HEAD": "read", "COPY": "read", "PUT": "write", "POST": "write", "DELETE": "write"}


class Swift(Service):
    """The object store, without its operations."""

    prefix, type, name, endpoint = "/v1", "object-store", "swift", "/AUTH_{project}"
    roots = ("/info", "/healthcheck")

    def __init__(self, site: Site, tokens: Tokens) -> None:
        super().__init__(site, tokens)
        self.records = Records(self.store)
        self.files = Files(site.directory / "objects")

    # Words

    def path(self, path: str) -> str:
        """Slashes at the end are part of an object's name."""
        return path

    def no_text(self, request: Request) -> NoReturn:
        """Swift's answer to a path with bytes that are no text."""
        raise Fault(412, "Invalid UTF8 or contains NULL")

    def answer_headers(self, request: Request) -> dict[str, str]:
        """Swift names its transactions tx…, and gives even an empty answer a type."""
        digits = request.id.removeprefix("req-").replace("-", "")[:21]
        transaction = f"tx{digits}-{int(time.time()):010x}"
        return {"Content-Type": HTML, "X-Trans-Id": transaction, "X-Openstack-Request-Id": transaction}

    def error(self, fault: Fault) -> JSON:
        """Not used: Swift's errors are pages (see `refuse`)."""
        raise NotImplementedError

    def refuse(self, fault: Fault) -> Answer:
        """Swift's form: a little page."""
        title = HTTPStatus(fault.status).phrase
        text = f"<html><h1>{title}</h1><p>{escape(fault.message)}</p></html>"
        return Answer(fault.status, text.encode(errors="replace"), {"Content-Type": HTML, **fault.headers})

    # Who may do what

    def authenticate(self, request: Request) -> None:
        """Find out who asks, and whether they may. Raises 401, 403 and 412 `Fault`s."""
        request._token = self.tokens.find_token(request.headers.get("X-Auth-Token"))
        account, container, name = (*request.path[1:].split("/", 2), "", "")[:3]
        if tempurl.is_signed(request.query) and name:
            request._token, request.scope = None, self._scope(request, account, container, name)
        right = "own" if not container else RIGHTS[request.method]
        if container and not name:
            right = "list" if right == "read" else "own"
        self.authorize(request, right, account, container)

    def _scope(self, request: Request, account: str, container: str, name: str) -> str:
        """What a temporary URL opens: a container or an account. Raises a 401 `Fault`."""
        row = self.records.container(account, container)
        for scope, keys in (
            (account, tempurl.keys(self.records.account(account)["meta"], "Account")),
            (f"{account}/{container}", tempurl.keys(row["meta"] if row else {}, "Container")),
        ):
            if tempurl.valid(request.method, f"{self.prefix}/{account}/{container}/{name}", request.query, keys):
                return scope
        raise self._unknown(account, "Temp URL invalid")

    @staticmethod
    def _unknown(account: str, message: str) -> Fault:
        return Fault(401, message, headers={"WWW-Authenticate": f'Swift realm="{quote(account)}"'})

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
        row = self.records.container(account, container) if right != "own" else None
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
            raise self._unknown(account, message)
        raise Fault(403, "Access was denied to this resource.")

    # What there is

    def container(self, account: str, container: str) -> Row:
        """A container. Raises a 404 `Fault`."""
        row = self.records.container(account, container)
        if row is None:
            raise Fault(404, MISSING)
        return row

    def object(self, account: str, container: str, name: str) -> Row:
        """An object. Raises a 404 `Fault`."""
        row = self.records.object(account, container, name)
        if row is None:
            raise Fault(404, MISSING)
        return row

    @staticmethod
    async def text(chunks: AsyncIterator[bytes] | None, limit: int) -> bytes:
        """All of a body that is short. Raises a 413 `Fault`."""
        assert chunks is not None
        body = bytearray()
        async for chunk in chunks:
            body += chunk
            if len(body) > limit:
                raise Fault(413, f"The body may have {limit} bytes at most.")
        return bytes(body)

    @route("GET", "/healthcheck", open=True)
    def healthcheck(self, request: Request) -> Answer:
        """Whether it works."""
        return Answer(200, b"OK", {"Content-Type": "text/plain"})
