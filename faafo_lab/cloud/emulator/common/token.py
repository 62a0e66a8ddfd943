"""Who asks: what a token says of its owner, and who knows the tokens."""

from __future__ import annotations

import re
from collections.abc import Iterable
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
    access_rules: tuple[tuple[str, str, str], ...] | None = None  # service, method, path; None: it opens everything

    def opens(self, services: Iterable[str], method: str, paths: Iterable[str]) -> bool:
        """Whether it has no access rules, or one that lets a request in, by one of the service's types and paths."""
        return self.access_rules is None or any(
            re.fullmatch(pattern(path), each, re.DOTALL)
            for service, verb, path in self.access_rules
            if service in services and verb == method
            for each in paths
        )


def pattern(path: str) -> str:
    """An access rule's path as a regular expression, as keystonemiddleware reads it: `**` is any text, `*` and {name}
    are one segment of a path."""
    parts = re.split(r"(\*\*|\*|\{[^}]*\})", path)  # every second is a wildcard
    return "".join(
        re.escape(part) if not number % 2 else ".*" if part == "**" else "[^/]+" for number, part in enumerate(parts)
    )


class Tokens(Protocol):
    """All tokens: the identity service, as the others know it."""

    def find_token(self, text: str | None) -> Token | None:
        """The valid token with this text."""
