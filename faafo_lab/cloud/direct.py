"""Requests to this machine go out directly, whatever the user's environment says.

The embedded cloud and its instances have loopback addresses. A proxy (`http_proxy`, …) can't reach those, and would be
given the passwords; and requests reads more than that from the environment: an entry of ~/.netrc, be it the default,
replaces the Authorization header. So the lab's requests to loopback addresses ignore the environment, and all others
follow it.
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
    """Whether `url` is on this machine: at a loopback address, or "localhost"."""
    try:
        host = urlsplit(url or "").hostname or ""
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def settle(session: requests.Session, url: str | None) -> None:
    """Make a session, used for `url` alone, ignore the environment if `url` is on this machine."""
    session.trust_env = not is_local(url)


class Session(requests.Session):
    """A requests session that is settled for each request's URL. For one thread at a time, like its base class."""

    def request(self, method: str | bytes, url: str | bytes, *args: Any, **kwargs: Any) -> requests.Response:
        """Send a request, directly if its URL is on this machine."""
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
    """The header "Authorization: Bearer …" as requests' `auth`, which no ~/.netrc replaces, whatever the host."""
    return _Bearer(token)


class _Bearer(requests.auth.AuthBase):
    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


@contextmanager
def without(variable: str, environ: MutableMapping[str, str] = os.environ) -> Iterator[None]:
    """Remove this variable from the environment during the block."""
    value = environ.pop(variable, None)
    try:
        yield
    finally:
        if value is not None:
            environ[variable] = value


def spare_proxies(environ: MutableMapping[str, str] = os.environ) -> None:
    """Make this process, and those that it starts, bypass proxies for loopback addresses (`NO_PROXY`).

    This serves the learner's own `requests.get(app.endpoint)`, which no session of the lab sends.
    """
    hosts = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
    if hosts != "*" and LOOPBACK not in hosts.split(","):
        hosts = f"{hosts},{LOOPBACK}".lstrip(",")
    environ["no_proxy"] = environ["NO_PROXY"] = hosts
