"""The fields of Cinder's rows."""

from __future__ import annotations

from typing import NotRequired, TypedDict


class Attachment(TypedDict):
    """Where a volume is."""

    attachment_id: str
    server_id: str | None
    host_name: str | None
    device: str | None
    attached_at: str
    status: NotRequired[str]  # reserved, attaching or attached, of one that Cinder's own API made; Nova's have none
    mode: NotRequired[str]  # rw, ro or null


class SnapshotRow(TypedDict):
    """A snapshot."""

    id: str
    project_id: str
    user_id: NotRequired[str]
    volume_id: str
    name: str | None
    description: str | None
    size: int  # GB
    status: str
    metadata: dict[str, str]
    bootable: str  # true or false
    image_metadata: dict[str, str]
    created_at: str
    updated_at: str


class VolumeRow(TypedDict):
    """A volume."""

    id: str
    project_id: str
    user_id: str
    name: str | None
    description: str | None
    size: int  # GB
    status: str
    metadata: dict[str, str]
    readonly: str | None  # True or False, once somebody has said so
    bootable: str  # true or false
    availability_zone: str
    snapshot_id: str | None
    source_volid: str | None
    image_id: str | None
    image_metadata: dict[str, str]
    attachment: Attachment | None
    tag: str | None
    uploading: str | None  # the image that it becomes
    renewal: NotRequired[dict[str, str] | None]  # what its content is replaced by: {"snapshot_id": …}
    created_at: str
    updated_at: str
