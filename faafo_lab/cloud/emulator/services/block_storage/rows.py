"""The fields of Cinder's rows."""

from __future__ import annotations

from typing import TypedDict


class Attachment(TypedDict):
    """Where a volume is."""

    attachment_id: str
    server_id: str
    host_name: None
    device: str
    attached_at: str


class SnapshotRow(TypedDict):
    """A snapshot."""

    id: str
    project_id: str
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
    created_at: str
    updated_at: str
