"""What an image is: the attributes that a client may set, and the schema that says so.

Source: https://docs.openstack.org/api-ref/image/v2/#image-schemas
"""

from __future__ import annotations

from faafo_lab.cloud.emulator.common import schema
from faafo_lab.cloud.emulator.common.service import JSON

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
