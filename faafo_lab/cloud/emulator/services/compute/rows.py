"""The fields of compute's rows."""

from __future__ import annotations

from typing import Any, NotRequired, TypedDict

from faafo_lab.cloud.emulator.common.service import JSON


class ServerRow(TypedDict):
    """A server."""

    id: str
    project_id: str
    user_id: str
    name: str
    description: NotRequired[str | None]
    hostname: NotRequired[str]
    image_id: str  # "" where it boots from a volume
    flavor_id: str
    key_name: str | None
    public_key: str | None
    user_data: str | None  # in base64
    metadata: dict[str, str]
    tags: NotRequired[list[str]]
    groups: list[str]  # the ids of the security groups that new ports have
    networks: list[JSON]  # what it wants ports on: {"port"} or {"uuid", "fixed_ip"}, and {"tag"}
    access_ipv4: str
    access_ipv6: str
    disk_config: str
    config_drive: bool
    server_group_id: NotRequired[str | None]
    locked: NotRequired[bool]
    locked_reason: NotRequired[str | None]
    launch_index: int
    reservation_id: str
    created: str
    updated: str
    launched_at: str | None
    terminated_at: NotRequired[str]
    vm_state: str
    task_state: str | None
    power_state: int
    booted: bool  # from its disk, before
    fault: JSON | None
    volumes: NotRequired[list[JSON]]  # {"id", "root", "delete", "tag"} of those that it boots with or deletes
    hostless: NotRequired[bool]  # no host took it: it failed before it was on one
    snapshot_id: NotRequired[str | None]  # the image that its disk becomes now
    shelved_image_id: NotRequired[str | None]  # the image that keeps its disk
    rescue_image_id: NotRequired[str | None]  # the image of the disk that it is rescued with
    new_flavor_id: NotRequired[str | None]  # the flavor to come
    old_flavor_id: NotRequired[str | None]  # what a resize that is reverted brings back
    old_vm_state: NotRequired[str | None]


class KeyRow(TypedDict):
    """A user's key pair; its id is USER/NAME."""

    id: str
    number: int
    name: str
    type: NotRequired[str]
    public_key: str
    fingerprint: str
    user_id: str
    created_at: str


class GroupRow(TypedDict):
    """A server group."""

    id: str
    name: str
    policy: str
    rules: NotRequired[JSON]
    project_id: str
    user_id: str


class RecordRow(TypedDict):
    """A server's actions, the oldest first; the id is the server's."""

    id: str
    actions: list[dict[str, Any]]
