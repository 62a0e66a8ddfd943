"""Nova's old doors to other services: security groups, floating IPs, networks, images, volumes. Until 2.35.

As in Nova, each asks the other service with the client's own token, and words the answer in Nova's old forms. What a
door leads to, and how it is worded, is its row in the table of doors; listing, showing, making and deleting are the
same for all.
Source: https://docs.openstack.org/api-ref/compute/, the sections that are marked as deprecated
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import quote

from faafo_lab.cloud.emulator.common.forwarding import ask
from faafo_lab.cloud.emulator.common.schema import UUID
from faafo_lab.cloud.emulator.common.service import JSON, Answer, Fault, Request, Service, Versions, route
from faafo_lab.cloud.emulator.services.compute import versions
from faafo_lab.cloud.emulator.services.compute.attachments import attachment_view
from faafo_lab.cloud.emulator.services.compute.base import form, number
from faafo_lab.cloud.emulator.services.compute.server_filters import moment_of
from faafo_lab.cloud.emulator.services.compute.servers import Part, Servers
from faafo_lab.cloud.emulator.services.image.schemas import BASE, READ_ONLY

F = TypeVar("F", bound=Callable[..., Any])
TEXT: JSON = {"type": ["string", "null"], "maxLength": 255}
PORT: JSON = {
    "anyOf": [
        {"type": "integer", "minimum": -1, "maximum": 65535},
        {"type": "string", "pattern": "^-?[0-9]{1,5}$"},
        {"type": "null"},
    ]
}
NAME: JSON = {"type": "string", "maxLength": 255, "pattern": r"\S"}
GROUP: JSON = {"type": "object", "required": ["name"], "properties": {"name": NAME, "description": TEXT}}
RULE: JSON = {
    "type": "object",
    "required": ["parent_group_id"],
    "properties": {
        "parent_group_id": {"type": "string", "pattern": UUID},
        **dict.fromkeys(("ip_protocol", "cidr", "group_id"), TEXT),
        **dict.fromkeys(("from_port", "to_port"), PORT),
    },
}
ANY: JSON = {"type": "object"}  # Cinder checks it
VOLUME_FIELDS = ("size", "metadata", "snapshot_id", "volume_type", "availability_zone", "volume_id", "force")
STATUSES = {"active": "ACTIVE", "queued": "SAVING", "saving": "SAVING", "deleted": "DELETED", "killed": "ERROR"}
PROGRESS = {"ACTIVE": 100, "SAVING": 25}
IMAGE_FILTERS = {  # Nova's name: Glance's
    "name": "name",
    "status": "status",
    "server": "instance_uuid",
    "type": "image_type",
    "minRam": "min_ram",
    "minDisk": "min_disk",
}
NO_PROPERTIES = {*BASE, *READ_ONLY, "stores", "locations"}
NETWORK_FIELDS = (  # of nova-network, which had them; Neutron's networks have none
    *("id", "label", "cidr", "gateway", "netmask", "broadcast", "dns1", "dns2", "cidr_v6", "gateway_v6"),
    *("netmask_v6",),
)


@dataclass(frozen=True)
class Door:
    """What an old path leads to."""

    service: Service
    there: str  # the path of these resources at the service
    name: str  # what Nova's bodies call one; several have an s
    view: Callable[[JSON], JSON]  # from the service's form to Nova's
    definition: JSON = field(default_factory=dict)  # the form of a new one
    wanted: Callable[[JSON], JSON] = dict  # from Nova's form of a new one to the service's

    @property
    def theirs(self) -> str:
        """What the service's bodies call one; several have an s."""
        return "floatingip" if self.name == "floating_ip" else self.name


def old(method: str, template: str, *doors: str, until: Versions = versions.PROXIES) -> Callable[[F], F]:
    """Routes for these doors, each in place of the template's *."""

    def mark(function: F) -> F:
        for name in doors:
            function = route(method, "/v2.1/" + template.replace("*", name), versions=until)(function)
        return function

    return mark


