"""Server groups. The embedded cloud is one host: any two servers are on the same one.

Source: https://docs.openstack.org/api-ref/compute/#server-groups-os-server-groups
"""

from __future__ import annotations

from faafo_lab.cloud.emulator.common.service import JSON, Answer, Fault, Request, new_id, route
from faafo_lab.cloud.emulator.common.store import Table
from faafo_lab.cloud.emulator.services.compute import forms, versions
from faafo_lab.cloud.emulator.services.compute.base import PAGER, form, number, only
from faafo_lab.cloud.emulator.services.compute.rows import GroupRow
from faafo_lab.cloud.emulator.services.compute.servers import Part

POLICIES = ["anti-affinity", "affinity"]
SOFT = ["soft-anti-affinity", "soft-affinity"]  # since 2.15
RULES = only({"max_server_per_host": forms.COUNT})


class ServerGroups(Part):
    """Server groups."""

    @property
    def _groups(self) -> Table[GroupRow]:
        return self._store.table("server_group")

    def _view(self, row: GroupRow, version: tuple[int, int]) -> JSON:
        members = [each["id"] for each in self._servers.table.where(server_group_id=row["id"])]
        view: JSON = {"id": row["id"], "name": row["name"], "members": sorted(members)}
        if version in versions.GROUP_POLICY:
            view |= {"policy": row["policy"], "rules": row.get("rules", {})}
        else:
            view |= {"policies": [row["policy"]], "metadata": {}}
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
        page, _ = PAGER.cut(self._own(request), request, number(request, "offset") or 0)
        return {"server_groups": [self._view(row, request.version) for row in page]}

    @route("POST", "/v2.1/os-server-groups")
    def create_server_group(self, request: Request) -> JSON:
        """Make a server group."""
        policy = {"enum": POLICIES + (SOFT if request.version in versions.SOFT_POLICIES else [])}
        if request.version in versions.GROUP_POLICY:
            fields, required = {"name": forms.NAME, "policy": policy, "rules": RULES}, ["name", "policy"]
        else:
            one = {"type": "array", "minItems": 1, "maxItems": 1, "items": policy}
            fields, required = {"name": forms.NAME, "policies": one}, ["name", "policies"]
        wanted = request.parse(form("server_group", only(fields, required)))["server_group"]
        chosen = wanted["policy"] if "policy" in wanted else wanted["policies"][0]
        rules = {name: int(value) for name, value in wanted.get("rules", {}).items()}
        if rules and chosen != "anti-affinity":
            raise Fault(400, "Only anti-affinity policy supports rules.")
        if 0 <= self._quotas.limit("server_groups") <= len(self._own(request)):
            raise Fault(403, "Quota exceeded, too many server groups.")
        row: GroupRow = {
            "id": new_id(),
            "name": wanted["name"],
            "policy": chosen,
            "rules": rules,
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
