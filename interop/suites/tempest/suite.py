"""Run tempest: config writes what it is told of the cloud."""

from __future__ import annotations

import re
import subprocess

from ... import pythontests
from ...place import Place
from ...results import Results
from . import config

STESTR = "[DEFAULT]\ntest_path={tempest}/test_discover\ntop_dir={tempest}\ngroup_regex=([^\\.]*\\.)*\n"


def run(place: Place, results: Results) -> None:
    """Run the tests that `results` wants. Raises `OSError`."""
    conf = config.write(place.out, place.clouds_yaml)
    package = next((place.bin.parent / "lib").glob("python3*/site-packages/tempest"))
    (place.out / ".stestr.conf").write_text(STESTR.format(tempest=package))
    names = place.out / "tests.txt"
    names.write_text("".join(rf"^{re.escape(name)}(\[|$)" + "\n" for name in results.applicable))
    subprocess.run(
        [place.bin / "stestr", "init"], cwd=place.out, env=place.environment(), check=True, stdout=subprocess.DEVNULL
    )
    command = [place.bin / "tempest", "run", "--config-file", conf, "--include-list", names]
    pythontests.run(place, results, [*command, "--concurrency", "1", "--subunit"])


def figures(results: Results) -> dict[str, int]:
    """How many of the guideline's tests passed."""
    return {"interop_passed": len(results.of("passed"))}
