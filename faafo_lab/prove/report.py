"""A proof's report for others: Markdown to read, JSON to compare; neither reveals whose cloud it was, or where."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from faafo_lab.cloud import BACKENDS
from faafo_lab.cloud.receipt import Receipt
from faafo_lab.prove.budget import Budget
from faafo_lab.prove.redaction import Redactor
from faafo_lab.prove.steps import Outcome, State

FORMAT = 1
DETAIL_CHARACTERS = 300


@dataclass
class Run:
    """All steps through one backend."""

    backend: str
    outcomes: list[Outcome]
    seconds: float = 0.0
    receipt: Receipt | None = None

    @property
    def right(self) -> bool:
        """Whether every step was right."""
        return bool(self.outcomes) and all(outcome.right for outcome in self.outcomes)

    def count(self, part: str) -> str:
        """ "30 of 31" steps of a part that were right; "" if the part has no steps."""
        mine = [outcome for outcome in self.outcomes if outcome.part == part]
        return f"{sum(outcome.right for outcome in mine)} of {len(mine)}" if mine else ""


@dataclass
class Report:
    """A proof's runs, its versions, and how it ended; `data` and `markdown` are redacted."""

    budget: Budget
    parts: Sequence[str]
    at: str  # when it began: ISO 8601, UTC
    embedded: bool
    redactor: Redactor
    runs: list[Run] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)
    services: dict[str, str] = field(default_factory=dict)
    ended: str = ""  # why it ended early; "" if it did not

    @property
    def right(self) -> bool:
        """Whether every step through every backend was right."""
        return bool(self.runs) and not self.ended and all(run.right for run in self.runs)

    def data(self) -> dict[str, Any]:
        """The whole report in JSON's types, redacted."""
        keep = {*BACKENDS, *self.parts, *get_args(State), *(each.what for run in self.runs for each in run.outcomes)}
        data = {
            "format": FORMAT,
            "at": self.at,
            "right": self.right,
            "ended": self.ended,
            "parts": list(self.parts),
            "budget": {"servers": self.budget.servers, "minutes": self.budget.minutes},
            "cloud": "embedded" if self.embedded else "of one's own",
            "services": self.services,
            "versions": self.versions,
            "runs": [
                {
                    "backend": run.backend,
                    "right": run.right,
                    "seconds": round(run.seconds, 1),
                    "steps": [
                        {
                            "part": each.part,
                            "what": each.what,
                            "state": each.state,
                            "seconds": round(each.seconds, 2),
                            "calls": each.calls,
                            "detail": (each.detail.splitlines() or [""])[0],
                        }
                        for each in run.outcomes
                    ],
                    "receipt": _receipt(run.receipt),
                }
                for run in self.runs
            ],
        }
        keep |= {data["cloud"], self.at, *self.versions.values(), *self.services.values()}
        cleaned: dict[str, Any] = self.redactor.clean(data, frozenset(keep))
        for run in cleaned["runs"]:
            for step in run["steps"]:  # cut after the redaction, which would not recognize half a secret
                step["detail"] = step["detail"][:DETAIL_CHARACTERS]
        return cleaned

    def markdown(self) -> str:
        """The whole report as Markdown, redacted."""
        data = self.data()
        verdict = "Every step is right." if data["right"] else "Not every step is right."
        lines = [
            "# faafo-lab prove",
            "",
            f"{verdict} {data['ended'].capitalize()}".rstrip(),
            "",
            *_table(
                ("what", "seen"),
                [
                    ("at (UTC)", data["at"]),
                    ("cloud", data["cloud"]),
                    ("budget", f"{data['budget']['servers']} servers at a time, {data['budget']['minutes']:g} minutes"),
                    *data["services"].items(),
                    *data["versions"].items(),
                ],
            ),
        ]
        for run in data["runs"]:
            lines += ["", f"## {run['backend']}: {run['seconds']:.0f} s", ""]
            lines += _table(
                ("part", "step", "", "seconds", "calls", "result"),
                [
                    (s["part"], s["what"], s["state"], f"{s['seconds']:.1f}", s["calls"], s["detail"])
                    for s in run["steps"]
                ],
            )
            lines += ["", *(f"* {kind}: {count}" for kind, count in run["receipt"].items())]
        lines += ["", 'A row for the README\'s table "seen on":', "", f"    {self._row(data)}", ""]
        return "\n".join(lines)

    def write(self, directory: Path) -> list[Path]:
        """Write prove.md and prove.json into this directory, created if missing; returns their paths. Raises
        OSError."""
        directory.mkdir(parents=True, exist_ok=True)
        texts = {
            "prove.md": self.markdown(),
            "prove.json": json.dumps(self.data(), indent=1, ensure_ascii=False) + "\n",
        }
        for name, text in texts.items():
            (directory / name).write_text(text, encoding="utf-8")
        return [directory / name for name in texts]

    def _row(self, data: dict[str, Any]) -> str:
        seen = [
            f"{run.backend} {', '.join(f'{part} {run.count(part)}' for part in self.parts)} ({run.seconds:.0f} s)"
            for run in self.runs
        ]
        return f"| WHICH CLOUD | {data['services'].get('compute', '?')} | {'; '.join(seen)} | {self.at[:10]} |"


def _receipt(receipt: Receipt | None) -> dict[str, str]:
    """A receipt's counts by kind, without names and addresses."""
    if receipt is None:
        return {}
    left = ", ".join(f"{len(names)} {kind}" for kind, names in receipt.left.items())
    minutes = sum(receipt.server_minutes.values())
    counts = {kind: f"{number} created, {receipt.deleted[kind]} deleted" for kind, number in receipt.created.items()}
    return {**counts, "server-minutes": f"{minutes:.1f}", "left": left or "nothing"}


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return [f"| {' | '.join(str(cell).replace('|', '/') for cell in line)} |" for line in lines]
