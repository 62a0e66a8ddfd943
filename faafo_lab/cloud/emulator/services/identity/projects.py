"""Projects, users and domains, as an ordinary user may see them."""

from __future__ import annotations

from typing import NoReturn

from faafo_lab.cloud.emulator.common.names import DOMAIN, REGION
from faafo_lab.cloud.emulator.common.service import JSON, Fault, Request, route
from faafo_lab.cloud.emulator.services.identity.base import Directory, ProjectRow, forbidden

MANAGED = ("projects", "users", "domains", "regions", "roles", "services", "endpoints", "groups", "role_assignments")


class Projects:
    """Projects, and the users that they are of; the region and the domain."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        region = {"id": REGION, "description": "", "parent_region_id": None}
        domain = {**DOMAIN, "description": "The default domain", "enabled": True, "tags": [], "options": {}}
        self._places: dict[str, JSON] = {
            plural: {**view, "links": {"self": f"{directory.url}/v3/{plural}/{view['id']}"}}
            for plural, view in (("regions", region), ("domains", domain))
        }

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
        return self._directory.listed(request, "projects", self._own_projects(request))

    @route("GET", "/v3/users/{id}/projects")
    def user_projects(self, request: Request, id: str) -> JSON:
        """The user's own projects."""
        if id != request.token.user_id:
            raise forbidden("list_user_projects")
        return self._directory.listed(request, "projects", self._own_projects(request))

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

    @route("GET", "/v3/regions/{id}")
    @route("GET", "/v3/domains/{id}")
    def show_place(self, request: Request, id: str) -> JSON:
        """The one region, or the one domain."""
        collection = request.path.split("/")[2]
        if id != self._places[collection]["id"]:
            raise Fault(404, f"Could not find {collection[:-1]}: {id}.")
        return {collection[:-1]: self._places[collection]}

    @route("GET", "/v3/auth/domains")
    @route("GET", "/v3/auth/system")
    @route("GET", "/v3/OS-TRUST/trusts")
    @route("GET", "/v3/projects/{id}/tags")
    @route("GET", "/v3/users/{id}/groups")
    @route("GET", "/v3/users/{id}/credentials/OS-EC2")
    @route("GET", "/v3/users/{id}/OS-OAUTH1/access_tokens")
    def list_nothing(self, request: Request, id: str | None = None) -> JSON:
        """What an ordinary user may list, and has none of."""
        if id not in (None, request.token.user_id, request.token.project_id):
            raise forbidden("list_" + request.path.rsplit("/", 1)[-1])
        key = request.path.rsplit("/", 1)[-1]
        return self._directory.listed(request, "credentials" if key == "OS-EC2" else key, [])

    @route("GET", "/v3/{collection}")
    def list_all(self, request: Request, collection: str) -> JSON:
        """What everybody may list; the projects and domains, an administrator; of the others nobody has any."""
        views: list[JSON] | None = None
        if collection in ("credentials", "limits", "registered_limits"):
            views = []
        elif collection == "regions" or (collection == "domains" and request.admin):
            views = [self._places[collection]]
        elif collection == "projects" and request.admin:
            views = [self._project_view(row) for row in self._directory.projects]
        if views is None:
            return self.manage(request, collection)
        return self._directory.listed(request, collection, views)

    @route("POST", "/v3/{collection}")
    @route("GET", "/v3/{collection}/{id}")
    @route("PATCH", "/v3/{collection}/{id}")
    @route("DELETE", "/v3/{collection}/{id}")
    def manage(self, request: Request, collection: str, id: str | None = None) -> NoReturn:
        """What nobody may do here."""
        if collection not in MANAGED:
            raise Fault(404, "The resource could not be found.")
        if request.method == "GET" and id is None:
            raise forbidden(f"list_{collection}")
        verb = {"GET": "get", "POST": "create", "PATCH": "update", "DELETE": "delete"}[request.method]
        raise forbidden(f"{verb}_{collection[:-1]}")
