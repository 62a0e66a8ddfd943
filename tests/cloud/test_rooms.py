"""How the room is built: no module in a circle, every verb in its one wrapper."""

from __future__ import annotations

import ast
import graphlib
import importlib
from pathlib import Path

from faafo_lab import cloud
from faafo_lab.cloud import BACKENDS
from faafo_lab.cloud.base import VERBS

ROOM = Path(cloud.__file__).parent


def imports(path: Path) -> set[str]:
    """The modules of this room that a module imports, be it in a function or for typing alone."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{name.name}" for name in node.names)}
    return {name.removeprefix("faafo_lab.cloud.") for name in found if name.startswith("faafo_lab.cloud.")}


def test_no_module_is_in_a_circle_and_the_dataclasses_need_nothing() -> None:
    modules = {path.stem: imports(path) for path in ROOM.glob("*.py") if path.stem != "__init__"}
    assert modules["model"] == set()
    assert modules["base"] > {"model", "preflight", "receipt", "ssh"}
    list(graphlib.TopologicalSorter(modules).static_order())  # raises CycleError


def test_every_verb_of_every_backend_is_wrapped_once() -> None:
    for module, name in BACKENDS.values():
        for verb in VERBS:
            method = vars(getattr(importlib.import_module(module), name))[verb]
            assert hasattr(method, "__wrapped__"), f"{name}.{verb} is no @verb"
            assert not hasattr(method.__wrapped__, "__wrapped__")
