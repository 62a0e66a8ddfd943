"""The workbook's map: its chapters, their exercises, and what is solved."""

import html
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby

from faafo_lab.chapters import NOTEBOOKS
from faafo_lab.check.memory import Record, recall
from faafo_lab.check.verdict import EXERCISES
from faafo_lab.tables import scrolling


@dataclass(frozen=True)
class Progress:
    """Each exercise's number, what is to be reached, and what is remembered of it; `note`: what went wrong."""

    exercises: tuple[tuple[str, str, Record], ...]
    note: str = ""

    @property
    def solved(self) -> int:
        """How many exercises are solved."""
        return sum(bool(record.solved) for _, _, record in self.exercises)

    def __repr__(self) -> str:
        lines = [self._summary()]
        for title, _, exercises in self._chapters():
            lines.append(title)
            lines += [f"  {_mark(known)} {number}  {what}  {_words(known)}" for number, what, known in exercises]
        return "\n".join([*lines, *([self.note] if self.note else [])])

    def _repr_html_(self) -> str:
        left = 'style="text-align:left"'
        rows = ""
        for title, name, exercises in self._chapters():
            link = f'<a href="{html.escape(name)}">{html.escape(title)}</a>' if name else html.escape(title)
            rows += f"<tr><th colspan=3 {left}>{link}</th></tr>"
            for number, what, known in exercises:
                cells = (f"{_mark(known)}\u00a0{number}", what.replace("`", ""), _words(known))
                rows += "<tr>" + "".join(f"<td {left}>{html.escape(cell)}</td>" for cell in cells) + "</tr>"
        note = f"<p>{html.escape(self.note)}</p>" if self.note else ""
        return f"<p>{self._summary()}</p>{scrolling(rows)}{note}"

    def _summary(self) -> str:
        return f"{self.solved} of {len(self.exercises)} exercises are solved."

    def _chapters(self) -> Iterator[tuple[str, str, list[tuple[str, str, Record]]]]:
        """Of each chapter its title, its notebook's name ("" where this installation has none) and its exercises."""
        for number, exercises in groupby(self.exercises, key=lambda each: each[0].partition(".")[0].zfill(2)):
            name = next((path.name for path in NOTEBOOKS.glob(f"{number}_*.ipynb")), "")
            words = name.removesuffix(".ipynb").partition("_")[2].replace("_", " ").capitalize()
            yield f"{number} {words}".strip(), name, list(exercises)


def progress() -> Progress:
    """Your way through the workbook: which exercises are solved, since when, and after how many tries."""
    records, note = recall()
    return Progress(tuple((number, what, records.get(number, Record())) for number, what in EXERCISES.items()), note)


def _mark(record: Record) -> str:
    return "✔" if record.solved else "○" if record.tries else "·"


def _words(record: Record) -> str:
    tries = f"{record.tries} {'try' if record.tries == 1 else 'tries'}"
    if record.solved:
        return f"solved on {datetime.fromisoformat(record.solved):%Y-%m-%d at %H:%M} after {tries}"
    return f"not solved yet, {tries}" if record.tries else "not tried yet"
