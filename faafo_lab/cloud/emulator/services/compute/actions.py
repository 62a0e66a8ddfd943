"""Actions on servers: where they arrive; what each does; and the record of what has been done.

A plain action is no more than its row in the table of `states`.
Source: https://docs.openstack.org/api-ref/compute/#servers-actions-servers-os-instance-actions
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from faafo_lab.cloud.emulator.common import schema
from faafo_lab.cloud.emulator.common.actions import Handlers, action, asked
from faafo_lab.cloud.emulator.common.service import JSON, Answer, Fault, Request, route
from faafo_lab.cloud.emulator.services.compute import forms, states, versions
from faafo_lab.cloud.emulator.services.compute.base import denied, only
from faafo_lab.cloud.emulator.services.compute.flavors import FLAVORS
from faafo_lab.cloud.emulator.services.compute.quotas import claim_resize
from faafo_lab.cloud.emulator.services.compute.rows import ServerRow
from faafo_lab.cloud.emulator.services.compute.server_filters import Period
from faafo_lab.cloud.emulator.services.compute.servers import Part, Servers, has_host, settable

CONSOLE_BYTES_MAX = 102_400
REBOOT = only({"type": {"type": "string", "pattern": "(?i)^(soft|hard)$"}}, ["type"])
LENGTH: JSON = {
    "type": "object",
    "properties": {
        "length": {
            "anyOf": [
                {"type": "integer", "minimum": -1},
                {"type": "string", "pattern": "^(-1|[0-9]{1,18})$"},
                {"type": "null"},
            ]
        }
    },
}
PLAIN = {
    "os-start": states.START,
    "os-stop": states.STOP,
    "pause": states.PAUSE,
    "unpause": states.UNPAUSE,
    "suspend": states.SUSPEND,
    "resume": states.RESUME,
    "revertResize": states.REVERT,
    "unrescue": states.UNRESCUE,
}
LOCK: JSON = forms.or_null({"locked_reason": forms.TEXT})
RESCUE: JSON = forms.or_null({"adminPass": forms.TEXT, "rescue_image_ref": forms.TEXT})
RESIZE = only(
    {"flavorRef": {"type": ["string", "integer"], "minLength": 1}, "OS-DCF:diskConfig": forms.DISK_CONFIG},
    ["flavorRef"],
)


class Actions(Part):
    """Takes each action to its handler."""

    def __init__(self, servers: Servers, *parts: object) -> None:
        """The handlers of those that are not plain are methods of `parts`."""
        super().__init__(servers)
        self._handlers = Handlers(*parts)

    @route("POST", "/v2.1/servers/{id}/action")
    async def act(self, request: Request, id: str) -> Answer | JSON:
        """Do something with a server; the body's only key says what."""
        row = self._servers.find(request, id)
        name, value = asked(request)
        if name not in PLAIN:
            return await self._handlers.do(request, row, name, value)
        self._life.do(request, row, PLAIN[name])
        return Answer(202)


