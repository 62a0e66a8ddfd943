"""Server groups and server tags: what servers have to do with one another, and what they are called.

The embedded cloud is one host: any two servers are on the same one. Source:
https://docs.openstack.org/api-ref/compute/#server-groups-os-server-groups and #server-tags-servers-tags
"""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import quote

from faafo_lab.cloud.emulator.common import schema
from faafo_lab.cloud.emulator.common.service import JSON, Answer, Fault, Request, new_id, route
from faafo_lab.cloud.emulator.common.store import Store, Table
from faafo_lab.cloud.emulator.services.compute import versions
from faafo_lab.cloud.emulator.services.compute.base import Links, form, number, only
from faafo_lab.cloud.emulator.services.compute.rows import GroupRow, ServerRow
from faafo_lab.cloud.emulator.services.compute.servers import Servers
from faafo_lab.cloud.emulator.services.compute.wanted import NAME, TAG, TAGS

POLICIES = ["anti-affinity", "affinity"]
SOFT = ["soft-anti-affinity", "soft-affinity"]  # since 2.15


class ServerGroups:
    """Server groups."""

    def __init__(self, store: Store, limit: Callable[[str], int]) -> None:
        """`limit` says a quota by its name."""
        self._servers: Table[ServerRow] = store.table("server")
        self._groups: Table[GroupRow] = store.table("server_group")
        self._limit = limit

    def _view(self, row: GroupRow, version: tuple[int, int]) -> JSON:
        members = [each["id"] for each in self._servers.where(server_group_id=row["id"])]
        view = {
            "id": row["id"],
            "name": row["name"],
            "policies": [row["policy"]],
            "members": sorted(members),
            "metadata": {},
        }
        if version in versions.GROUP_OWNERS:
            view |= {"project_id": row["project_id"], "user_id": row["user_id"]}
        return view

    def _own(self, request: Request) -> list[GroupRow]:
        return sorted(self._groups.where(project_id=request.project), key=lambda row: row["id"])

    def _find(self, request: Request, id: str) -> GroupRow:
        row = self._groups.get(id)
        if row is None or row["project_id"] != request.project:
            raise Fault(404, f"Instance group {id} could not be found.")
        return row

    @route("GET", "/v2.1/os-server-groups")
    def server_groups(self, request: Request) -> JSON:
        """List server groups."""
        rows = self._own(request)
        start, limit = number(request, "offset") or 0, number(request, "limit")
        page = rows[start:] if limit is None else rows[start : start + limit]
        return {"server_groups": [self._view(row, request.version) for row in page]}

    @route("POST", "/v2.1/os-server-groups")
    def create_server_group(self, request: Request) -> JSON:
        """Make a server group."""
        policies = POLICIES + (SOFT if request.version in versions.SOFT_POLICIES else [])
        one = {"type": "array", "minItems": 1, "maxItems": 1, "items": {"enum": policies}}
        definition = form("server_group", only({"name": NAME, "policies": one}, ["name", "policies"]))
        wanted = request.parse(definition)["server_group"]
        if 0 <= self._limit("server_groups") <= len(self._own(request)):
            raise Fault(403, "Quota exceeded, too many server groups.")
        row: GroupRow = {
            "id": new_id(),
            "name": wanted["name"],
            "policy": wanted["policies"][0],
            "project_id": request.project,
            "user_id": request.token.user_id,
        }
        return {"server_group": self._view(self._groups.put(row), request.version)}

    @route("GET", "/v2.1/os-server-groups/{id}")
    def show_server_group(self, request: Request, id: str) -> JSON:
        """Show a server group."""
        return {"server_group": self._view(self._find(request, id), request.version)}

    @route("DELETE", "/v2.1/os-server-groups/{id}")
    def delete_server_group(self, request: Request, id: str) -> Answer:
        """Delete a server group; its servers stay."""
        self._groups.delete(self._find(request, id)["id"])
        return Answer(204)


class ServerTags:
    """Servers' tags."""

    def __init__(self, links: Links, servers: Servers) -> None:
        self._links, self._servers = links, servers

    def _tagged(self, request: Request, id: str) -> list[str]:
        return self._servers.find(request, id).get("tags", [])

    def _tag(self, request: Request, id: str, tag: str) -> list[str]:
        tags = self._tagged(request, id)
        if tag not in tags:
            raise Fault(404, f"Server {id} has no tag '{tag}'")
        return tags

    @route("GET", "/v2.1/servers/{id}/tags", versions=versions.TAGS)
    def tags(self, request: Request, id: str) -> JSON:
        """A server's tags."""
        return {"tags": self._tagged(request, id)}

    @route("PUT", "/v2.1/servers/{id}/tags", versions=versions.TAGS)
    def replace_tags(self, request: Request, id: str) -> JSON:
        """Give a server these tags in place of the ones it has."""
        self._tagged(request, id)
        wanted = list(dict.fromkeys(request.parse(only({"tags": TAGS}, ["tags"]))["tags"]))
        self._servers.table.update(id, tags=wanted)
        return {"tags": wanted}

    @route("DELETE", "/v2.1/servers/{id}/tags", versions=versions.TAGS)
    def remove_tags(self, request: Request, id: str) -> Answer:
        """Take all tags off a server."""
        self._tagged(request, id)
        self._servers.table.update(id, tags=[])
        return Answer(204)

    @route("GET", "/v2.1/servers/{id}/tags/{tag}", versions=versions.TAGS)
    def has_tag(self, request: Request, id: str, tag: str) -> Answer:
        """Whether a server has a tag: 204 or 404."""
        self._tag(request, id, tag)
        return Answer(204)

    @route("PUT", "/v2.1/servers/{id}/tags/{tag}", versions=versions.TAGS)
    def add_tag(self, request: Request, id: str, tag: str) -> Answer:
        """Tag a server."""
        tags = self._tagged(request, id)
        if tag in tags:
            return Answer(204)
        schema.check({"tags": [*tags, tag]}, {"type": "object", "properties": {"tags": TAGS}})
        schema.check(tag, TAG)
        self._servers.table.update(id, tags=[*tags, tag])
        return Answer(201, None, {"Location": f"{self._links.root}/v2.1/servers/{id}/tags/{quote(tag)}"})

    @route("DELETE", "/v2.1/servers/{id}/tags/{tag}", versions=versions.TAGS)
    def remove_tag(self, request: Request, id: str, tag: str) -> Answer:
        """Take a tag off a server."""
        tags = self._tag(request, id, tag)
        self._servers.table.update(id, tags=[each for each in tags if each != tag])
        return Answer(204)
