"""Suites whose tests are commands. A test's lines in its suite's list are a script for bash, and what it prints:

    a container is created
      $ rclone mkdir lab:walk
      $ for name in walk other
      > do rclone lsf lab: | grep $name || true; done
      walk/

Every test finds the files of those before it, so where some are chosen, those before them run, too.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from pathlib import Path

from .debian import NotToBeHadError
from .place import Place
from .results import Results

TEST_SECONDS = 180
BASH = ("bash", "-euo", "pipefail")


def scripts(path: Path) -> dict[str, tuple[str, str]]:
    """The tests of a list that have commands: their script, and what it prints. Raises `OSError`."""
    found: dict[str, tuple[str, str]] = {}
    name = ""
    for line in path.read_text().splitlines():
        script, prints = found.get(name, ("", ""))
        if not line.startswith("  "):
            name = line
        elif line.startswith(("  $ ", "  > ")):
            found[name] = (f"{script}{line[4:]}\n", prints)
        else:
            found[name] = (script, f"{prints}{line[2:]}\n")
    return found


def run(
    place: Place, results: Results, path: Path, program: Callable[[], Path], more: Mapping[str, str] | None = None
) -> None:
    """Run the tests of a list with a program in PATH, which `program` finds; `more` is what else their environment has.

    Where `program` raises `NotToBeHadError`, none of the tests is applicable.
    """
    try:
        programs = program().parent
    except NotToBeHadError as error:
        results.drop(str(error))
        return
    directory = place.temporary / "work"
    directory.mkdir()
    file = place.temporary / "script"
    settings = {"LC_ALL": "C.UTF-8", **(more or {}), "PATH": f"{programs}:{place.environment()['PATH']}"}
    left = set(results.applicable)
    for name, (script, prints) in scripts(path).items():
        if not left:
            break
        left.discard(name)
        file.write_text(script)
        with results.step(name):
            printed = place.run([*BASH, file], settings, TEST_SECONDS, cwd=directory)
            difference = difflib.unified_diff(
                prints.splitlines(), printed.splitlines(), "wanted", "printed", "", "", 0, ""
            )
            assert printed == prints, "\n".join(difference)
