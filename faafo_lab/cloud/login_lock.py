"""A lock for keystoneauth, whose login would otherwise wait for itself."""

from __future__ import annotations

import threading

from keystoneauth1 import exceptions as keystone


class LoginLock:
    """The lock of a keystoneauth plugin, which raises AuthorizationFailure if a login depends on itself.

    Where even the version document is refused (401), keystoneauth logs in to read it, and that login reads it first: it
    would wait for its own lock without end.
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
