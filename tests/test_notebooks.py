"""The workbook: every notebook runs from its first cell to its last, as stored, through every backend."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from xml.etree import ElementTree

import nbformat
import pytest
import yaml
from nbclient import NotebookClient

from faafo_lab import connect
from faafo_lab.cloud import BACKENDS
from faafo_lab.living import page
from faafo_lab.workbook import CELL_LIMIT_SECONDS, NOTEBOOKS, PAGES, ROOT, own_home, pictures, replays

BOOKS = sorted(NOTEBOOKS.glob("*.ipynb"))
# These compare what was measured, so nothing else may run beside them.
MEASURING = {"03_scaling_out", "05_load_balancing", "06_autoscaling_and_failure"}
RUNS = [pytest.param(book, id=book.stem, marks=[pytest.mark.alone] * (book.stem in MEASURING)) for book in BOOKS]
RUN_LIMIT_SECONDS = 600
BUSY_BACKEND = "libcloud"  # what chapters claim holds on a busy machine, too
# Keeps one core busy, and ends with the test that started it, however that ends: its standard input closes then.
BUSY = """
import os, sys, threading
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
while True:
    pass
"""


def code_cells(path: Path) -> Iterator[nbformat.NotebookNode]:
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "code" and cell.source.strip():
            yield cell


@pytest.mark.parametrize("book", BOOKS, ids=lambda book: book.stem)
def test_every_code_cell_was_saved_executed_and_without_an_error(book: Path) -> None:
    counts = [cell.execution_count for cell in code_cells(book)]
    assert counts == list(range(1, len(counts) + 1))
    assert not [out for cell in code_cells(book) for out in cell.outputs if out.output_type == "error"]


@pytest.mark.parametrize("book", BOOKS, ids=lambda book: book.stem)
def test_a_notebook_holds_nothing_of_the_machine_that_it_was_stored_on(book: Path) -> None:
    text = book.read_text()
    assert str(ROOT) not in text
    assert str(Path.home()) + "/" not in text
    assert "Traceback" not in text


def test_the_plots_that_the_readme_shows_are_those_of_the_stored_chapters() -> None:
    drawn: dict[str, bytes] = {}
    for book in BOOKS:
        drawn |= pictures(nbformat.read(book, as_version=4))
    folder = NOTEBOOKS / "pictures"
    assert drawn == {path.stem: path.read_bytes() for path in folder.glob("*.png")}


def test_the_pages_of_recordings_are_those_of_the_stored_chapters() -> None:
    replayed: dict[str, str] = {}
    for book in BOOKS:
        replayed |= replays(nbformat.read(book, as_version=4))
    assert replayed
    files = {path.name: path.read_text(encoding="utf-8") for path in PAGES.iterdir()}
    assert sorted(files) == sorted(f"{name}.{kind}" for name in replayed for kind in ("html", "svg"))
    for name, html in replayed.items():
        panes, label = page.unpacked(html)
        assert page.unpacked(files[f"{name}.html"]) == (panes, label)
        assert len(files[f"{name}.html"].encode()) <= page.MOST_BYTES
        assert f"docs/{name}.html" in (ROOT / "README.md").read_text()
        for pane in panes:
            assert pane["title"] in "".join(ElementTree.fromstring(files[f"{name}.svg"]).itertext())  # noqa: S314


@pytest.mark.parametrize("book", BOOKS, ids=lambda book: book.stem)
def test_every_checked_cell_has_something_to_compare(book: Path) -> None:
    empty = [
        cell.source
        for cell in code_cells(book)
        if not {"nbval-ignore-output", "yours"} & {*cell.metadata.get("tags", [])} and not cell.outputs
    ]
    assert empty == []


@pytest.mark.timeout(RUN_LIMIT_SECONDS + 60)
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("book", RUNS)
def test_a_notebook_runs_and_its_outputs_are_the_stored_ones(
    book: Path, backend: str, record_property: Callable[[str, object], None]
) -> None:
    started = time.monotonic()
    with beside_a_busy_process() if backend == BUSY_BACKEND else nullcontext():
        run = compared(book, backend)
    for name, value in (("notebook", book.stem), ("backend", backend), ("seconds", time.monotonic() - started)):
        record_property(name, value)
    assert run.returncode == 0, run.stdout[-8000:] + run.stderr[-2000:]


@pytest.mark.timeout(RUN_LIMIT_SECONDS + 60)
@pytest.mark.alone
def test_chapter_05_skips_what_needs_a_load_balancer_on_a_cloud_without_load_balancers() -> None:
    [book] = [book for book in BOOKS if book.stem.startswith("05_")]
    notebook = nbformat.read(book, as_version=4)
    with own_home(FAAFO_LAB_CLOUD="embedded") as home:
        connect()
        [file] = home.rglob("clouds.yaml")
        clouds = yaml.safe_load(file.read_text())
        clouds["clouds"]["embedded"]["has_load_balancer"] = False  # openstacksdk's word for a service that is not there
        file.write_text(yaml.safe_dump(clouds))
        NotebookClient(notebook, timeout=CELL_LIMIT_SECONDS, resources={"metadata": {"path": str(home)}}).execute()
    printed = [out.get("text", "") for cell in notebook.cells for out in cell.get("outputs", [])]
    assert sum("skipped: this cloud has no load balancers" in text for text in printed) > 5
    assert not [text for text in printed if ": False" in text]
    said = [
        str(out.data.get("text/plain")) for cell in notebook.cells for out in cell.get("outputs", []) if "data" in out
    ]
    assert any("Exercise 5.1: Cloud 'embedded' has no load balancers (Octavia)" in text for text in said)


@contextmanager
def beside_a_busy_process() -> Iterator[None]:
    """Another process wants a core all the time."""
    with subprocess.Popen([sys.executable, "-c", BUSY], stdin=subprocess.PIPE) as busy:
        try:
            yield
            assert busy.poll() is None
        finally:
            busy.kill()


def compared(book: Path, backend: str) -> subprocess.CompletedProcess[str]:
    """Run a notebook on a cloud of its own, and compare its outputs with the stored ones."""
    with own_home(FAAFO_LAB_BACKEND=backend, FAAFO_LAB_CLOUD="embedded"):
        command = [sys.executable, "-m", "pytest", "-c", os.devnull, f"--rootdir={ROOT}", "-q", str(book)]
        command += ["--nbval", "--nbval-current-env", "--nbval-cell-timeout=300", "-p", "no:cacheprovider"]
        command += ["--disable-plugin-autoload", "-p", "nbval.plugin"]  # other plugins take a second to load
        return subprocess.run(
            command,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=RUN_LIMIT_SECONDS,
            env=dict(os.environ),
            check=False,
        )