class Proxies(Part):
    """Nova's old API of other services' resources."""

    def __init__(self, servers: Servers) -> None:
        super().__init__(servers)
        network, volumes, images = self._network, self._volumes, self._images
        groups, rules, networks = "/v2.0/security-groups", "/v2.0/security-group-rules", "/v2.0/networks"
        of_project = "/v3/{project}"
        self._doors = {
            "os-security-groups": Door(network, groups, "security_group", self._group_view, GROUP, _wanted_group),
            "os-security-group-rules": Door(network, rules, "security_group_rule", self._rule_view, RULE, _wanted_rule),
            "os-floating-ips": Door(network, "/v2.0/floatingips", "floating_ip", self._floating_view),
            "os-networks": Door(network, networks, "network", _network_view),
            "os-tenant-networks": Door(network, networks, "network", _tenant_network_view),
            "os-volumes": Door(volumes, f"{of_project}/volumes", "volume", _volume_view, ANY, _wanted_volume),
            "os-snapshots": Door(volumes, f"{of_project}/snapshots", "snapshot", _snapshot_view, ANY, _wanted_volume),
            "images": Door(images, "/v2/images", "image", self._image_view),
        }

    # What is the same for all

    def _door(self, request: Request) -> Door:
        return self._doors[request.path.split("/")[2]]

    async def _ask(self, request: Request, method: str, id: str = "", body: JSON | None = None) -> JSON:
        """What the service behind a door answers; what Neutron finds in conflict is a bad request here."""
        door = self._door(request)
        path = door.there.format(project=request.project) + (f"/{quote(id, safe='')}" if id else "")
        query = {"limit": "1000"} if door.service is self._images else None
        try:
            found = await ask(door.service, request, method, path, body, query)
        except Fault as fault:
            status, message = fault.status, fault.message
            if door.service is self._network and status == 409:
                status = 403 if message.startswith("Quota exceeded") else 400
            if door.service is self._images and status == 404:
                message = "Image not found."
            raise Fault(status, message) from None
        one: JSON = found.get(door.theirs, found)
        return one

    @old("GET", "*", "os-security-groups", "os-floating-ips", "os-networks", "os-tenant-networks", "images")
    @old("GET", "*", "os-volumes", "os-volumes/detail", "os-snapshots", "os-snapshots/detail", "images/detail")
    async def old_list(self, request: Request) -> JSON:
        """List another service's resources in Nova's old form."""
        door = self._door(request)
        found = await self._ask(request, "GET", "detail" if door.service is self._volumes else "")
        rows: list[JSON] = found[f"{door.theirs}s"]
        view = door.view
        if door.service is self._images:
            rows = _filtered(request, rows)
            if not request.path.endswith("/detail"):
                view = self._image_entry
        plural = f"{door.name}s"
        page, more = self._links.page(
            request, rows, lambda row: row["id"], f"{plural}_links", number(request, "offset") or 0
        )
        return {plural: [view(row) for row in page], **(more if door.service is self._images else {})}

    @old("GET", "*/{id}", "os-security-groups", "os-floating-ips", "os-networks", "os-tenant-networks", "images")
    @old("GET", "*/{id}", "os-volumes", "os-snapshots")
    async def old_show(self, request: Request, id: str) -> JSON:
        """Show another service's resource in Nova's old form."""
        door = self._door(request)
        return {door.name: door.view(await self._ask(request, "GET", id))}

    @old("DELETE", "*/{id}", "os-security-groups", "os-security-group-rules", "os-floating-ips", "images")
    @old("DELETE", "*/{id}", "os-volumes", "os-snapshots")
    async def old_delete(self, request: Request, id: str) -> Answer:
        """Delete another service's resource."""
        await self._ask(request, "DELETE", id)
        return Answer(204 if self._door(request).service is self._images else 202)

    async def _change(self, request: Request, method: str, id: str = "") -> JSON:
        door = self._door(request)
        wanted = door.wanted(request.parse(form(door.name, door.definition))[door.name])
        return {door.name: door.view(await self._ask(request, method, id, {door.theirs: wanted}))}

    @old("POST", "*", "os-security-groups", "os-security-group-rules", "os-snapshots")
    async def old_create(self, request: Request) -> JSON:
        """Make another service's resource."""
        return await self._change(request, "POST")

    @old("POST", "*", "os-volumes")
    async def old_create_volume(self, request: Request) -> Answer:
        """Make a volume."""
        made = await self._change(request, "POST")
        return Answer(200, made, {"Location": f"{self._links.root}/v2.1/os-volumes/{made['volume']['id']}"})

    @old("PUT", "*/{id}", "os-security-groups")
    async def old_update(self, request: Request, id: str) -> JSON:
        """Rename a security group."""
        return await self._change(request, "PUT", id)

    # Floating IPs

    def _pools(self, request: Request) -> dict[str, str]:
        """The external networks that are visible to the project: their names by id."""
        networks = self._network.networks
        found = networks.table.where(**{"router:external": True})
        return {row["id"]: row["name"] for row in found if networks.visible(row, request.project)}

    @old("GET", "*", "os-floating-ip-pools")
    def old_pools(self, request: Request) -> JSON:
        """The networks that floating IPs come from."""
        return {"floating_ip_pools": [{"name": name} for name in self._pools(request).values()]}

    @old("POST", "*", "os-floating-ips")
    async def old_create_floating_ip(self, request: Request) -> JSON:
        """Take a floating IP out of a pool."""
        asked = request.parse({"type": "object", "properties": {"pool": TEXT}}).get("pool")
        network = next((id for id, name in self._pools(request).items() if asked in (None, id, name)), None)
        if network is None:
            raise Fault(404, f"Floating IP pool {asked} not found.")
        made = await self._ask(request, "POST", body={"floatingip": {"floating_network_id": network}})
        return {"floating_ip": self._floating_view(made)}

    def _floating_view(self, floating: JSON) -> JSON:
        network = self._network.networks.table.get(floating["floating_network_id"])
        return {
            "id": floating["id"],
            "ip": floating["floating_ip_address"],
            "fixed_ip": floating["fixed_ip_address"],
            "instance_id": (floating.get("port_details") or {}).get("device_id") or None,
            "pool": network["name"] if network else None,
        }

    # Security groups

    @route("GET", "/v2.1/servers/{id}/os-security-groups")
    def security_groups(self, request: Request, id: str) -> JSON:
        """A server's security groups, in Nova's old form."""
        self._servers.find(request, id)
        rules = self._network.rules.table
        groups = self._servers.groups_of(self._network.ports_of(id))
        found = [{**group, "security_group_rules": rules.where(security_group_id=group["id"])} for group in groups]
        return {"security_groups": [self._group_view(group) for group in found]}

    def _group_view(self, group: JSON) -> JSON:
        rules = [rule for rule in group["security_group_rules"] if rule["direction"] == "ingress"]
        return {
            **{name: group[name] for name in ("id", "name", "description")},
            "tenant_id": group["project_id"],
            "rules": [self._rule_view(rule) for rule in rules],
        }

    def _rule_view(self, rule: JSON) -> JSON:
        group = self._network.groups.table.get(rule["remote_group_id"])
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

    # Images

    def _image_entry(self, image: JSON) -> JSON:
        href = f"{self._images.url}/images/{image['id']}"
        alternate = {"rel": "alternate", "type": "application/vnd.openstack.image", "href": href}
        links = [*self._links.of("images", image["id"]), alternate]
        return {"id": image["id"], "name": image["name"], "links": links}

    def _image_view(self, image: JSON) -> JSON:
        status = STATUSES.get(image["status"], "UNKNOWN")
        metadata = {name: value for name, value in image.items() if name not in NO_PROPERTIES}
        view = {
            **self._image_entry(image),
            "minRam": image["min_ram"],
            "minDisk": image["min_disk"],
            "metadata": metadata,
            "created": image["created_at"],
            "updated": image["updated_at"],
            "status": status,
            "progress": PROGRESS.get(status, 0),
            "OS-EXT-IMG-SIZE:size": image["size"] or 0,
        }
        if "instance_uuid" in metadata:
            server = metadata["instance_uuid"]
            view["server"] = {"id": server, "links": self._links.of("servers", server)}
        return view

    @old("GET", "*/{id}/metadata", "images", until=versions.IMAGE_METADATA)
    async def old_image_metadata(self, request: Request, id: str) -> JSON:
        """An image's properties."""
        return {"metadata": self._image_view(await self._ask(request, "GET", id))["metadata"]}


