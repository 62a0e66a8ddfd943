"""shade 1.33.0 on today's Python: the one place that repairs what has aged in it. Use `shade` from here.

* `inspect.getargspec`, which Python 3.11 removed, is called by 38 of its methods (`create_server` is one). Only shade's
  own module `shade._utils` gets it back; `inspect` stays as it is for others.
* netifaces2 knows no default gateway, and shade's constructor asks for it, to see whether this machine has IPv6.
* It does not declare that it needs requestsexceptions, munch, six and netifaces: this project does, in pyproject.toml.
* Importing it, or os-client-config, warns of things that their users can't change.
"""

from __future__ import annotations

import inspect
import warnings
from types import SimpleNamespace

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import shade
    from shade import _utils

__all__ = ["shade"]

_utils.inspect = SimpleNamespace(getargspec=inspect.getfullargspec, stack=inspect.stack)
_utils.localhost_supports_ipv6 = lambda: False  # the lab picks addresses by itself
