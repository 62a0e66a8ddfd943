"""Which servers a list's query means. Others than an administrator filter by what is here; the rest Nova ignores.

Source: https://docs.openstack.org/api-ref/compute/#list-servers
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from itertools import chain, repeat

from faafo_lab.cloud.emulator.common.pages import TAG_FILTERS, tagged
from faafo_lab.cloud.emulator.common.service import Fault, Request
from faafo_lab.cloud.emulator.services.compute import states, versions
from faafo_lab.cloud.emulator.services.compute.base import PAGER
from faafo_lab.cloud.emulator.services.compute.rows import ServerRow

STATUSES = frozenset(
    (
        *("ACTIVE", "BUILD", "DELETED", "ERROR", "HARD_REBOOT", "MIGRATING", "PASSWORD", "PAUSED", "REBOOT", "REBUILD"),
        *("RESCUE", "RESIZE", "REVERT_RESIZE", "SHELVED", "SHELVED_OFFLOADED", "SHUTOFF", "SOFT_DELETED"),
        *("SUSPENDED", "UNKNOWN", "VERIFY_RESIZE"),
    )
)
SORT_KEYS = {  # Nova's name: the row's
    "access_ip_v4": "access_ipv4",
    "access_ip_v6": "access_ipv6",
    "auto_disk_config": "disk_config",
    "created_at": "created",
    "display_description": "description",
    "display_name": "name",
    "image_ref": "image_id",
    "instance_type_id": "flavor_id",
    "updated_at": "updated",
    "uuid": "id",
} | {
    name: name
    for name in (
        *("config_drive", "key_name", "launch_index", "launched_at", "power_state", "project_id", "task_state"),
        *("terminated_at", "user_id", "vm_state"),
    )
}


ORDER = replace(PAGER, keys=tuple(SORT_KEYS.values()), rank=str)


def in_order(rows: list[ServerRow], request: Request) -> list[ServerRow]:
    """The servers by the query's sort_key and sort_dir, or the newest first. Raises a 400 `Fault`."""
    keys, directions = request.query.get("sort_key", ["created_at"]), request.query.get("sort_dir", [])
    by = zip(keys, chain(directions, repeat("desc")), strict=False)
    rows = sorted(rows, key=lambda row: (row["created"], row["launch_index"], row["id"]))
    return ORDER.sort(rows, [(SORT_KEYS.get(key, repr(key)), direction) for key, direction in by])


class Filters:
    """A list's query, checked once for all servers."""

    def __init__(self, request: Request, fixed: Callable[[ServerRow], list[str]]) -> None:
        """`fixed` says a server's fixed addresses. Raises a `Fault` for a query that can't be."""
        self._query = request.query
        self._fixed = fixed
        self._version = request.version
        self.since = moment_of(request.one("changes-since"))
        """Seconds since the epoch: only servers that changed since, deleted ones too; None: all that are there."""
        self._statuses = {each.upper() for each in request.query.get("status", ())}
        if "DELETED" in self._statuses:
            raise Fault(403, "Only administrators may list deleted instances")
        if unknown := self._statuses - STATUSES:
            if request.version in versions.STRICT_STATUS:
                raise Fault(400, f"Invalid status filter: {', '.join(sorted(unknown))}")
            if not self._statuses & STATUSES:
                self._statuses = unknown  # nothing has it

    def __call__(self, row: ServerRow) -> bool:
        """Whether a server fits; as in Nova, names and addresses are regular expressions."""
        equal = {
            "image": row["image_id"],
            "flavor": row["flavor_id"],
            "key_name": row["key_name"],
            "reservation_id": row["reservation_id"],
            "uuid": row["id"],
        }
        if any(name in self._query and value not in self._query[name] for name, value in equal.items()):
            return False
        if self._statuses and states.status(row) not in self._statuses:
            return False
        if self.since is not None and datetime.fromisoformat(row["updated"]).timestamp() < self.since:
            return False
        if "name" in self._query and not _search(self._query["name"][-1], row["name"]):
            return False
        for name in ("ip", "ip6") if self._version in versions.ADDRESS6_FILTER else ("ip",):
            there = [each for each in self._fixed(row) if (":" in each) == (name == "ip6")]
            if name in self._query and not any(_search(self._query[name][-1], each) for each in there):
                return False
        if self._version not in versions.TAGS:
            return True
        return all(tagged(row.get("tags", []), name, self._query[name]) for name in TAG_FILTERS if name in self._query)


def moment_of(text: str | None) -> float | None:
    """An ISO date as seconds since the epoch; without a zone it is UTC. Raises a 400 `Fault`."""
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise Fault(400, f"Invalid input for query parameters changes-since. Value: {text}.") from None


def _search(pattern: str, text: str) -> bool:
    """Whether a client's regular expression fits; one that might never finish counts as plain text."""
    repeats = len(re.findall(r"[*+?{]", pattern))
    if repeats > 2 or (repeats and "(" in pattern):
        return pattern in text
    try:
        return re.search(pattern, text) is not None
    except re.error:
        return pattern in text
