"""Suites whose tests are Python's: they report in subunit, from an environment of their own."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from .place import Place
from .results import Results

EVENTS = Path(__file__).with_name("events.py")


STESTR = "[DEFAULT]\ntest_path={tests}\ntop_dir={top}\n"


def stestr(place: Place, tests: str, top: str) -> Path:
    """Set up stestr in `out` for the tests of two folders of site-packages; returns the program. Raises `OSError`."""
    packages = next((place.bin.parent / "lib").glob("python3*/site-packages"))
    (place.out / ".stestr.conf").write_text(STESTR.format(tests=packages / tests, top=packages / top))
    place.run([place.bin / "stestr", "init"])
    return place.bin / "stestr"


def side_by_side(
    place: Place, results: Results, tests: str, processes: int, alone: Sequence[str], more: Mapping[str, str]
) -> None:
    """Run the tests of a folder of site-packages in several processes, those of `alone` afterwards."""
    program = stestr(place, tests, ".")
    for count, wanted in ((processes, set(results.applicable) - set(alone)), (1, set(results.applicable) & set(alone))):
        if wanted:
            names = place.out / f"tests-{count}.txt"
            names.write_text("".join(f"{name}\n" for name in results.applicable if name in wanted))
            run(place, results, [program, "run", "--subunit", f"--concurrency={count}", "--load-list", names], more)


def run(place: Place, results: Results, command: Sequence[str | Path], more: Mapping[str, str] | None = None) -> None:
    """Run a command that writes subunit to its output, and note the results as they come.

    `more` is what the command's environment has beside a place's own. What it says on stderr is kept in
    stderr.txt, and what is known of each failure in failures.txt. Raises `OSError` where no test ended.
    """
    with (
        (place.out / "stderr.txt").open("a") as errors,
        (place.out / "failures.txt").open("a") as failures,
        place.started(command, more, stdout=subprocess.PIPE, stderr=errors) as tests,
        place.started([place.bin / "python", EVENTS], stdin=tests.stdout, stdout=subprocess.PIPE) as listener,
    ):
        assert tests.stdout is not None
        assert listener.stdout is not None
        tests.stdout.close()  # the listener has it
        for line in listener.stdout:
            event = json.loads(line)
            results.add(event)
            if event["trace"]:
                failures.write(f"{event['test']}\n{event['trace']}\n\n")
                failures.flush()
    if not results.ended:
        raise OSError(f"No test ran: see {place.out / 'stderr.txt'}.")
