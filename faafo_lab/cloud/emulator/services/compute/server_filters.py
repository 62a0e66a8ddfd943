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
from faafo_lab.cloud.emulator.services.compute.base import PAGER, is_true
from faafo_lab.cloud.emulator.services.compute.rows import ServerRow
from faafo_lab.cloud.emulator.services.compute.wanted import ZONE

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
        *("hostname", "locked", "terminated_at", "user_id", "vm_state"),
    )
}
FIELDS = {  # the filters that 2.83 has besides, and what they are in a row
    **{name: name for name in ("config_drive", "launched_at", "power_state", "task_state", "user_id", "vm_state")},
    "created_at": "created",
}
ORDER = replace(PAGER, keys=tuple(SORT_KEYS.values()), rank=str)


def in_order(rows: list[ServerRow], request: Request) -> list[ServerRow]:
    """The servers by the query's sort_key and sort_dir, or the newest first. Raises a 400 `Fault`."""
    keys, directions = request.query.get("sort_key", ["created_at"]), request.query.get("sort_dir", [])
    by = zip(keys, chain(directions, repeat("desc")), strict=False)
    rows = sorted(rows, key=lambda row: (row["created"], row["launch_index"], row["id"]))
    return ORDER.sort(rows, [(SORT_KEYS.get(key, repr(key)), direction) for key, direction in by])


class Period:
    """The time of the last change that a query asks for: changes-since, and since 2.66 changes-before."""

    def __init__(self, request: Request) -> None:
        """Raises a 400 `Fault`."""
        self._since = moment_of(request.one("changes-since"))
        late = request.version in versions.CHANGES_BEFORE
        self._before = moment_of(request.one("changes-before"), "changes-before") if late else None
        if self._since is not None and self._before is not None and self._since > self._before:
            raise Fault(400, "The value of changes-since must be less than or equal to changes-before.")

    def __bool__(self) -> bool:
        return (self._since, self._before) != (None, None)

    def __call__(self, moment: str) -> bool:
        """Whether a change at this moment is meant."""
        changed = moment_of(moment) or 0
        return (self._since is None or changed >= self._since) and (self._before is None or changed <= self._before)


class Filters:
    """A list's query, checked once for all servers."""

    def __init__(self, request: Request, fixed: Callable[[ServerRow], list[str]]) -> None:
        """`fixed` says a server's fixed addresses. Raises a `Fault` for a query that can't be."""
        self._query = request.query
        self._fixed = fixed
        self._version = request.version
        self.during = Period(request)
        """The time of a server's last change: with one, deleted servers are meant, too."""
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
        equal: dict[str, object] = {
            "image": row["image_id"],
            "flavor": row["flavor_id"],
            "key_name": row["key_name"],
            "reservation_id": row["reservation_id"],
            "uuid": row["id"],
        }
        if self._version in versions.LOCK_REASON:
            equal["locked"] = row.get("locked", False)
        if self._version in versions.MORE_FILTERS:
            equal |= {name: row[field] for name, field in FIELDS.items()}  # type: ignore[literal-required]
            equal |= {"availability_zone": ZONE, "terminated_at": row.get("terminated_at")}
            equal["progress"] = 100 if row["vm_state"] == "active" else 0
        if any(name in self._query and not _has(self._query[name], value) for name, value in equal.items()):
            return False
        if self._statuses and states.status(row) not in self._statuses:
            return False
        if not self.during(row["updated"]):
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


def _has(texts: list[str], value: object) -> bool:
    """Whether a query asks for this value, which may be a truth."""
    if isinstance(value, bool):
        return any(is_true(text) == value for text in texts)
    return str(value) in texts


def moment_of(text: str | None, name: str = "changes-since") -> float | None:
    """An ISO date as seconds since the epoch; without a zone it is UTC. Raises a 400 `Fault`."""
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise Fault(400, f"Invalid input for query parameters {name}. Value: {text}.") from None


def _search(pattern: str, text: str) -> bool:
    """Whether a client's regular expression fits; one that might never finish counts as plain text."""
    repeats = len(re.findall(r"[*+?{]", pattern))
    if repeats > 2 or (repeats and "(" in pattern):
        return pattern in text
    try:
        return re.search(pattern, text) is not None
    except re.error:
        return pattern in text
