"""Servers: create, list, show, change and delete; their addresses and groups.

What happens to a server after its request is in `lifecycle`.
"""

from __future__ import annotations

import hashlib
import ipaddress
import secrets
import string
from collections.abc import Iterable

from faafo_lab.cloud.emulator.common.service import JSON, Answer, Fault, Request, new_id, now, route
from faafo_lab.cloud.emulator.common.store import Row
from faafo_lab.cloud.emulator.services.compute.base import MIN_VERSION
from faafo_lab.cloud.emulator.services.compute.flavors import FLAVORS
from faafo_lab.cloud.emulator.services.compute.server_filters import Filters, in_order
from faafo_lab.cloud.emulator.services.compute.wanted import DESCRIPTION, IPV4, IPV6, NAME, Wanted, create_schema

STATUS = {
    "building": "BUILD",
    "active": "ACTIVE",
    "stopped": "SHUTOFF",
    "paused": "PAUSED",
    "suspended": "SUSPENDED",
    "resized": "VERIFY_RESIZE",
    "error": "ERROR",
    "deleted": "DELETED",
}
DOING = {  # what is being done shows before what the server is
    "rebooting": "REBOOT",
    "rebooting_hard": "HARD_REBOOT",
    "rebuilding": "REBUILD",
    "resize_migrating": "RESIZE",
    "resize_finish": "RESIZE",
    "resize_reverting": "REVERT_RESIZE",
}

PROGRESSING = frozenset(("ACTIVE", "BUILD", "MIGRATING", "REBUILD", "RESIZE", "VERIFY_RESIZE"))  # those that show it
CHANGED = frozenset(  # what the answer to a change shows
    (
        *("id", "name", "status", "tenant_id", "user_id", "metadata", "hostId", "image", "flavor", "created"),
        *("updated", "addresses", "accessIPv4", "accessIPv6", "links", "OS-DCF:diskConfig", "progress", "fault"),
        *("locked", "description", "tags"),
    )
)

UPDATE: JSON = {
    "type": "object",
    "required": ["server"],
    "properties": {
        "server": {
            "type": "object",
            "minProperties": 1,
            "additionalProperties": False,
            "properties": {
                "name": NAME,
                "accessIPv4": IPV4,
                "accessIPv6": IPV6,
                "OS-DCF:diskConfig": {"type": "string", "enum": ["AUTO", "MANUAL"]},
            },
        }
    },
}