def _filtered(request: Request, images: list[JSON]) -> list[JSON]:
    """The images that a query means."""
    names = {**IMAGE_FILTERS, **{name: name[9:] for name in request.query if name.startswith("property-")}}
    wanted = {theirs: values[-1] for name, theirs in names.items() if (values := request.query.get(name))}
    if "status" in wanted:
        wanted["status"] = wanted["status"].lower()
    if "instance_uuid" in wanted:  # it may be the server's address
        wanted["instance_uuid"] = wanted["instance_uuid"].rsplit("/", 1)[-1]
    since = moment_of(request.one("changes-since")) or 0
    return [
        image
        for image in images
        if all(str(image.get(name)) == value for name, value in wanted.items())
        and (moment_of(image["updated_at"]) or 0) >= since
    ]


def _wanted_group(wanted: JSON) -> JSON:
    return {"name": wanted["name"], "description": wanted.get("description") or ""}


def _wanted_rule(wanted: JSON) -> JSON:
    """What lets something in: from a block of addresses, or from the members of a group. Raises a 400 `Fault`."""
    source, group = wanted.get("cidr") or None, wanted.get("group_id")
    if wanted.get("ip_protocol") is None and group is None:
        raise Fault(400, "Protocol is required: ip_protocol, from_port and to_port say what is let in.")
    ports = [wanted.get("from_port"), wanted.get("to_port")]
    low, high = (None if port is None or int(port) == -1 else int(port) for port in ports)  # -1: Nova's word for any
    return {
        "security_group_id": wanted["parent_group_id"],
        "direction": "ingress",
        "protocol": wanted.get("ip_protocol"),
        "ethertype": "IPv6" if source and ":" in source else "IPv4",
        "port_range_min": low,
        "port_range_max": high,
        "remote_group_id": group,
        "remote_ip_prefix": source or (None if group else "0.0.0.0/0"),
    }


