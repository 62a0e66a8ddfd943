"""The fields of the image service's rows."""

from __future__ import annotations

from typing import TypedDict


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
    tags: list[str]
    properties: dict[str, str | None]


class MemberRow(TypedDict):
    """A project that an image is shared with; the id is IMAGE/PROJECT."""

    id: str
    image_id: str
    member_id: str
    status: str
    created_at: str
    updated_at: str
