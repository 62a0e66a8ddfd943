"""What Keystone's resources share: the rows, the users and projects, and words."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import NotRequired, TypedDict

from faafo_lab.cloud.emulator.common.names import DOMAIN
from faafo_lab.cloud.emulator.common.service import JSON, Fault, Request
from faafo_lab.cloud.emulator.common.store import R, Table
from faafo_lab.cloud.emulator.site import Site

PREFIX = "/identity"


class ProjectRow(TypedDict):
    """A project."""

    id: str
    name: str


class UserRow(TypedDict):
    """A user, who is a member of one project."""

    id: str
    name: str
    password: str
    project_id: str
    roles: NotRequired[list[str]]  # where they are not everybody's


class CredentialRow(TypedDict):
    """An application credential."""

    id: str
    name: str
    description: str | None
    user_id: str
    project_id: str
    roles: list[str]
    expires_at: float | None  # seconds since the epoch
    unrestricted: bool
    salt: str
    hash: str  # of the secret
    access_rules: NotRequired[list[str]]  # their ids; none: it may make every request


class AccessRuleRow(TypedDict):
    """A request that an application credential may make."""

    id: str
    user_id: str
    service: str
    method: str
    path: str


class TokenRow(TypedDict):
    """A token; the id is the hash of its text."""

    id: str
    user_id: str
    project_id: str | None
    issued_at: float
    expires_at: float
    methods: list[str]
    audit_id: str
    roles: NotRequired[list[str]]  # what an earlier version wrote has none of these two
    application_credential: NotRequired[str | None]


def form(fields: JSON, *required: str) -> JSON:
    """What a JSON object with these fields looks like."""
    return {"type": "object", "required": required, "properties": fields}


def moment(seconds: float) -> str:
    """A moment as Keystone's tokens have it."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.000000Z")


def forbidden(action: str) -> Fault:
    """The answer to who may not."""
    return Fault(403, f"You are not authorized to perform the requested action: identity:{action}.")


class Directory:
    """The users and projects, and where the service has them."""

    def __init__(self, site: Site) -> None:
        self.users: Table[UserRow] = site.store.table("user")
        self.projects: Table[ProjectRow] = site.store.table("project")
        self.url = site.url + PREFIX

    def user(self, reference: JSON) -> UserRow | None:
        """The user that a request means: by id, or by name in its domain."""
        return _named(self.users, reference)

    def project(self, reference: JSON) -> ProjectRow | None:
        """The project that a request means: by id, or by name in its domain."""
        return _named(self.projects, reference)

    def listed(self, request: Request, key: str, views: Iterable[JSON]) -> JSON:
        """A list, as answers have it; parameters that are attributes choose some."""
        wanted = {name: texts[-1].lower() for name, texts in request.query.items()}
        chosen = [
            view for view in views if all(str(view[name]).lower() == wanted[name] for name in wanted if name in view)
        ]
        return {key: chosen, "links": {"next": None, "self": self.url + request.path, "previous": None}}


def _named(table: Table[R], reference: JSON) -> R | None:
    if "id" in reference:
        return table.get(reference["id"])
    domain = reference.get("domain", {})
    if domain.get("id") != DOMAIN["id"] and domain.get("name") != DOMAIN["name"]:
        return None
    found = table.where(name=reference.get("name"))
    return found[0] if found else None
