"""Identity (Keystone v3): the service, which puts its parts together; its words and versions.

There are two projects, each with a user of the same name, who is a member; and an administrator, who is one of the
first project, too. Passwords are random. Source: https://docs.openstack.org/api-ref/identity/v3/
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence

from faafo_lab.cloud.emulator.common.names import ADMIN, PROJECTS, ROLES, id_of
from faafo_lab.cloud.emulator.common.schema import Invalid
from faafo_lab.cloud.emulator.common.service import JSON, Answer, Fault, Request, Service, keystone_error, route
from faafo_lab.cloud.emulator.common.token import Token
from faafo_lab.cloud.emulator.services.identity.base import PREFIX, UserRow
from faafo_lab.cloud.emulator.services.identity.credentials import Credentials
from faafo_lab.cloud.emulator.services.identity.directory import Directory
from faafo_lab.cloud.emulator.services.identity.tokens import Authentication
from faafo_lab.cloud.emulator.site import Site


class Identity(Service):
    """The identity service, which knows all tokens."""

    prefix, type, name = PREFIX, "identity", "keystone"
    PARTS = (Authentication, Credentials, Directory)
    needs_project = False
    malformed = (
        "Expecting to find valid JSON in request body. The server could not comply with the request since it is"
        " either malformed or otherwise incorrect. The client is assumed to be in error."
    )

    def __init__(self, site: Site, services: Callable[[], Sequence[Service]]) -> None:
        """`services` says what the catalogue has."""
        super().__init__(site, self)
        self.directory = Directory(site)
        self.credentials = Credentials(site, self.directory)
        self.authentication = Authentication(site, self.directory, self.credentials, services)
        self.find_token = self.authentication.find_token

    def setup(self) -> None:
        """Make the projects and their users, where the state is new."""
        projects, users = self.directory.projects, self.directory.users
        with self.store.transaction():
            for name in PROJECTS:
                if id_of("project", name) not in projects:
                    projects.put({"id": id_of("project", name), "name": name})
                    users.put(_user(name, name))
            if id_of("user", ADMIN) not in users:  # what an earlier version wrote has none
                users.put({**_user(ADMIN, PROJECTS[0]), "roles": [ADMIN, *ROLES]})

    def token(self, request: Request) -> Token | None:
        """The request's token. Whatever its access rules say, it shows itself: so services ask what it is."""
        if (request.method, request.path) == ("GET", "/v3/auth/tokens"):
            return self.find_token(request.headers.get("X-Auth-Token"))
        return super().token(request)

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


def _user(name: str, project: str) -> UserRow:
    """A new user of a project."""
    return {
        "id": id_of("user", name),
        "name": name,
        "password": secrets.token_urlsafe(18),
        "project_id": id_of("project", project),
    }
