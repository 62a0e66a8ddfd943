"""shade 1.33.0 on today's Python: the one place that mends what has aged in it. Use `shade` from here.

* `inspect.getargspec`, which Python 3.11 removed, is called by 38 of its methods (`create_server` is one).
* netifaces2 knows no default gateway, and shade's constructor asks for it (to see whether this machine has IPv6).
* It does not declare that it needs requestsexceptions, munch, six and netifaces: this project does, in pyproject.toml.
* Importing it, or os-client-config, warns of things that their users can't change.

Only shade's own module `shade._utils` gets the mended names; `inspect` and `netifaces` stay as they are for others.
"""

from __future__ import annotations

import inspect
import warnings
from collections import namedtuple
from types import SimpleNamespace
from typing import Any

ArgSpec = namedtuple("ArgSpec", "args varargs keywords defaults")


def _getargspec(function: Any) -> ArgSpec:
    return ArgSpec(*inspect.getfullargspec(function)[:4])


def _mend_shade() -> Any:
    """Import shade and mend it; returns the module."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import shade
        import shade._utils as utils
    utils.inspect = SimpleNamespace(getargspec=_getargspec, stack=inspect.stack)
    utils.netifaces = SimpleNamespace(
        AF_INET6=utils.netifaces.AF_INET6,
        gateways=lambda: {"default": {}},  # no IPv6 route: the lab picks addresses by itself
    )
    return shade


shade = _mend_shade()
