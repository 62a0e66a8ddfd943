"""A user's SSH key pairs. Source: https://docs.openstack.org/api-ref/compute/#keypairs-keypairs"""

from __future__ import annotations

import asyncio
import string
from collections.abc import Callable, Sequence

from faafo_lab.cloud.emulator.common.service import JSON, Answer, Fault, Request, now, route
from faafo_lab.cloud.emulator.common.store import Store, Table
from faafo_lab.cloud.emulator.services.compute import keypairs, versions
from faafo_lab.cloud.emulator.services.compute.base import Links, form, only
from faafo_lab.cloud.emulator.services.compute.rows import KeyRow

NAME: JSON = {
    "type": "string",
    "minLength": 1,
    "maxLength": 255,
    "pattern": r"^[a-zA-Z0-9 _-]+$",
    "wanted": f"Only expected characters: [_- {string.digits}{string.ascii_letters}]",
}


class UserKeys:
    """Key pairs: 2.2 has types (only SSH keys here), 2.10 users (only one's own), 2.35 pages."""

    def __init__(self, store: Store, links: Links, limit: Callable[[str], int]) -> None:
        """`limit` says a quota by its name."""
        self._keys: Table[KeyRow] = store.table("keypair")
        self._links, self._limit = links, limit

    def _own(self, request: Request) -> list[KeyRow]:
        return sorted(self._keys.where(user_id=request.token.user_id), key=lambda row: row["name"])

    def _find(self, request: Request, name: str) -> KeyRow:
        row = self._keys.get(f"{request.token.user_id}/{name}")
        if row is None:
            raise Fault(404, f"Keypair {name} not found for user {request.token.user_id}")
        return row

    def _view(self, request: Request, row: KeyRow) -> JSON:
        view = {"name": row["name"], "public_key": row["public_key"], "fingerprint": row["fingerprint"]}
        return {**view, "type": row.get("type", "ssh")} if request.version in versions.KEY_TYPES else view

    def _only_own(self, request: Request, user: str | None) -> None:
        if request.version in versions.KEY_USERS and user not in (None, request.token.user_id):
            raise Fault(403, "Policy doesn't allow os_compute_api:os-keypairs to be performed.")

    @route("GET", "/v2.1/os-keypairs")
    def list_keys(self, request: Request) -> JSON:
        """List key pairs."""
        self._only_own(request, request.one("user_id"))
        rows: Sequence[KeyRow] = self._own(request)
        more: JSON = {}
        if request.version in versions.KEY_PAGES:
            rows, more = self._links.page(request, rows, lambda row: row["name"], "keypairs_links")
        return {"keypairs": [{"keypair": self._view(request, row)} for row in rows], **more}

    def _wanted(self, request: Request) -> JSON:
        properties: JSON = {"name": NAME, "public_key": {"type": "string"}}
        if request.version in versions.KEY_TYPES:
            properties["type"] = {"type": "string", "enum": ["ssh", "x509"]}
        if request.version in versions.KEY_USERS:
            properties["user_id"] = {"type": "string"}
        wanted: JSON = request.parse(form("keypair", only(properties, ["name"])))["keypair"]
        self._only_own(request, wanted.get("user_id"))
        return wanted

    @route("POST", "/v2.1/os-keypairs")
    async def create_key(self, request: Request) -> Answer:
        """Import a public key, or make a new pair."""
        wanted = self._wanted(request)
        user, name, type = request.token.user_id, wanted["name"], wanted.get("type", "ssh")
        secret: JSON = {}
        if "public_key" in wanted:
            public = wanted["public_key"]
        else:
            private, public = await asyncio.to_thread(keypairs.GENERATE[type], "Generated-by-Nova")
            secret = {"private_key": private}
        try:
            fingerprint = keypairs.FINGERPRINT[type](public)
        except ValueError:
            raise Fault(400, "Keypair data is invalid: failed to generate fingerprint") from None
        if f"{user}/{name}" in self._keys:
            raise Fault(409, f"Key pair '{name}' already exists.")
        if len(self._own(request)) >= self._limit("key_pairs"):
            raise Fault(403, "Quota exceeded, too many key pairs.")
        row = self._keys.put(
            {
                "id": f"{user}/{name}",
                "number": max((row["number"] for row in self._keys), default=0) + 1,
                "name": name,
                "type": type,
                "public_key": public,
                "fingerprint": fingerprint,
                "user_id": user,
                "created_at": now()[:-1] + ".000000",
            }
        )
        view = {**self._view(request, row), "user_id": user, **secret}
        return Answer(201 if request.version in versions.KEY_TYPES else 200, {"keypair": view})

    @route("GET", "/v2.1/os-keypairs/{name}")
    def show_key(self, request: Request, name: str) -> JSON:
        """Show a key pair."""
        self._only_own(request, request.one("user_id"))
        row = self._find(request, name)
        view = {
            **self._view(request, row),
            "user_id": row["user_id"],
            "created_at": row["created_at"],
            "id": row["number"],
            "deleted": False,
            "deleted_at": None,
            "updated_at": None,
        }
        return {"keypair": view}

    @route("DELETE", "/v2.1/os-keypairs/{name}")
    def delete_key(self, request: Request, name: str) -> Answer:
        """Delete a key pair; servers that have the key keep it."""
        self._only_own(request, request.one("user_id"))
        self._keys.delete(self._find(request, name)["id"])
        return Answer(204 if request.version in versions.KEY_TYPES else 202)
