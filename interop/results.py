"""What became of a suite's tests. A class that cannot be set up is one event of unittest's, and all its tests here."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

KINDS = ("passed", "failed", "not applicable")
STATUS = {"success": "passed", "xfail": "passed", "skip": "not applicable"}  # every other status is a failure
SHOWN_CHARACTERS = 200  # of a line that says why
SLOWEST = 3
_CLASS = re.compile(r"(setUpClass|tearDownClass) \((.*)\)")
_NOT_APPLICABLE = re.compile(r"not applicable: *(\S.*)")


def listed(path: Path) -> dict[str, str]:
    """The tests of a list, and why a test is not applicable ('' where it is).

    One name per line; `#` begins a comment, and an indented line is part of the test above it. After a line
    `not applicable: REASON` this holds for all up to the next empty line. Raises `OSError`.
    """
    tests: dict[str, str] = {}
    reason = ""
    for line in map(str.rstrip, path.read_text().splitlines()):
        if found := _NOT_APPLICABLE.fullmatch(line):
            reason = found[1]
        elif not line:
            reason = ""
        elif not line.startswith(("#", " ")):
            tests.setdefault(line, reason)
    return tests


def chosen(tests: Mapping[str, str], texts: Sequence[str]) -> dict[str, str]:
    """Those tests that have one of the texts in their names; all where there is no text."""
    return {name: reason for name, reason in tests.items() if not texts or any(text in name for text in texts)}


@dataclass
class Result:
    """What became of a test."""

    kind: str  # of KINDS
    reason: str = ""
    seconds: float = 0.0


@dataclass
class Results:
    """What became of the tests that were wanted: name and, where it is not applicable, why."""

    wanted: Mapping[str, str]
    ended: dict[str, Result] = field(default_factory=dict)
    leaks: list[str] = field(default_factory=list)  # classes that could not be torn down
    seconds: float = 0.0  # of the whole run

    @property
    def applicable(self) -> list[str]:
        """The tests that the suite is to run."""
        return [name for name, reason in self.wanted.items() if not reason]

    @property
    def ran(self) -> bool:
        """Whether a test ran: none does where a program that a suite needs is not installed."""
        return any(each.kind != "not applicable" for each in self.ended.values())

    def drop(self, reason: str) -> None:
        """Note that no test is applicable, and print why."""
        self.wanted = {name: known or reason for name, known in self.wanted.items()}
        print(f"not applicable: {reason}", flush=True)

    def note(self, name: str, kind: str, reason: str = "", seconds: float = 0.0) -> None:
        """Keep what became of a test, and print it; a test that is not wanted is passed over."""
        if name in self.wanted and not self.wanted[name]:
            self.ended[name] = Result(kind, reason, seconds)
            self._print(name, kind, reason, seconds)

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[None]:
        """A test that is this block: it fails where the block raises what commands, files and assertions raise."""
        started = time.monotonic()
        kind, reason = "passed", ""
        try:
            yield
        except (AssertionError, OSError, LookupError, ValueError, subprocess.SubprocessError) as error:
            kind, reason = "failed", str(error) or type(error).__name__
        self.note(name, kind, reason, time.monotonic() - started)

    def add(self, event: Mapping[str, Any]) -> None:
        """Note an event of `events`."""
        kind = STATUS.get(event["status"], "failed")
        if found := _CLASS.fullmatch(event["test"]):
            step, cls = found.groups()
            if step == "tearDownClass":
                self.leaks += [cls] if kind == "failed" else []
                return
            self._print(f"{cls} (setUpClass)", kind, event["reason"], event["seconds"])
            for name in self.applicable:
                if name.rpartition(".")[0] == cls:
                    reason = event["reason"] if kind == "not applicable" else f"setUpClass: {event['reason']}"
                    self.ended.setdefault(name, Result(kind, reason))
        else:
            self.note(event["test"].partition("[")[0], kind, event["reason"], event["seconds"])

    def _print(self, name: str, kind: str, reason: str, seconds: float) -> None:
        print(f"{len(self.ended):4} of {len(self.applicable)} {kind:<15}{name} ({seconds:.1f} s)", flush=True)
        if kind != "passed":
            print(*(f"             {line[:SHOWN_CHARACTERS]}" for line in reason.splitlines()), sep="\n", flush=True)

    def result(self, name: str) -> Result:
        """What became of a wanted test: one without a result has failed."""
        if reason := self.wanted[name]:
            return Result("not applicable", reason)
        return self.ended.get(name, Result("failed", "There was no result."))

    def of(self, kind: str) -> list[str]:
        """The tests that passed, that failed, or that are not applicable."""
        return [name for name in self.wanted if self.result(name).kind == kind]

    def row(self) -> str:
        """How many passed, failed and are not applicable, and the seconds: a line of the table that `heading` heads."""
        return "".join(f"{len(self.of(kind)):>{len(kind) + 2}}" for kind in KINDS) + f"{self.seconds:>9.0f}"

    def reasons(self) -> Iterable[str]:
        """Why tests are not applicable, with their number, the most frequent first."""
        counts = Counter(self.result(name).reason for name in self.of("not applicable"))
        return (f"{count:4} not applicable: {reason}" for reason, count in counts.most_common())

    def slowest(self) -> Iterable[str]:
        """The tests that took longest."""
        names = sorted(self.ended, key=lambda name: self.ended[name].seconds, reverse=True)[:SLOWEST]
        return (f"{self.ended[name].seconds:6.1f} s {name}" for name in names)

    def write(self, path: Path) -> None:
        """Keep what became of each test, as JSON."""
        tests = {name: vars(self.result(name)) for name in self.wanted}
        path.write_text(json.dumps({"not_torn_down": self.leaks, "tests": tests}, indent=2) + "\n")


def heading() -> str:
    """What stands above rows."""
    return "".join(f"{kind:>{len(kind) + 2}}" for kind in KINDS) + f"{'seconds':>9}"
