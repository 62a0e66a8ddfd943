"""Every verb of every backend is in its one wrapper."""

import importlib

from faafo_lab.cloud import BACKENDS
from faafo_lab.cloud.base import VERBS


def test_every_verb_of_every_backend_is_wrapped_once() -> None:
    for module, name in BACKENDS.values():
        for verb in VERBS:
            method = getattr(getattr(importlib.import_module(module), name), verb)
            assert hasattr(method, "__wrapped__"), f"{name}.{verb} is no @verb"
            assert not hasattr(method.__wrapped__, "__wrapped__")
