"""shade 1.33.0 on today's Python: the one place that mends what has aged in it. Use `shade` from here.

* `inspect.getargspec`, which Python 3.11 removed, is called by 38 of its methods (`create_server` is one).
* netifaces2 knows no default gateway, and shade's constructor asks for it (to see whether this machine has IPv6).
* It does not declare that it needs requestsexceptions, munch, six and netifaces: this project does, in pyproject.toml.
* Importing it, or os-client-config, warns of things that their users can't change.

* Where even the version document is refused (401), keystoneauth logs in to read it, and that login reads it first: it
  waits for its own lock for ever. `LoginLock` takes that lock's place.

Only shade's own module `shade._utils` gets the mended names; `inspect` and `netifaces` stay as they are for others.
"""

from __future__ import annotations

import inspect
import logging
import threading
import warnings
from collections import namedtuple
from types import SimpleNamespace
from typing import Any

from keystoneauth1 import exceptions as keystone

ArgSpec = namedtuple("ArgSpec", "args varargs keywords defaults")


def _getargspec(function: Any) -> ArgSpec:
    return ArgSpec(*inspect.getfullargspec(function)[:4])


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


def _mend_shade() -> Any:
    """Import shade and mend it; returns the module."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import shade
        import shade._utils as utils
    logging.getLogger("keystoneauth").addHandler(logging.NullHandler())  # its errors are raised; that is enough
    utils.inspect = SimpleNamespace(getargspec=_getargspec, stack=inspect.stack)
    utils.netifaces = SimpleNamespace(
        AF_INET6=utils.netifaces.AF_INET6,
        gateways=lambda: {"default": {}},  # no IPv6 route: the lab picks addresses by itself
    )
    return shade


shade = _mend_shade()
