"""Run tempest: config writes what it is told of the cloud."""

from __future__ import annotations

import re

from ... import pythontests
from ...place import Place
from ...results import Results
from . import config


def run(place: Place, results: Results) -> None:
    """Run the tests that `results` wants. Raises `OSError`."""
    conf = config.write(place.out, place.clouds_yaml)
    pythontests.stestr(place, "tempest/test_discover", "tempest")
    names = place.out / "tests.txt"
    names.write_text("".join(rf"^{re.escape(name)}(\[|$)" + "\n" for name in results.applicable))
    command = [place.bin / "tempest", "run", "--config-file", conf, "--include-list", names]
    pythontests.run(place, results, [*command, "--concurrency", "1", "--subunit"])


def figures(results: Results) -> dict[str, int]:
    """How many of the guideline's tests passed."""
    return {"interop_passed": len(results.of("passed"))}
