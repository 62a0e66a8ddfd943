"""Access rules: the only requests that an application credential may make, each a service, a method and a path.

    {"service": "object-store", "method": "GET", "path": "/v1/AUTH_*/pictures/**"}

They come with a credential, which shares equal ones with the user's others, and outlive it.
Source: https://docs.openstack.org/api-ref/identity/v3/#access-rules
"""

from __future__ import annotations

import uuid
from collections.abc import Callable

from faafo_lab.cloud.emulator.common import schema
from faafo_lab.cloud.emulator.common.service import JSON, Answer, Fault, Request, route
from faafo_lab.cloud.emulator.common.store import Table
from faafo_lab.cloud.emulator.services.identity.base import Directory
from faafo_lab.cloud.emulator.services.identity.rows import AccessRuleRow
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


class AccessRules:
    """The users' access rules. `used` says whether a credential has one, `check_owner` who may ask for a user's."""

    def __init__(
        self, site: Site, directory: Directory, used: Callable[[str], bool], check_owner: Callable[..., None]
    ) -> None:
        self.table: Table[AccessRuleRow] = site.store.table("access_rule")
        self._directory, self._used, self._check_owner = directory, used, check_owner

    def ids(self, user: str, wanted: list[JSON]) -> list[str]:
        """The ids of a new credential's rules, which are made where the user has none like them. Raises a `Fault`."""
        return list(dict.fromkeys(self._one(user, rule) for rule in wanted))

    def _one(self, user: str, wanted: JSON) -> str:
        if "id" in wanted:
            return self._own(user, wanted["id"])["id"]
        if missing := [name for name in FIELDS if name not in wanted]:
            raise Fault(400, f"Invalid access rule: '{missing[0]}' is a required property.")
        found = self.table.where(user_id=user, **wanted)
        row: AccessRuleRow = {"id": uuid.uuid4().hex, "user_id": user, **wanted}  # type: ignore[typeddict-item]
        return (found[0] if found else self.table.put(row))["id"]

    def _own(self, user: str, id: str) -> AccessRuleRow:
        row = self.table.get(id)
        if row is None or row["user_id"] != user:
            raise Fault(404, f"Could not find Access Rule: {id}.")
        return row

    def view(self, row: AccessRuleRow) -> JSON:
        """A rule, as answers have it."""
        link = f"{self._directory.url}/v3/users/{row['user_id']}/access_rules/{row['id']}"
        return {name: row[name] for name in ("id", *FIELDS)} | {"links": {"self": link}}  # type: ignore[literal-required]

    @route("GET", "/v3/users/{user}/access_rules")
    def index(self, request: Request, user: str) -> JSON:
        """The user's access rules; `service`, `method` and `path` choose some."""
        self._check_owner(request, user, "list_access_rules")
        chosen = {name: request.one(name) for name in FIELDS if name in request.query}
        links = self._directory.links(f"/v3/users/{user}/access_rules")
        return {"access_rules": [self.view(row) for row in self.table.where(user_id=user, **chosen)], "links": links}

    @route("GET", "/v3/users/{user}/access_rules/{id}")
    def show(self, request: Request, user: str, id: str) -> JSON:
        """One access rule."""
        self._check_owner(request, user, "get_access_rule")
        return {"access_rule": self.view(self._own(user, id))}

    @route("DELETE", "/v3/users/{user}/access_rules/{id}")
    def delete(self, request: Request, user: str, id: str) -> Answer:
        """Delete an access rule that no application credential has."""
        self._check_owner(request, user, "delete_access_rule", manages=True)
        if self._used(self._own(user, id)["id"]):
            raise Fault(403, "May not delete access rule in use")
        self.table.delete(id)
        return Answer(204)
