"""Run suites that others wrote, each against an embedded cloud that is started for it. `make interop` does this.

python -m interop                             all suites; the figures go to build/interop.json
python -m interop --suite tempest network     some: those tests of tempest with this text in their names
"""

from __future__ import annotations

import argparse
import contextlib
import json
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from faafo_lab.cloud.emulator.errors import EmulatorError

from . import results, suite
from .place import BUILD, place
from .results import Results

FIGURES = BUILD / "interop.json"
LIMIT_SECONDS = 1800  # for one suite


class OvertimeError(Exception):
    """A suite has not ended within its limit."""


def main(arguments: Sequence[str]) -> int:
    """Run and report. Returns 0 where none failed, 1 where one did, 2 where they could not all be run."""
    parser = argparse.ArgumentParser(
        prog="interop",
        usage='make interop [SUITES="NAME …"] [LIST=FILE] [ARGS="TEXT …"]  (or python -m interop …)',
        description=f"Tests that others wrote, on an embedded cloud. Suites: {', '.join(suite.suites())}.",
    )
    parser.add_argument(
        "--suite", action="append", default=[], metavar="NAME", help="run this suite alone (repeatable)"
    )
    parser.add_argument("--list", type=Path, help="a file of test names, instead of the one suite's own (tempest's)")
    parser.add_argument("texts", nargs="*", metavar="TEXT", help="run tests with one of these texts in their names")
    options = parser.parse_args(arguments)
    started = time.monotonic()
    try:
        wanted = _wanted(options.suite, options.list, options.texts)
    except (OSError, ValueError) as error:
        print(f"interop: {error}", file=sys.stderr)
        return 2
    ended: dict[str, Results] = {}
    figures: dict[str, int] = {}
    code = 0
    try:
        for name, tests in wanted.items():
            print(f"\n{name}", flush=True)
            try:
                ended[name] = _run(name, tests)
            except (EmulatorError, OSError, OvertimeError) as error:
                print(f"interop: {name}: {error}", file=sys.stderr)
                code = 2
            else:
                if ended[name].ran:
                    figures |= suite.load(name).figures(ended[name])
    except KeyboardInterrupt:
        print("interop: interrupted.", file=sys.stderr)
        return 130
    _report(ended)
    print(f"\nAll of it took {time.monotonic() - started:.0f} s.")
    if not options.list and not options.texts:
        _write(figures, {name: each.seconds for name, each in ended.items()})
    return code or int(any(each.of("failed") for each in ended.values()))


def _wanted(names: Sequence[str], path: Path | None, texts: Sequence[str]) -> dict[str, dict[str, str]]:
    """The tests of each suite that are to run. Raises `OSError` and `ValueError`."""
    if path:
        names = names or ["tempest"]
        if len(names) > 1:
            raise ValueError("A list of tests is one suite's: name one suite alone.")
    tests = {name: results.listed(path or suite.SUITES / name / "tests.txt") for name in suite.suites(names)}
    for text in texts:
        if not any(text in test for each in tests.values() for test in each):
            raise ValueError(f"No test of {', '.join(tests)} has {text!r} in its name.")
    chosen = {name: results.chosen(each, texts) for name, each in tests.items()}
    return {name: each for name, each in chosen.items() if each}


def _run(name: str, tests: Mapping[str, str]) -> Results:
    """Run a suite. Raises `OSError`, `EmulatorError` and `OvertimeError`."""
    found = Results(tests)
    with place(name, suite.SUITES / name / "requirements.txt") as where:
        started = time.monotonic()
        try:
            with _limit():
                suite.load(name).run(where, found)
        finally:
            found.seconds = time.monotonic() - started
            found.write(where.out / "results.json")
    return found


@contextlib.contextmanager
def _limit() -> Iterator[None]:
    """A block that raises `OvertimeError` after LIMIT_SECONDS."""

    def too_long(*_: object) -> None:
        raise OvertimeError(f"has not ended within {LIMIT_SECONDS} s.")

    before = signal.signal(signal.SIGALRM, too_long)
    signal.alarm(LIMIT_SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def _report(ended: Mapping[str, Results]) -> None:
    """A line for each suite; below it, what is not applicable and why, and which tests were slowest."""
    width = max(map(len, ended), default=0)
    print(f"\n{'':{width}}{results.heading()}")
    for name, each in ended.items():
        print(f"{name:{width}}{each.row()}")
    for name, each in ended.items():
        print(f"\n{name}", *each.reasons(), *each.slowest(), sep="\n")
        for test in each.of("failed"):
            print(f"failed: {test}")
        for cls in each.leaks:
            print(f"{cls} could not be torn down.")


def _write(figures: Mapping[str, int], seconds: Mapping[str, float]) -> None:
    """Keep the figures of the suites that ran beside those that ran before."""
    before = json.loads(FIGURES.read_text()) if FIGURES.exists() else {}
    now = {name: {"value": value, "unit": "tests"} for name, value in figures.items()}
    now |= {f"{name}_seconds": {"value": round(value), "unit": "s"} for name, value in seconds.items()}
    FIGURES.write_text(json.dumps({**before, **now}, indent=2) + "\n")


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # either way nothing is left running
    sys.exit(main(sys.argv[1:]))
