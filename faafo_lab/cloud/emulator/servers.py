"""Servers: create, list, show, change and delete; their metadata, addresses and groups.

What happens to a server after its request is in `lifecycle`.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import string
from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING

from faafo_lab.cloud.emulator.lifecycle import Lifecycle
from faafo_lab.cloud.emulator.service import JSON, Answer, Fault, Request, new_id, now, route
from faafo_lab.cloud.emulator.store import Row
from faafo_lab.cloud.emulator.wanted import CREATE, METADATA, NAME, Wanted

if TYPE_CHECKING:
    from faafo_lab.cloud.emulator.server import Emulator

STATUS = {"building": "BUILD", "active": "ACTIVE", "stopped": "SHUTOFF", "error": "ERROR"}
REBOOTING = {"rebooting": "REBOOT", "rebooting_hard": "HARD_REBOOT"}

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
                "accessIPv4": {"type": "string"},
                "accessIPv6": {"type": "string"},
                "OS-DCF:diskConfig": {"type": "string", "enum": ["AUTO", "MANUAL"]},
            },
        }
    },
}


class Servers(Wanted):
    """The operations on servers, but for their actions."""

    def __init__(self, cloud: Emulator) -> None:
        super().__init__(cloud)
        self.life = Lifecycle(cloud)

    def setup(self) -> None:
        """Make the place of the instances' directories."""
        (self.cloud.directory / "instances").mkdir(mode=0o700, exist_ok=True)

    # Create

    @route("POST", "/v2.1/servers")
    def create(self, request: Request) -> Answer:
        """Create one or several servers; they are built in the background."""
        wanted = self.parse(request, CREATE)["server"]
        least = int(wanted.get("min_count", 1))
        most = int(wanted.get("max_count", least))
        if least > most:
            raise Fault(400, "min_count must be <= max_count")
        flavor = self._wanted_flavor(wanted)
        image = self._wanted_image(request, wanted, flavor)
        key = self._wanted_key(request, wanted)
        groups = self._wanted_groups(request, wanted)
        networks = self._wanted_networks(request, wanted, most)
        if len(wanted.get("metadata", {})) > self.limit("metadata_items"):
            raise Fault(403, "Quota exceeded, too many metadata items in request.")
        count = self._claim(request.project, flavor, least, most)
        password = "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(12))
        created, rows = now(), []
        reservation = "r-" + secrets.token_hex(4)
        with self.store.transaction():
            for number in range(count):
                row = {
                    "id": new_id(),
                    "name": wanted["name"] if most == 1 else f"{wanted['name']}-{number + 1}",
                    "project_id": request.project,
                    "user_id": request.token.user_id,
                    "image_id": image["id"],
                    "flavor_id": flavor.id,
                    "key_name": key["name"] if key else None,
                    "public_key": key["public_key"] if key else None,
                    "user_data": wanted.get("user_data"),
                    "metadata": wanted.get("metadata", {}),
                    "groups": [group["id"] for group in groups],
                    "networks": networks,
                    "config_drive": str(wanted.get("config_drive") or "").lower() in ("true", "1", "yes", "on"),
                    "disk_config": wanted.get("OS-DCF:diskConfig", "MANUAL"),
                    "access_ipv4": wanted.get("accessIPv4", ""),
                    "access_ipv6": wanted.get("accessIPv6", ""),
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
        for row in rows:
            self.life.build(row["id"])
        if str(wanted.get("return_reservation_id", "")).lower() == "true":
            return Answer(202, {"reservation_id": reservation})
        first = rows[0]
        view = {
            "id": first["id"],
            "links": self._links("servers", first["id"]),
            "OS-DCF:diskConfig": first["disk_config"],
            "security_groups": [{"name": group["name"]} for group in groups],
            "adminPass": wanted.get("adminPass", password),
        }
        return Answer(202, {"server": view}, {"Location": f"{self.url}/v2.1/servers/{first['id']}"})

    # Look

    def _find(self, request: Request, id: str) -> Row:
        row = self.servers.get(id)
        if row is None or row["project_id"] != request.project:
            raise Fault(404, f"Instance {id} could not be found.")
        return row

    def _status(self, row: Row) -> str:
        status = STATUS[row["vm_state"]]
        return REBOOTING.get(row["task_state"], status) if status == "ACTIVE" else status

    def _view(self, row: Row, ports: list[Row]) -> JSON:
        """A server as Nova 2.1 shows it."""
        placed = row["vm_state"] != "building" or row["task_state"] == "spawning"
        host = hashlib.sha224(f"{row['project_id']}{self.cloud.name}".encode()).hexdigest()
        volumes = self.cloud.volume.mounts.of(row["id"])
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
            "addresses": self.cloud.network.addresses(ports),
            "accessIPv4": row["access_ipv4"],
            "accessIPv6": row["access_ipv6"],
            "links": self._links("servers", row["id"]),
            "OS-DCF:diskConfig": row["disk_config"],
            "progress": 100 if row["vm_state"] == "active" else 0,
            "OS-EXT-AZ:availability_zone": "nova" if placed else "",
            "config_drive": "True" if row["config_drive"] else "",
            "key_name": row["key_name"],
            "OS-SRV-USG:launched_at": row["launched_at"],
            "OS-SRV-USG:terminated_at": None,
            "OS-EXT-STS:task_state": row["task_state"],
            "OS-EXT-STS:vm_state": row["vm_state"],
            "OS-EXT-STS:power_state": row["power_state"],
            "os-extended-volumes:volumes_attached": [{"id": volume["id"]} for volume in volumes],
        }
        if row["fault"] is not None:
            view["fault"] = row["fault"]
            del view["progress"]  # Nova shows it only where there is some
        if ports:
            view["security_groups"] = [{"name": group["name"]} for group in self._groups_of(ports)]
        return view

    def _groups_of(self, ports: Iterable[Row]) -> list[Row]:
        table = self.cloud.network.groups.table
        ids = dict.fromkeys(id for port in ports for id in port["security_groups"])
        return [table[id] for id in ids]

    def _listed(self, request: Request) -> tuple[list[Row], list[JSON]]:
        if request.one("all_tenants") not in (None, "0", "False", "false"):
            raise Fault(403, "Policy doesn't allow os_compute_api:servers:index:get_all_tenants to be performed.")
        found = [row for row in self.servers.where(project_id=request.project) if self._matches(row, request)]
        found.sort(key=lambda row: (row["created"], row["launch_index"], row["id"]))
        keys, directions = request.query.get("sort_key", ["created_at"]), request.query.get("sort_dir", [])
        names = {"created_at": "created", "updated_at": "updated", "display_name": "name", "uuid": "id"}
        for number, key in reversed(list(enumerate(keys))):
            name = names.get(key, key)
            if found and (name not in found[0] or isinstance(found[0][name], dict | list)):
                raise Fault(400, f"Invalid input for query parameters sort_key. Value: {key}.")
            reverse = (directions[number] if number < len(directions) else "desc") == "desc"
            found.sort(key=lambda row: str(row[name]), reverse=reverse)
        return self._page(found, request)

    def _matches(self, row: Row, request: Request) -> bool:
        """Whether a server fits the query; as in Nova, names and addresses are regular expressions."""
        equal = {
            "image": row["image_id"],
            "flavor": row["flavor_id"],
            "key_name": row["key_name"],
            "reservation_id": row["reservation_id"],
            "uuid": row["id"],
        }
        for name, value in equal.items():
            if name in request.query and value not in request.query[name]:
                return False
        if "status" in request.query and self._status(row) not in [each.upper() for each in request.query["status"]]:
            return False
        if (pattern := request.one("name")) is not None and not _search(pattern, row["name"]):
            return False
        if (pattern := request.one("ip")) is not None:
            ports = self.cloud.network.ports_of(row["id"])
            fixed = [ip["ip_address"] for port in ports for ip in port["fixed_ips"]]
            if not any(_search(pattern, each) for each in fixed):
                return False
        if (since := request.one("changes-since")) is not None:
            try:
                moment = datetime.fromisoformat(since).timestamp()
            except (ValueError, OverflowError):
                raise Fault(400, f"Invalid input for query parameters changes-since. Value: {since}.") from None
            if datetime.fromisoformat(row["updated"]).timestamp() < moment:
                return False
        return request.one("deleted") not in ("True", "true", "1")

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
        ports = self.cloud.network.ports_by_server()
        views = [self._view(row, ports.get(row["id"], [])) for row in page]
        return {"servers": views, **({"servers_links": links} if links else {})}

    @route("GET", "/v2.1/servers/{id}")
    def show(self, request: Request, id: str) -> JSON:
        """Show a server."""
        return {"server": self._view(self._find(request, id), self.cloud.network.ports_of(id))}

    @route("GET", "/v2.1/servers/{id}/ips")
    def addresses(self, request: Request, id: str) -> JSON:
        """A server's addresses."""
        self._find(request, id)
        found = self.cloud.network.addresses(self.cloud.network.ports_of(id))
        short = {
            name: [{"version": each["version"], "addr": each["addr"]} for each in items]
            for name, items in found.items()
        }
        return {"addresses": short}

    @route("GET", "/v2.1/servers/{id}/os-interface")
    def interfaces(self, request: Request, id: str) -> JSON:
        """A server's ports."""
        self._find(request, id)
        return {"interfaceAttachments": [_interface(port) for port in self.cloud.network.ports_of(id)]}

    @route("GET", "/v2.1/servers/{id}/os-interface/{port}")
    def interface(self, request: Request, id: str, port: str) -> JSON:
        """One of a server's ports."""
        self._find(request, id)
        for row in self.cloud.network.ports_of(id):
            if row["id"] == port:
                return {"interfaceAttachment": _interface(row)}
        raise Fault(404, f"Instance {id} does not have a port with id {port}")

    @route("GET", "/v2.1/servers/{id}/os-security-groups")
    def security_groups(self, request: Request, id: str) -> JSON:
        """A server's security groups, in Nova's old form."""
        self._find(request, id)
        network = self.cloud.network
        views = []
        for group in self._groups_of(network.ports_of(id)):
            rules = network.rules.table.where(security_group_id=group["id"], direction="ingress")
            view = {
                "id": group["id"],
                "description": group["description"],
                "name": group["name"],
                "tenant_id": group["project_id"],
                "rules": [self._rule_view(rule) for rule in rules],
            }
            views.append(view)
        return {"security_groups": views}

    def _rule_view(self, rule: Row) -> JSON:
        group = self.cloud.network.groups.table.get(rule["remote_group_id"])
        everybody = "0.0.0.0/0" if rule["ethertype"] == "IPv4" else "::/0"
        return {
            "id": rule["id"],
            "parent_group_id": rule["security_group_id"],
            "ip_protocol": rule["protocol"],
            "from_port": rule["port_range_min"],
            "to_port": rule["port_range_max"],
            "group": {"name": group["name"], "tenant_id": group["project_id"]} if group else {},
            "ip_range": {} if group else {"cidr": rule["remote_ip_prefix"] or everybody},
        }

    # Change

    @route("PUT", "/v2.1/servers/{id}")
    def update(self, request: Request, id: str) -> JSON:
        """Change a server's name or access addresses."""
        self._find(request, id)
        wanted = self.parse(request, UPDATE)["server"]
        names = {
            "name": "name",
            "accessIPv4": "access_ipv4",
            "accessIPv6": "access_ipv6",
            "OS-DCF:diskConfig": "disk_config",
        }
        row = self.servers.update(
            id, **{field: wanted[name] for name, field in names.items() if name in wanted}, updated=now()
        )
        return {"server": self._view(row, self.cloud.network.ports_of(id))}

    @route("DELETE", "/v2.1/servers/{id}")
    def delete(self, request: Request, id: str) -> Answer:
        """Delete a server; it is gone when all its processes are."""
        self._find(request, id)
        self.life.delete(id)
        return Answer(204)

    # Metadata

    def _keep_metadata(self, id: str, metadata: JSON) -> JSON:
        if len(metadata) > self.limit("metadata_items"):
            raise Fault(403, f"Maximum number of metadata items exceeds {self.limit('metadata_items')}")
        self.servers.update(id, metadata=metadata, updated=now())
        return metadata

    @route("GET", "/v2.1/servers/{id}/metadata")
    def metadata(self, request: Request, id: str) -> JSON:
        """A server's metadata."""
        return {"metadata": self._find(request, id)["metadata"]}

    @route("POST", "/v2.1/servers/{id}/metadata")
    @route("PUT", "/v2.1/servers/{id}/metadata")
    def set_metadata(self, request: Request, id: str) -> JSON:
        """Add to a server's metadata (POST), or replace all of it (PUT)."""
        row = self._find(request, id)
        definition = {"type": "object", "required": ["metadata"], "properties": {"metadata": METADATA}}
        wanted = self.parse(request, definition)["metadata"]
        kept = {**row["metadata"], **wanted} if request.method == "POST" else wanted
        return {"metadata": self._keep_metadata(id, kept)}

    def _item(self, row: Row, key: str) -> JSON:
        if key not in row["metadata"]:
            raise Fault(404, "Metadata item was not found")
        return {key: row["metadata"][key]}

    @route("GET", "/v2.1/servers/{id}/metadata/{key}")
    def metadata_item(self, request: Request, id: str, key: str) -> JSON:
        """One item of a server's metadata."""
        return {"meta": self._item(self._find(request, id), key)}

    @route("PUT", "/v2.1/servers/{id}/metadata/{key}")
    def set_metadata_item(self, request: Request, id: str, key: str) -> JSON:
        """Set one item of a server's metadata."""
        row = self._find(request, id)
        one = {**METADATA, "minProperties": 1, "maxProperties": 1}
        wanted = self.parse(request, {"type": "object", "required": ["meta"], "properties": {"meta": one}})["meta"]
        if key not in wanted:
            raise Fault(400, "Request body and URI mismatch")
        self._keep_metadata(id, {**row["metadata"], **wanted})
        return {"meta": wanted}

    @route("DELETE", "/v2.1/servers/{id}/metadata/{key}")
    def delete_metadata_item(self, request: Request, id: str, key: str) -> Answer:
        """Remove one item of a server's metadata."""
        row = self._find(request, id)
        gone = self._item(row, key)
        self._keep_metadata(id, {name: value for name, value in row["metadata"].items() if name not in gone})
        return Answer(204)


def _interface(port: Row) -> JSON:
    return {
        "net_id": port["network_id"],
        "port_id": port["id"],
        "mac_addr": port["mac_address"],
        "port_state": port["status"],
        "fixed_ips": port["fixed_ips"],
    }


def _search(pattern: str, text: str) -> bool:
    """Whether a client's regular expression fits; one that might take for ever counts as plain text."""
    repeats = len(re.findall(r"[*+?{]", pattern))
    if repeats > 2 or (repeats and "(" in pattern):
        return pattern in text
    try:
        return re.search(pattern, text) is not None
    except re.error:
        return pattern in text
