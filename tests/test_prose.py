"""The workbook is a course: what each chapter must have, and that its prose states no number that nothing holds.

A number that says how much, how long or how often ("three times", "half of the", "0.3 s", "80 %") is held where it is
stated: in the same section a cell tagged `claim` compares with it, or a cell whose output is the same in every run
prints it. Other such numbers measure nothing: STATED lists them, with the reason.
"""

import re
from collections.abc import Iterator

import nbformat
import pytest

from faafo_lab.chapters import CLAIM, FOLDED
from tests.test_notebooks import BOOKS

YOURS = "yours"
YOURS_AT_LEAST = {"01": 4, "02": 4, "03": 8, "04": 12, "05": 8, "06": 11, "07": 8}
COLUMNS = 79
WORDS = {
    "half": "0.5",
    "quarter": "0.25",
    "third": "1 / 3",
    "once": "1",
    "twice": "2",
    "double": "2",
    "one": "1",
    "two": "2",
    "three": "3",
    "four": "4",
    "five": "5",
    "six": "6",
    "seven": "7",
    "eight": "8",
    "nine": "9",
    "ten": "10",
    "twelve": "12",
    "fifteen": "15",
    "sixteen": "16",
    "twenty": "20",
    "thirty": "30",
}
SPOKEN = "|".join(WORDS)
UNIT = r"times(?! at)|per cent|milliseconds?|seconds?|minutes?|fractals? (?:a|per) second|requests? (?:a|per) second"
MEASURED = re.compile(
    rf"\b(?:(?P<number>[\d.]*\d|{SPOKEN})[ -](?:{UNIT})\b|(?P<digits>[\d.]*\d)\s?(?:%|ms\b|s\b|/s\b)"
    r"|(?P<part>twice|half|double)\s+(?:as|of|the)\b)",
    re.IGNORECASE,
)
# Code, headings, links' addresses, how long a reader needs, and solutions, which tests/test_solutions.py runs.
NOT_PROSE = re.compile(
    r"```.*?```|`[^`]*`|<details><summary>Solution.*?</details>|^(?: {4}|#|\*Time: |\*About ).*?$|\]\([^)]*\)",
    re.DOTALL | re.MULTILINE,
)

STATED: dict[str, dict[str, str]] = {
    "00": {},
    "01": {"15 minutes": "what a load average is", "four times": "a calculation: a quarter of a core"},
    "02": {
        "three seconds": "a question, which the next cell answers",
        "five seconds": "how much work is ordered: work.tasks makes it",
        "100 %": "what a CPU share is",
        "two seconds": "how often a server reports",
        "one minute": "what a load average is",
    },
    "03": {
        "two seconds": "how often a server reports, and how often decide is asked",
        "2 times": "the load that a cell sends",
        "100 %": "what a CPU share is",
        "95 %": "what nobody does",
        "one second": "the width of a bar",
        "half of": "what a median is, and how the friends are divided",
        "eight seconds": "how long a lease lasts",
        "eight times": "the load that a cell sends",
        "twenty requests a second": "the load that a cell sends",
        "fifteen seconds": "how long an optional cell takes",
        "twice as": "the number of orders, and a question",
    },
    "04": {},
    "05": {
        "20 times": "the load that a cell sends",
        "20 requests a second": "the load that a cell sends",
        "half of": "how the friends are divided",
        "two seconds": "how long a server hangs in a cell",
        "2.5 seconds": "what an exercise asks for",
        "70 %": "a question",
        "0.7 s": "how long a dot takes for its way",
    },
    "06": {
        "60 %": "what a workers' worth is",
        "20 seconds": "how long a period of a trace is",
        "120 seconds": "how long orders come in a trace",
        "95 %": "what a p95 is",
        "two seconds": "a promise, for comparison, and how often a worker reports",
        "five minutes": "how long a trace is, and HPA's window",
        "five seconds": "a default of Dask's",
        "three minutes": "how long a piece of a trace is",
        "eight seconds": "how long people have patience, in a cell",
        "six seconds": "how long a third of a run is, in a cell",
        "ten seconds": "how long a simulated server boots, and a surge lasts",
        "8 seconds": "what an exercise asks for",
        "ten minutes": "how long an optional run takes",
        "half second": "how often there is a sample",
        "80 %": "HPA's target",
        "fifteen seconds": "how often Kubernetes asks an HPA",
        "20 s": "the window of an HPA, in a cell",
        "72 %": "a calculation: 14.4 times the 5 % that may be late",
    },
    "07": {
        "100 %": "what a CPU share is",
        "half of": "a calculation: a failure comes at any moment",
        "ten times": "the load that a check sends",
        "two seconds": "what an exercise asks for",
    },
}


def of(book: object, kind: str) -> list[nbformat.NotebookNode]:
    """A chapter's cells of one kind that are not empty."""
    return [cell for cell in nbformat.read(book, as_version=4).cells if cell.cell_type == kind and cell.source.strip()]


def tagged(cell: nbformat.NotebookNode, tag: str) -> bool:
    return tag in cell.metadata.get("tags", [])


def number_of(book: object) -> str:
    return str(book.stem)[:2]  # type: ignore[attr-defined]


def prose(source: str) -> str:
    return " ".join(NOT_PROSE.sub(" ", source).split())