class SmallActions(Part):
    """Reboot, lock, and the console."""

    @action("reboot")
    def reboot(self, request: Request, row: ServerRow, value: Any) -> None:
        """Stop it and boot it again; a hard reboot may follow on a soft one that takes long."""
        schema.check(value, REBOOT)
        self._life.do(request, row, states.HARD_REBOOT if value["type"].upper() == "HARD" else states.REBOOT)

    @action("forceDelete")
    def force_delete(self, request: Request, row: ServerRow, value: Any) -> None:
        """Delete it."""
        self._servers.delete(request, row["id"])

    @action("lock")
    def lock(self, request: Request, row: ServerRow, value: Any) -> None:
        """Have most other actions refused; since 2.73 it may say why."""
        reason = None
        if request.version in versions.LOCK_REASON:
            schema.check(value, LOCK)
            reason = (value or {}).get("locked_reason")
        self._servers.table.update(row["id"], locked=True, locked_reason=reason)
        self._life.history.begin(request, row["id"], states.LOCK)

    @action("unlock")
    def unlock(self, request: Request, row: ServerRow, value: Any) -> None:
        """Allow them again."""
        self._servers.table.update(row["id"], locked=False, locked_reason=None)
        self._life.history.begin(request, row["id"], states.UNLOCK)

    @route("GET", "/v2.1/servers/{id}/os-server-password")
    def password(self, request: Request, id: str) -> JSON:
        """The password that an instance has set itself, as Windows images do: there is none."""
        self._servers.find(request, id)
        return {"password": ""}

    @route("DELETE", "/v2.1/servers/{id}/os-server-password")
    def forget_password(self, request: Request, id: str) -> Answer:
        """Forget that password."""
        self._servers.find(request, id)
        return Answer(204)

    @route("GET", "/v2.1/servers/{id}/topology", versions=versions.TOPOLOGY)
    def topology(self, request: Request, id: str) -> JSON:
        """The NUMA nodes that a flavor gives an instance: none."""
        self._servers.find(request, id)
        return {"nodes": [], "pagesize_kb": None}

    # The console

    @action("os-getVNCConsole", versions=versions.SCREENS)
    @action("os-getSPICEConsole", versions=versions.SCREENS)
    @action("os-getSerialConsole", versions=versions.SCREENS)
    def no_screen(self, request: Request, row: ServerRow, value: Any) -> None:
        """An instance has a console log and SSH, but no screen to look at."""
        kind = value.get("type") if isinstance(value, dict) else None
        raise Fault(400, f"Unavailable console type {kind}.")

    @route("POST", "/v2.1/servers/{id}/remote-consoles", versions=versions.REMOTE_CONSOLES)
    def remote_console(self, request: Request, id: str) -> None:
        """An instance has a console log and SSH, but no screen to look at."""
        self.no_screen(request, self._servers.find(request, id), request.parse().get("remote_console"))

    @action("os-getConsoleOutput")
    def console(self, request: Request, row: ServerRow, value: Any) -> JSON:
        """The console log, or its last lines."""
        if not has_host(row):
            raise Fault(409, f"Instance {row['id']} is not ready")
        schema.check(value, LENGTH)
        lines = _tail(self._life.guests.directory(row["id"]) / "console.log").split("\n")
        length = len(lines) if value.get("length") in (None, -1, "-1") else int(value["length"])
        return {"output": "\n".join(lines[-length:] if length else [])}  # what follows the last line end counts, too


def _tail(path: Path) -> str:
    """The console log's last part."""
    try:
        with path.open("rb") as file:
            file.seek(max(os.fstat(file.fileno()).st_size - CONSOLE_BYTES_MAX, 0))
            return file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""


