"""Keystone's tokens: issued for a password, an application credential or another token, shown, and revoked.

Of a token only a hash is kept. Source: https://docs.openstack.org/api-ref/identity/v3/#authentication-and-token-management
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable, Sequence

from faafo_lab.cloud.emulator.common.names import DOMAIN, REGION, ROLES, id_of
from faafo_lab.cloud.emulator.common.service import JSON, Answer, Fault, Request, Service, route
from faafo_lab.cloud.emulator.common.store import Table
from faafo_lab.cloud.emulator.common.token import Token
from faafo_lab.cloud.emulator.services.identity.base import (
    CredentialRow,
    ProjectRow,
    TokenRow,
    UserRow,
    forbidden,
    form,
    moment,
)
from faafo_lab.cloud.emulator.services.identity.credentials import Credentials
from faafo_lab.cloud.emulator.services.identity.directory import Directory, named
from faafo_lab.cloud.emulator.site import Site

TOKEN_SECONDS = 3600
UNAUTHORIZED = "The request you have made requires authentication."

_TEXT = {"type": "string"}
_NAMED: JSON = {"id": _TEXT, "name": _TEXT}
_DOMAINED: JSON = {**_NAMED, "domain": form(_NAMED)}  # a user or project, by id or by name
IDENTITY: JSON = {
    "methods": {"type": "array", "items": _TEXT, "minItems": 1},
    "password": form({"user": form({**_DOMAINED, "password": _TEXT})}, "user"),
    "application_credential": form({**_NAMED, "secret": _TEXT, "user": form(_DOMAINED)}, "secret"),
    "token": form({"id": _TEXT}, "id"),
}
SCOPE = form({"project": form(_DOMAINED), "domain": form(_NAMED), "system": form({})})
SCOPES = {"anyOf": [{"type": "string", "enum": ["unscoped"]}, SCOPE]}
AUTH = form({"auth": form({"identity": form(IDENTITY, "methods"), "scope": SCOPES}, "identity")}, "auth")


class Authentication:
    """Tokens and the catalogue that comes with them."""

    def __init__(
        self, site: Site, directory: Directory, credentials: Credentials, services: Callable[[], Sequence[Service]]
    ) -> None:
        """`services` says what the catalogue has."""
        self._store = site.store
        self._table: Table[TokenRow] = site.store.table("token")
        self._directory = directory
        self._credentials = credentials
        self._services = services

    def find_token(self, text: str | None) -> Token | None:
        """The valid token with this text."""
        if not text:
            return None
        row = self._table.get(_hash(text))
        if row is None or row["expires_at"] <= time.time():
            return None
        fields: JSON = {name: each for name, each in row.items() if name in Token.__annotations__}
        fields |= {name: tuple(fields[name]) for name in ("methods", "roles") if name in fields}
        project = self._directory.projects.get(row["project_id"])
        fields |= {
            "user_name": self._directory.users[row["user_id"]]["name"],
            "project_name": project and project["name"],
        }
        if (id := fields.get("application_credential")) is not None:
            credential = self._credentials.table.get(id)
            if credential is None:
                return None
            if rules := self._credentials.rules_of(credential):
                fields["access_rules"] = tuple((rule["service"], rule["method"], rule["path"]) for rule in rules)
        return Token(**fields)

    def _user(self, identity: JSON) -> tuple[UserRow, Token | None, CredentialRow | None]:
        """The user that the methods prove; the token and the application credential where they were the proof.

        Raises a 401 `Fault`, or for a token that is none a 404.
        """
        credential: CredentialRow | None = None
        before: Token | None = None
        user: UserRow | None = None
        for method in identity["methods"]:
            if method == "password":
                claim = identity.get("password", {}).get("user", {})
                user = named(self._directory.users, claim)
                given, right = claim.get("password", ""), user["password"] if user else ""
                if not hmac.compare_digest(given.encode(), right.encode()) or user is None:
                    raise Fault(401, UNAUTHORIZED)
            elif method == "token":
                before = self.find_token(identity.get("token", {}).get("id"))
                if before is None:
                    raise Fault(404, "Could not recognize Fernet token")
                user = self._directory.users.get(before.user_id)
            elif method == "application_credential":
                credential = self._credentials.proven(identity.get("application_credential", {}))
                user = self._directory.users.get(credential["user_id"]) if credential else None
            else:
                user = None
            if user is None:
                raise Fault(401, UNAUTHORIZED)
        assert user is not None
        return user, before, credential

    def _project(self, auth: JSON, user: UserRow) -> ProjectRow | None:
        """The project that a token is asked for. Raises a 401 `Fault` where it isn't the user's."""
        scope = auth.get("scope")
        if scope == "unscoped":
            return None
        if scope is None:  # as Keystone does: the user's default project
            return self._directory.projects.get(user["project_id"])
        if "project" not in scope:
            raise Fault(401, UNAUTHORIZED)
        project = named(self._directory.projects, scope["project"])
        if project is None or project["id"] != user["project_id"]:
            raise Fault(401, UNAUTHORIZED)
        return project

    @route("POST", "/v3/auth/tokens", open=True)
    def login(self, request: Request) -> Answer:
        """Issue a token for a password, or for another token."""
        auth = request.parse(AUTH)["auth"]
        user, before, credential = self._user(auth["identity"])
        if credential is not None and "scope" in auth:
            raise Fault(401, "Application credentials cannot request a scope.")
        project = self._project(auth, user)
        issued = time.time()
        expires = before.expires_at if before else issued + TOKEN_SECONDS
        if credential is not None and credential["expires_at"] is not None:
            expires = min(expires, credential["expires_at"])
        used = credential["id"] if credential else before.application_credential if before else None
        text = secrets.token_urlsafe(32)
        row: TokenRow = {
            "id": _hash(text),
            "user_id": user["id"],
            "project_id": project["id"] if project else None,
            "issued_at": issued,
            "expires_at": expires,
            "methods": sorted({*auth["identity"]["methods"], *(before.methods if before else ())}),
            "audit_id": secrets.token_urlsafe(16),
            "roles": credential["roles"] if credential else list(before.roles if before else user.get("roles", ROLES)),
            "application_credential": used,
        }
        with self._store.transaction():
            for old in self._table:
                if old["expires_at"] <= issued:
                    self._table.delete(old["id"])
            self._table.put(row)
        token = self.find_token(text)
        if token is None:  # what it was issued for has expired meanwhile
            raise Fault(401, UNAUTHORIZED)
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
        """Show a token of the same user; one with access rules only to who says that it knows them."""
        text, token = self._subject(request)
        if token.access_rules is not None and request.headers.get("OpenStack-Identity-Access-Rules") != "1.0":
            raise Fault(404, "Failed to validate token")
        body = self._view(token, catalog="nocatalog" not in request.query)
        return Answer(200, body, {"X-Subject-Token": text})

    @route("DELETE", "/v3/auth/tokens")
    def revoke(self, request: Request) -> Answer:
        """Revoke a token of the same user."""
        text, _ = self._subject(request)
        self._table.delete(_hash(text))
        return Answer(204)

    def _view(self, token: Token, *, catalog: bool) -> JSON:
        body: JSON = {
            "methods": list(token.methods),
            "user": {
                "domain": DOMAIN,
                "id": token.user_id,
                "name": token.user_name,
                "password_expires_at": None,
            },
            "audit_ids": [token.audit_id],
            "expires_at": moment(token.expires_at),
            "issued_at": moment(token.issued_at),
        }
        if token.project_id is not None:
            body["project"] = {"domain": DOMAIN, "id": token.project_id, "name": token.project_name}
            body["is_domain"] = False
            body["roles"] = [{"id": id_of("role", name), "name": name} for name in token.roles]
            if token.application_credential is not None:
                row = self._credentials.table[token.application_credential]
                body["application_credential"] = {
                    "id": row["id"],
                    "name": row["name"],
                    "restricted": not row["unrestricted"],
                    **({"access_rules": rules} if (rules := self._credentials.rules_of(row)) else {}),
                }
            if catalog:
                body["catalog"] = self.catalog(token)
        return {"token": body}

    def catalog(self, token: Token) -> list[JSON]:
        """Every service, with its three interfaces on the one URL."""
        named = [(each, *name) for each in self._services() for name in ((each.type, each.name), *each.aliases)]
        return [
            {
                "id": id_of("service", type_),
                "type": type_,
                "name": name,
                "endpoints": [
                    {
                        "id": id_of("endpoint", f"{type_}/{interface}"),
                        "interface": interface,
                        "region_id": REGION,
                        "region": REGION,
                        "url": service.url + service.endpoint.format(project=token.project_id),
                    }
                    for interface in ("public", "internal", "admin")
                ],
            }
            for service, type_, name in named
        ]

    @route("GET", "/v3/auth/catalog")
    def show_catalog(self, request: Request) -> JSON:
        """The catalogue of the token's project."""
        if request.token.project_id is None:
            raise forbidden("get_auth_catalog")
        return self._directory.listed(request, "catalog", self.catalog(request.token))


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
