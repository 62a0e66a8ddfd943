"""Looking up by name or id, the same for everything that has a name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

from faafo_lab.cloud.errors import Ambiguous, NotFound


class Named(Protocol):
    """Anything with a name (key pairs have no other id)."""

    @property
    def name(self) -> str:
        """What people call it."""


N = TypeVar("N", bound=Named)


def pick(kind: str, things: Sequence[N], name_or_id: str) -> N:
    """The one of `things` with this name or id. Raises NotFound (naming the others) or Ambiguous."""
    for thing in things:
        if str(getattr(thing, "id", "")).lower() == name_or_id.lower() != "":
            return thing
    named = [thing for thing in things if thing.name == name_or_id]
    if not named:
        raise NotFound.among(kind, name_or_id, [thing.name for thing in things])
    if len(named) > 1:
        ids = ", ".join(str(getattr(thing, "id", "")) for thing in named)
        raise Ambiguous(f"There are {len(named)} {kind}s named {name_or_id!r}: say which by its id ({ids}).")
    return named[0]
