"""What a request for servers wants: whether its image, flavor, key, groups and networks are there."""

from __future__ import annotations

from collections.abc import Callable

from faafo_lab.cloud.emulator.common.schema import UUID, matches
from faafo_lab.cloud.emulator.common.service import JSON, Fault, Request
from faafo_lab.cloud.emulator.common.store import Row, Store, Table
from faafo_lab.cloud.emulator.services.compute.base import denied
from faafo_lab.cloud.emulator.services.compute.flavors import FLAVORS, Flavor
from faafo_lab.cloud.emulator.services.compute.rows import GroupRow, KeyRow, ServerRow
from faafo_lab.cloud.emulator.services.image.api import Image
from faafo_lab.cloud.emulator.services.image.rows import ImageRow
from faafo_lab.cloud.emulator.services.network.api import Network

ZONE = "nova"


class Wanted:
    """The checks of a new server. Each raises a `Fault`."""

    def __init__(self, store: Store, network: Network, images: Image, limit: Callable[[str], int]) -> None:
        """`limit` says a quota by its name."""
        self._servers: Table[ServerRow] = store.table("server")
        self._keys: Table[KeyRow] = store.table("keypair")
        self._groups: Table[GroupRow] = store.table("server_group")
        self._network, self._images, self._limit = network, images, limit

    def flavor(self, wanted: JSON) -> Flavor:
        """The flavor."""
        id = str(wanted["flavorRef"]).rstrip("/").rsplit("/", 1)[-1]
        if id not in FLAVORS:
            raise Fault(400, f"Flavor {id} could not be found.")
        return FLAVORS[id]

    def image(self, request: Request, wanted: JSON, flavor: Flavor) -> ImageRow:
        """The image, which has to fit the flavor."""
        if not wanted.get("imageRef"):
            raise Fault(400, "Missing imageRef attribute")
        id = wanted["imageRef"].rstrip("/").rsplit("/", 1)[-1]
        image = self._images.get(id)
        if image is None or not self._images.visible(image, request.project):
            raise Fault(400, "Can not find requested image" if matches(UUID, id) else "Invalid imageRef provided.")
        if image["status"] != "active":
            raise Fault(400, f"Image {id} is not active.")
        if image["min_ram"] > flavor.ram_mb:
            raise Fault(400, "Flavor's memory is too small for requested image.")
        least = max(image["min_disk"] << 30, image["size"] or 0)
        if least > flavor.disk_gb << 30:
            raise Fault(
                400,
                "Flavor's disk is too small for requested image. Flavor disk is "
                f"{flavor.disk_gb << 30} bytes, minimum size is {least} bytes.",
            )
        return image

    def key(self, request: Request, wanted: JSON) -> KeyRow | None:
        """The user's key pair, if one is named."""
        if wanted.get("key_name") is None:
            return None
        row = self._keys.get(f"{request.token.user_id}/{wanted['key_name']}")
        if row is None:
            raise Fault(400, "Invalid key_name provided.")
        return row

    def group(self, project: str, name: str) -> Row | None:
        """The project's security group with this id or name. Raises a 409 `Fault` where there are several."""
        groups = self._network.groups.table
        row = groups.get(name)
        if row is not None and row["project_id"] == project:
            return row
        found = groups.where(project_id=project, name=name)
        if len(found) > 1:
            raise Fault(409, f"Multiple security groups found matching '{name}'. Use an ID to be more specific.")
        return found[0] if found else None

    def groups(self, request: Request, wanted: JSON) -> list[Row]:
        """The security groups; without a word, the default one."""
        names = [item["name"] for item in wanted.get("security_groups", []) if "name" in item] or ["default"]
        found = []
        for name in dict.fromkeys(names):
            if name == "default":
                self._network.groups.default(request.project)
            group = self.group(request.project, name)
            if group is None:
                raise Fault(400, f"Unable to find security_group with name or id '{name}'")
            found.append(group)
        return found

    def networks(self, request: Request, wanted: JSON, count: int) -> list[JSON]:
        """The networks and ports asked for, checked; without a word, the project's only network."""
        network = self._network
        items = wanted.get("networks")
        if items == "none":
            return []
        if not items or items == "auto":
            own = network.networks.table.where(project_id=request.project)
            if items == "auto" and not own:
                return [{"uuid": network.topologies.ensure(request)}]
            if len(own) > 1:
                raise Fault(409, "Multiple possible networks found, use a Network ID to be more specific.")
            return [{"uuid": row["id"]} for row in own if network.subnets.table.where(network_id=row["id"])]
        found: list[JSON] = []
        given = [item["port"] for item in items if item.get("port")]
        if len(given) > len(set(given)):
            raise Fault(400, "Each port may be named once.")
        if count > 1 and any(item.get("fixed_ip") for item in items):
            raise Fault(400, "Invalid launch args: max_count must be 1 if a fixed IP is requested.")
        for item in items:
            if item.get("port"):
                port = self._port(request, item["port"], count)["id"]
                found.append({"port": port, **({"tag": item["tag"]} if "tag" in item else {})})
                continue
            row = network.networks.table.get(item.get("uuid"))
            if row is None or not network.networks.visible(row, request.project):
                raise Fault(400, f"Network {item.get('uuid')} could not be found.")
            if not network.subnets.table.where(network_id=row["id"]):
                raise Fault(400, f"Network {row['id']} requires a subnet in order to boot instances on.")
            if item.get("fixed_ip") in network.taken():
                raise Fault(400, f"Fixed IP address {item['fixed_ip']} is already in use on instance.")
            found.append({name: item[name] for name in ("uuid", "fixed_ip", "tag") if name in item})
        return found

    def server_group(self, request: Request, body: JSON) -> GroupRow | None:
        """The server group, if one is named."""
        hints: JSON = body.get("os:scheduler_hints") or body.get("OS-SCH-HNT:scheduler_hints") or {}
        if "group" not in hints:
            return None
        row = self._groups.get(hints["group"])
        if row is None or row["project_id"] != request.project:
            raise Fault(400, f"Instance group {hints['group']} could not be found.")
        members = len(self._servers.where(server_group_id=row["id"]))
        limit = self._limit("server_group_members")
        if 0 <= limit < members + int(body["server"].get("min_count", 1)):
            raise Fault(403, "Quota exceeded, too many servers in group")
        return row

    def check_metadata(self, wanted: JSON) -> None:
        """Not too many items."""
        if 0 <= self._limit("metadata_items") < len(wanted.get("metadata", {})):
            raise Fault(403, "Quota exceeded, too many metadata items in request.")

    def check_certificates(self, wanted: JSON) -> None:
        """Nothing here verifies an image's signature."""
        if wanted.get("trusted_image_certificates"):
            raise Fault(400, "This cloud verifies no image signatures: leave trusted_image_certificates out.")

    def check_zone(self, wanted: JSON) -> None:
        """The one zone, and no host of one's choice."""
        if "host" in wanted or "hypervisor_hostname" in wanted:
            raise denied("compute:servers:create:requested_destination")
        zone, _, host = (wanted.get("availability_zone") or ZONE).partition(":")
        if host:
            raise denied("os_compute_api:servers:create:forced_host")
        if zone != ZONE:
            raise Fault(400, "The requested availability zone is not available")

    def _port(self, request: Request, id: str, count: int) -> Row:
        port = self._network.ports.table.get(id)
        if port is None or port["project_id"] != request.project:
            raise Fault(400, f"Port id {id} could not be found.")
        if port["device_id"]:
            raise Fault(409, f"Port {id} is still in use.")
        if count > 1:
            raise Fault(400, "Unable to launch multiple instances with a single configured port ID.")
        return port
