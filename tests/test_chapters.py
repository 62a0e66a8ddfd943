"""The learner's copies of the chapters: empty at first, kept as they were written, and fresh again on demand."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import requests

from faafo_lab import chapters, cli
from faafo_lab.workbook import ROOT, own_home
from tests.waiting import wait_for

STOP_LIMIT_SECONDS = 30


@pytest.fixture
def home() -> Iterator[Path]:
    with own_home() as home:
        yield home


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Chapters of a project of our own."""
    folder = tmp_path / "notebooks"
    folder.mkdir()
    for name in ("01_first", "02_second"):
        store(folder / f"{name}.ipynb", "1 + 1")
    (folder / "sample.py").write_text("print(1)\n")
    monkeypatch.setattr(chapters, "NOTEBOOKS", folder)
    return folder


def store(path: Path, source: str, **metadata: object) -> None:
    """A chapter with one executed cell."""
    output = {"output_type": "stream", "name": "stdout", "text": ["2\n"]}
    cell = {"cell_type": "code", "id": "a", "source": [source], "execution_count": 1, "outputs": [output]}
    cell["metadata"] = metadata
    path.write_text(json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))


def source(path: Path) -> str:
    return str(json.loads(path.read_text())["cells"][0]["source"][0])


def test_what_a_learner_opens_has_no_outputs_and_all_files_that_the_chapters_show(home: Path) -> None:
    assert chapters.update() == []
    books = sorted(chapters.folder().glob("*.ipynb"))
    assert [book.name for book in books] == [book.name for book in sorted(chapters.NOTEBOOKS.glob("*.ipynb"))]
    for book in books:
        notebook, stored = json.loads(book.read_text()), json.loads((chapters.NOTEBOOKS / book.name).read_text())
        assert [cell["source"] for cell in notebook["cells"]] == [cell["source"] for cell in stored["cells"]]
        code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
        assert not [cell for cell in code if cell["outputs"] or cell["execution_count"]]
        prose = "".join("".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "markdown")
        links = [link for link in re.findall(r"\]\(([^)#]+)", prose) if "://" not in link]
        assert [link for link in links if not (book.parent / link).exists()] == []


def test_cells_that_only_a_test_reads_are_folded(home: Path, shipped: Path) -> None:
    store(shipped / "01_first.ipynb", "print(True)", tags=["claim"])
    chapters.update()
    [first, second] = (
        json.loads((chapters.folder() / name).read_text())["cells"][0]["metadata"]
        for name in ("01_first.ipynb", "02_second.ipynb")
    )
    assert first == {"tags": ["claim"], "jupyter": {"source_hidden": True, "outputs_hidden": True}}
    assert second == {}


def test_a_copy_keeps_what_the_learner_did_and_a_new_version_is_announced(home: Path, shipped: Path) -> None:
    chapters.update()
    mine = chapters.folder() / "02_second.ipynb"
    store(mine, "mine")
    assert chapters.update() == [], "nothing is new"
    for name in ("01_first", "02_second"):
        store(shipped / f"{name}.ipynb", "2 + 2")
    [renewed, kept] = chapters.update()
    assert "01_first.ipynb: this is the new version" in renewed
    assert "02_second.ipynb: there is a new version. Your copy is kept; `faafo-lab fresh 02`" in kept
    assert source(chapters.folder() / "01_first.ipynb") == "2 + 2"
    assert source(mine) == "mine"
    assert chapters.update() == [kept], "said until the learner has taken it"
    chapters.fresh("02")
    assert chapters.update() == []


def test_other_outputs_in_the_project_are_no_new_version(home: Path, shipped: Path) -> None:
    chapters.update()
    text = (shipped / "01_first.ipynb").read_text()
    (shipped / "01_first.ipynb").write_text(text.replace('"2\\n"', '"2.0\\n"'))
    assert chapters.update() == []


