"""What Keystone's resources share: the rows, the users and projects, and words."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NotRequired, TypedDict

from faafo_lab.cloud.emulator.common.service import JSON, Fault

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
