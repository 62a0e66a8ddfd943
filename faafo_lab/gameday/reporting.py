"""The post-mortem: a page whose timeline is filled in from the journal, and whose other parts are yours."""

from __future__ import annotations

import time

from faafo_lab.chaos.plans import Journal
from faafo_lab.gameday.campaign import Incident
from faafo_lab.gameday.survival import Survival

PARTS = (
    ("What users saw", "How many, for how long?"),
    ("Trigger and cause", "What broke, and why did that matter?"),
    ("Detection", "Which signal told first, and how late?"),
    ("What went well, what went badly, where we were lucky", ""),
    ("What we change", "One action, one owner, one date; each would have prevented it or told of it."),
)


def post_mortem(run: Survival | Incident | Journal) -> str:
    """A post-mortem in Markdown, without blame: the numbers and the timeline are there, the rest is to write.

    Source of its parts: https://sre.google/workbook/postmortem-culture/
    """
    journal = run if isinstance(run, Journal) else run.journal
    lines = [f"# Post-mortem: {journal.title}", ""]
    if not isinstance(run, Journal):
        lines += [str(run), ""]
    lines += ["## Timeline (UTC)", "", "| time | after | what |", "|---|---|---|"]
    for entry in journal.entries:
        clock = time.strftime("%H:%M:%S", time.gmtime(entry.at))
        lines.append(f"| {clock} | {entry.at - journal.started:.1f} s | {entry.words.replace('|', '/')} |")
    for title, question in PARTS:
        lines += ["", f"## {title}", "", f"*{question}*" if question else "…"]
    return "\n".join(lines) + "\n"
