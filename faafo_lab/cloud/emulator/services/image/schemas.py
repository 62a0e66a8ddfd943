"""What images and their members are: the attributes that a client may set, and the schemas that say so.

Source: https://docs.openstack.org/api-ref/image/v2/#image-schemas
"""

from __future__ import annotations

from typing import NoReturn

from faafo_lab.cloud.emulator.common import schema
from faafo_lab.cloud.emulator.common.service import JSON, Fault, Request, route

STATUSES = ("pending", "accepted", "rejected")  # of a member
DISK_FORMATS = ("ami", "ari", "aki", "vhd", "vhdx", "vmdk", "raw", "qcow2", "vdi", "ploop", "iso")
CONTAINER_FORMATS = ("ami", "ari", "aki", "bare", "ovf", "ova", "docker", "compressed")
RESERVED = "os_glance"  # the names of Glance's own properties begin so
READ_ONLY = frozenset(
    (
        *("id", "owner", "status", "checksum", "size", "virtual_size", "os_hash_algo", "os_hash_value"),
        *("created_at", "updated_at", "self", "file", "schema", "direct_url"),
    )
)

_NAME = {"type": ["null", "string"], "maxLength": 255}
_COUNT = {"type": "integer", "minimum": 0, "maximum": 2**31 - 1}
BASE: JSON = {  # the attributes that a client may set; every other one is a property, and a string
    "id": {"type": "string", "pattern": schema.UUID},
    "name": _NAME,
    "visibility": {"type": "string", "enum": ["public", "private", "shared", "community"]},
    "protected": {"type": "boolean"},
    "os_hidden": {"type": "boolean"},
    "tags": {"type": "array", "items": {"type": "string", "maxLength": 255}, "maxItems": 128},
    "disk_format": {"type": ["null", "string"], "enum": [None, *DISK_FORMATS]},
    "container_format": {"type": ["null", "string"], "enum": [None, *CONTAINER_FORMATS]},
    "min_disk": _COUNT,
    "min_ram": _COUNT,
}
SCHEMA: JSON = {
    "type": "object",
    "properties": BASE,
    "additionalProperties": {"type": ["null", "string"], "maxLength": 65535},
    "keys": {"type": "string", "minLength": 1, "maxLength": 255},
    "maxProperties": 128 + len(BASE),
}


def _links(**names: str) -> list[JSON]:
    return [{"rel": relation, "href": f"{{{name}}}"} for relation, name in names.items()]


_TEXT: JSON = {"type": "string"}
_READ_ONLY: JSON = {name: {"type": ["null", "string", "integer"], "readOnly": True} for name in sorted(READ_ONLY)}
IMAGE: JSON = {
    "name": "image",
    "properties": {**_READ_ONLY, **BASE},
    "additionalProperties": _TEXT,
    "links": _links(self="self", enclosure="file", describedby="schema"),
}
MEMBER: JSON = {
    "name": "member",
    "properties": {
        **dict.fromkeys(("created_at", "updated_at", "image_id", "member_id", "schema"), _TEXT),
        "status": {"type": "string", "enum": list(STATUSES)},
    },
}
FIXED: JSON = {  # answers that are always the same, by path
    "/v2/schemas/image": IMAGE,
    "/v2/schemas/images": {
        "name": "images",
        "properties": {"images": {"type": "array", "items": IMAGE}, "first": _TEXT, "next": _TEXT, "schema": _TEXT},
        "links": _links(first="first", next="next", describedby="schema"),
    },
    "/v2/schemas/member": MEMBER,
    "/v2/schemas/members": {
        "name": "members",
        "properties": {"members": {"type": "array", "items": MEMBER}, "schema": _TEXT},
        "links": [],
    },
    "/v2/metadefs/namespaces": {"namespaces": [], "first": "/v2/metadefs/namespaces"},
    "/v2/metadefs/resource_types": {"resource_types": []},
    "/v2/info/import": {"import-methods": {"description": "Import methods available.", "type": "array", "value": []}},
}


class Schemas:
    """What images and their members look like; and lists of what this cloud has none of."""

    @route("GET", "/v2/schemas/{kind}")
    @route("GET", "/v2/metadefs/{kind}")
    @route("GET", "/v2/info/{kind}")
    def show_fixed(self, request: Request, kind: str) -> JSON:
        """What images and members look like; which definitions of metadata and ways to import there are: none."""
        if request.path not in FIXED:
            raise Fault(404, "The resource could not be found.")
        return FIXED[request.path]  # type: ignore[no-any-return]

    @route("GET", "/v2/tasks")
    def list_tasks(self, request: Request) -> NoReturn:
        """What only an administrator may see."""
        raise Fault(403, "You are not authorized to complete tasks_api_access action.")
