"""The fields of the image service's rows, and what a new image has."""

from __future__ import annotations

import time
from typing import NotRequired, TypedDict

from faafo_lab.cloud.emulator.common.service import now


class ImageRow(TypedDict):
    """An image."""

    id: str
    name: str | None
    status: str
    visibility: str
    protected: bool
    os_hidden: bool
    owner: str
    container_format: str | None
    disk_format: str | None
    min_ram: int
    min_disk: int
    checksum: str | None  # these five are known once it has data
    os_hash_algo: str
    os_hash_value: str | None
    size: int | None
    virtual_size: int | None
    created_at: str
    updated_at: str
    born: NotRequired[int]  # ns since 1970: which one of those of a second is the latest
    tags: list[str]
    properties: dict[str, str | None]


def new(id: str, name: str | None, owner: str) -> ImageRow:
    """A row with Glance's defaults."""
    moment = now()
    return {
        "id": id,
        "name": name,
        "status": "queued",
        "visibility": "shared",
        "protected": False,
        "os_hidden": False,
        "owner": owner,
        "container_format": None,
        "disk_format": None,
        "min_ram": 0,
        "min_disk": 0,
        "checksum": None,
        "os_hash_algo": "sha512",
        "os_hash_value": None,
        "size": None,
        "virtual_size": None,
        "created_at": moment,
        "updated_at": moment,
        "born": time.time_ns(),
        "tags": [],
        "properties": {},
    }


class MemberRow(TypedDict):
    """A project that an image is shared with; the id is IMAGE/PROJECT."""

    id: str
    image_id: str
    member_id: str
    status: str
    created_at: str
    updated_at: str