def test_a_fresh_chapter_has_the_learners_copy_beside_it(
    home: Path, shipped: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chapters.update()
    mine = chapters.folder() / "02_second.ipynb"
    store(mine, "mine")
    assert cli.main(["fresh"]) == 0
    assert re.search(r"01_first\.ipynb +as it came\n +02_second\.ipynb +changed\n", capsys.readouterr().out)
    assert cli.main(["fresh", "2"]) == 0
    said = capsys.readouterr().out
    [kept] = chapters.folder().glob("02_second *.ipynb")
    assert source(mine) == "1 + 1"
    assert source(kept) == "mine"
    assert kept.name in said
    assert "nothing to do" in chapters.fresh("02_second.ipynb")
    (chapters.folder() / "sample.py").write_text("mine\n")
    assert "sample.py is fresh" in chapters.fresh("sample")
    assert len([path for path in chapters.folder().iterdir() if path.suffix]) == 5, "two of them kept"


@pytest.mark.parametrize("name", ["9", "0", "", "/etc/passwd"])
def test_a_chapter_that_is_not_there_is_named_with_those_that_are(
    home: Path, shipped: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(chapters.UnknownChapter, match=r"There are: 01, 02, sample\.py\."):
        chapters.fresh(name)
    if name:
        assert cli.main(["fresh", name]) == 1
        assert capsys.readouterr().err.startswith(f"faafo-lab: Chapter {name!r} is not there.")


def test_an_installation_without_chapters_says_so(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chapters, "NOTEBOOKS", tmp_path / "notebooks")
    with pytest.raises(chapters.UnknownChapter, match="use a clone of the project"):
        chapters.update()


def test_make_lab_shows_the_copies_heeds_the_users_settings_and_leaves_nothing_in_their_home(tmp_path: Path) -> None:
    user = tmp_path / "it's a home"
    (user / ".jupyter").mkdir(parents=True)
    config = user / ".jupyter" / "jupyter_server_config.py"
    config.write_text("c.ServerApp.open_browser, c.ServerApp.port = False, 0\nc.IdentityProvider.token = 'abc'\n")
    with own_home(FAAFO_LAB_CLOUD="embedded") as home:
        for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "IPYTHONDIR", "JUPYTER_CONFIG_PATH"):
            os.environ.pop(name, None)
        place = home / "it's a lab"
        command = [sys.executable, "-m", "faafo_lab.workbook", "lab"]
        environment = {**os.environ, "HOME": str(user), "FAAFO_LAB_HOME": str(place)}
        with (home / "log").open("wb") as log:
            lab = subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=ROOT, start_new_session=True)
        try:
            files = "jupyter/runtime/jpserver-*.json"
            [running] = wait_for("JupyterLab", lambda: [file for file in place.glob(files) if file.read_text()])
            url = str(json.loads(running.read_text())["url"])
            headers = {"Authorization": "token abc"}
            page = wait_for("its page", lambda: _answer(url, headers))  # the file is written before the port is open
            assert page.url.endswith("/lab/tree/00_start_here.ipynb")
            listed = requests.get(f"{url}api/contents", headers=headers, timeout=30).json()["content"]
            assert {"00_start_here.ipynb", "03_scaling_out.ipynb", "pictures"} <= {entry["name"] for entry in listed}
            asked = {"path": "00_start_here.ipynb", "name": "00_start_here.ipynb", "type": "notebook"}
            asked |= {"kernel": {"name": "python3"}}
            requests.post(f"{url}api/sessions", json=asked, headers=headers, timeout=30).raise_for_status()
            kernel = next(each for each in psutil.Process(lab.pid).children(recursive=True) if _is_kernel(each))
            set_for_it = kernel.environ()  # what `faafo_lab.restarts` needs
            assert Path(set_for_it["JPY_SESSION_NAME"]) == place / "workbook" / "00_start_here.ipynb"
            assert [*Path(set_for_it["IPYTHONDIR"]).glob("profile_default/startup/*faafo*.py")]
        finally:
            os.killpg(lab.pid, signal.SIGTERM)
            lab.wait(STOP_LIMIT_SECONDS)
        assert [path for path in user.rglob("*") if path.is_file()] == [config], (home / "log").read_text()


def _answer(url: str, headers: dict[str, str]) -> requests.Response | None:
    try:
        return requests.get(url, headers=headers, timeout=30)
    except requests.ConnectionError:
        return None


def _is_kernel(process: psutil.Process) -> bool:
    return "ipykernel_launcher" in process.cmdline()