def _wanted_volume(wanted: JSON) -> JSON:
    """A volume or a snapshot in Cinder's words."""
    names = {"display_name": "name", "display_description": "description", **{name: name for name in VOLUME_FIELDS}}
    return {theirs: wanted[ours] for ours, theirs in names.items() if wanted.get(ours) is not None}


def _volume_view(volume: JSON) -> JSON:
    attachments = [attachment_view(volume["id"], each) for each in volume["attachments"]]
    return {
        **{name: volume[name] for name in ("id", "status", "size", "metadata")},
        "availabilityZone": volume["availability_zone"],
        "createdAt": volume["created_at"],
        "attachments": attachments or [{}],
        "displayName": volume["name"],
        "displayDescription": volume["description"],
        "volumeType": volume["volume_type"],
        "snapshotId": volume["snapshot_id"],
    }


def _snapshot_view(snapshot: JSON) -> JSON:
    return {
        **{name: snapshot[name] for name in ("id", "status", "size")},
        "volumeId": snapshot["volume_id"],
        "createdAt": snapshot["created_at"],
        "displayName": snapshot["name"],
        "displayDescription": snapshot["description"],
    }


def _network_view(network: JSON) -> JSON:
    return {**dict.fromkeys(NETWORK_FIELDS), "id": network["id"], "label": network["name"]}


def _tenant_network_view(network: JSON) -> JSON:
    return {"id": network["id"], "cidr": "None", "label": network["name"]}
