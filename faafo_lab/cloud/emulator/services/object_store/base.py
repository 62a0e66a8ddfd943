"""What all of Swift's operations share: what there is, and who may do what.

The project's own user may do everything in the account AUTH_project; others what a container's access lists or a
temporary URL let them do.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from urllib.parse import quote

from faafo_lab.cloud.emulator.common.names import ROLES
from faafo_lab.cloud.emulator.common.service import Fault, Request
from faafo_lab.cloud.emulator.common.store import Row
from faafo_lab.cloud.emulator.services.object_store import acl
from faafo_lab.cloud.emulator.services.object_store.files import Files
from faafo_lab.cloud.emulator.services.object_store.records import Records
from faafo_lab.cloud.emulator.site import Site

MISSING = "The resource could not be found."
POLICY = "Policy-0"


class Collection:
    """All accounts, containers and objects, and who may do what with them."""

    def __init__(self, site: Site) -> None:
        self.records = Records(site.store)
        self.files = Files(site.directory / "objects")

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
            raise unknown(account, message)
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
