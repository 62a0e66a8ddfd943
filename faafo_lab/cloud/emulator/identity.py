"""Identity (Keystone v3): tokens, the catalogue, and what an ordinary user may see of projects and users.

There are two projects, each with a user of the same name, who is a member. Passwords and tokens are random; of a token
only a hash is kept. Source: https://docs.openstack.org/api-ref/identity/v3/
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime

from faafo_lab.cloud.emulator.schema import Invalid
from faafo_lab.cloud.emulator.service import JSON, Answer, Fault, Request, Service, keystone_error, route
from faafo_lab.cloud.emulator.store import Row

DOMAIN = {"id": "default", "name": "Default"}
REGION = "RegionOne"
PROJECTS = ("demo", "alt")
ROLES = ("member", "reader")
TOKEN_SECONDS = 3600
UNAUTHORIZED = "The request you have made requires authentication."

_NAMESPACE = uuid.UUID("5d6f1c5e-0f0a-5b0c-9d0e-fa0f01ab0001")  # of ids that follow from names

_REFERENCE = {  # a user, project or domain, by id or by name
    "type": "object",
    "properties": {
        "id": {"type": "string"},
        "name": {"type": "string"},
        "domain": {
            "type": "object",
            "properties": {"id": {"type": "string"}, "name": {"type": "string"}},
        },
    },
}
AUTH = {
    "type": "object",
    "required": ["auth"],
    "properties": {
        "auth": {
            "type": "object",
            "required": ["identity"],
            "properties": {
                "identity": {
                    "type": "object",
                    "required": ["methods"],
                    "properties": {
                        "methods": {"type": "array", "items": {"type": "string"}, "minItems": 1},
                        "password": {
                            "type": "object",
                            "required": ["user"],
                            "properties": {
                                "user": {
                                    **_REFERENCE,
                                    "properties": {**_REFERENCE["properties"], "password": {"type": "string"}},  # type: ignore[dict-item]
                                }
                            },
                        },
                        "token": {
                            "type": "object",
                            "required": ["id"],
                            "properties": {"id": {"type": "string"}},
                        },
                    },
                },
                "scope": {
                    "anyOf": [
                        {"type": "string", "enum": ["unscoped"]},
                        {
                            "type": "object",
                            "properties": {
                                "project": _REFERENCE,
                                "domain": _REFERENCE,
                                "system": {"type": "object"},
                            },
                        },
                    ]
                },
            },
        }
    },
}


def id_of(kind: str, name: str) -> str:
    """The id, as Keystone has them (32 hex digits), that follows from a name."""
    return uuid.uuid5(_NAMESPACE, f"{kind}/{name}").hex


@dataclass(frozen=True)
class Token:
    """Who asks: a user, and the project the token is scoped to, if any."""

    user_id: str
    project_id: str | None
    expires_at: float  # seconds since the epoch
    issued_at: float
    methods: tuple[str, ...]
    audit_id: str


class Identity(Service):
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

    # Tokens

    def find_token(self, text: str | None) -> Token | None:
        """The valid token with this text."""
        if not text:
            return None
        row = self.store.table("token").get(_hash(text))
        if row is None or row["expires_at"] <= time.time():
            return None
        fields = {name: row[name] for name in Token.__annotations__}
        return Token(**{**fields, "methods": tuple(row["methods"])})

    def _named(self, kind: str, reference: JSON) -> Row | None:
        """The user or project that a request means: by id, or by name in its domain."""
        if "id" in reference:
            return self.store.table(kind).get(reference["id"])
        domain = reference.get("domain", {})
        if domain.get("id") != DOMAIN["id"] and domain.get("name") != DOMAIN["name"]:
            return None
        found = self.store.table(kind).where(name=reference.get("name"))
        return found[0] if found else None

    def _user(self, identity: JSON) -> tuple[Row, Token | None]:
        """The user that the methods prove, and the token where that was the proof. Raises a 401 `Fault`."""
        before: Token | None = None
        user: Row | None = None
        for method in identity["methods"]:
            if method == "password":
                claim = identity.get("password", {}).get("user", {})
                user = self._named("user", claim)
                given, right = claim.get("password", ""), (user or {}).get("password", "")
                if not hmac.compare_digest(given.encode(), right.encode()) or user is None:
                    raise Fault(401, UNAUTHORIZED)
            elif method == "token":
                before = self.find_token(identity.get("token", {}).get("id"))
                user = self.store.table("user").get(before.user_id) if before else None
            else:
                user = None
            if user is None:
                raise Fault(401, UNAUTHORIZED)
        assert user is not None
        return user, before

    def _project(self, auth: JSON, user: Row) -> Row | None:
        """The project that a token is asked for. Raises a 401 `Fault` where it isn't the user's."""
        scope = auth.get("scope")
        if scope == "unscoped":
            return None
        if scope is None:  # as Keystone does: the user's default project
            return self.store.table("project").get(user["project_id"])
        if "project" not in scope:
            raise Fault(401, UNAUTHORIZED)
        project = self._named("project", scope["project"])
        if project is None or project["id"] != user["project_id"]:
            raise Fault(401, UNAUTHORIZED)
        return project

    @route("POST", "/v3/auth/tokens", open=True)
    def login(self, request: Request) -> Answer:
        """Issue a token for a password, or for another token."""
        auth = self.parse(request, AUTH)["auth"]
        user, before = self._user(auth["identity"])
        project = self._project(auth, user)
        issued = time.time()
        row = {
            "user_id": user["id"],
            "project_id": project["id"] if project else None,
            "issued_at": issued,
            "expires_at": before.expires_at if before else issued + TOKEN_SECONDS,
            "methods": sorted({*auth["identity"]["methods"], *(before.methods if before else ())}),
            "audit_id": secrets.token_urlsafe(16),
        }
        text = secrets.token_urlsafe(32)
        tokens = self.store.table("token")
        with self.store.transaction():
            for old in tokens:
                if old["expires_at"] <= issued:
                    tokens.delete(old["id"])
            tokens.put({"id": _hash(text), **row})
        token = self.find_token(text)
        assert token is not None
        body = self._view(token, catalog="nocatalog" not in request.query)
        return Answer(201, body, {"X-Subject-Token": text})

    def _subject(self, request: Request) -> tuple[str, Token]:
        text = request.headers.get("X-Subject-Token", "")
        token = self.find_token(text)
        if token is None or token.user_id != request.token.user_id:
            raise Fault(404, "Could not find token.")
        return text, token

    @route("GET", "/v3/auth/tokens")
    @route("HEAD", "/v3/auth/tokens")
    def validate(self, request: Request) -> Answer:
        """Show a token of the same user."""
        text, token = self._subject(request)
        body = self._view(token, catalog="nocatalog" not in request.query)
        return Answer(200, body, {"X-Subject-Token": text})

    @route("DELETE", "/v3/auth/tokens")
    def revoke(self, request: Request) -> Answer:
        """Revoke a token of the same user."""
        text, _ = self._subject(request)
        self.store.table("token").delete(_hash(text))
        return Answer(204)

    def _view(self, token: Token, *, catalog: bool) -> JSON:
        user = self.store.table("user")[token.user_id]
        body: JSON = {
            "methods": list(token.methods),
            "user": {
                "domain": DOMAIN,
                "id": user["id"],
                "name": user["name"],
                "password_expires_at": None,
            },
            "audit_ids": [token.audit_id],
            "expires_at": _moment(token.expires_at),
            "issued_at": _moment(token.issued_at),
        }
        if token.project_id is not None:
            project = self.store.table("project")[token.project_id]
            body["project"] = {"domain": DOMAIN, "id": project["id"], "name": project["name"]}
            body["is_domain"] = False
            body["roles"] = [{"id": id_of("role", name), "name": name} for name in ROLES]
            if catalog:
                body["catalog"] = self.catalog(token)
        return {"token": body}

    def catalog(self, token: Token) -> list[JSON]:
        """Every service, with its three interfaces on the one URL."""
        entries = []
        named = [(each, *name) for each in self.cloud.services for name in ((each.type, each.name), *each.aliases)]
        for service, type_, name in named:
            url = service.url + service.endpoint.format(project=token.project_id)
            endpoints = [
                {
                    "id": id_of("endpoint", f"{type_}/{interface}"),
                    "interface": interface,
                    "region_id": REGION,
                    "region": REGION,
                    "url": url,
                }
                for interface in ("public", "internal", "admin")
            ]
            entries.append(
                {
                    "id": id_of("service", type_),
                    "type": type_,
                    "name": name,
                    "endpoints": endpoints,
                }
            )
        return entries

    @route("GET", "/v3/auth/catalog")
    def show_catalog(self, request: Request) -> JSON:
        """The catalogue of the token's project."""
        if request.token.project_id is None:
            raise self._forbidden("get_auth_catalog")
        return {"catalog": self.catalog(request.token), "links": self._links("/v3/auth/catalog")}

    # Projects, users, domains, as an ordinary user may see them

    def _links(self, path: str) -> JSON:
        return {"next": None, "self": self.url + path, "previous": None}

    def _forbidden(self, action: str) -> Fault:
        return Fault(403, f"You are not authorized to perform the requested action: identity:{action}.")

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
        return {"projects": self._own_projects(request), "links": self._links("/v3/auth/projects")}

    @route("GET", "/v3/auth/domains")
    def auth_domains(self, request: Request) -> JSON:
        """The domains that the user may have a token for: none."""
        return {"domains": [], "links": self._links("/v3/auth/domains")}

    @route("GET", "/v3/users/{id}/projects")
    def user_projects(self, request: Request, id: str) -> JSON:
        """The user's own projects."""
        if id != request.token.user_id:
            raise self._forbidden("list_user_projects")
        return {"projects": self._own_projects(request), "links": self._links(f"/v3/users/{id}/projects")}

    @route("GET", "/v3/projects/{id}")
    def show_project(self, request: Request, id: str) -> JSON:
        """The token's own project."""
        row = self.store.table("project").get(id)
        if row is None or id != request.token.project_id:
            raise self._forbidden("get_project")
        return {"project": self._project_view(row)}

    @route("GET", "/v3/users/{id}")
    def show_user(self, request: Request, id: str) -> JSON:
        """The user who asks."""
        row = self.store.table("user").get(id)
        if row is None or id != request.token.user_id:
            raise self._forbidden("get_user")
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
            raise self._forbidden(f"list_{collection}")
        raise Fault(404, "The resource could not be found.")


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.000000Z")
