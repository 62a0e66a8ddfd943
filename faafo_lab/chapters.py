"""The learner's own copies of the chapters: without outputs, kept from one day to the next, and fresh again on demand.

FAAFO_LAB_HOME/workbook
├── 00_start_here.ipynb …   what JupyterLab opens: whatever the learner writes there stays
├── pictures/               and the other files that the chapters come with
└── .given                  of each file, which version the learner was given (JSON: name → SHA-256)

    update()       before JupyterLab starts: what is missing or unchanged becomes the newest version
    fresh("02")    one chapter as it came; the learner's copy stays beside it, with the date in its name

The chapters as the project stores them, with outputs, are in `notebooks/`. A learner who opened those would have the
answers before the questions, and could not tell the project's numbers from those of their own cloud.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from faafo_lab.paths import home, make_home, write_whole

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = ROOT / "notebooks"
GIVEN = ".given"
KEPT = "%Y-%m-%d %H.%M.%S"  # when a copy was set aside, in its name
CLAIM = "claim"  # the tag of cells that print what a test holds, and nothing to read
FOLDED = {"source_hidden": True, "outputs_hidden": True}


class UnknownChapter(LookupError):
    """There is no such chapter, or there are no chapters: the message names those that exist."""


def folder() -> Path:
    """Where the learner's copies are, or will be. Raises ConfigError."""
    return home() / "workbook"


def update() -> list[str]:
    """Make the copies that are missing, and renew those that the learner has not changed.

    Returns a sentence for each chapter of which there is a new version: a copy that was changed stays as it is.
    Raises UnknownChapter (this installation has no chapters), ConfigError and OSError.
    """
    given, said = _given(), []
    for name, content in _shipped().items():
        copy, new = folder() / name, _digest(content)
        if not copy.exists():
            _write(copy, content)
        elif (old := _digest(copy.read_bytes())) == given.get(name) != new:
            _write(copy, content)
            said.append(f"{name}: this is the new version; you had not changed the old one.")
        elif new not in (old, given.get(name)):
            said.append(f"{name}: there is a new version. Your copy is kept; `faafo-lab fresh {_short(name)}` gets it.")
            continue
        given[name] = new
    _write(folder() / GIVEN, json.dumps(given, indent=1).encode())
    return said


def fresh(chapter: str) -> str:
    """Make a chapter as it came, by its number or the beginning of its name. Returns what was done, in a sentence.

    A copy that the learner has changed is renamed: the date comes into its name.
    Raises UnknownChapter, ConfigError and OSError.
    """
    update()
    given, shipped = _given(), _shipped()
    name = _named(chapter, shipped)
    copy, new = folder() / name, _digest(shipped[name])
    if _digest(copy.read_bytes()) == new:
        return f"{name} is as it came: nothing to do."
    kept = copy.with_name(f"{copy.stem} {time.strftime(KEPT)}{copy.suffix}")
    copy.rename(kept)
    _write(copy, shipped[name])
    _write(folder() / GIVEN, json.dumps({**given, name: new}, indent=1).encode())
    return f"{name} is fresh; your copy is kept as {kept.name}. Where it is open: File → Reload Notebook from Disk."


def states() -> dict[str, str]:
    """What a learner has of each file, in a few words. Raises UnknownChapter and ConfigError."""
    given = _given()
    words = {}
    for name, content in _shipped().items():
        copy, new = folder() / name, _digest(content)
        if not copy.exists():
            words[name] = "not copied yet"
        elif _digest(copy.read_bytes()) == new:
            words[name] = "as it came"
        else:
            words[name] = "changed" if given.get(name) == new else "changed; there is a new version"
    return words


def blank(notebook: Mapping[str, Any]) -> dict[str, Any]:
    """A notebook (its JSON) as a learner gets it: without outputs and counts, and what only a test reads is folded."""
    cells = []
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            cell = {**cell, "outputs": [], "execution_count": None}
            if CLAIM in cell["metadata"].get("tags", []):
                cell["metadata"] = {**cell["metadata"], "jupyter": FOLDED}
        cells.append(cell)
    return {**notebook, "cells": cells}


def _shipped() -> dict[str, bytes]:
    """The files that a learner gets, by their names below the folder, in reading order."""
    files = [path for path in sorted(NOTEBOOKS.rglob("*")) if path.is_file()]
    names = {path: path.relative_to(NOTEBOOKS) for path in files}
    shipped = {
        name.as_posix(): _content(path)
        for path, name in names.items()
        if not any(part.startswith((".", "__")) for part in name.parts)  # such as .ipynb_checkpoints
    }
    if not shipped:
        raise UnknownChapter(f"The chapters are not here ({NOTEBOOKS}): use a clone of the project.")
    return shipped


def _content(path: Path) -> bytes:
    content = path.read_bytes()
    if path.suffix != ".ipynb":
        return content
    return (json.dumps(blank(json.loads(content)), indent=1, ensure_ascii=False) + "\n").encode()


def _named(chapter: str, shipped: Mapping[str, bytes]) -> str:
    """The one file whose name begins so."""
    begin = chapter.zfill(2) if chapter.isdecimal() else chapter
    found = [name for name in shipped if begin and name.startswith(begin)]
    if len(found) != 1:
        problem = "is not clear" if found else "is not there"
        raise UnknownChapter(f"Chapter {chapter!r} {problem}. There are: {', '.join(map(_short, shipped))}.")
    return found[0]


def _short(name: str) -> str:
    """How a learner names it: a chapter's number, else the file's name."""
    number = name.partition("_")[0]
    return number if number.isdecimal() else name


def _given() -> dict[str, str]:
    try:
        given: dict[str, str] = json.loads((folder() / GIVEN).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    return given


def _write(path: Path, content: bytes) -> None:
    make_home()
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, content)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
