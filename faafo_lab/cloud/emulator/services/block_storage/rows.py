"""The fields of Cinder's rows."""

from __future__ import annotations

from typing import Any, NotRequired, TypedDict


class Attachment(TypedDict):
    """Where a volume is."""

    attachment_id: str
    server_id: str | None
    host_name: str | None
    device: str | None
    attached_at: str
    status: NotRequired[str]  # reserved, attaching or attached, of one that Cinder's own API made; Nova's have none
    mode: NotRequired[str]  # rw, ro or null
    connection: NotRequired[dict[str, Any]]


class AttachmentRow(TypedDict):
    """An attachment as a resource of its own, which follows from its volume's row."""

    id: str
    project_id: str
    volume_id: str
    instance_id: str | None
    status: str
    attach_status: str
    attach_mode: str
    connection_info: dict[str, Any]
    name: None
    metadata: dict[str, str]
    created_at: str
    updated_at: str


class BackupRow(TypedDict):
    """A backup."""

    id: str
    project_id: str
    user_id: str
    name: str | None
    description: str | None
    volume_id: str
    snapshot_id: str | None
    size: int  # GB
    status: str
    metadata: dict[str, str]
    bootable: str  # true or false
    image_metadata: dict[str, str]
    container: str
    object_count: int
    fail_reason: str | None
    data_timestamp: str
    created_at: str
    updated_at: str


class TransferRow(TypedDict):
    """A volume that waits for its next project."""

    id: str
    project_id: str
    volume_id: str
    name: str | None
    description: None
    status: str
    metadata: dict[str, str]
    no_snapshots: bool
    key_hash: str
    created_at: str
    updated_at: str


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
