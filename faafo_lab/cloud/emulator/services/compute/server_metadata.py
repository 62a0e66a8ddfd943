"""A server's metadata, item by item, and its tags.

Source: https://docs.openstack.org/api-ref/compute/#server-metadata and #server-tags-servers-tags
"""

from __future__ import annotations

from urllib.parse import quote

from faafo_lab.cloud.emulator.common import schema
from faafo_lab.cloud.emulator.common.service import JSON, Answer, Fault, Request, now, route
from faafo_lab.cloud.emulator.services.compute import forms, versions
from faafo_lab.cloud.emulator.services.compute.base import form, only
from faafo_lab.cloud.emulator.services.compute.rows import ServerRow
from faafo_lab.cloud.emulator.services.compute.servers import Part


class ServerMetadata(Part):
    """What clients keep with a server."""

    def _keep_metadata(self, id: str, metadata: JSON) -> JSON:
        if len(metadata) > self._quotas.limit("metadata_items"):
            raise Fault(403, f"Maximum number of metadata items exceeds {self._quotas.limit('metadata_items')}")
        self._servers.table.update(id, metadata=metadata, updated=now())
        return metadata

    @route("GET", "/v2.1/servers/{id}/metadata")
    def metadata(self, request: Request, id: str) -> JSON:
        """A server's metadata."""
        return {"metadata": self._servers.find(request, id)["metadata"]}

    @route("POST", "/v2.1/servers/{id}/metadata")
    @route("PUT", "/v2.1/servers/{id}/metadata")
    def set_metadata(self, request: Request, id: str) -> JSON:
        """Add to a server's metadata (POST), or replace all of it (PUT)."""
        row = self._servers.find_unlocked(request, id)
        wanted = request.parse(form("metadata", forms.METADATA))["metadata"]
        kept = {**row["metadata"], **wanted} if request.method == "POST" else wanted
        return {"metadata": self._keep_metadata(id, kept)}

    def _item(self, row: ServerRow, key: str) -> JSON:
        if key not in row["metadata"]:
            raise Fault(404, "Metadata item was not found")
        return {key: row["metadata"][key]}

    @route("GET", "/v2.1/servers/{id}/metadata/{key}")
    def metadata_item(self, request: Request, id: str, key: str) -> JSON:
        """One item of a server's metadata."""
        return {"meta": self._item(self._servers.find(request, id), key)}

    @route("PUT", "/v2.1/servers/{id}/metadata/{key}")
    def set_metadata_item(self, request: Request, id: str, key: str) -> JSON:
        """Set one item of a server's metadata."""
        row = self._servers.find_unlocked(request, id)
        one = {**forms.METADATA, "minProperties": 1, "maxProperties": 1}
        wanted = request.parse(form("meta", one))["meta"]
        if key not in wanted:
            raise Fault(400, "Request body and URI mismatch")
        self._keep_metadata(id, {**row["metadata"], **wanted})
        return {"meta": wanted}

    @route("DELETE", "/v2.1/servers/{id}/metadata/{key}")
    def delete_metadata_item(self, request: Request, id: str, key: str) -> Answer:
        """Remove one item of a server's metadata."""
        row = self._servers.find_unlocked(request, id)
        gone = self._item(row, key)
        self._keep_metadata(id, {name: value for name, value in row["metadata"].items() if name not in gone})
        return Answer(204)


class ServerTags(Part):
    """Servers' tags."""

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
        wanted = list(dict.fromkeys(request.parse(only({"tags": forms.TAGS}, ["tags"]))["tags"]))
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
        schema.check({"tags": [*tags, tag]}, {"type": "object", "properties": {"tags": forms.TAGS}})
        schema.check(tag, forms.TAG)
        self._servers.table.update(id, tags=[*tags, tag])
        return Answer(201, None, {"Location": f"{self._links.root}/v2.1/servers/{id}/tags/{quote(tag)}"})

    @route("DELETE", "/v2.1/servers/{id}/tags/{tag}", versions=versions.TAGS)
    def remove_tag(self, request: Request, id: str, tag: str) -> Answer:
        """Take a tag off a server."""
        tags = self._tag(request, id, tag)
        self._servers.table.update(id, tags=[each for each in tags if each != tag])
        return Answer(204)
