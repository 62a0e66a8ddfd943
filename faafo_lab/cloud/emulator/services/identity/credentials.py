"""Keystone's application credentials: secrets that let a program act for a user in one project, until they are deleted.

    POST /v3/users/USER/application_credentials  {"application_credential": {"name": "ci", …}}

The secret is shown once; a hash of it is kept. One with the role reader alone changes nothing, and only one that is
unrestricted manages others. Access rules bound it to single requests, each a service, a method and a path:

    {"service": "object-store", "method": "GET", "path": "/v1/AUTH_*/pictures/**"}

Source: https://docs.openstack.org/api-ref/identity/v3/#application-credentials
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
import uuid
from datetime import UTC, datetime

from faafo_lab.cloud.emulator.common import schema
from faafo_lab.cloud.emulator.common.names import ROLES, id_of
from faafo_lab.cloud.emulator.common.service import JSON, Answer, Fault, Request, route
from faafo_lab.cloud.emulator.common.store import Table
from faafo_lab.cloud.emulator.services.identity.base import AccessRuleRow, CredentialRow, forbidden, form
from faafo_lab.cloud.emulator.services.identity.directory import Directory, named
from faafo_lab.cloud.emulator.site import Site

FIELDS = ("service", "method", "path")
_ID = {"type": "string", "minLength": 1, "maxLength": 64, "pattern": r"^[a-zA-Z0-9-]+$"}
RULES: schema.Schema = {
    "type": "array",
    "items": {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "id": _ID,
            "service": _ID,
            "method": {"type": "string", "enum": ["DELETE", "GET", "HEAD", "PATCH", "POST", "PUT"]},
            "path": {"type": "string", "maxLength": 225, "pattern": "^/"},
        },
    },
}
MAX_CREDENTIALS = 100  # of a user
_NAME = {"type": "string", "minLength": 1, "maxLength": 255}
CREDENTIAL = form(
    {
        "application_credential": form(
            {
                "name": _NAME,
                "secret": {**_NAME, "type": ["null", "string"]},
                "description": {"type": ["null", "string"], "maxLength": 65535},
                "expires_at": {"type": ["null", "string"]},
                "unrestricted": {"type": ["null", "boolean"]},
                "access_rules": RULES,
                # no roles, as `openstack` sends them, are all that the token has
                "roles": {"type": "array", "items": form({"id": _NAME, "name": _NAME})},
            },
            "name",
        )
    },
    "application_credential",
)


class Credentials:
    """Application credentials."""

    def __init__(self, site: Site, directory: Directory) -> None:
        self._store = site.store
        self.table: Table[CredentialRow] = site.store.table("application_credential")
        self._directory = directory
        self._rules: Table[AccessRuleRow] = site.store.table("access_rule")

    def proven(self, claim: JSON) -> CredentialRow | None:
        """The credential that a login has the secret of, if it has not expired."""
        if "id" in claim:
            row = self.table.get(claim["id"])
        else:
            user = named(self._directory.users, claim.get("user", {}))
            found = self.table.where(user_id=user["id"], name=claim.get("name")) if user else []
            row = found[0] if found else None
        if row is None or (row["expires_at"] is not None and row["expires_at"] <= time.time()):
            return None
        return row if hmac.compare_digest(_hashed(claim.get("secret", ""), row["salt"]), row["hash"]) else None

    def rules_of(self, row: CredentialRow) -> list[JSON]:
        """A credential's access rules; none: it may make every request."""
        return [_plain(self._rules[id]) for id in row.get("access_rules", [])]

    def _check_owner(self, request: Request, user: str, action: str, *, manages: bool = False) -> None:
        """Check that a user asks for his own, and may manage them. Raises a 403 `Fault`."""
        if user != request.token.user_id:
            raise forbidden(action)
        used = self.table.get(request.token.application_credential)
        if manages and used is not None and not used["unrestricted"]:
            raise Fault(
                403,
                "Using method 'application_credential' is not allowed for managing additional application credentials.",
            )

    def _own(self, request: Request, user: str, id: str, action: str, *, manages: bool = False) -> CredentialRow:
        self._check_owner(request, user, f"{action}_application_credential", manages=manages)
        row = self.table.get(id)
        if row is None or row["user_id"] != user:
            raise Fault(404, f"Could not find Application Credential: {id}.")
        return row

    def _view(self, row: CredentialRow) -> JSON:
        expires = row["expires_at"]
        return {
            "id": row["id"],
            "name": row["name"],
            "description": row["description"],
            "user_id": row["user_id"],
            "project_id": row["project_id"],
            "system": None,
            "roles": [{"id": id_of("role", name), "name": name, "domain_id": None} for name in row["roles"]],
            "expires_at": expires and datetime.fromtimestamp(expires, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f"),
            "unrestricted": row["unrestricted"],
            "links": {"self": f"{self._directory.url}/v3/users/{row['user_id']}/application_credentials/{row['id']}"},
            **({"access_rules": rules} if (rules := self.rules_of(row)) else {}),
        }

    @route("POST", "/v3/users/{user}/application_credentials")
    def create(self, request: Request, user: str) -> Answer:
        """Create an application credential for the token's project."""
        self._check_owner(request, user, "create_application_credential", manages=True)
        wanted = request.parse(CREDENTIAL)["application_credential"]
        if request.token.project_id is None:
            raise _invalid("the token must be scoped to a project")
        if self.table.where(user_id=user, name=wanted["name"]):
            reason = f"Duplicate entry found with name {wanted['name']}."
            raise Fault(409, f"Conflict occurred attempting to store application_credential - {reason}")
        if len(self.table.where(user_id=user)) >= MAX_CREDENTIALS:
            raise forbidden(f"create_application_credential: there are {MAX_CREDENTIALS} already")
        secret, salt = wanted.get("secret") or secrets.token_urlsafe(64), secrets.token_hex(16)
        row: CredentialRow = {
            "id": uuid.uuid4().hex,
            "name": wanted["name"],
            "description": wanted.get("description"),
            "user_id": user,
            "project_id": request.token.project_id,
            "roles": _roles(wanted.get("roles"), request.token.roles),
            "expires_at": _expiry(wanted.get("expires_at")),
            "unrestricted": bool(wanted.get("unrestricted")),
            "salt": salt,
            "hash": _hashed(secret, salt),
        }
        with self._store.transaction():
            if rules := [self._rule(user, rule) for rule in wanted.get("access_rules", [])]:
                row["access_rules"] = list(dict.fromkeys(rules))
            self.table.put(row)
        return Answer(201, {"application_credential": {**self._view(row), "secret": secret}})

    @route("GET", "/v3/users/{user}/application_credentials")
    def index(self, request: Request, user: str) -> JSON:
        """The user's application credentials; `name` chooses one."""
        self._check_owner(request, user, "list_application_credentials")
        rows = self.table.where(user_id=user)
        return self._directory.listed(request, "application_credentials", map(self._view, rows))

    @route("GET", "/v3/users/{user}/application_credentials/{id}")
    def show(self, request: Request, user: str, id: str) -> JSON:
        """One application credential, without its secret."""
        return {"application_credential": self._view(self._own(request, user, id, "get"))}

    @route("DELETE", "/v3/users/{user}/application_credentials/{id}")
    def delete(self, request: Request, user: str, id: str) -> Answer:
        """Delete an application credential; tokens that were issued for it open nothing any more."""
        self.table.delete(self._own(request, user, id, "delete", manages=True)["id"])
        return Answer(204)

    # Access rules, which come with a credential, shared with the user's others, and outlive it

    def _rule(self, user: str, wanted: JSON) -> str:
        """The id of a new credential's rule, which is made where the user has none like it. Raises a `Fault`."""
        if "id" in wanted:
            return self._own_rule(user, wanted["id"])["id"]
        if missing := [name for name in FIELDS if name not in wanted]:
            raise Fault(400, f"Invalid access rule: '{missing[0]}' is a required property.")
        found = self._rules.where(user_id=user, **wanted)
        row: AccessRuleRow = {"id": uuid.uuid4().hex, "user_id": user, **wanted}  # type: ignore[typeddict-item]
        return (found[0] if found else self._rules.put(row))["id"]

    def _own_rule(self, user: str, id: str) -> AccessRuleRow:
        row = self._rules.get(id)
        if row is None or row["user_id"] != user:
            raise Fault(404, f"Could not find Access Rule: {id}.")
        return row

    def _rule_view(self, row: AccessRuleRow) -> JSON:
        """A rule, as answers have it."""
        link = f"{self._directory.url}/v3/users/{row['user_id']}/access_rules/{row['id']}"
        return {**_plain(row), "links": {"self": link}}

    @route("GET", "/v3/users/{user}/access_rules")
    def list_rules(self, request: Request, user: str) -> JSON:
        """The user's access rules; `service`, `method` and `path` choose some."""
        self._check_owner(request, user, "list_access_rules")
        return self._directory.listed(request, "access_rules", map(self._rule_view, self._rules.where(user_id=user)))

    @route("GET", "/v3/users/{user}/access_rules/{id}")
    def show_rule(self, request: Request, user: str, id: str) -> JSON:
        """One access rule."""
        self._check_owner(request, user, "get_access_rule")
        return {"access_rule": self._rule_view(self._own_rule(user, id))}

    @route("DELETE", "/v3/users/{user}/access_rules/{id}")
    def delete_rule(self, request: Request, user: str, id: str) -> Answer:
        """Delete an access rule that no application credential has."""
        self._check_owner(request, user, "delete_access_rule", manages=True)
        self._own_rule(user, id)
        if any(id in row.get("access_rules", []) for row in self.table):
            raise Fault(403, "May not delete access rule in use")
        self._rules.delete(id)
        return Answer(204)


def _invalid(reason: str) -> Fault:
    return Fault(400, f"Invalid application credential: {reason}.")


def _hashed(secret: str, salt: str) -> str:
    return hashlib.scrypt(secret.encode(), salt=bytes.fromhex(salt), n=1 << 12, r=8, p=1).hex()


def _roles(wanted: list[JSON] | None, owned: tuple[str, ...]) -> list[str]:
    """The names of the roles asked for; without a word, all that the user has. Raises a 400 `Fault`."""
    if not wanted:
        return list(owned)
    names = {id_of("role", name): name for name in ROLES}
    found = [names.get(role.get("id", ""), role.get("name", "")) for role in wanted]
    for role, name in zip(wanted, found, strict=True):
        if name not in owned:
            raise _invalid(f"Could not find role assignment with role: {role.get('id') or role.get('name')}")
    return [name for name in ROLES if name in found or (name == "reader" and "member" in found)]


def _expiry(text: str | None) -> float | None:
    """Seconds since the epoch. Raises a 400 `Fault`."""
    if text is None:
        return None
    try:
        when = datetime.fromisoformat(text)
        seconds = (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise _invalid(f"expires_at must be like 2026-01-31T12:00:00Z, not {schema.shown(text)}") from None
    if seconds <= time.time():
        raise _invalid("expires_at must be in the future")
    return seconds


def _plain(row: AccessRuleRow) -> JSON:
    """A rule as its credential has it."""
    return {name: row[name] for name in ("id", *FIELDS)}  # type: ignore[literal-required]
