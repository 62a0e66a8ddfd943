"""Rebuild and resize: the actions that make another server of a server."""

from __future__ import annotations

import secrets
from typing import Any

from faafo_lab.cloud.emulator.common.service import JSON, Answer, Fault, Request
from faafo_lab.cloud.emulator.common.store import Row
from faafo_lab.cloud.emulator.services.compute.actions import Actions, action
from faafo_lab.cloud.emulator.services.compute.wanted import IPV4, IPV6, METADATA, NAME, USER_DATA

REBUILD: JSON = {
    "type": "object",
    "required": ["imageRef"],
    "additionalProperties": False,
    "properties": {
        "imageRef": {"type": "string", "minLength": 1},
        "name": NAME,
        "metadata": METADATA,
        "adminPass": {"type": "string"},
        "accessIPv4": IPV4,
        "accessIPv6": IPV6,
        "OS-DCF:diskConfig": {"type": "string", "enum": ["AUTO", "MANUAL"]},
        "preserve_ephemeral": {"type": "boolean"},
        "personality": {"type": "array", "maxItems": 0},
    },
}
SINCE: dict[int, JSON] = {  # what a microversion 2.N added
    19: {"description": {"type": ["string", "null"], "maxLength": 255}},
    54: {"key_name": {"type": ["string", "null"]}},
    57: {"user_data": USER_DATA},
}
RESIZE: JSON = {
    "type": "object",
    "required": ["flavorRef"],
    "additionalProperties": False,
    "properties": {
        "flavorRef": {"type": ["string", "integer"], "minLength": 1},
        "OS-DCF:diskConfig": {"type": "string", "enum": ["AUTO", "MANUAL"]},
    },
}


class Rebuilding(Actions):
    """Rebuild and resize."""

    @action("rebuild")
    def _rebuild(self, request: Request, row: Row, value: Any) -> Answer:
        properties = dict(REBUILD["properties"])
        for minor, more in SINCE.items():
            if request.version >= (2, minor):
                properties |= more
        if request.version >= (2, 57):
            del properties["personality"]
        wanted = self.valid(value, {**REBUILD, "properties": properties})
        self._in_state(row, "rebuild", "active", "stopped", "error")
        image = self._wanted_image(request, wanted, self._wanted_flavor({"flavorRef": row["flavor_id"]}))
        self._check_metadata(wanted)
        names = {
            "name": "name",
            "metadata": "metadata",
            "accessIPv4": "access_ipv4",
            "accessIPv6": "access_ipv6",
            "OS-DCF:diskConfig": "disk_config",
            "description": "description",
            "user_data": "user_data",
        }
        changes = {field: wanted[name] for name, field in names.items() if name in wanted}
        if "key_name" in wanted:
            key = self._wanted_key(request, wanted)
            changes |= {"key_name": key["name"] if key else None, "public_key": key["public_key"] if key else None}
        self.life.history.begin(request, row["id"], "rebuild")
        self.life.rebuild(row["id"], image_id=image["id"], **changes)
        view = self._short_view(request, self.servers[row["id"]])
        view["adminPass"] = wanted.get("adminPass") or secrets.token_urlsafe(9)
        if request.version >= (2, 57):
            view["user_data"] = self.servers[row["id"]]["user_data"]
        if request.version >= (2, 54):
            view["key_name"] = self.servers[row["id"]]["key_name"]
        return Answer(202, {"server": view}, {"Location": f"{self.url}/v2.1/servers/{row['id']}"})

    @action("resize")
    def _resize(self, request: Request, row: Row, value: Any) -> None:
        wanted = self.valid(value, RESIZE)
        flavor = self._wanted_flavor(wanted)
        self._in_state(row, "resize", "active", "stopped")
        if flavor.id == row["flavor_id"]:
            raise Fault(400, "When resizing, instances must change flavor!")
        image = self.images.get(row["image_id"])
        if image is not None and image["min_ram"] > flavor.ram_mb:
            raise Fault(400, "Flavor's memory is too small for requested image.")
        self._claim_resize(row, flavor)
        self.life.history.begin(request, row["id"], "resize")
        self.life.resize(row["id"], flavor.id)

    @action("confirmResize")
    def _confirm(self, request: Request, row: Row, value: Any) -> Answer:
        self._in_resize(row, "confirmResize")
        self.life.history.begin(request, row["id"], "confirmResize")
        self.life.confirm(row["id"])
        self.life.history.end(row["id"], request.id, "Success")
        return Answer(204)

    @action("revertResize")
    def _revert(self, request: Request, row: Row, value: Any) -> None:
        self._in_resize(row, "revertResize")
        self.life.history.begin(request, row["id"], "revertResize")
        self.life.revert(row["id"])

    def _in_resize(self, row: Row, name: str) -> None:
        if row["vm_state"] != "resized":
            self._unlocked(row)
            raise Fault(409, f"Cannot '{name}' instance {row['id']} while it is in vm_state {row['vm_state']}")
        self._in_state(row, name, "resized")
