"""Identity (Keystone v3): versions, and what an ordinary user may see of projects and users.

There are two projects, each with a user of the same name, who is a member; passwords are random. `tokens` and
`credentials` have the rest. Source: https://docs.openstack.org/api-ref/identity/v3/
"""

from __future__ import annotations

import secrets

from faafo_lab.cloud.emulator.common.names import DOMAIN, PROJECTS, id_of
from faafo_lab.cloud.emulator.common.schema import Invalid
from faafo_lab.cloud.emulator.common.service import JSON, Answer, Fault, Request, keystone_error, route
from faafo_lab.cloud.emulator.common.store import Row
from faafo_lab.cloud.emulator.services.identity.tokens import Authentication


class Identity(Authentication):
    """The identity service."""

    prefix, type, name = "/identity", "identity", "keystone"
    needs_project = False
    malformed = (
        "Expecting to find valid JSON in request body. The server could not comply with the request since it is"
        " either malformed or otherwise incorrect. The client is assumed to be in error."
    )

    def setup(self) -> None:
        """Make the projects and their users, where the state is new."""
        projects, users = self.store.table("project"), self.store.table("user")
        with self.store.transaction():
            for name in PROJECTS:
                if id_of("project", name) in projects:
                    continue
                projects.put({"id": id_of("project", name), "name": name})
                users.put(
                    {
                        "id": id_of("user", name),
                        "name": name,
                        "password": secrets.token_urlsafe(18),
                        "project_id": id_of("project", name),
                    }
                )

    # Words

    def error(self, fault: Fault) -> JSON:
        """Keystone's form: {"error": {"code", "message", "title"}}."""
        return keystone_error(fault)

    def invalid(self, error: Invalid) -> Fault:
        """Keystone names the field, and not the value: it may be a password."""
        reason = error.reason if "required property" in error.reason else "it is not of the right type"
        where = f"Invalid input for field '{error.path}': " if error.path else ""
        return Fault(400, where + reason)

    def answer_headers(self, request: Request) -> dict[str, str]:
        """Keystone's answers vary with the token."""
        return {"Vary": "X-Auth-Token", "x-openstack-request-id": request.id}

    # Versions

    def _version(self) -> JSON:
        return {
            "id": "v3.14",
            "status": "stable",
            "updated": "2020-04-07T00:00:00Z",
            "links": [{"rel": "self", "href": f"{self.url}/v3/"}],
            "media-types": [{"base": "application/json", "type": "application/vnd.openstack.identity-v3+json"}],
        }

    @route("GET", "/", open=True)
    def versions(self, request: Request) -> Answer:
        """Which versions there are."""
        return Answer(300, {"versions": {"values": [self._version()]}}, {"Location": f"{self.url}/v3/"})

    @route("GET", "/v3", open=True)
    def version(self, request: Request) -> JSON:
        """The version that there is."""
        return {"version": self._version()}

    # Projects, users, domains, as an ordinary user may see them

    def _project_view(self, row: Row) -> JSON:
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
        user = self.store.table("user")[request.token.user_id]
        return [self._project_view(self.store.table("project")[user["project_id"]])]

    @route("GET", "/v3/auth/projects")
    def auth_projects(self, request: Request) -> JSON:
        """The projects that the user may have a token for."""
        return {"projects": self._own_projects(request), "links": self.links("/v3/auth/projects")}

    @route("GET", "/v3/auth/domains")
    def auth_domains(self, request: Request) -> JSON:
        """The domains that the user may have a token for: none."""
        return {"domains": [], "links": self.links("/v3/auth/domains")}

    @route("GET", "/v3/users/{id}/projects")
    def user_projects(self, request: Request, id: str) -> JSON:
        """The user's own projects."""
        if id != request.token.user_id:
            raise self.forbidden("list_user_projects")
        return {"projects": self._own_projects(request), "links": self.links(f"/v3/users/{id}/projects")}

    @route("GET", "/v3/projects/{id}")
    def show_project(self, request: Request, id: str) -> JSON:
        """The token's own project."""
        row = self.store.table("project").get(id)
        if row is None or id != request.token.project_id:
            raise self.forbidden("get_project")
        return {"project": self._project_view(row)}

    @route("GET", "/v3/users/{id}")
    def show_user(self, request: Request, id: str) -> JSON:
        """The user who asks."""
        row = self.store.table("user").get(id)
        if row is None or id != request.token.user_id:
            raise self.forbidden("get_user")
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

    @route("GET", "/v3/{collection}")
    def list_all(self, request: Request, collection: str) -> JSON:
        """An ordinary user may list nothing of these."""
        if collection in ("projects", "users", "domains", "roles", "services", "endpoints", "groups"):
            raise self.forbidden(f"list_{collection}")
        raise Fault(404, "The resource could not be found.")
