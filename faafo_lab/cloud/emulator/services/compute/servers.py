"""Servers: create, list, show, change and delete; their addresses and groups.

What happens to a server after its request is in `lifecycle`.
"""

from __future__ import annotations

import hashlib
import ipaddress
import secrets
import string
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from faafo_lab.cloud.emulator.common.quotas import Quotas
from faafo_lab.cloud.emulator.common.service import JSON, Answer, Fault, Request, Versions, new_id, now, route
from faafo_lab.cloud.emulator.common.store import Row
from faafo_lab.cloud.emulator.machinery.hypervisor.client import Hypervisor
from faafo_lab.cloud.emulator.services.block_storage.api import Volume
from faafo_lab.cloud.emulator.services.compute import block_devices, forms, states, versions
from faafo_lab.cloud.emulator.services.compute.base import FALSE, TRUE, Links, denied, is_true
from faafo_lab.cloud.emulator.services.compute.flavors import FLAVORS
from faafo_lab.cloud.emulator.services.compute.guests import hostname
from faafo_lab.cloud.emulator.services.compute.lifecycle import Lifecycle
from faafo_lab.cloud.emulator.services.compute.quotas import claim
from faafo_lab.cloud.emulator.services.compute.rows import ServerRow
from faafo_lab.cloud.emulator.services.compute.server_filters import Filters, in_order
from faafo_lab.cloud.emulator.services.compute.wanted import Wanted
from faafo_lab.cloud.emulator.services.image.api import Image
from faafo_lab.cloud.emulator.services.network.api import Network
from faafo_lab.cloud.emulator.site import Site

PROGRESSING = frozenset(("ACTIVE", "BUILD", "MIGRATING", "REBUILD", "RESIZE", "VERIFY_RESIZE"))  # those that show it
CHANGED = frozenset(  # what the answer to a change shows until 2.75
    (
        *("id", "name", "status", "tenant_id", "user_id", "metadata", "hostId", "image", "flavor", "created"),
        *("updated", "addresses", "accessIPv4", "accessIPv6", "links", "OS-DCF:diskConfig", "progress", "fault"),
        *("locked", "locked_reason", "description", "tags", "server_groups", "trusted_image_certificates"),
        "OS-EXT-SRV-ATTR:hostname",
    )
)
LATER: tuple[
    tuple[Versions, str, Any], ...
] = (  # the microversions that show a field, and what it is in rows that have none
    (versions.LOCKED, "locked", False),
    (versions.DESCRIPTION, "description", None),
    (versions.TAGS, "tags", []),
    (versions.CERTIFICATES, "trusted_image_certificates", None),
    (versions.LOCK_REASON, "locked_reason", None),
)


