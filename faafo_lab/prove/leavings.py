"""The resources of a proof that still exist: found by id, or by name if the answer to a request was lost."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sized
from contextlib import suppress
from typing import Any

from faafo_lab.cloud.base import Cloud
from faafo_lab.cloud.errors import CloudError, Forbidden, NotFound
from faafo_lab.cloud.waiting import Look

LIMIT_SECONDS = 300  # a real cloud frees a deleted server's groups some time after the server


class Leavings:
    """The resources in `cloud.created`, or named `name…`, that still exist."""

    def __init__(self, cloud: Cloud, name: str) -> None:
        self._cloud, self._name = cloud, name

    def there(self) -> dict[str, list[Any]]:
        """The remaining resources, by kind. Raises CloudErrors."""
        listed: dict[str, list[Any]] = {
            "servers": self._cloud.servers(),
            "floating IPs": self._cloud.floating_ips(),
            "security groups": self._cloud.security_groups(),
            "key pairs": self._cloud.key_pairs(),
        }
        with suppress(NotFound, Forbidden):  # no object store, or this user may not use it
            listed["containers"] = self._cloud.containers()
        with suppress(NotFound, Forbidden):
            listed |= {"snapshots": self._cloud.snapshots(), "volumes": self._cloud.volumes()}
        return {kind: [thing for thing in things if self._mine(kind, thing)] for kind, things in listed.items()}

    def remove(self) -> str:
        """Remove every resource; returns in words what there was. Refused deletions are retried. Raises TimedOut."""
        found = ""

        def look() -> Look:
            nonlocal found
            try:
                left = self.there()
                found = found or counts(left)
                why = self._try(left)
                return Look(int(not counts(self.there())), 1, why or counts(left))
            except CloudError as error:  # of a listing
                return Look(0, 1, str(error))

        self._cloud.wait_until(look, "clean-ups complete", LIMIT_SECONDS)
        return found

    def _try(self, left: Mapping[str, list[Any]]) -> str:
        """Remove each resource, even if others fail; returns the last refusal, "" if there was none."""
        why = ""

        def attempt(what: Callable[..., object], *things: Any) -> None:
            nonlocal why
            try:
                with suppress(NotFound):
                    what(*things)
            except CloudError as error:
                why = str(error)

        if left["servers"]:
            attempt(self._cloud.delete_servers, left["servers"])
        for address in left["floating IPs"]:
            attempt(self._cloud.delete_floating_ip, address)
        for group in left["security groups"]:  # one that another one's rule names goes after it: next time
            attempt(self._cloud.delete_security_group, group)
        for key in left["key pairs"]:
            attempt(self._cloud.delete_key_pair, key)
        for snapshot in left.get("snapshots", []):  # a volume that has some goes after them
            attempt(self._cloud.delete_snapshot, snapshot)
        for volume in left.get("volumes", []):
            attempt(self._cloud.delete_volume, volume)
        for container in left.get("containers", []):
            attempt(self._empty, container)
            attempt(self._cloud.delete_container, container)
        return why

    def _empty(self, container: str) -> None:
        for stored in self._cloud.objects(container):
            self._cloud.delete_object(container, stored.name)

    def _mine(self, kind: str, thing: Any) -> bool:
        name = thing if isinstance(thing, str) else getattr(thing, "name", "")
        return getattr(thing, "id", name) in self._cloud.created[kind] or name.startswith(self._name)


def counts(things: Mapping[str, Sized]) -> str:
    """ "2 servers, 1 key pairs": the kinds that are not empty."""
    return ", ".join(f"{len(each)} {kind}" for kind, each in things.items() if each)
