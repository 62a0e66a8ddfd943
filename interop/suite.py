"""Which suites there are, and what one is: a package of `suites`."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, cast

from .place import Place
from .results import Results

SUITES = Path(__file__).resolve().parent / "suites"


class Module(Protocol):
    """A suite's suite.py."""

    def run(self, place: Place, results: Results) -> None:
        """Run the tests that `results` wants, and note what became of each."""

    def figures(self, results: Results) -> dict[str, int]:
        """What goes to build/interop.json: numbers of tests."""


def suites(names: Sequence[str] = ()) -> list[str]:
    """The names of all suites, or those given. Raises `ValueError` for a name that none has."""
    there = sorted(path.parent.name for path in SUITES.glob("*/suite.py"))
    for name in names:
        if name not in there:
            raise ValueError(f"There is no suite {name!r}: choose from {', '.join(there)}.")
    return [name for name in there if not names or name in names]


def load(name: str) -> Module:
    """A suite's module."""
    return cast(Module, importlib.import_module(f"interop.suites.{name}.suite"))
