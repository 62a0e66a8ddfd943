"""A user's SSH key pairs. Source: https://docs.openstack.org/api-ref/compute/#keypairs-keypairs"""

from __future__ import annotations

import asyncio
from urllib.parse import urlencode

from faafo_lab.cloud.emulator.common.service import JSON, Answer, Fault, Request, now, route
from faafo_lab.cloud.emulator.common.store import Row
from faafo_lab.cloud.emulator.services.compute import keypairs
from faafo_lab.cloud.emulator.services.compute.base import PAGE_MAX, Nova

NAME: JSON = {"type": "string", "minLength": 1, "maxLength": 255, "pattern": r"^[a-zA-Z0-9 _-]+$"}


class UserKeys(Nova):
    """Key pairs: 2.2 has types (only SSH keys here), 2.10 users (only one's own), 2.35 pages."""

    def _own_keys(self, request: Request) -> list[Row]:
        return sorted(self.keys.where(user_id=request.token.user_id), key=lambda row: str(row["name"]))

    def _key(self, request: Request, name: str) -> Row:
        row = self.keys.get(f"{request.token.user_id}/{name}")
        if row is None:
            raise Fault(404, f"Keypair {name} not found for user {request.token.user_id}")
        return row

    def _key_view(self, request: Request, row: Row, *names: str) -> JSON:
        view = {name: row[name] for name in ("name", "public_key", "fingerprint", *names)}
        return {**view, "type": row.get("type", "ssh")} if request.version >= (2, 2) else view

    def _only_own(self, request: Request, user: str | None) -> None:
        if request.version >= (2, 10) and user not in (None, request.token.user_id):
            raise Fault(403, "Policy doesn't allow os_compute_api:os-keypairs to be performed.")

    @route("GET", "/v2.1/os-keypairs")
    def list_keys(self, request: Request) -> JSON:
        """List key pairs."""
        self._only_own(request, request.one("user_id"))
        rows, body = self._own_keys(request), {}
        if request.version >= (2, 35):
            marker, limit = request.one("marker"), self._number(request, "limit")
            names = [row["name"] for row in rows]
            if marker is not None:
                if marker not in names:
                    raise Fault(400, f"marker [{marker}] not found")
                rows = rows[names.index(marker) + 1 :]
            page = rows[: PAGE_MAX if limit is None else min(limit, PAGE_MAX)]
            if page and len(page) < len(rows):
                query = urlencode({**request.query, "marker": [page[-1]["name"]]}, doseq=True)
                body["keypairs_links"] = [{"rel": "next", "href": f"{self.url}{request.path}?{query}"}]
            rows = page
        return {"keypairs": [{"keypair": self._key_view(request, row)} for row in rows], **body}

    def _wanted_keypair(self, request: Request) -> JSON:
        properties: JSON = {"name": NAME, "public_key": {"type": "string"}}
        if request.version >= (2, 2):
            properties["type"] = {"type": "string", "enum": ["ssh", "x509"]}
        if request.version >= (2, 10):
            properties["user_id"] = {"type": "string"}
        keypair = {"type": "object", "required": ["name"], "additionalProperties": False, "properties": properties}
        definition = {"type": "object", "required": ["keypair"], "properties": {"keypair": keypair}}
        wanted: JSON = self.parse(request, definition)["keypair"]
        self._only_own(request, wanted.get("user_id"))
        return wanted

    @route("POST", "/v2.1/os-keypairs")
    async def create_key(self, request: Request) -> Answer:
        """Import a public key, or make a new pair."""
        wanted = self._wanted_keypair(request)
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
        if f"{user}/{name}" in self.keys:
            raise Fault(409, f"Key pair '{name}' already exists.")
        if len(self._own_keys(request)) >= self.limit("key_pairs"):
            raise Fault(403, "Quota exceeded, too many key pairs.")
        row = self.keys.put(
            {
                "id": f"{user}/{name}",
                "number": max((row["number"] for row in self.keys), default=0) + 1,
                "name": name,
                "type": type,
                "public_key": public,
                "fingerprint": fingerprint,
                "user_id": user,
                "created_at": now()[:-1] + ".000000",
            }
        )
        view = {**self._key_view(request, row, "user_id"), **secret}
        return Answer(201 if request.version >= (2, 2) else 200, {"keypair": view})

    @route("GET", "/v2.1/os-keypairs/{name}")
    def show_key(self, request: Request, name: str) -> JSON:
        """Show a key pair."""
        self._only_own(request, request.one("user_id"))
        row = self._key(request, name)
        view = {
            **self._key_view(request, row, "user_id", "created_at"),
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
        self.keys.delete(self._key(request, name)["id"])
        return Answer(204 if request.version >= (2, 2) else 202)
