"""What a request for servers wants: its form, and whether its image, flavor, key, groups and networks are there."""

from __future__ import annotations

import base64
import binascii
import ipaddress
from collections.abc import Callable

from faafo_lab.cloud.emulator.common.schema import UUID
from faafo_lab.cloud.emulator.common.service import JSON, Fault, Request
from faafo_lab.cloud.emulator.common.store import Row
from faafo_lab.cloud.emulator.services.compute.base import Nova
from faafo_lab.cloud.emulator.services.compute.flavors import FLAVORS, Flavor

USER_DATA_CHARACTERS_MAX = 65_535
ZONE = "nova"


def _is_base64(value: str) -> bool:
    try:
        base64.b64decode(value.encode(), validate=True)
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


NAME = {"type": "string", "minLength": 1, "maxLength": 255, "pattern": r"^(?! )[^\x00-\x1f\x7f]+(?<! )$"}
METADATA: JSON = {
    "type": "object",
    "keys": {"type": "string", "pattern": r"^[a-zA-Z0-9-_:. ]{1,255}$"},
    "additionalProperties": {"type": "string", "maxLength": 255},
}
DESCRIPTION = {"type": ["string", "null"], "maxLength": 255}
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
CREATE: JSON = {
    "type": "object",
    "required": ["server"],
    "additionalProperties": False,
    "properties": {
        "server": {
            "type": "object",
            "required": ["name", "flavorRef"],
            "additionalProperties": False,
            "properties": {
                "name": NAME,
                "flavorRef": {"type": ["string", "integer"], "minLength": 1},
                "imageRef": {"type": "string"},
                "key_name": {"type": ["string", "null"]},
                "user_data": USER_DATA,
                "security_groups": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "properties": {"name": {"type": "string", "minLength": 1, "maxLength": 255}},
                        "additionalProperties": False,
                    },
                },
                "networks": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "properties": {
                            "uuid": {"type": "string", "pattern": UUID},
                            "port": {"type": ["string", "null"], "pattern": UUID},
                            "fixed_ip": {"type": "string", "pattern": r"^[0-9.]{7,15}$"},
                        },
                        "additionalProperties": False,
                    },
                },
                "metadata": METADATA,
                "min_count": COUNT,
                "max_count": COUNT,
                "config_drive": {"type": ["boolean", "string", "null"]},
                "adminPass": {"type": "string"},
                "accessIPv4": IPV4,
                "accessIPv6": IPV6,
                "availability_zone": {"type": ["string", "null"]},
                "return_reservation_id": {"type": ["boolean", "string"]},
                "OS-DCF:diskConfig": {"type": "string", "enum": ["AUTO", "MANUAL"]},
                "block_device_mapping": {"type": "array"},
                "block_device_mapping_v2": {"type": "array"},
                "personality": {"type": "array", "maxItems": 0},
            },
        },
        "os:scheduler_hints": HINTS,
        "OS-SCH-HNT:scheduler_hints": HINTS,
    },
}


def create_schema(version: tuple[int, int]) -> JSON:
    """The form of a request for servers, by microversion."""
    server = CREATE["properties"]["server"]
    required, properties = server["required"], dict(server["properties"])
    if version >= (2, 19):
        properties["description"] = DESCRIPTION
    if version >= (2, 37):
        properties["networks"] = {"anyOf": [properties["networks"], {"type": "string", "enum": ["auto", "none"]}]}
        required = [*required, "networks"]
    if version >= (2, 52):
        properties["tags"] = TAGS
    if version >= (2, 57):
        del properties["personality"]
    server = {**server, "required": required, "properties": properties}
    return {**CREATE, "properties": {**CREATE["properties"], "server": server}}


