"""Server groups and server tags: what servers have to do with one another, and what they are called.

The embedded cloud is one host: any two servers are on the same one. Source:
https://docs.openstack.org/api-ref/compute/#server-groups-os-server-groups and #server-tags-servers-tags
"""

from __future__ import annotations

from urllib.parse import quote

from faafo_lab.cloud.emulator.common.service import JSON, Answer, Fault, Request, new_id, route
from faafo_lab.cloud.emulator.common.store import Row
from faafo_lab.cloud.emulator.services.compute.servers import Servers
from faafo_lab.cloud.emulator.services.compute.wanted import NAME, TAG, TAGS

POLICIES = ["anti-affinity", "affinity"]
SOFT = ["soft-anti-affinity", "soft-affinity"]  # since 2.15


class ServerGroups(Servers):
    """Server groups and tags."""

    # Groups

    def _group_view(self, row: Row, version: tuple[int, int]) -> JSON:
        members = [each["id"] for each in self.servers.where(server_group_id=row["id"])]
        view = {
            "id": row["id"],
            "name": row["name"],
            "policies": [row["policy"]],
            "members": sorted(members),
            "metadata": {},
        }
        if version >= (2, 13):
            view |= {"project_id": row["project_id"], "user_id": row["user_id"]}
        return view

    def _own_groups(self, request: Request) -> list[Row]:
        found = self.store.table("server_group").where(project_id=request.project)
        return sorted(found, key=lambda row: str(row["id"]))

    def _server_group(self, request: Request, id: str) -> Row:
        row = self.store.table("server_group").get(id)
        if row is None or row["project_id"] != request.project:
            raise Fault(404, f"Instance group {id} could not be found.")
        return row

    @route("GET", "/v2.1/os-server-groups")
    def server_groups(self, request: Request) -> JSON:
        """List server groups."""
        rows = self._own_groups(request)
        start, limit = self._number(request, "offset") or 0, self._number(request, "limit")
        page = rows[start:] if limit is None else rows[start : start + limit]
        return {"server_groups": [self._group_view(row, request.version) for row in page]}

    @route("POST", "/v2.1/os-server-groups")
    def create_server_group(self, request: Request) -> JSON:
        """Make a server group."""
        policies = POLICIES + (SOFT if request.version >= (2, 15) else [])
        group = {
            "type": "object",
            "required": ["name", "policies"],
            "additionalProperties": False,
            "properties": {
                "name": NAME,
                "policies": {"type": "array", "minItems": 1, "maxItems": 1, "items": {"enum": policies}},
            },
        }
        definition = {"type": "object", "required": ["server_group"], "properties": {"server_group": group}}
        wanted = self.parse(request, definition)["server_group"]
        if 0 <= self.limit("server_groups") <= len(self._own_groups(request)):
            raise Fault(403, "Quota exceeded, too many server groups.")
        row = {
            "id": new_id(),
            "name": wanted["name"],
            "policy": wanted["policies"][0],
            "project_id": request.project,
            "user_id": request.token.user_id,
        }
        return {"server_group": self._group_view(self.store.table("server_group").put(row), request.version)}

    @route("GET", "/v2.1/os-server-groups/{id}")
    def show_server_group(self, request: Request, id: str) -> JSON:
        """Show a server group."""
        return {"server_group": self._group_view(self._server_group(request, id), request.version)}

    @route("DELETE", "/v2.1/os-server-groups/{id}")
    def delete_server_group(self, request: Request, id: str) -> Answer:
        """Delete a server group; its servers stay."""
        self.store.table("server_group").delete(self._server_group(request, id)["id"])
        return Answer(204)

    # Tags

    def _tagged(self, request: Request, id: str) -> list[str]:
        self._since(request, 26)
        tags: list[str] = self._find(request, id).get("tags", [])
        return tags

    def _tag(self, request: Request, id: str, tag: str) -> list[str]:
        tags = self._tagged(request, id)
        if tag not in tags:
            raise Fault(404, f"Server {id} has no tag '{tag}'")
        return tags

    @route("GET", "/v2.1/servers/{id}/tags")
    def tags(self, request: Request, id: str) -> JSON:
        """A server's tags."""
        return {"tags": self._tagged(request, id)}

    @route("PUT", "/v2.1/servers/{id}/tags")
    def replace_tags(self, request: Request, id: str) -> JSON:
        """Give a server these tags in place of the ones it has."""
        self._tagged(request, id)
        definition = {
            "type": "object",
            "required": ["tags"],
            "additionalProperties": False,
            "properties": {"tags": TAGS},
        }
        wanted = list(dict.fromkeys(self.parse(request, definition)["tags"]))
        self.servers.update(id, tags=wanted)
        return {"tags": wanted}

    @route("DELETE", "/v2.1/servers/{id}/tags")
    def remove_tags(self, request: Request, id: str) -> Answer:
        """Take all tags off a server."""
        self._tagged(request, id)
        self.servers.update(id, tags=[])
        return Answer(204)

    @route("GET", "/v2.1/servers/{id}/tags/{tag}")
    def has_tag(self, request: Request, id: str, tag: str) -> Answer:
        """Whether a server has a tag: 204 or 404."""
        self._tag(request, id, tag)
        return Answer(204)

    @route("PUT", "/v2.1/servers/{id}/tags/{tag}")
    def add_tag(self, request: Request, id: str, tag: str) -> Answer:
        """Tag a server."""
        tags = self._tagged(request, id)
        if tag in tags:
            return Answer(204)
        self.valid({"tags": [*tags, tag]}, {"type": "object", "properties": {"tags": TAGS}})
        self.valid(tag, TAG)
        self.servers.update(id, tags=[*tags, tag])
        return Answer(201, None, {"Location": f"{self.url}/v2.1/servers/{id}/tags/{quote(tag)}"})

    @route("DELETE", "/v2.1/servers/{id}/tags/{tag}")
    def remove_tag(self, request: Request, id: str, tag: str) -> Answer:
        """Take a tag off a server."""
        tags = self._tag(request, id, tag)
        self.servers.update(id, tags=[each for each in tags if each != tag])
        return Answer(204)
