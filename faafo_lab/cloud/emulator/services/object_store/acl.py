"""Access lists of containers: `.r:*` and `.r:host` for anybody, `.rlistings`, `project:user` and roles for users.

Source: https://docs.openstack.org/swift/latest/overview_acl.html
"""

from __future__ import annotations

from collections.abc import Collection
from urllib.parse import urlsplit

from faafo_lab.cloud.emulator.common.service import Fault

_REFERRER = (".r", ".ref", ".referer", ".referrer")


def clean(name: str, value: str) -> str:
    """The list in its short form. Raises a 400 `Fault`."""
    parts = []
    for part in filter(None, (each.strip() for each in value.split(","))):
        first, colon, second = (each.strip() for each in part.partition(":"))
        if not part.startswith(".") or (not colon and part == ".rlistings" and name.endswith("Read")):
            parts.append(f"{first}{colon}{second}" if colon else part)
            continue
        if first not in _REFERRER:
            raise Fault(400, f'{name} : Unknown designator "{first}" in ACL: "{part}"')
        if name.endswith("Write"):
            raise Fault(400, f'{name} : Referrers not allowed in write ACL: "{part}"')
        negate, host = second.startswith("-"), second.removeprefix("-").strip()
        if host != "*" and host.startswith("*"):
            host = host[1:].strip()
        if not host or host == ".":
            raise Fault(400, f'{name} : No host/domain value after referrer designation in ACL: "{part}"')
        parts.append(f".r:{'-' if negate else ''}{host}")
    return ",".join(parts)


def lets_anybody(acl: str, referrer: str, *, listing: bool) -> bool:
    """Whether a cleaned list lets in who has no name, by the page that it comes from."""
    parts = acl.split(",")
    host = urlsplit(referrer).hostname or "unknown"
    allowed = False
    for part in parts:
        if part.startswith(".r:"):
            pattern = part[3:]
            negate, pattern = pattern.startswith("-"), pattern.removeprefix("-")
            if pattern == "*" or pattern == host or (pattern.startswith(".") and host.endswith(pattern)):
                allowed = not negate
    return allowed and (not listing or ".rlistings" in parts)


def lets_user(acl: str, projects: Collection[str], users: Collection[str], roles: Collection[str]) -> bool:
    """Whether a cleaned list lets in a user: each of these is known by id and by name."""
    for part in acl.split(","):
        project, colon, user = part.partition(":")
        if not colon:
            if part in roles:
                return True
        elif (project == "*" or project in projects) and (user == "*" or user in users):
            return True
    return False
