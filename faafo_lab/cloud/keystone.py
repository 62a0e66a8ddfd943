"""What the backends have in common: keystoneauth logs in, as the entry of clouds.yaml wants it, and its errors.

shade and openstacksdk ask all services through it, libcloud logs in with it.
"""

from __future__ import annotations

import json
import logging
import re
import threading
from collections.abc import Iterable
from typing import Any

import requests
import urllib3
from keystoneauth1 import exceptions as keystone
from keystoneauth1.identity.base import BaseIdentityPlugin
from keystoneauth1.session import Session

from faafo_lab.cloud.config import CloudConfig
from faafo_lab.cloud.errors import AuthError, CloudError, CloudFailed, ConfigError, NotFound, from_status, unreachable

logging.getLogger("keystoneauth").addHandler(logging.NullHandler())  # its errors are raised; that is enough

NO_KEYSTONE = "there is no identity service (Keystone v3)"
TAIL = re.compile(r"(?: \((?:HTTP \d+|Request-ID: [^)]*)\))+$")  # what keystoneauth puts after the cloud's words


class LoginLock:
    """The lock of a keystoneauth plugin, which says so where a login needs itself. Raises AuthorizationFailure.

    Where even the version document is refused (401), keystoneauth logs in to read it, and that login reads it first: it
    would wait for its own lock for ever.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._holder: int | None = None  # the thread that logs in

    def __enter__(self) -> None:
        if self._holder == threading.get_ident():
            raise keystone.AuthorizationFailure("401 before any login (does a proxy in between want one?)")
        self._lock.acquire()
        self._holder = threading.get_ident()

    def __exit__(self, *_: object) -> None:
        self._holder = None
        self._lock.release()


def session(config: CloudConfig) -> Session:
    """A session of keystoneauth's that logs in with the entry's credentials, for a backend whose library has none."""
    if not config.verify:  # the entry says so, which is warning enough (openstacksdk's sessions do the same)
        urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
    return Session(
        auth=config.loaded.get_auth(),
        verify=config.verify,
        cert=config.certificate,
        timeout=config.timeout_seconds,
    )


def endpoint(config: CloudConfig, session: Session, service: str) -> str:
    """The address of a service ("compute"), by the entry's region, interface and overrides.

    Raises keystoneauth's errors, also where the cloud has none.
    """
    loaded = config.loaded
    wanted = {"interface": loaded.get_interface(service), "region_name": loaded.get_region_name(service)}
    url = loaded.get_endpoint(service) or session.get_endpoint(
        service_type=loaded.get_service_type(service),
        service_name=loaded.get_service_name(service),
        skip_discovery=True,
        **wanted,
    )
    if not url:
        raise keystone.EndpointNotFound(f"{wanted['interface']} endpoint for {service} service not found")
    return str(url)


def translate(error: Exception, backend: str, config: CloudConfig) -> CloudError:
    """The lab's error for one of a library's, or of keystoneauth's, which the library may have wrapped in its own."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, requests.HTTPError) and cause.response is not None:
            return from_status(cause.response.status_code, _words(cause.response))
        if isinstance(cause, keystone.CatalogException) and "object-store" in str(cause):  # it is an optional one
            return NotFound(f"The cloud has no object store in this region: {cause}.")
        if isinstance(cause, keystone.CatalogException):
            return ConfigError(
                f"The cloud has nothing for the {config.entry}: {cause}. The login was accepted; its catalog has "
                f"{_offers(config)}. Correct region_name or interface in the entry."
            )
        if isinstance(cause, keystone.HttpError):
            return _refused(cause, config)
        if isinstance(cause, keystone.DiscoveryFailure | keystone.InvalidResponse):
            return unreachable(config.auth_url, str(cause), otherwise=NO_KEYSTONE)
        if isinstance(cause, keystone.ConnectionError):
            return unreachable(config.auth_url, str(cause))
        if isinstance(cause, keystone.AuthorizationFailure | keystone.AuthPluginException):
            return AuthError(f"The cloud refuses the credentials: {cause}. Check them in clouds.yaml.")
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, OSError):  # of requests, such as of a file of authorities that is missing
        return unreachable(config.auth_url, str(error))
    return CloudFailed(f"{backend} could not do this: {error}.")


def _refused(error: keystone.HttpError, config: CloudConfig) -> CloudError:
    """The lab's error for a status of Keystone's, or of what is at its address."""
    status, words = error.http_status, TAIL.sub("", str(error.message))
    if status == 404 and "token" in config.auth and "token" in words.lower() and not _logged_in(config):
        status = 401  # so Keystone says that a token is none, or has expired
    if status not in (400, 401, 403) and status < 500 and not _logged_in(config):
        return unreachable(config.auth_url, NO_KEYSTONE)
    if status == 401 and (hint := _hint(config)):
        words = f"{words.rstrip('.')}. {hint}"
    return from_status(status, words)


def _logged_in(config: CloudConfig) -> bool:
    return getattr(config.loaded.get_auth(), "auth_ref", None) is not None


def _hint(config: CloudConfig) -> str:
    """What is often the matter with credentials that look right."""
    names = [key for key, value in config.auth.items() if key.endswith("domain_name") and value == "default"]
    if not names:
        return ""
    return f"Most clouds' first domain is named 'Default', and 'default' is its id: try that name as {_and(names)}."


def _offers(config: CloudConfig) -> str:
    """The regions and interfaces of the catalog that came with the login."""
    plugin = config.loaded.get_auth()
    access: Any = plugin.auth_ref if isinstance(plugin, BaseIdentityPlugin) else None
    catalog = access.service_catalog.catalog if access is not None and access.has_service_catalog() else []
    endpoints = [endpoint for service in catalog for endpoint in service["endpoints"]]
    if not endpoints:
        return "no services"
    regions = _and({endpoint.get("region") or endpoint.get("region_id") or "" for endpoint in endpoints})
    return f"the regions {regions} and the interfaces {_and({endpoint['interface'] for endpoint in endpoints})}"


def _and(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))


def _words(response: requests.Response) -> str:
    """What the cloud says in the body of an error: `{"badRequest": {"message": …}}` of Nova, and so on."""
    try:
        body: Any = json.loads(response.text)
        return str(next(iter(body.values()))["message"])
    except (ValueError, AttributeError, KeyError, TypeError, StopIteration):
        return response.text.strip() or str(response.reason)
