"""Key pairs: the fingerprint of a public key or a certificate, and new pairs."""

from __future__ import annotations

import base64
import binascii
import hashlib
from datetime import UTC, datetime, timedelta

TYPES = ("ssh-rsa", "ssh-ed25519", "ssh-dss", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521")
RSA_BITS = 2048
YEARS_VALID = 10


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
