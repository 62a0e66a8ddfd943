"""The fields of identity's rows."""

from __future__ import annotations

from typing import NotRequired, TypedDict


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
