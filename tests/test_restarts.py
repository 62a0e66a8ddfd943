"""In a real Jupyter kernel: where a name is missing, the learner reads which cell of the chapter defines it."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from faafo_lab import chapters
from faafo_lab.workbook import make_copies, own_home
from tests.test_kernel import Kernel

BOOK = [
    ("markdown", "# A chapter"),
    ("code", "import math\ncloud, app = 1, 2"),
    ("markdown", "## How much work?\n\nText with a\n# in it"),
    ("markdown", "## How much work?"),
    ("code", "%time\nwork = [word for word in 'ab']"),
    ("code", "del work"),
    ("code", "this is no code"),
]


def run(book: Path, *cells: str) -> list[str]:
    """Run these cells in a new kernel of this notebook; returns what the last one's error shows, its name first."""
    os.environ["JPY_SESSION_NAME"] = str(book)
    try:
        kernel = Kernel()
    finally:
        del os.environ["JPY_SESSION_NAME"]
    try:
        for code in cells:
            cell = kernel.run(code)
        return [cell.error, *cell.traceback]
    finally:
        kernel.end()


@pytest.fixture
def home() -> Iterator[Path]:
    with own_home() as home:
        make_copies()
        yield home


@pytest.fixture
def book(tmp_path: Path) -> Path:
    path = tmp_path / "a book.ipynb"
    path.write_text(json.dumps({"cells": [{"cell_type": kind, "source": [text]} for kind, text in BOOK]}))
    return path


def test_a_new_kernel_names_the_chapters_first_code_cell(home: Path) -> None:
    shown = run(chapters.folder() / "01_getting_started.ipynb", "cloud.tape()")
    first = "run the chapter's first code cell first (it begins with `import time`)."
    assert shown == ["NameError", f"The kernel is new, or was restarted: {first}"]


def test_a_cell_that_was_left_out_is_named_by_its_heading(home: Path, book: Path) -> None:
    shown = run(book, BOOK[1][1], "print(work)")
    says = "Run the cell under “How much work?” first (it begins with `%time`): it defines `work`."
    assert shown == ["NameError", says]


@pytest.mark.parametrize(
    "code",
    [
        "print(wrok)",
        "print(word)",  # which only a comprehension has
        "def f():\n    print(work)\n    work = 1\nf()",
        "import asyncio.nothing",
        "exec('work', {})",  # as in a library
    ],
)
def test_any_other_error_shows_as_ever(home: Path, book: Path, code: str) -> None:
    name, *shown = run(book, BOOK[1][1], code)
    assert name in "NameError UnboundLocalError ModuleNotFoundError"
    assert len(shown) > 1
    assert "first (" not in "".join(shown)


@pytest.mark.parametrize("text", [None, "no JSON", "{}", "[]"])
def test_a_notebook_that_cannot_be_read_gives_no_advice(home: Path, tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "x").write_text(text)
    assert len(run(tmp_path / "x", "work")) > 2
