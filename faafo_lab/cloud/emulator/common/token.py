"""Who asks: what a token says of its owner, and who knows the tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from faafo_lab.cloud.emulator.common.names import ROLES


@dataclass(frozen=True)
class Token:
    """A user, and the project the token is scoped to, if any, with the user's roles there."""

    user_id: str
    user_name: str
    project_id: str | None
    project_name: str | None
    expires_at: float  # seconds since the epoch
    issued_at: float
    methods: tuple[str, ...]
    audit_id: str
    roles: tuple[str, ...] = ROLES
    application_credential: str | None = None  # the id of the one that it was issued for, if any


class Tokens(Protocol):
    """All tokens: the identity service, as the others know it."""

    def find_token(self, text: str | None) -> Token | None:
        """The valid token with this text."""
