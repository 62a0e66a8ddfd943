"""What shade and openstacksdk have in common: both log in and ask through keystoneauth, and their errors look alike.

Where even the version document is refused (401), keystoneauth logs in to read it, and that login reads it first: it
waits for its own lock for ever. `LoginLock` takes that lock's place.
"""

from __future__ import annotations

import json
import logging
import threading
from typing import Any

import requests
from keystoneauth1 import exceptions as keystone

from faafo_lab.cloud.config import CloudConfig
from faafo_lab.cloud.errors import AuthError, CloudError, CloudFailed, NotFound, from_status, unreachable

logging.getLogger("keystoneauth").addHandler(logging.NullHandler())  # its errors are raised; that is enough


class LoginLock:
    """The lock of a keystoneauth plugin, which says so where a login needs itself. Raises AuthorizationFailure."""

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


def translate(error: Exception, backend: str, config: CloudConfig) -> CloudError:
    """The lab's error for one of a library's, or of keystoneauth's, which the library may have wrapped in its own."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, requests.HTTPError) and cause.response is not None:
            return from_status(cause.response.status_code, _words(cause.response))
        if isinstance(cause, keystone.ConnectionError | keystone.DiscoveryFailure):
            return unreachable(config.auth_url, str(cause))
        if isinstance(cause, keystone.EndpointNotFound):
            return NotFound(f"This cloud lacks a service: {cause}.")
        if isinstance(cause, keystone.HttpError):
            return from_status(cause.http_status, str(cause.message))
        if isinstance(cause, keystone.AuthorizationFailure | keystone.MissingAuthPlugin):
            return AuthError(f"The cloud refuses the credentials: {cause}. Check them in clouds.yaml.")
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, OSError):  # of requests, such as of a file of authorities that is missing
        return unreachable(config.auth_url, str(error))
    return CloudFailed(f"{backend} could not do this: {error}.")


def _words(response: requests.Response) -> str:
    """What the cloud says in the body of an error: `{"badRequest": {"message": …}}` of Nova, and so on."""
    try:
        body: Any = json.loads(response.text)
        return str(next(iter(body.values()))["message"])
    except (ValueError, AttributeError, KeyError, TypeError, StopIteration):
        return response.text.strip() or str(response.reason)
