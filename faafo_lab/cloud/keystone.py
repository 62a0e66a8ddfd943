"""The backends' common login through keystoneauth, by the entry in clouds.yaml, and its errors.

shade and openstacksdk send all requests through it, libcloud only logs in with it.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable
from typing import Any

import requests
import urllib3
from keystoneauth1 import exceptions as keystone
from keystoneauth1.identity.base import BaseIdentityPlugin
from keystoneauth1.session import Session

from faafo_lab.cloud.config import CloudConfig
from faafo_lab.cloud.errors import AuthError, CloudError, CloudFailed, ConfigError, NoService, from_status, unreachable

logging.getLogger("keystoneauth").addHandler(logging.NullHandler())  # its errors are raised, so its log adds nothing

# The services that clouds may lack, by what their names have in common.
OPTIONAL = {
    "object-store": "object store",
    "load-balancer": "load balancers",
    "volume": "volumes (block storage)",
    "block-storage": "volumes (block storage)",
}
NO_KEYSTONE = "there is no identity service (Keystone v3)"
TAIL = re.compile(r"(?: \((?:HTTP \d+|Request-ID: [^)]*)\))+$")  # keystoneauth's addition to the cloud's words


def session(config: CloudConfig) -> Session:
    """A keystoneauth session that logs in with the entry's credentials, for a backend whose library has none."""
    if not config.verify:  # the user's entry disables the check, so no warning (openstacksdk's sessions do the same)
        urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
    return Session(
        auth=config.loaded.get_auth(),
        verify=config.verify,
        cert=config.certificate,
        timeout=config.timeout_seconds,
    )


def endpoint(config: CloudConfig, session: Session, service: str) -> str:
    """The address of a service ("compute"), by the entry's region, interface and overrides.

    Raises keystoneauth's errors, also if the cloud lacks the service.
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
    """The lab's error for a library's or keystoneauth's error, which the library may have wrapped in its own."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, requests.HTTPError) and cause.response is not None:
            return from_status(cause.response.status_code, _words(cause.response))
        if isinstance(cause, keystone.EndpointNotFound):
            for service, words in OPTIONAL.items():
                if service in str(cause):
                    return NoService(f"The cloud has no {words} in this region.")
        if isinstance(cause, keystone.CatalogException):
            return ConfigError(
                f"The catalog has no match for the {config.entry}: {cause}. The login was accepted; its catalog has "
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
    if isinstance(error, OSError):  # from requests, for instance on a missing file of authorities
        return unreachable(config.auth_url, str(error))
    return CloudFailed(f"{backend} could not do this: {error}.")


def _refused(error: keystone.HttpError, config: CloudConfig) -> CloudError:
    """The lab's error for an HTTP status from Keystone, or from another server at its address."""
    status, words = error.http_status, TAIL.sub("", str(error.message))
    if status == 404 and "token" in config.auth and "token" in words.lower() and not _logged_in(config):
        status = 401  # Keystone's status for an invalid or expired token
    if status not in (400, 401, 403) and status < 500 and not _logged_in(config):
        return unreachable(config.auth_url, NO_KEYSTONE)
    if status == 401 and (hint := _hint(config)):
        words = f"{words.rstrip('.')}. {hint}"
    return from_status(status, words)


def _logged_in(config: CloudConfig) -> bool:
    return getattr(config.loaded.get_auth(), "auth_ref", None) is not None


def _hint(config: CloudConfig) -> str:
    """A hint at a frequent fault of credentials that look right; "" if there is none."""
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
    """The cloud's words in an error's body: `{"badRequest": {"message": …}}` of Nova, and so on."""
    try:
        body: Any = json.loads(response.text)
        return str(next(iter(body.values()))["message"])
    except (ValueError, AttributeError, KeyError, TypeError, StopIteration):
        return response.text.strip() or str(response.reason)
