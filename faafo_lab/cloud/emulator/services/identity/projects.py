"""Projects, users and domains, as an ordinary user may see them."""

from __future__ import annotations

from faafo_lab.cloud.emulator.common.names import DOMAIN
from faafo_lab.cloud.emulator.common.service import JSON, Fault, Request, route
from faafo_lab.cloud.emulator.services.identity.base import Directory, ProjectRow, forbidden


class Projects:
    """Projects, and the users that they are of."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory

    def _project_view(self, row: ProjectRow) -> JSON:
        return {
            "id": row["id"],
            "name": row["name"],
            "domain_id": DOMAIN["id"],
            "description": "",
            "enabled": True,
            "parent_id": DOMAIN["id"],
            "is_domain": False,
            "tags": [],
            "options": {},
            "links": {"self": f"{self._directory.url}/v3/projects/{row['id']}"},
        }

    def _own_projects(self, request: Request) -> list[JSON]:
        user = self._directory.users[request.token.user_id]
        return [self._project_view(self._directory.projects[user["project_id"]])]

    @route("GET", "/v3/auth/projects")
    def auth_projects(self, request: Request) -> JSON:
        """The projects that the user may have a token for."""
        return {"projects": self._own_projects(request), "links": self._directory.links("/v3/auth/projects")}

    @route("GET", "/v3/auth/domains")
    def auth_domains(self, request: Request) -> JSON:
        """The domains that the user may have a token for: none."""
        return {"domains": [], "links": self._directory.links("/v3/auth/domains")}

    @route("GET", "/v3/users/{id}/projects")
    def user_projects(self, request: Request, id: str) -> JSON:
        """The user's own projects."""
        if id != request.token.user_id:
            raise forbidden("list_user_projects")
        return {"projects": self._own_projects(request), "links": self._directory.links(f"/v3/users/{id}/projects")}

    @route("GET", "/v3/projects/{id}")
    def show_project(self, request: Request, id: str) -> JSON:
        """The token's own project; an administrator may see all."""
        row = self._directory.projects.get(id)
        if row is None or (id != request.token.project_id and not request.admin):
            raise forbidden("get_project")
        return {"project": self._project_view(row)}

    @route("GET", "/v3/users/{id}")
    def show_user(self, request: Request, id: str) -> JSON:
        """The user who asks."""
        row = self._directory.users.get(id)
        if row is None or id != request.token.user_id:
            raise forbidden("get_user")
        view = {
            "id": row["id"],
            "name": row["name"],
            "domain_id": DOMAIN["id"],
            "default_project_id": row["project_id"],
            "enabled": True,
            "options": {},
            "password_expires_at": None,
            "links": {"self": f"{self._directory.url}/v3/users/{id}"},
        }
        return {"user": view}

    @route("GET", "/v3/{collection}")
    def list_all(self, request: Request, collection: str) -> JSON:
        """An administrator may list the projects; an ordinary user, nothing of these."""
        if collection == "projects" and request.admin:
            views = [self._project_view(row) for row in self._directory.projects]
            return {"projects": views, "links": self._directory.links("/v3/projects")}
        if collection in ("projects", "users", "domains", "roles", "services", "endpoints", "groups"):
            raise forbidden(f"list_{collection}")
        raise Fault(404, "The resource could not be found.")
