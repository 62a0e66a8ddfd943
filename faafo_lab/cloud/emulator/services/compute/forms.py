"""The forms of what clients send: the fields of servers, and the requests that make and change them."""

from __future__ import annotations

import base64
import binascii
import ipaddress
from collections.abc import Callable, Sequence

from faafo_lab.cloud.emulator.common.schema import UUID
from faafo_lab.cloud.emulator.common.service import JSON, Versions
from faafo_lab.cloud.emulator.services.compute import versions
from faafo_lab.cloud.emulator.services.compute.base import form, only
from faafo_lab.cloud.emulator.services.compute.block_devices import DEVICE

USER_DATA_CHARACTERS_MAX = 65_535


def _is_base64(value: str) -> bool:
    try:
        base64.b64decode("".join(value.split()).encode(), validate=True)  # in lines, as `base64` prints it
    except (binascii.Error, ValueError):
        return False
    return True


def _address(version: int) -> tuple[str, Callable[[str], bool]]:
    def fits(value: str) -> bool:
        try:
            return ipaddress.ip_address(value).version == version
        except ValueError:
            return False

    return f"ipv{version}", fits


NAME = {
    "type": "string",
    "minLength": 1,
    "maxLength": 255,
    "pattern": r"^(?! )[^\x00-\x1f\x7f]+(?<! )$",
    "wanted": "printable characters. Can not start or end with whitespace.",
}
METADATA: JSON = {
    "type": "object",
    "keys": {"type": "string", "pattern": r"^[a-zA-Z0-9-_:. ]{1,255}$"},
    "additionalProperties": {"type": "string", "maxLength": 255},
}
DESCRIPTION = {"type": ["string", "null"], "maxLength": 255}
HOSTNAME = {"type": "string", "minLength": 2, "maxLength": 63, "pattern": "^[a-zA-Z0-9]+[a-zA-Z0-9-]*[a-zA-Z0-9]+$"}
TEXT: JSON = {"type": "string", "minLength": 1, "maxLength": 255}
DISK_CONFIG: JSON = {"type": "string", "enum": ["AUTO", "MANUAL"]}
CERTIFICATES: JSON = {"type": ["array", "null"], "minItems": 1, "maxItems": 50, "items": TEXT}
IPV4: JSON = {"type": "string", "format": _address(4)}
IPV6: JSON = {"type": "string", "format": _address(6)}
TAG: JSON = {"type": "string", "minLength": 1, "maxLength": 60, "pattern": r"^[^,/]*$"}
TAGS: JSON = {"type": "array", "items": TAG, "maxItems": 50}
USER_DATA: JSON = {
    "type": ["string", "null"],
    "maxLength": USER_DATA_CHARACTERS_MAX,
    "format": ("base64", _is_base64),
}
HINTS: JSON = {"type": "object", "properties": {"group": {"type": "string", "pattern": UUID}}}
COUNT = {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "string", "pattern": r"^[1-9][0-9]{0,8}$"}]}
CHANGE: JSON = {"name": NAME, "accessIPv4": IPV4, "accessIPv6": IPV6, "OS-DCF:diskConfig": DISK_CONFIG}
NEW: JSON = {**CHANGE, "metadata": METADATA, "adminPass": {"type": "string"}}  # a new server, or one that is made anew
REBUILD: JSON = {**NEW, "imageRef": {"type": "string", "minLength": 1}, "preserve_ephemeral": {"type": "boolean"}}
SERVER: JSON = {
    **NEW,
    "flavorRef": {"type": ["string", "integer"], "minLength": 1},
    "imageRef": {"type": "string"},
    "key_name": {"type": ["string", "null"]},
    "user_data": USER_DATA,
    "security_groups": {"type": "array", "items": only({"name": TEXT})},
    "min_count": COUNT,
    "max_count": COUNT,
    "config_drive": {"type": ["boolean", "string", "null"]},
    "availability_zone": {"type": ["string", "null"]},
    "return_reservation_id": {"type": ["boolean", "string"]},
    "block_device_mapping": {"type": "array"},
}
NETWORK: JSON = {
    "uuid": {"type": "string", "pattern": UUID},
    "port": {"type": ["string", "null"], "pattern": UUID},
    "fixed_ip": {"type": "string", "pattern": r"^[0-9.]{7,15}$"},
}
_DESCRIPTION = (versions.DESCRIPTION, {"description": DESCRIPTION})
_HOSTNAME = (versions.HOSTNAME, {"hostname": HOSTNAME})
_FILES = (versions.FILES, {"personality": {"type": "array", "maxItems": 0}})
_CERTIFICATES = (versions.CERTIFICATES, {"trusted_image_certificates": CERTIFICATES})
ADDED: dict[str, tuple[tuple[Versions, JSON], ...]] = {  # what microversions add to the form of a request
    "create": (
        *(_DESCRIPTION, _FILES, _CERTIFICATES, _HOSTNAME),
        (versions.TAGS_AT_CREATE, {"tags": TAGS}),
        (versions.CHOSEN_HOST, {"host": TEXT, "hypervisor_hostname": TEXT}),
    ),
    "rebuild": (
        *(_DESCRIPTION, _FILES, _CERTIFICATES, _HOSTNAME),
        (versions.REBUILD_KEY, {"key_name": {"type": ["string", "null"]}}),
        (versions.REBUILD_USER_DATA, {"user_data": USER_DATA}),
    ),
    "change": (_DESCRIPTION, _HOSTNAME),
}


def _fields(base: JSON, request: str, version: tuple[int, int]) -> JSON:
    """The fields of a request, by microversion."""
    return {**base, **{name: each for there, more in ADDED[request] if version in there for name, each in more.items()}}


def change(version: tuple[int, int]) -> JSON:
    """The form of a change, by microversion."""
    return form("server", only(_fields(CHANGE, "change", version)))


def rebuild(version: tuple[int, int]) -> JSON:
    """The form of what the action rebuild takes, by microversion."""
    return only(_fields(REBUILD, "rebuild", version), ["imageRef"])


def create(version: tuple[int, int]) -> JSON:
    """The form of a request for servers, by microversion."""
    required, properties = ["name", "flavorRef"], _fields(SERVER, "create", version)
    tag = {"tag": TAG} if version in versions.DEVICE_TAGS else {}
    type = {"volume_type": TEXT} if version in versions.VOLUME_TYPE else {}
    device = only({**DEVICE, **tag, **type}, ["source_type"])
    properties["block_device_mapping_v2"] = {"type": "array", "items": device}
    networks = {"type": "array", "items": only({**NETWORK, **tag})}
    properties["networks"] = networks
    if version in versions.NETWORKS_NEEDED:
        properties["networks"] = {"anyOf": [networks, {"type": "string", "enum": ["auto", "none"]}]}
        required.append("networks")
    hints = {"os:scheduler_hints": HINTS, "OS-SCH-HNT:scheduler_hints": HINTS}
    return only({"server": only(properties, required), **hints}, ["server"])


def or_null(fields: JSON, required: Sequence[str] = ()) -> JSON:
    """The form of null or an object with these fields."""
    return {"anyOf": [{"type": "null"}, only(fields, required)]}


def unshelve(version: tuple[int, int]) -> JSON:
    """The form of what the action unshelve takes, by microversion."""
    if version in versions.UNSHELVE_HOST:
        return or_null({"availability_zone": {**TEXT, "type": ["string", "null"]}, "host": TEXT})
    zone = {"availability_zone": TEXT}
    return or_null(zone, ["availability_zone"]) if version in versions.UNSHELVE_ZONE else {}