class Wanted(Nova):
    """The checks of a new server."""

    def _wanted_flavor(self, wanted: JSON) -> Flavor:
        id = str(wanted["flavorRef"]).rstrip("/").rsplit("/", 1)[-1]
        if id not in FLAVORS:
            raise Fault(400, f"Flavor {id} could not be found.")
        return FLAVORS[id]

    def _wanted_image(self, request: Request, wanted: JSON, flavor: Flavor) -> Row:
        if wanted.get("block_device_mapping") or not _boots_from_image(wanted):
            raise Fault(400, "Block Device Mapping is Invalid: this cloud boots servers from images.")
        if "imageRef" not in wanted:
            raise Fault(400, "Missing imageRef attribute")
        id = wanted["imageRef"].rstrip("/").rsplit("/", 1)[-1]
        image = self.images.get(id)
        if image is None or not self.images.visible(image, request.project):
            raise Fault(400, "Invalid imageRef provided.")
        if image["status"] != "active":
            raise Fault(400, f"Image {id} is not active.")
        if image["min_ram"] > flavor.ram_mb:
            raise Fault(400, "Flavor's memory is too small for requested image.")
        if max(image["min_disk"] << 30, image["size"]) > flavor.disk_gb << 30:
            raise Fault(
                400,
                "Flavor's disk is too small for requested image. Flavor disk is "
                f"{flavor.disk_gb << 30} bytes, minimum size is {max(image['min_disk'] << 30, image['size'])} bytes.",
            )
        return image

    def _wanted_key(self, request: Request, wanted: JSON) -> Row | None:
        if wanted.get("key_name") is None:
            return None
        row = self.keys.get(f"{request.token.user_id}/{wanted['key_name']}")
        if row is None:
            raise Fault(400, "Invalid key_name provided.")
        return row

    def _group(self, project: str, name: str) -> Row | None:
        """The project's security group with this id or name. Raises a 409 `Fault` where there are several."""
        groups = self.network.groups.table
        row = groups.get(name)
        if row is not None and row["project_id"] == project:
            return row
        found = groups.where(project_id=project, name=name)
        if len(found) > 1:
            raise Fault(409, f"Multiple security groups found matching '{name}'. Use an ID to be more specific.")
        return found[0] if found else None

    def _wanted_groups(self, request: Request, wanted: JSON) -> list[Row]:
        names = [item["name"] for item in wanted.get("security_groups", []) if "name" in item] or ["default"]
        found = []
        for name in dict.fromkeys(names):
            if name == "default":
                self.network.groups.default(request.project)
            group = self._group(request.project, name)
            if group is None:
                raise Fault(400, f"Security group {name} not found for project {request.project}.")
            found.append(group)
        return found

    def _wanted_networks(self, request: Request, wanted: JSON, count: int) -> list[JSON]:
        """The networks and ports asked for, checked; without a word, the project's only network."""
        network = self.network
        items = wanted.get("networks")
        if items == "none":
            return []
        if not items or items == "auto":
            own = network.networks.table.where(project_id=request.project)
            own = [row for row in own if network.subnets.table.where(network_id=row["id"])]
            if len(own) > 1:
                raise Fault(409, "Multiple possible networks found, use a Network ID to be more specific.")
            return [{"uuid": row["id"]} for row in own]
        found: list[JSON] = []
        for item in items:
            if item.get("port"):
                found.append({"port": self._wanted_port(request, item["port"], count)["id"]})
                continue
            row = network.networks.table.get(item.get("uuid"))
            if row is None or row["project_id"] != request.project:
                raise Fault(400, f"Network {item.get('uuid')} could not be found.")
            if not network.subnets.table.where(network_id=row["id"]):
                raise Fault(400, f"Network {row['id']} requires a subnet in order to boot instances on.")
            if item.get("fixed_ip") in network.taken():
                raise Fault(400, f"Fixed IP address {item['fixed_ip']} is already in use on instance.")
            found.append({name: item[name] for name in ("uuid", "fixed_ip") if name in item})
        return found

    def _wanted_server_group(self, request: Request, body: JSON) -> Row | None:
        hints: JSON = body.get("os:scheduler_hints") or body.get("OS-SCH-HNT:scheduler_hints") or {}
        if "group" not in hints:
            return None
        row = self.store.table("server_group").get(hints["group"])
        if row is None or row["project_id"] != request.project:
            raise Fault(400, f"Instance group {hints['group']} could not be found.")
        members = len(self.servers.where(server_group_id=row["id"]))
        limit = self.limit("server_group_members")
        if 0 <= limit < members + int(body["server"].get("min_count", 1)):
            raise Fault(403, "Quota exceeded, too many servers in group")
        return row

    def _check_metadata(self, wanted: JSON) -> None:
        if 0 <= self.limit("metadata_items") < len(wanted.get("metadata", {})):
            raise Fault(403, "Quota exceeded, too many metadata items in request.")

    def _check_zone(self, wanted: JSON) -> None:
        zone, _, host = (wanted.get("availability_zone") or ZONE).partition(":")
        if host:
            raise Fault(403, "Policy doesn't allow os_compute_api:servers:create:forced_host to be performed.")
        if zone != ZONE:
            raise Fault(400, "The requested availability zone is not available")

    def _wanted_port(self, request: Request, id: str, count: int) -> Row:
        port = self.network.ports.table.get(id)
        if port is None or port["project_id"] != request.project:
            raise Fault(400, f"Port id {id} could not be found.")
        if port["device_id"]:
            raise Fault(409, f"Port {id} is still in use.")
        if count > 1:
            raise Fault(400, "Unable to launch multiple instances with a single configured port ID.")
        return port


def _boots_from_image(wanted: JSON) -> bool:
    """Whether the block devices, if any are named, only say that the server boots from its image."""
    plain = {"uuid": wanted.get("imageRef"), "source_type": "image", "destination_type": "local"}
    devices = wanted.get("block_device_mapping_v2", [])
    return len(devices) <= 1 and all(
        isinstance(device, dict)
        and str(device.get("boot_index")) == "0"
        and all(device.get(name) == value for name, value in plain.items())
        for device in devices
    )