class Rebuilding(Part):
    """Rebuild, resize, rescue and unshelve."""

    @action("rebuild")
    def rebuild(self, request: Request, row: ServerRow, value: Any) -> Answer:
        """Begin again with a new disk."""
        schema.check(value, forms.rebuild(request.version))
        wanted, id = value, row["id"]
        states.REBUILD.check(row)
        if not row["image_id"] and request.version not in versions.REBUILT_VOLUME:
            raise Fault(400, "Unable to rebuild a volume-backed server before microversion 2.93.")
        image = self._wanted.image(request, wanted, FLAVORS[row["flavor_id"]])
        self._wanted.check_metadata(wanted)
        self._wanted.check_certificates(wanted)
        changes: JSON = {
            **settable(wanted),
            **{name: wanted[name] for name in ("metadata", "user_data") if name in wanted},
        }
        if "key_name" in wanted:
            key = self._wanted.key(request, wanted)
            changes |= {"key_name": key["name"] if key else None, "public_key": key["public_key"] if key else None}
        if row["image_id"]:
            changes["image_id"] = image["id"]
        else:
            root = self._volumes.volume(request, next(each["id"] for each in row["volumes"] if each["root"]))
            self._volumes.volumes.reimage(request, root, image["id"])
        self._life.begin(request, id, states.REBUILD, booted=False, fault=None, **changes)
        row = self._servers.table[id]
        view = self._servers.changed_view(request, row)
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
        changes = {"new_flavor_id": flavor.id, "old_vm_state": row["vm_state"], **settable(value)}
        self._life.begin(request, row["id"], states.RESIZE, **changes)

    @action("rescue")
    def rescue(self, request: Request, row: ServerRow, value: Any) -> JSON:
        """Boot it from the disk of another image, with its own one beside it."""
        schema.check(value, RESCUE)
        wanted: JSON = value or {}
        states.RESCUE.check(row)
        if not row["image_id"] and request.version not in versions.RESCUED_VOLUME:
            why = "Cannot rescue a volume-backed instance"
            raise Fault(400, f"Instance {row['id']} cannot be rescued: {why}")
        reference = {"imageRef": wanted.get("rescue_image_ref") or row["image_id"]}
        image = self._wanted.image(request, reference, FLAVORS[row["flavor_id"]])
        self._life.begin(request, row["id"], states.RESCUE, rescue_image_id=image["id"], fault=None)
        return {"adminPass": wanted.get("adminPass") or secrets.token_urlsafe(9)}

    @action("shelveOffload")
    def offload(self, request: Request, row: ServerRow, value: Any) -> None:
        """Take a shelved server off its host, which an administrator may; it is at once when it is shelved."""
        if not request.admin:
            raise denied("os_compute_api:os-shelve:shelve_offload")
        self._life.do(request, row, states.OFFLOAD)

    @action("unshelve")
    def unshelve(self, request: Request, row: ServerRow, value: Any) -> None:
        """Boot a shelved server again; since 2.77 in a zone."""
        schema.check(value, forms.unshelve(request.version))
        states.UNSHELVE.check(row)
        wanted: JSON = value if value and request.version in versions.UNSHELVE_ZONE else {}
        if "host" in wanted:
            raise denied("os_compute_api:os-shelve:unshelve_to_host")
        self._wanted.check_zone(wanted)
        self._life.begin(request, row["id"], states.UNSHELVE)

    @action("confirmResize")
    def confirm(self, request: Request, row: ServerRow, value: Any) -> Answer:
        """Forget the old flavor."""
        self._life.confirm(request, row)
        return Answer(204)


class InstanceActions(Part):
    """What has been done with servers."""

    def _of(self, request: Request, id: str) -> list[JSON]:
        """A server's actions, the newest first; since 2.21 a deleted server's too."""
        server = self._life.servers.get(id)
        if server is None and request.version in versions.DELETED_ACTIONS:
            server = self._life.history.was(id)
        if server is None or server["project_id"] != request.project:
            raise Fault(404, f"Instance {id} could not be found.")
        return self._life.history.of(id)[::-1]

    def _view(self, server: str, row: JSON, version: tuple[int, int]) -> JSON:
        names = ["action", "request_id", "user_id", "project_id", "start_time", "message"]
        if version in versions.ACTION_PAGES:
            names.append("updated_at")
        return {**{name: row[name] for name in names}, "instance_uuid": server}

    @route("GET", "/v2.1/servers/{id}/os-instance-actions")
    def instance_actions(self, request: Request, id: str) -> JSON:
        """What has been done with a server, the newest first; since 2.58 a page at a time."""
        rows: Sequence[JSON] = self._of(request, id)
        more: JSON = {}
        if request.version in versions.ACTION_PAGES:
            during = Period(request)
            rows = [row for row in rows if during(row["updated_at"])]
            rows, more = self._links.page(request, rows, lambda row: row["request_id"], "links")
        return {"instanceActions": [self._view(id, row, request.version) for row in rows], **more}

    @route("GET", "/v2.1/servers/{id}/os-instance-actions/{request_id}")
    def instance_action(self, request: Request, id: str, request_id: str) -> JSON:
        """One action, and since 2.51 its event."""
        for row in self._of(request, id):
            if row["request_id"] == request_id:
                view = self._view(id, row, request.version)
                if request.version in versions.EVENTS:
                    host = {"hostId": self._servers.host_id(row["project_id"])}
                    more = host if request.version in versions.EVENT_HOST else {}
                    view["events"] = [{**row["event"], **more}] if row["event"] else []
                return {"instanceAction": view}
        raise Fault(404, f"Action for request_id {request_id} on instance {id} not found")
