"""What a proof made and what of it is still there: found by id, or by name where the answer to a request was lost."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from faafo_lab.cloud.base import Cloud
from faafo_lab.cloud.errors import CloudError, NotFound
from faafo_lab.cloud.waiting import Look

GROUPS_LIMIT_SECONDS = 120  # a real cloud frees a deleted server's groups a while after it is gone


@dataclass(frozen=True)
class Leavings:
    """What is left of `cloud.created`, and of what is named `name…`."""

    cloud: Cloud
    name: str

    def there(self) -> dict[str, list[Any]]:
        """What is still there, by kind."""
        listed: dict[str, list[Any]] = {
            "servers": self.cloud.servers(),
            "floating addresses": self.cloud.floating_ips(),
            "security groups": self.cloud.security_groups(),
            "key pairs": self.cloud.key_pairs(),
        }
        return {kind: [thing for thing in things if self._mine(kind, thing)] for kind, things in listed.items()}

    def remove(self) -> list[str]:
        """Remove all of it, each kind whatever becomes of the others; returns what went wrong."""
        left, problems = self.there(), list[str]()

        def attempt(what: Callable[..., object], *things: Any) -> None:
            try:
                what(*things)
            except CloudError as error:
                problems.append(str(error))

        if left["servers"]:
            attempt(self.cloud.delete_servers, left["servers"])
        for address in left["floating addresses"]:
            attempt(self.cloud.delete_floating_ip, address)
        if left["security groups"]:
            attempt(self._remove_groups, left["security groups"])
        for key in left["key pairs"]:
            attempt(self.cloud.delete_key_pair, key)
        return problems

    def _mine(self, kind: str, thing: Any) -> bool:
        name = getattr(thing, "name", "")
        return getattr(thing, "id", name) in self.cloud.created[kind] or name.startswith(self.name)

    def _remove_groups(self, groups: list[Any]) -> None:
        """Those that another one's rule names go after it, so they are tried again."""

        def look() -> Look:
            why = ""
            for group in list(groups):
                try:
                    with suppress(NotFound):
                        self.cloud.delete_security_group(group)
                    groups.remove(group)
                except CloudError as error:
                    why = str(error)
            return Look(total - len(groups), total, why)

        total = len(groups)
        self.cloud.wait_until(look, "security groups to be deleted", GROUPS_LIMIT_SECONDS)
