"""Run openstacksdk's functional tests: they are in its wheel."""

from __future__ import annotations

from ... import clouds, pythontests
from ...place import Place
from ...results import Results

SETTINGS = {
    "OPENSTACKSDK_IMAGE": "plain-linux",
    "OPENSTACKSDK_FLAVOR": "m1.tiny",
    "OS_TEST_TIMEOUT": "180",  # seconds for one test
    "OPENSTACKSDK_FUNC_TEST_TIMEOUT": "60",
    "OS_LOG_CAPTURE": "1",
}


def run(place: Place, results: Results) -> None:
    """Run the tests that `results` wants. Raises `OSError`."""
    clouds.devstack(place)
    (place.out / "CONTRIBUTING.rst").write_text("A page of openstacksdk's sources, which image tests upload.\n")
    pythontests.run(place, results, [place.bin / "python", "-m", "subunit.run", *results.applicable], SETTINGS)


def figures(results: Results) -> dict[str, int]:
    """How many failed."""
    return {"sdk_failed": len(results.of("failed"))}