class Servers:
    """The operations on servers, but for their actions."""

    def __init__(
        self, site: Site, network: Network, images: Image, volumes: Volume, hypervisor: Hypervisor, quotas: Quotas
    ) -> None:
        self.site, self.network, self.images, self.volumes, self.quotas = site, network, images, volumes, quotas
        self.links, self.wanted = Links(site), Wanted(site.store, network, images, quotas.limit)
        self.life = Lifecycle(site, network, images, volumes, hypervisor)
        self.table = self.life.servers

    # Create

    @route("POST", "/v2.1/servers")
    async def create(self, request: Request) -> Answer:
        """Create one or several servers; they are built in the background."""
        body, checked = request.parse(forms.create(request.version)), self.wanted
        wanted, group = body["server"], checked.server_group(request, body)
        least = int(wanted.get("min_count", 1))
        most = int(wanted.get("max_count", least))
        if least > most:
            raise Fault(400, "min_count must be <= max_count")
        if most > 1 and "hostname" in wanted:
            raise Fault(400, "Several servers cannot have one hostname: leave it out, and each is called as its name.")
        flavor = checked.flavor(wanted)
        devices = block_devices.asked(wanted, most)
        image = None if any(each["root"] for each in devices) else checked.image(request, wanted, flavor)
        key = checked.key(request, wanted)
        groups = checked.groups(request, wanted)
        networks = checked.networks(request, wanted, most)
        checked.check_metadata(wanted)
        checked.check_certificates(wanted)
        checked.check_zone(wanted)
        count = claim(self.quotas, request.project, flavor, least, most)
        password = "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(12))
        volumes = await block_devices.volumes(request, self.volumes, devices, count)
        created = now()
        rows: list[ServerRow] = []
        reservation = "r-" + secrets.token_hex(4)
        with self.site.store.transaction():
            for number in range(count):
                name = wanted["name"] if most == 1 else f"{wanted['name']}-{number + 1}"
                row: ServerRow = {
                    "id": new_id(),
                    "project_id": request.project,
                    "user_id": request.token.user_id,
                    "image_id": image["id"] if image else "",
                    "volumes": volumes[number],
                    "flavor_id": flavor.id,
                    "key_name": key["name"] if key else None,
                    "public_key": key["public_key"] if key and key.get("type", "ssh") == "ssh" else None,
                    "user_data": wanted.get("user_data"),
                    "metadata": wanted.get("metadata", {}),
                    "groups": [each["id"] for each in groups],
                    "networks": networks,
                    "config_drive": is_true(wanted.get("config_drive")),
                    "disk_config": "MANUAL",
                    "access_ipv4": "",
                    "access_ipv6": "",
                    "description": None if request.version in versions.DESCRIPTION else wanted["name"],
                    "name": name,
                    "hostname": hostname(name),
                    "tags": list(dict.fromkeys(wanted.get("tags", []))),
                    "server_group_id": group["id"] if group else None,
                    "locked": False,
                    "launch_index": number,
                    "reservation_id": reservation,
                    "created": created,
                    "updated": created,
                    "launched_at": None,
                    "vm_state": "building",
                    "task_state": states.CREATE.task,
                    "power_state": states.NO_STATE,
                    "booted": False,
                    "fault": None,
                }
                rows.append(self.table.update(self.table.put(row)["id"], **{**settable(wanted), "name": name}))
                self.life.history.begin(request, row["id"], states.CREATE)
        for row in rows:
            self.life.build(row["id"])
        if is_true(wanted.get("return_reservation_id")):
            return Answer(202, {"reservation_id": reservation})
        first = rows[0]
        view = {
            "id": first["id"],
            "links": self.links.of("servers", first["id"]),
            "OS-DCF:diskConfig": first["disk_config"],
            "security_groups": wanted.get("security_groups") or [{"name": "default"}],
            "adminPass": wanted.get("adminPass", password),
        }
        return Answer(202, {"server": view}, {"Location": f"{self.links.root}/v2.1/servers/{first['id']}"})

    # Look

    def find(self, request: Request, id: str) -> ServerRow:
        """The project's server; an administrator's are all. Raises a 404 `Fault`."""
        row = self.table.get(id)
        if row is None or (row["project_id"] != request.project and not request.admin):
            raise Fault(404, f"Instance {id} could not be found.")
        return row

    def find_unlocked(self, request: Request, id: str) -> ServerRow:
        """The project's server, which is not locked. Raises a 404 or 409 `Fault`."""
        row = self.find(request, id)
        states.unlocked(row)
        return row

    def host_id(self, project: str) -> str:
        """How a project knows the host."""
        return hashlib.sha224(f"{project}{self.site.name}".encode()).hexdigest()

    def _view(self, row: ServerRow, ports: list[Row], version: tuple[int, int]) -> JSON:
        """A server as Nova shows it."""
        placed = has_host(row)
        volumes = self.volumes.mounts.of(row["id"])
        view: JSON = {
            "id": row["id"],
            "name": row["name"],
            "status": states.status(row),
            "tenant_id": row["project_id"],
            "user_id": row["user_id"],
            "metadata": row["metadata"],
            "hostId": self.host_id(row["project_id"]) if placed else "",
            "image": row["image_id"] and {"id": row["image_id"], "links": self.links.of("images", row["image_id"])[1:]},
            "flavor": {"id": row["flavor_id"], "links": self.links.of("flavors", row["flavor_id"])[1:]},
            "created": row["created"],
            "updated": row["updated"],
            "addresses": self.network.addresses(ports),
            "accessIPv4": row["access_ipv4"],
            "accessIPv6": row["access_ipv6"],
            "links": self.links.of("servers", row["id"]),
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
        if version in versions.SERVER_ATTRIBUTES:
            going = {each["id"] for each in row.get("volumes", []) if each["delete"]}
            for each in view["os-extended-volumes:volumes_attached"]:
                each["delete_on_termination"] = each["id"] in going
        if row["fault"] is not None:
            view["fault"] = row["fault"]
        if view["status"] in PROGRESSING:
            view["progress"] = 100 if row["vm_state"] == "active" else 0
        if groups := self.groups_of(ports):
            view["security_groups"] = [{"name": group["name"]} for group in groups]
        return {**view, **self._later(row, version)}

    def _later(self, row: ServerRow, version: tuple[int, int]) -> JSON:
        """What later microversions show of a server besides."""
        more: JSON = {name: row.get(name, old) for there, name, old in LATER if version in there}
        if version in versions.HOSTNAME:
            more["OS-EXT-SRV-ATTR:hostname"] = row.get("hostname") or hostname(row["name"])
        if version in versions.FLAVOR_INSIDE:
            flavor = FLAVORS[row["flavor_id"]].scaled(self.site.shares)
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

    def whole_view(self, request: Request, row: ServerRow) -> JSON:
        """A server as it is shown alone."""
        view = self._view(row, self.network.ports_of(row["id"]), request.version)
        group = row.get("server_group_id")
        there = group is not None and group in self.site.store.table("server_group")
        groups = {"server_groups": [group] if there else []} if request.version in versions.GROUPS_INSIDE else {}
        return {**view, **groups}

    def changed_view(self, request: Request, row: ServerRow) -> JSON:
        """A server as the answer to a change shows it."""
        view = self.whole_view(request, row)
        if request.version in versions.STRICT:
            return view
        short = {name: value for name, value in view.items() if name in CHANGED}
        return {**short, "addresses": _plain(view["addresses"])}

    def groups_of(self, ports: Iterable[Row]) -> list[Row]:
        """The security groups of these ports."""
        table = self.network.groups.table
        ids = dict.fromkeys(id for port in ports for id in port["security_groups"])
        return [table[id] for id in ids]

    def _listed(
        self, request: Request, operation: str, ports: Mapping[str, list[Row]]
    ) -> tuple[Sequence[ServerRow], JSON]:
        everybody = _all_tenants(request.one("all_tenants"))
        if everybody and not request.admin:
            raise denied(f"os_compute_api:servers:{operation}:get_all_tenants")
        fits = Filters(
            request,
            lambda row: [ip["ip_address"] for port in ports.get(row["id"], ()) for ip in port["fixed_ips"]],
        )
        project = (request.one("project_id") or request.one("tenant_id")) if everybody else request.project
        rows = self.table.where(project_id=project) if project else list(self.table)
        if fits.during:
            rows += [row for row in self.life.history.deleted() if project in (None, row["project_id"])]
        found = [row for row in rows if fits(row)]
        return self.links.page(request, in_order(found, request), lambda row: row["id"], "servers_links")

    @route("GET", "/v2.1/servers")
    def index(self, request: Request) -> JSON:
        """List servers."""
        page, more = self._listed(request, "index", self.network.ports_by_server())
        views = [{"id": row["id"], "name": row["name"], "links": self.links.of("servers", row["id"])} for row in page]
        return {"servers": views, **more}

    @route("GET", "/v2.1/servers/detail")
    def detail(self, request: Request) -> JSON:
        """List servers, with everything."""
        ports = self.network.ports_by_server()
        page, more = self._listed(request, "detail", ports)
        views = [self._view(row, ports.get(row["id"], []), request.version) for row in page]
        for row, view in zip(page, views, strict=True):
            if not has_host(row):
                view.pop("fault", None)  # as in Nova: a server that no host took is in a database of its own
        return {"servers": views, **more}

    @route("GET", "/v2.1/servers/{id}")
    def show(self, request: Request, id: str) -> JSON:
        """Show a server."""
        return {"server": self.whole_view(request, self.find(request, id))}

    @route("GET", "/v2.1/servers/{id}/ips")
    def addresses(self, request: Request, id: str) -> JSON:
        """A server's addresses."""
        self.find(request, id)
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
        self.find(request, id)
        wanted = request.parse(forms.change(request.version))["server"]
        row = self.table.update(id, **settable(wanted), updated=now())
        return {"server": self.changed_view(request, row)}

    @route("DELETE", "/v2.1/servers/{id}")
    def delete(self, request: Request, id: str) -> Answer:
        """Delete a server; it is gone when all its processes are."""
        row = self.find_unlocked(request, id)
        if row["task_state"] != states.DELETE.task:
            self.life.history.begin(request, id, states.DELETE)
        self.life.delete(id)
        return Answer(204)


class Part:
    """Some of the service's operations: all of them are given the servers, and what those are made of."""

    def __init__(self, servers: Servers) -> None:
        self._servers, self._links, self._life, self._wanted = servers, servers.links, servers.life, servers.wanted
        self._network, self._images, self._volumes = servers.network, servers.images, servers.volumes
        self._quotas, self._store = servers.quotas, servers.site.store


def _all_tenants(text: str | None) -> bool:
    """Whether a query asks for everybody's servers: by a word for true, or by none. Raises a 400 `Fault`."""
    if text is None:
        return False
    if text.lower() not in (*TRUE, *FALSE, ""):
        known = ", ".join(repr(word) for word in sorted((*TRUE, *FALSE)))
        raise Fault(400, f"Unrecognized value {text!r}, acceptable values are: {known}")
    return text.lower() not in FALSE


def has_host(row: ServerRow) -> bool:
    """Whether a server is on a host: not while it is scheduled, nor where no host took it."""
    return not row.get("hostless") and (
        (row["vm_state"] not in ("building", "shelved_offloaded"))
        or row["task_state"] in ("block_device_mapping", "spawning")
    )


def _plain(addresses: JSON) -> JSON:
    """Addresses by network without the extensions' words."""
    return {
        name: [{"version": each["version"], "addr": each["addr"]} for each in items]
        for name, items in addresses.items()
    }


def settable(wanted: JSON) -> JSON:
    """What a client may set of a server at any time, as its row has it."""
    fields: JSON = {name: wanted[name] for name in ("name", "description", "hostname") if name in wanted}
    for name, field in (("accessIPv4", "access_ipv4"), ("accessIPv6", "access_ipv6")):
        if name in wanted:
            fields[field] = str(ipaddress.ip_address(wanted[name]))
    if "OS-DCF:diskConfig" in wanted:
        fields["disk_config"] = wanted["OS-DCF:diskConfig"]
    return fields