def measured(text: str) -> Iterator[tuple[str, str]]:
    """Each number in a text that tells how much, how long or how often: as it is said, and as a program writes it."""
    for match in MEASURED.finditer(text):
        said = next(value for value in match.groups() if value).lower()
        yield match[0].lower(), WORDS.get(said, said)


def holds(cell: nbformat.NotebookNode, number: str) -> bool:
    """Whether a cell compares with this number, or prints it in every run."""
    text = cell.source if tagged(cell, CLAIM) else ""
    if not tagged(cell, "nbval-ignore-output"):
        text += " ".join(out.get("text", "") or str(out.get("data", {}).get("text/plain", "")) for out in cell.outputs)
    return bool(re.search(rf"(?<![\w.]){re.escape(number)}(?![\w.]*\d)", text))


def unheld(book: object) -> list[str]:
    """What a chapter's prose states of a measurement, and no cell of the section holds."""
    sections: list[list[nbformat.NotebookNode]] = [[]]
    for cell in nbformat.read(book, as_version=4).cells:
        if cell.cell_type == "markdown" and re.search(r"^## ", cell.source, re.MULTILINE):
            sections.append([])
        sections[-1].append(cell)
    stated = STATED[number_of(book)]
    return [
        phrase
        for section in sections
        for cell in section
        if cell.cell_type == "markdown"
        for phrase, number in measured(prose(cell.source))
        if phrase not in stated and not any(holds(each, number) for each in section if each.cell_type == "code")
    ]


def test_numbers_of_measurements_are_told_from_others() -> None:
    said = (
        "It took three times as long: 0.3 s, 80 % of a third second. Port 80, 2 servers, three workers, twice the work."
    )
    assert list(measured(said)) == [
        ("three times", "3"),
        ("0.3 s", "0.3"),
        ("80 %", "80"),
        ("third second", "1 / 3"),
        ("twice the", "2"),
    ]
    assert prose("# 3 times\nsee `4 times` and\n\n    5 times\n\n[six](7 s)") == "see and [six"


def test_a_number_is_held_by_a_claim_or_by_an_output_that_never_changes() -> None:
    def cell(source: str, printed: str, *tags: str) -> nbformat.NotebookNode:
        output = nbformat.v4.new_output("stream", text=printed)
        return nbformat.v4.new_code_cell(source, outputs=[output], metadata={"tags": list(tags)})

    assert holds(cell("print(after > 3 * before)", "True", CLAIM), "3")
    assert not holds(cell("print(after > 3 * before)", "True"), "3")
    assert not holds(cell("print(after > 30 * before)", "True", CLAIM), "3")
    assert not holds(cell("print(after > 0.3)", "True", CLAIM), "3")
    assert holds(cell("app", "3 workers"), "3")
    assert not holds(cell("app", "3 workers", "nbval-ignore-output"), "3")


@pytest.mark.parametrize("book", BOOKS, ids=lambda book: book.stem)
def test_the_prose_states_no_measured_number_that_nothing_holds(book: object) -> None:
    assert unheld(book) == []


@pytest.mark.parametrize("book", BOOKS, ids=lambda book: book.stem)
def test_what_is_listed_as_no_measurement_is_in_the_prose(book: object) -> None:
    said = {phrase for cell in of(book, "markdown") for phrase, _ in measured(prose(cell.source))}
    assert set(STATED[number_of(book)]) <= said


@pytest.mark.parametrize("book", BOOKS, ids=lambda book: book.stem)
def test_the_learner_predicts_and_writes_in_cells_that_are_empty_at_first(book: object) -> None:
    cells = [cell for cell in of(book, "code") if tagged(cell, YOURS)]
    assert len(cells) >= YOURS_AT_LEAST.get(number_of(book), 0)
    for cell in cells:
        assert re.search(r"^# Yours: ", cell.source, re.MULTILINE), cell.source
        assert "..." in cell.source, cell.source
        assert not cell.outputs


@pytest.mark.parametrize("book", BOOKS, ids=lambda book: book.stem)
def test_what_only_a_test_reads_is_folded_and_all_of_it_is_true(book: object) -> None:
    for cell in of(book, "code"):
        if tagged(cell, CLAIM):
            assert cell.metadata.get("jupyter") == FOLDED, cell.source
            assert not re.search(r"\bFalse\b", "".join(out.get("text", "") for out in cell.outputs)), cell.source


@pytest.mark.parametrize("book", BOOKS, ids=lambda book: book.stem)
def test_code_that_a_learner_reads_fits_the_page(book: object) -> None:
    shown = [cell.source for cell in of(book, "code")]
    for cell in of(book, "markdown"):
        shown += re.findall(r"```python\n(.*?)```", cell.source, re.DOTALL)
    lines = "\n".join(shown).splitlines()
    assert [line for line in lines if len(line) > COLUMNS] == []


@pytest.mark.parametrize("book", [book for book in BOOKS if number_of(book) != "00"], ids=lambda book: book.stem)
def test_a_chapter_opens_with_questions_on_the_one_before_whose_answers_are_folded(book: object) -> None:
    opening = ""
    for cell in nbformat.read(book, as_version=4).cells:
        if cell.cell_type == "code":
            break
        opening += cell.source + "\n"
    assert len(re.findall(r"<details><summary>[^\n]*\?</summary>|\?\s*\n+<details>", opening)) >= 2
