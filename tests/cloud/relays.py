"""Relays in front of the embedded cloud: as a cloud with a certificate of its own, or one that lacks something."""

from __future__ import annotations

import datetime
import ipaddress
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from faafo_lab.cloud import direct


def certificate(path: Path) -> Path:
    """A certificate that vouches for itself, for 127.0.0.1, with its key in the same file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a cloud of the test's")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(secret + made.public_bytes(serialization.Encoding.PEM))
    return path


def nothing(request: Request, body: bytes) -> tuple[int, str] | None:
    """Refuse nothing."""
    return None


@contextmanager
def relay(url: str, own: Path | None = None, refuses: Refuses = nothing) -> Iterator[int]:
    """The port on 127.0.0.1 where what answers at `url` (a scheme and a host) speaks TLS, with this certificate if any.

    `refuses` gives the status and the message with which a request is refused in its place, or None.
    """
    with Relay(("127.0.0.1", 0), Request) as server:
        server.url, server.refuses = url, refuses
        if own is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(own)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, name="relay")
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


class Relay(ThreadingHTTPServer):
    """An HTTP server that has everything from another one."""

    url: str
    refuses: Refuses


class Request(BaseHTTPRequestHandler):
    """One request of many: HTTP/1.0 ends its connection."""

    server: Relay

    def forward(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if refusal := self.server.refuses(self, body):
            status, words = refusal
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps({"error": {"message": words}, "faultstring": words}).encode())
            return
        headers = {name: value for name, value in self.headers.items() if name not in ("Host", "Connection")}
        answer = direct.request(self.command, self.server.url + self.path, data=body, headers=headers, timeout=30)
        self.send_response(answer.status_code)
        for name in ("Content-Type", "X-Subject-Token"):
            if name in answer.headers:
                self.send_header(name, answer.headers[name])
        self.end_headers()
        self.wfile.write(answer.content)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = forward

    def log_message(self, *_: object) -> None:
        """No line on standard error for each request."""


Refuses = Callable[[Request, bytes], tuple[int, str] | None]
