"""Which tests passed. A class that cannot be set up is one event of tempest's, and a failure of all its tests here."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

KINDS = {"success": "passed", "xfail": "passed", "skip": "skipped"}  # every other status is a failure
_CLASS = re.compile(r"(setUpClass|tearDownClass) \((.*)\)")


def required(path: Path, chosen: Sequence[str] = ()) -> list[str]:
    """The names of the tests in a list; with `chosen`, those that have one of these texts in their names.

    Raises ValueError where a text chooses nothing.
    """
    lines = (line.strip() for line in path.read_text().splitlines())
    names = list(dict.fromkeys(line for line in lines if line and not line.startswith("#")))
    for text in chosen:
        if not any(text in name for name in names):
            raise ValueError(f"No test of {path.name} has {text!r} in its name.")
    return [name for name in names if not chosen or any(text in name for text in chosen)]


@dataclass
class Results:
    """What became of the tests that were wanted."""

    wanted: Sequence[str]
    ended: dict[str, tuple[str, str]] = field(default_factory=dict)  # test: (passed, failed or skipped; why)
    leaks: list[str] = field(default_factory=list)  # classes that could not be torn down

    def add(self, event: Mapping[str, Any]) -> tuple[str, str] | None:
        """Note an event of `events`: returns the name and what became of it, None for one that is only kept."""
        kind = KINDS.get(event["status"], "failed")
        if found := _CLASS.fullmatch(event["test"]):
            step, cls = found.groups()
            if step == "tearDownClass":
                self.leaks += [cls] if kind == "failed" else []
                return None
            for name in self.wanted:
                if name.rpartition(".")[0] == cls:
                    self.ended.setdefault(name, (kind, f"setUpClass: {event['reason']}"))
            return f"{cls} (setUpClass)", kind
        name = event["test"].partition("[")[0]
        if name not in self.wanted:
            return None
        self.ended[name] = (kind, event["reason"])
        return name, kind

    def of(self, kind: str) -> list[str]:
        """The tests that passed, failed or were skipped; one without a result has failed."""
        return [name for name in self.wanted if self.ended.get(name, ("failed", ""))[0] == kind]

    def table(self) -> Iterable[str]:
        """A line for each service, and one for all."""
        services = dict.fromkeys(_service(name) for name in self.wanted)
        rows = {service: Counter[str]() for service in services}
        for kind in ("passed", "failed", "skipped"):
            for name in self.of(kind):
                rows[_service(name)][kind] += 1
        yield f"{'service':<16}{'passed':>8}{'failed':>8}{'skipped':>9}"
        total = sum(rows.values(), Counter[str]())
        for service, row in [*rows.items(), ("all", total)]:
            yield f"{service:<16}{row['passed']:>8}{row['failed']:>8}{row['skipped']:>9}"

    def write(self, path: Path) -> None:
        """Keep the figures, and the names of what did not pass."""
        figures = {
            "interop_passed": {"value": len(self.of("passed")), "unit": "tests"},
            "interop_required": {"value": len(self.wanted), "unit": "tests"},
            "failed": self.of("failed"),
            "skipped": self.of("skipped"),
            "not_torn_down": self.leaks,
        }
        path.write_text(json.dumps(figures, indent=2) + "\n")


def _service(name: str) -> str:
    return name.split(".")[2]
