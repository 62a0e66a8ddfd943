"""What images and their members are: the attributes that a client may set, and the schemas that say so.

Source: https://docs.openstack.org/api-ref/image/v2/#image-schemas
"""

from __future__ import annotations

from faafo_lab.cloud.emulator.common import schema
from faafo_lab.cloud.emulator.common.service import JSON, Request, route

STATUSES = ("pending", "accepted", "rejected")  # of a member
DISK_FORMATS = ("ami", "ari", "aki", "vhd", "vhdx", "vmdk", "raw", "qcow2", "vdi", "ploop", "iso")
CONTAINER_FORMATS = ("ami", "ari", "aki", "bare", "ovf", "ova", "docker", "compressed")
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


class Schemas:
    """The schemas of images, members and lists of them."""

    @route("GET", "/v2/schemas/image")
    def show_schema(self, request: Request) -> JSON:
        """What an image looks like."""
        read_only = {name: {"type": ["null", "string", "integer"], "readOnly": True} for name in sorted(READ_ONLY)}
        return {
            "name": "image",
            "properties": {**read_only, **BASE},
            "additionalProperties": {"type": "string"},
            "links": [
                {"rel": "self", "href": "{self}"},
                {"rel": "enclosure", "href": "{file}"},
                {"rel": "describedby", "href": "{schema}"},
            ],
        }

    @route("GET", "/v2/schemas/images")
    def show_list_schema(self, request: Request) -> JSON:
        """What a list of images looks like."""
        return {
            "name": "images",
            "properties": {
                "images": {"type": "array", "items": self.show_schema(request)},
                "first": {"type": "string"},
                "next": {"type": "string"},
                "schema": {"type": "string"},
            },
            "links": [
                {"rel": "first", "href": "{first}"},
                {"rel": "next", "href": "{next}"},
                {"rel": "describedby", "href": "{schema}"},
            ],
        }

    @route("GET", "/v2/schemas/member")
    def show_member_schema(self, request: Request) -> JSON:
        """What a member of an image looks like."""
        texts = ("created_at", "updated_at", "image_id", "member_id", "schema")
        properties: JSON = {name: {"type": "string"} for name in texts}
        return {"name": "member", "properties": {**properties, "status": {"type": "string", "enum": list(STATUSES)}}}

    @route("GET", "/v2/schemas/members")
    def show_members_schema(self, request: Request) -> JSON:
        """What a list of members looks like."""
        items = {"type": "array", "items": self.show_member_schema(request)}
        return {"name": "members", "properties": {"members": items, "schema": {"type": "string"}}, "links": []}
