"""Run restic with a repository in the embedded object store."""

from __future__ import annotations

from pathlib import Path

from ... import clouds, scripts
from ...debian import Package
from ...place import Place
from ...results import Results

TESTS = Path(__file__).with_name("tests.txt")
PACKAGE = Package("restic", "0.14.0-1+b5")


def run(place: Place, results: Results) -> None:
    """Run the tests that `results` wants. Raises `OSError`."""
    repository = {"RESTIC_REPOSITORY": "swift:backup:/repository", "RESTIC_PASSWORD": "secret"}
    scripts.run(place, results, TESTS, PACKAGE.program, {**clouds.variables(place.clouds_yaml), **repository})


def figures(results: Results) -> dict[str, int]:
    """How many tests failed."""
    return {"restic_failed": len(results.of("failed"))}
