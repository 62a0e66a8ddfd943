"""Instance actions: what has been done with a server, and how it went.

Source: https://docs.openstack.org/api-ref/compute/#servers-actions-servers-os-instance-actions
"""

from __future__ import annotations

from urllib.parse import urlencode

from faafo_lab.cloud.emulator.common.service import JSON, Fault, Request, route
from faafo_lab.cloud.emulator.common.store import Row
from faafo_lab.cloud.emulator.services.compute.server_filters import moment_of
from faafo_lab.cloud.emulator.services.compute.servers import Servers


class InstanceActions(Servers):
    """What has been done with servers."""

    def _actions_of(self, request: Request, id: str) -> list[Row]:
        """A server's actions, the newest first; since 2.21 a deleted server's too."""
        server = self.servers.get(id)
        if server is None and request.version >= (2, 21):
            server = self.life.history.was(id)
        if server is None or server["project_id"] != request.project:
            raise Fault(404, f"Instance {id} could not be found.")
        return self.life.history.of(id)[::-1]

    def _action_view(self, server: str, row: Row, version: tuple[int, int]) -> JSON:
        names = ("action", "request_id", "user_id", "project_id", "start_time", "message")
        view = {name: row[name] for name in names}
        if version >= (2, 58):
            view["updated_at"] = row["updated_at"]
        return {**view, "instance_uuid": server}

    @route("GET", "/v2.1/servers/{id}/os-instance-actions")
    def instance_actions(self, request: Request, id: str) -> JSON:
        """What has been done with a server, the newest first; since 2.58 a page at a time."""
        rows, links = self._actions_of(request, id), []
        if request.version >= (2, 58):
            since, limit, marker = (
                moment_of(request.one("changes-since")),
                self._number(request, "limit"),
                request.one("marker"),
            )
            if since is not None:
                rows = [row for row in rows if (moment_of(row["updated_at"]) or 0) >= since]
            if marker is not None:
                ids = [row["request_id"] for row in rows]
                if marker not in ids:
                    raise Fault(400, f"Marker {marker} not found")
                rows = rows[ids.index(marker) + 1 :]
            if limit is not None and limit < len(rows):
                rows = rows[:limit]
                query = {**request.query, "marker": [rows[-1]["request_id"]]} if rows else request.query
                links = [{"rel": "next", "href": f"{self.url}{request.path}?{urlencode(query, doseq=True)}"}]
        views = [self._action_view(id, row, request.version) for row in rows]
        return {"instanceActions": views, **({"links": links} if links else {})}

    @route("GET", "/v2.1/servers/{id}/os-instance-actions/{request_id}")
    def instance_action(self, request: Request, id: str, request_id: str) -> JSON:
        """One action, and since 2.51 its event."""
        for row in self._actions_of(request, id):
            if row["request_id"] == request_id:
                view = self._action_view(id, row, request.version)
                if request.version >= (2, 51):
                    view["events"] = [row["event"]] if row["event"] else []
                return {"instanceAction": view}
        raise Fault(404, f"Action for request_id {request_id} on instance {id} not found")
