"""Instance actions: what has been done with a server, and how it went.

Source: https://docs.openstack.org/api-ref/compute/#servers-actions-servers-os-instance-actions
"""

from __future__ import annotations

from collections.abc import Sequence

from faafo_lab.cloud.emulator.common.service import JSON, Fault, Request, route
from faafo_lab.cloud.emulator.services.compute import versions
from faafo_lab.cloud.emulator.services.compute.server_filters import moment_of
from faafo_lab.cloud.emulator.services.compute.servers import Part


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
            since = moment_of(request.one("changes-since"))
            if since is not None:
                rows = [row for row in rows if (moment_of(row["updated_at"]) or 0) >= since]
            rows, more = self._links.page(request, rows, lambda row: row["request_id"], "links")
        return {"instanceActions": [self._view(id, row, request.version) for row in rows], **more}

    @route("GET", "/v2.1/servers/{id}/os-instance-actions/{request_id}")
    def instance_action(self, request: Request, id: str, request_id: str) -> JSON:
        """One action, and since 2.51 its event."""
        for row in self._of(request, id):
            if row["request_id"] == request_id:
                view = self._view(id, row, request.version)
                if request.version in versions.EVENTS:
                    view["events"] = [row["event"]] if row["event"] else []
                return {"instanceAction": view}
        raise Fault(404, f"Action for request_id {request_id} on instance {id} not found")
