"""Users and projects, by name and id; projects, users, regions and domains as an ordinary user may see them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NoReturn

from faafo_lab.cloud.emulator.common.names import DOMAIN, REGION
from faafo_lab.cloud.emulator.common.service import JSON, Fault, Request, route
from faafo_lab.cloud.emulator.common.store import R, Table
from faafo_lab.cloud.emulator.services.identity.base import PREFIX, ProjectRow, UserRow, forbidden
from faafo_lab.cloud.emulator.site import Site

MANAGED = ("projects", "users", "domains", "regions", "roles", "services", "endpoints", "groups", "role_assignments")


class Directory:
    """The users and projects, the region and the domain."""

    def __init__(self, site: Site) -> None:
        self.users: Table[UserRow] = site.store.table("user")
        self.projects: Table[ProjectRow] = site.store.table("project")
        self.url = site.url + PREFIX
        region = {"id": REGION, "description": "", "parent_region_id": None}
        domain = {**DOMAIN, "description": "The default domain", "enabled": True, "tags": [], "options": {}}
        self._places: dict[str, JSON] = {
            plural: {**view, "links": {"self": f"{self.url}/v3/{plural}/{view['id']}"}}
            for plural, view in (("regions", region), ("domains", domain))
        }

    def listed(self, request: Request, key: str, views: Iterable[JSON]) -> JSON:
        """A list, as answers have it; parameters that are attributes choose some."""
        wanted = {name: texts[-1] for name, texts in request.query.items()}
        chosen = [view for view in views if all(_fits(view[name], wanted[name]) for name in wanted if name in view)]
        return {key: chosen, "links": {"next": None, "self": self.url + request.path, "previous": None}}

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
            "links": {"self": f"{self.url}/v3/projects/{row['id']}"},
        }

    def _own_projects(self, request: Request) -> list[JSON]:
        user = self.users[request.token.user_id]
        return [self._project_view(self.projects[user["project_id"]])]

    @route("GET", "/v3/auth/projects")
    def auth_projects(self, request: Request) -> JSON:
        """The projects that the user may have a token for."""
        return self.listed(request, "projects", self._own_projects(request))

    @route("GET", "/v3/users/{id}/projects")
    def user_projects(self, request: Request, id: str) -> JSON:
        """The user's own projects."""
        if id != request.token.user_id:
            raise forbidden("list_user_projects")
        return self.listed(request, "projects", self._own_projects(request))

    @route("GET", "/v3/projects/{id}")
    def show_project(self, request: Request, id: str) -> JSON:
        """The token's own project; an administrator may see all."""
        row = self.projects.get(id)
        if row is None or (id != request.token.project_id and not request.admin):
            raise forbidden("get_project")
        return {"project": self._project_view(row)}

    @route("GET", "/v3/users/{id}")
    def show_user(self, request: Request, id: str) -> JSON:
        """The user who asks."""
        row = self.users.get(id)
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
            "links": {"self": f"{self.url}/v3/users/{id}"},
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
        key = request.path.rsplit("/", 1)[-1]
        if id not in (None, request.token.user_id, request.token.project_id):
            raise forbidden(f"list_{key}")
        return self.listed(request, "credentials" if key == "OS-EC2" else key, [])

    @route("GET", "/v3/{collection}")
    def list_all(self, request: Request, collection: str) -> JSON:
        """What everybody may list; the projects and domains, an administrator; of the others nobody has any."""
        if collection == "regions" or (collection == "domains" and request.admin):
            views = [self._places[collection]]
        elif collection == "projects" and request.admin:
            views = [self._project_view(row) for row in self.projects]
        elif collection in ("credentials", "limits", "registered_limits"):
            views = []
        else:
            self.manage(request, collection)
        return self.listed(request, collection, views)

    @route("POST", "/v3/{collection}")
    @route("GET", "/v3/{collection}/{id}")
    @route("PATCH", "/v3/{collection}/{id}")
    @route("DELETE", "/v3/{collection}/{id}")
    def manage(self, request: Request, collection: str, id: str | None = None) -> NoReturn:
        """What nobody may do here."""
        if collection not in MANAGED:
            raise Fault(404, "The resource could not be found.")
        verb = {"GET": "get" if id else "list", "POST": "create", "PATCH": "update", "DELETE": "delete"}[request.method]
        raise forbidden(f"{verb}_{collection if verb == 'list' else collection[:-1]}")


def _fits(value: object, text: str) -> bool:
    """Whether an attribute is what a list's parameter says, as Keystone reads it."""
    return value == (text.lower() not in ("0", "false")) if isinstance(value, bool) else str(value) == text


def named(table: Table[R], reference: JSON) -> R | None:
    """The user or project that a request means: by id, or by name in its domain."""
    if "id" in reference:
        return table.get(reference["id"])
    domain = reference.get("domain", {})
    if domain.get("id") != DOMAIN["id"] and domain.get("name") != DOMAIN["name"]:
        return None
    found = table.where(name=reference.get("name"))
    return found[0] if found else None
