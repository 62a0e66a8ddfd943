"""Rebuild and resize: the actions that make another server of a server."""

from __future__ import annotations

import secrets
from typing import Any

from faafo_lab.cloud.emulator.common import schema
from faafo_lab.cloud.emulator.common.actions import action
from faafo_lab.cloud.emulator.common.service import JSON, Answer, Fault, Request
from faafo_lab.cloud.emulator.services.compute import states, versions
from faafo_lab.cloud.emulator.services.compute.base import only
from faafo_lab.cloud.emulator.services.compute.flavors import FLAVORS
from faafo_lab.cloud.emulator.services.compute.quotas import claim_resize
from faafo_lab.cloud.emulator.services.compute.rows import ServerRow
from faafo_lab.cloud.emulator.services.compute.servers import Part, settable
from faafo_lab.cloud.emulator.services.compute.wanted import DESCRIPTION, IPV4, IPV6, METADATA, NAME, USER_DATA

DISK_CONFIG = {"type": "string", "enum": ["AUTO", "MANUAL"]}
REBUILD: JSON = {
    "imageRef": {"type": "string", "minLength": 1},
    "name": NAME,
    "metadata": METADATA,
    "adminPass": {"type": "string"},
    "accessIPv4": IPV4,
    "accessIPv6": IPV6,
    "OS-DCF:diskConfig": DISK_CONFIG,
    "preserve_ephemeral": {"type": "boolean"},
}
ADDED = {
    versions.DESCRIPTION: ("description", DESCRIPTION),
    versions.REBUILD_KEY: ("key_name", {"type": ["string", "null"]}),
    versions.REBUILD_USER_DATA: ("user_data", USER_DATA),
    versions.FILES: ("personality", {"type": "array", "maxItems": 0}),
}
RESIZE = only(
    {"flavorRef": {"type": ["string", "integer"], "minLength": 1}, "OS-DCF:diskConfig": DISK_CONFIG}, ["flavorRef"]
)


class Rebuilding(Part):
    """Rebuild and resize."""

    @action("rebuild")
    def rebuild(self, request: Request, row: ServerRow, value: Any) -> Answer:
        """Begin again with a new disk."""
        more = dict(form for there, form in ADDED.items() if request.version in there)
        schema.check(value, only({**REBUILD, **more}, ["imageRef"]))
        wanted, id = value, row["id"]
        states.REBUILD.check(row)
        image = self._wanted.image(request, wanted, FLAVORS[row["flavor_id"]])
        self._wanted.check_metadata(wanted)
        changes: JSON = {
            **settable(wanted),
            **{name: wanted[name] for name in ("metadata", "user_data") if name in wanted},
        }
        if "key_name" in wanted:
            key = self._wanted.key(request, wanted)
            changes |= {"key_name": key["name"] if key else None, "public_key": key["public_key"] if key else None}
        self._life.begin(request, id, states.REBUILD, booted=False, fault=None, image_id=image["id"], **changes)
        row = self._servers.table[id]
        view = self._servers.short_view(request, row)
        view["adminPass"] = wanted.get("adminPass") or secrets.token_urlsafe(9)
        if request.version in versions.REBUILD_USER_DATA:
            view["user_data"] = row["user_data"]
        if request.version in versions.REBUILD_KEY:
            view["key_name"] = row["key_name"]
        return Answer(202, {"server": view}, {"Location": f"{self._links.root}/v2.1/servers/{id}"})

    @action("resize")
    def resize(self, request: Request, row: ServerRow, value: Any) -> None:
        """Boot it with another flavor, and keep the old one until that is confirmed."""
        schema.check(value, RESIZE)
        flavor = self._wanted.flavor(value)
        states.RESIZE.check(row)
        if flavor.id == row["flavor_id"]:
            raise Fault(400, "When resizing, instances must change flavor!")
        image = self._images.get(row["image_id"])
        if image is not None and image["min_ram"] > flavor.ram_mb:
            raise Fault(400, "Flavor's memory is too small for requested image.")
        claim_resize(self._quotas, row, flavor)
        id, state = row["id"], row["vm_state"]
        self._life.begin(request, id, states.RESIZE, new_flavor_id=flavor.id, old_vm_state=state)

    @action("confirmResize")
    def confirm(self, request: Request, row: ServerRow, value: Any) -> Answer:
        """Forget the old flavor."""
        self._life.confirm(request, row)
        return Answer(204)
