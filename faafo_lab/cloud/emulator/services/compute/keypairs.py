"""A user's key pairs. Source: https://docs.openstack.org/api-ref/compute/#keypairs-keypairs"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import string
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from faafo_lab.cloud.emulator.common.service import JSON, Answer, Fault, Request, now, route
from faafo_lab.cloud.emulator.common.store import Table
from faafo_lab.cloud.emulator.services.compute import versions
from faafo_lab.cloud.emulator.services.compute.base import denied, form, only
from faafo_lab.cloud.emulator.services.compute.rows import KeyRow
from faafo_lab.cloud.emulator.services.compute.servers import Part

TYPES = ("ssh-rsa", "ssh-ed25519", "ssh-dss", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521")
RSA_BITS = 2048
YEARS_VALID = 10
NAME: JSON = {
    "type": "string",
    "minLength": 1,
    "maxLength": 255,
    "pattern": r"^[a-zA-Z0-9 _-]+$",
    "wanted": f"Only expected characters: [_- {string.digits}{string.ascii_letters}]",
}
MORE_NAMES: JSON = {
    **NAME,
    "pattern": r"^[a-zA-Z0-9 @._-]+$",
    "wanted": f"Only expected characters: [@._- {string.digits}{string.ascii_letters}]",
}


class UserKeys(Part):
    """Key pairs: 2.2 has types, 2.10 users (only one's own), 2.35 pages; from 2.92 on none is made here."""

    @property
    def _keys(self) -> Table[KeyRow]:
        return self._store.table("keypair")

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
            raise denied("os_compute_api:os-keypairs")

    @route("GET", "/v2.1/os-keypairs")
    def list_keys(self, request: Request) -> JSON:
        """List key pairs."""
        self._only_own(request, request.one("user_id"))
        rows: Sequence[KeyRow] = self._own(request)
        more: JSON = {}
        if request.version in versions.KEY_PAGES:
            rows, more = self._links.page(request, rows, lambda row: row["name"], "keypairs_links")
        return {"keypairs": [{"keypair": self._view(request, row)} for row in rows], **more}

    def _asked(self, request: Request) -> JSON:
        properties: JSON = {"name": NAME, "public_key": {"type": "string"}}
        required = ["name"]
        if request.version in versions.KEY_TYPES:
            properties["type"] = {"type": "string", "enum": ["ssh", "x509"]}
        if request.version in versions.KEY_USERS:
            properties["user_id"] = {"type": "string"}
        if request.version in versions.KEYS_IMPORTED:
            properties["name"], required = MORE_NAMES, ["name", "public_key"]
        wanted: JSON = request.parse(form("keypair", only(properties, required)))["keypair"]
        self._only_own(request, wanted.get("user_id"))
        return wanted

    @route("POST", "/v2.1/os-keypairs")
    async def create_key(self, request: Request) -> Answer:
        """Import a public key, or make a new pair."""
        wanted = self._asked(request)
        user, name, type = request.token.user_id, wanted["name"], wanted.get("type", "ssh")
        secret: JSON = {}
        if "public_key" in wanted:
            public = wanted["public_key"]
        else:
            private, public = await asyncio.to_thread(GENERATE[type], "Generated-by-Nova")
            secret = {"private_key": private}
        try:
            fingerprint = FINGERPRINT[type](public)
        except ValueError:
            raise Fault(400, "Keypair data is invalid: failed to generate fingerprint") from None
        if f"{user}/{name}" in self._keys:
            raise Fault(409, f"Key pair '{name}' already exists.")
        if len(self._own(request)) >= self._quotas.limit("key_pairs"):
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


def fingerprint(public_key: str) -> str:
    """The MD5 fingerprint, as Nova shows it: 4e:6a:f8:… Raises ValueError where this is no public key."""
    words = public_key.split(maxsplit=2)
    if "\n" in public_key.strip() or len(words) < 2 or words[0] not in (*TYPES, *(f"sk-{type}" for type in TYPES)):
        raise ValueError("not a public key in OpenSSH's form")
    try:
        data = base64.b64decode(words[1], validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError("not a public key in OpenSSH's form") from error
    length = int.from_bytes(data[:4], "big")
    if data[4 : 4 + length] != words[0].encode() or len(data) <= 4 + length:
        raise ValueError("the key's type and its data do not agree")
    digest = hashlib.md5(data, usedforsecurity=False).hexdigest()
    return ":".join(digest[i : i + 2] for i in range(0, len(digest), 2))


def generate(comment: str) -> tuple[str, str]:
    """A new RSA key pair: the private key (PEM) and the public one. Takes a tenth of a second: call it in a thread."""
    from cryptography.hazmat.primitives import serialization as form  # heavy, and seldom wanted
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=RSA_BITS)
    private = key.private_bytes(form.Encoding.PEM, form.PrivateFormat.TraditionalOpenSSL, form.NoEncryption())
    public = key.public_key().public_bytes(form.Encoding.OpenSSH, form.PublicFormat.OpenSSH)
    return private.decode(), f"{public.decode()} {comment}"


def x509_fingerprint(certificate: str) -> str:
    """The SHA-1 fingerprint of a certificate (PEM), as Nova shows it. Raises ValueError where this is none."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes

    digest = x509.load_pem_x509_certificate(certificate.encode()).fingerprint(hashes.SHA1()).hex()  # noqa: S303 - Nova's choice
    return ":".join(digest[i : i + 2] for i in range(0, len(digest), 2))


def generate_x509(name: str) -> tuple[str, str]:
    """A new RSA key and a certificate for it that it has signed itself (both PEM), for servers with Windows."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    key = rsa.generate_private_key(public_exponent=65537, key_size=RSA_BITS)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(
        issuer_name=subject,
        subject_name=subject,
        public_key=key.public_key(),
        serial_number=x509.random_serial_number(),
        not_valid_before=now,
        not_valid_after=now + timedelta(days=YEARS_VALID * 365),
    )
    usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
    certificate = builder.add_extension(usage, critical=False).sign(key, hashes.SHA256())
    private = key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())
    return private.decode(), certificate.public_bytes(form.Encoding.PEM).decode()


GENERATE = {"ssh": generate, "x509": generate_x509}
FINGERPRINT = {"ssh": fingerprint, "x509": x509_fingerprint}
