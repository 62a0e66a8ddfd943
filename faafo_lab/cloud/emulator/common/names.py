"""The names that every embedded cloud has, and the ids that follow from them."""

from __future__ import annotations

import uuid

DOMAIN = {"id": "default", "name": "Default"}
REGION = "RegionOne"
PROJECTS = ("demo", "alt")
ROLES = ("member", "reader")
ADMIN = "admin"  # the name of the administrator, and of the role that makes one

_NAMESPACE = uuid.UUID("5d6f1c5e-0f0a-5b0c-9d0e-fa0f01ab0001")


def id_of(kind: str, name: str) -> str:
    """The id, as Keystone has them (32 hex digits), that follows from a name."""
    return uuid.uuid5(_NAMESPACE, f"{kind}/{name}").hex