class Servers(Wanted):
    """The operations on servers, but for their actions."""

    def setup(self) -> None:
        """Make the place of the instances' directories."""
        (self.site.directory / "instances").mkdir(mode=0o700, exist_ok=True)

    # Create

    @route("POST", "/v2.1/servers")
    def create(self, request: Request) -> Answer:
        """Create one or several servers; they are built in the background."""
        body = self.parse(request, create_schema(request.version))
        wanted, group = body["server"], self._wanted_server_group(request, body)
        least = int(wanted.get("min_count", 1))
        most = int(wanted.get("max_count", least))
        if least > most:
            raise Fault(400, "min_count must be <= max_count")
        flavor = self._wanted_flavor(wanted)
        image = self._wanted_image(request, wanted, flavor)
        key = self._wanted_key(request, wanted)
        groups = self._wanted_groups(request, wanted)
        networks = self._wanted_networks(request, wanted, most)
        self._check_metadata(wanted)
        self._check_zone(wanted)
        count = self._claim(request.project, flavor, least, most)
        password = "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(12))
        created, rows = now(), []
        reservation = "r-" + secrets.token_hex(4)
        with self.store.transaction():
            for number in range(count):
                row = {
                    "id": new_id(),
                    "project_id": request.project,
                    "user_id": request.token.user_id,
                    "image_id": image["id"],
                    "flavor_id": flavor.id,
                    "key_name": key["name"] if key else None,
                    "public_key": key["public_key"] if key and key.get("type", "ssh") == "ssh" else None,
                    "user_data": wanted.get("user_data"),
                    "metadata": wanted.get("metadata", {}),
                    "groups": [each["id"] for each in groups],
                    "networks": networks,
                    "config_drive": str(wanted.get("config_drive") or "").lower() in ("true", "1", "yes", "on"),
                    "disk_config": "MANUAL",
                    "access_ipv4": "",
                    "access_ipv6": "",
                    "description": None if request.version >= (2, 19) else wanted["name"],
                    **_fields(wanted),
                    "name": wanted["name"] if most == 1 else f"{wanted['name']}-{number + 1}",
                    "tags": list(dict.fromkeys(wanted.get("tags", []))),
                    "server_group_id": group["id"] if group else None,
                    "locked": False,
                    "launch_index": number,
                    "reservation_id": reservation,
                    "created": created,
                    "updated": created,
                    "launched_at": None,
                    "vm_state": "building",
                    "task_state": "scheduling",
                    "power_state": 0,
                    "booted": False,
                    "fault": None,
                }
                rows.append(self.servers.put(row))
                self.life.history.begin(request, row["id"], "create")
        for row in rows:
            self.life.build(row["id"])
        if str(wanted.get("return_reservation_id", "")).lower() == "true":
            return Answer(202, {"reservation_id": reservation})
        first = rows[0]
        view = {
            "id": first["id"],
            "links": self._links("servers", first["id"]),
            "OS-DCF:diskConfig": first["disk_config"],
            "security_groups": [{"name": each["name"]} for each in groups],
            "adminPass": wanted.get("adminPass", password),
        }
        return Answer(202, {"server": view}, {"Location": f"{self.url}/v2.1/servers/{first['id']}"})

    # Look

    def _find(self, request: Request, id: str) -> Row:
        row = self.servers.get(id)
        if row is None or row["project_id"] != request.project:
            raise Fault(404, f"Instance {id} could not be found.")
        return row

    def _unlocked(self, row: Row) -> None:
        """Check that a server is not locked. Raises a 409 `Fault`."""
        if row.get("locked"):
            raise Fault(409, f"Instance {row['id']} is locked")

    def _status(self, row: Row) -> str:
        status = STATUS[row["vm_state"]]
        quiet = row["vm_state"] == "building" or (row["vm_state"] == "stopped" and "boot" in str(row["task_state"]))
        return status if quiet else DOING.get(row["task_state"], status)

    def _view(self, row: Row, ports: list[Row], version: tuple[int, int] = MIN_VERSION) -> JSON:
        """A server as Nova shows it."""
        placed = row["vm_state"] != "building" or row["task_state"] == "spawning"
        host = hashlib.sha224(f"{row['project_id']}{self.site.name}".encode()).hexdigest()
        volumes = self.volumes.mounts.of(row["id"])
        view = {
            "id": row["id"],
            "name": row["name"],
            "status": self._status(row),
            "tenant_id": row["project_id"],
            "user_id": row["user_id"],
            "metadata": row["metadata"],
            "hostId": host if placed else "",
            "image": {"id": row["image_id"], "links": self._links("images", row["image_id"])[1:]},
            "flavor": {"id": row["flavor_id"], "links": self._links("flavors", row["flavor_id"])[1:]},
            "created": row["created"],
            "updated": row["updated"],
            "addresses": self.network.addresses(ports),
            "accessIPv4": row["access_ipv4"],
            "accessIPv6": row["access_ipv6"],
            "links": self._links("servers", row["id"]),
            "OS-DCF:diskConfig": row["disk_config"],
            "OS-EXT-AZ:availability_zone": "nova" if placed else "",
            "config_drive": "True" if row["config_drive"] else "",
            "key_name": row["key_name"],
            "OS-SRV-USG:launched_at": row["launched_at"],
            "OS-SRV-USG:terminated_at": row.get("terminated_at"),
            "OS-EXT-STS:task_state": row["task_state"],
            "OS-EXT-STS:vm_state": row["vm_state"],
            "OS-EXT-STS:power_state": row["power_state"],
            "os-extended-volumes:volumes_attached": [{"id": volume["id"]} for volume in volumes],
        }
        if row["fault"] is not None:
            view["fault"] = row["fault"]
        if view["status"] in PROGRESSING:
            view["progress"] = 100 if row["vm_state"] == "active" else 0
        if ports:
            view["security_groups"] = [{"name": group["name"]} for group in self._groups_of(ports)]
        return {**view, **self._later(row, version)}

    def _later(self, row: Row, version: tuple[int, int]) -> JSON:
        """What later microversions show of a server besides."""
        more: JSON = {}
        if version >= (2, 9):
            more["locked"] = row.get("locked", False)
        if version >= (2, 19):
            more["description"] = row.get("description")
        if version >= (2, 26):
            more["tags"] = row.get("tags", [])
        if version >= (2, 47):
            flavor = FLAVORS[row["flavor_id"]]
            more["flavor"] = {
                "original_name": flavor.name,
                "vcpus": flavor.vcpus,
                "ram": flavor.ram_mb,
                "disk": flavor.disk_gb,
                "ephemeral": 0,
                "swap": 0,
                "extra_specs": flavor.extra_specs,
            }
        return more

    def _short_view(self, request: Request, row: Row) -> JSON:
        """A server as the answer to a change shows it."""
        view = self._view(row, self.network.ports_of(row["id"]), request.version)
        short = {name: value for name, value in view.items() if name in CHANGED}
        return {**short, "addresses": _plain(view["addresses"])}

    def _groups_of(self, ports: Iterable[Row]) -> list[Row]:
        table = self.network.groups.table
        ids = dict.fromkeys(id for port in ports for id in port["security_groups"])
        return [table[id] for id in ids]

    def _listed(self, request: Request) -> tuple[list[Row], list[JSON]]:
        if request.one("all_tenants") not in (None, "0", "False", "false"):
            raise Fault(403, "Policy doesn't allow os_compute_api:servers:index:get_all_tenants to be performed.")
        ports = self.network.ports_by_server() if "ip" in request.query else {}
        fits = Filters(
            request,
            self._status,
            lambda row: [ip["ip_address"] for port in ports.get(row["id"], ()) for ip in port["fixed_ips"]],
        )
        rows = self.servers.where(project_id=request.project)
        if fits.since is not None:
            rows += self.life.history.deleted(request.project)
        found = [row for row in rows if fits(row)]
        return self._page(in_order(found, request), request)

    @route("GET", "/v2.1/servers")
    def index(self, request: Request) -> JSON:
        """List servers."""
        page, links = self._listed(request)
        views = [{"id": row["id"], "name": row["name"], "links": self._links("servers", row["id"])} for row in page]
        return {"servers": views, **({"servers_links": links} if links else {})}

    @route("GET", "/v2.1/servers/detail")
    def detail(self, request: Request) -> JSON:
        """List servers, with everything."""
        page, links = self._listed(request)
        ports = self.network.ports_by_server()
        views = [self._view(row, ports.get(row["id"], []), request.version) for row in page]
        return {"servers": views, **({"servers_links": links} if links else {})}

    @route("GET", "/v2.1/servers/{id}")
    def show(self, request: Request, id: str) -> JSON:
        """Show a server."""
        return {"server": self._view(self._find(request, id), self.network.ports_of(id), request.version)}

    @route("GET", "/v2.1/servers/{id}/ips")
    def addresses(self, request: Request, id: str) -> JSON:
        """A server's addresses."""
        self._find(request, id)
        return {"addresses": _plain(self.network.addresses(self.network.ports_of(id)))}

    @route("GET", "/v2.1/servers/{id}/ips/{network}")
    def addresses_there(self, request: Request, id: str, network: str) -> JSON:
        """A server's addresses on one network."""
        found: JSON = self.addresses(request, id)["addresses"]
        if network not in found:
            raise Fault(404, "Network name not found")
        return {network: found[network]}

    # Change

    @route("PUT", "/v2.1/servers/{id}")
    def update(self, request: Request, id: str) -> JSON:
        """Change a server's name, description or access addresses."""
        self._find(request, id)
        definition = UPDATE
        if request.version >= (2, 19):
            properties = {**UPDATE["properties"]["server"]["properties"], "description": DESCRIPTION}
            server = {**UPDATE["properties"]["server"], "properties": properties}
            definition = {**UPDATE, "properties": {"server": server}}
        wanted = self.parse(request, definition)["server"]
        row = self.servers.update(id, **_fields(wanted), updated=now())
        return {"server": self._short_view(request, row)}

    @route("DELETE", "/v2.1/servers/{id}")
    def delete(self, request: Request, id: str) -> Answer:
        """Delete a server; it is gone when all its processes are."""
        row = self._find(request, id)
        self._unlocked(row)
        if row["task_state"] != "deleting":
            self.life.history.begin(request, id, "delete")
        self.life.delete(id)
        return Answer(204)


def _plain(addresses: JSON) -> JSON:
    """Addresses by network without the extensions' words."""
    return {
        name: [{"version": each["version"], "addr": each["addr"]} for each in items]
        for name, items in addresses.items()
    }


def _fields(wanted: JSON) -> JSON:
    """What a client may set of a server at any time, as its row has it."""
    fields = {
        "name": "name",
        "description": "description",
        "accessIPv4": "access_ipv4",
        "accessIPv6": "access_ipv6",
        "OS-DCF:diskConfig": "disk_config",
    }
    found = {field: wanted[name] for name, field in fields.items() if name in wanted}
    for field in ("access_ipv4", "access_ipv6"):
        if field in found:
            found[field] = str(ipaddress.ip_address(found[field]))
    return found
