"""The lab's SSH key pair, and its deployments' secrets: created once per `FAAFO_LAB_HOME`, and kept there."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from faafo_lab.cloud.errors import AlreadyExists, NotFound
from faafo_lab.cloud.marks import KEY_PAIR_NAME
from faafo_lab.cloud.model import KeyPair
from faafo_lab.paths import make_home

__all__ = ["KEY_PAIR_NAME", "derive_secret", "ensure_key_pair", "private_key_path", "public_key"]

SECRET_BYTES = 32


class KeyPairs(Protocol):
    """The part of `Cloud` that `ensure_key_pair` needs."""

    name: str

    def key_pair(self, name: str) -> KeyPair:
        """The key pair of this name. Raises NotFound."""

    def create_key_pair(self, name: str, public_key: str) -> KeyPair:
        """Import a public key."""


def private_key_path() -> Path:
    """The file of the lab's private key (Ed25519, OpenSSH's format, mode 0600), created if missing."""
    return _keep("id_ed25519", _new_private_key)


def public_key() -> str:
    """The lab's public key, one line in OpenSSH's format."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_ssh_private_key

    key = load_ssh_private_key(private_key_path().read_bytes(), password=None)
    return key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode() + " faafo-lab"


def ensure_key_pair(cloud: KeyPairs, name: str = KEY_PAIR_NAME) -> KeyPair:
    """The lab's key pair on the cloud, imported if missing.

    Raises AlreadyExists if the cloud has another key of that name: servers of another lab may need it, so it is not
    replaced.
    """
    mine = public_key()
    try:
        there = cloud.key_pair(name)
    except NotFound:
        return cloud.create_key_pair(name, mine)
    if there.public_key.split()[:2] == mine.split()[:2]:
        return there
    raise AlreadyExists(
        f"Cloud {cloud.name!r} has a key pair {name!r} that is not this lab's (fingerprint {there.fingerprint}). "
        f"Set FAAFO_LAB_HOME to the lab that created it, or, if nothing needs it, cloud.delete_key_pair({name!r})."
    )


def derive_secret(purpose: str) -> str:
    """A secret for one purpose, hexadecimal: the same in every session with this home, different with any other."""
    key = _keep("secret", lambda: secrets.token_hex(SECRET_BYTES).encode()).read_bytes()
    return hmac.new(key, purpose.encode(), hashlib.sha256).hexdigest()[:32]


def _new_private_key() -> bytes:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = Ed25519PrivateKey.generate()
    return key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())


def _keep(name: str, make: Callable[[], bytes]) -> Path:
    """The file `name` in the lab's home, mode 0600, created atomically: two processes at once get the same content."""
    path = make_home() / name
    if not path.exists():
        fresh = path.with_name(f".{name}.{os.getpid()}.{secrets.token_hex(4)}")
        fresh.touch(mode=0o600)
        fresh.write_bytes(make())
        with suppress(FileExistsError):  # another process was first: its file counts
            os.link(fresh, path)
        fresh.unlink()
    return path
