"""Suites whose tests are Python's: they report in subunit, from an environment of their own."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from .place import Place
from .results import Results

EVENTS = Path(__file__).with_name("events.py")


def run(place: Place, results: Results, command: Sequence[str | Path], more: Mapping[str, str] | None = None) -> None:
    """Run a command that writes subunit to its output, and note the results as they come.

    `more` is what the command's environment has beside a place's own. What it says on stderr is kept in
    stderr.txt, and what is known of each failure in failures.txt. Raises `OSError` where no test ended.
    """
    with (
        (place.out / "stderr.txt").open("w") as errors,
        (place.out / "failures.txt").open("w") as failures,
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
