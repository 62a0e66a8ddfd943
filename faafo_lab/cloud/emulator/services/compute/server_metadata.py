"""A server's metadata, item by item. Source: https://docs.openstack.org/api-ref/compute/#server-metadata"""

from __future__ import annotations

from collections.abc import Callable

from faafo_lab.cloud.emulator.common.service import JSON, Answer, Fault, Request, now, route
from faafo_lab.cloud.emulator.services.compute.base import form
from faafo_lab.cloud.emulator.services.compute.rows import ServerRow
from faafo_lab.cloud.emulator.services.compute.servers import Servers
from faafo_lab.cloud.emulator.services.compute.wanted import METADATA


class ServerMetadata:
    """What clients keep with a server."""

    def __init__(self, servers: Servers, limit: Callable[[str], int]) -> None:
        """`limit` says a quota by its name."""
        self._servers, self._limit = servers, limit

    def _keep_metadata(self, id: str, metadata: JSON) -> JSON:
        if len(metadata) > self._limit("metadata_items"):
            raise Fault(403, f"Maximum number of metadata items exceeds {self._limit('metadata_items')}")
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
        wanted = request.parse(form("metadata", METADATA))["metadata"]
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
        one = {**METADATA, "minProperties": 1, "maxProperties": 1}
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
