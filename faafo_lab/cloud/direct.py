"""What is on this machine is asked directly, whatever the user's environment says.

The embedded cloud and its instances have loopback addresses. A proxy (`http_proxy`, …) can't reach those, and would be
given the passwords; and requests reads more than that from the environment: an entry of ~/.netrc, be it the default,
replaces the Authorization header. So the lab's requests to loopback addresses depend on nothing of it, and all others
go as the user has set it.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import requests

LOOPBACK = "127.0.0.0/8"


def is_local(url: str | None) -> bool:
    """Whether what answers at `url` is on this machine: at a loopback address, or "localhost"."""
    try:
        host = urlsplit(url or "").hostname or ""
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def settle(session: requests.Session, url: str | None) -> None:
    """Have a session that asks what is at `url` alone read nothing of the environment if that is on this machine."""
    session.trust_env = not is_local(url)


class Session(requests.Session):
    """requests' own, settled anew with each request. Of one thread at a time, as its base class."""

    def request(self, method: str | bytes, url: str | bytes, *args: Any, **kwargs: Any) -> requests.Response:
        """Send a request."""
        settle(self, url if isinstance(url, str) else url.decode())
        return super().request(method, url, *args, **kwargs)


def request(method: str, url: str, **kwargs: Any) -> requests.Response:
    """`requests.request`, through a `Session`."""
    with Session() as session:
        return session.request(method, url, **kwargs)


def get(url: str, **kwargs: Any) -> requests.Response:
    """`requests.get`, through a `Session`."""
    return request("GET", url, **kwargs)


def bearer(token: str) -> requests.auth.AuthBase:
    """The header "Authorization: Bearer …" as requests' `auth`, which no ~/.netrc replaces, wherever it is sent to."""
    return _Bearer(token)


class _Bearer(requests.auth.AuthBase):
    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


@contextmanager
def without(variable: str, environ: MutableMapping[str, str] = os.environ) -> Iterator[None]:
    """The environment without this variable, for what is done inside."""
    value = environ.pop(variable, None)
    try:
        yield
    finally:
        if value is not None:
            environ[variable] = value


def spare_proxies(environ: MutableMapping[str, str] = os.environ) -> None:
    """Have this process, and those that it starts, use no proxy for loopback addresses (`NO_PROXY`).

    This is for the learner's own `requests.get(app.endpoint)`: nothing else tells them from others.
    """
    hosts = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
    if hosts != "*" and LOOPBACK not in hosts.split(","):
        hosts = f"{hosts},{LOOPBACK}".lstrip(",")
    environ["no_proxy"] = environ["NO_PROXY"] = hosts
