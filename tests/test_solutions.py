"""Every exercise's solution, taken from the notebooks as they are, passes its check: through every backend."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import pytest

import faafo_lab
from faafo_lab import check, load, reach
from faafo_lab.cloud.base import Cloud
from faafo_lab.topology import Topology
from faafo_lab.workbook import NOTEBOOKS

DETAILS = re.compile(r"<details><summary>Solution</summary>\n(.*?)</details>", re.DOTALL)
CODE = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
CHECK = re.compile(r"^check\.(exercise_\d+_\d+)\(", re.MULTILINE)
BUILD: dict[str, Callable[[Topology], object]] = {
    "00": lambda app: None,
    "01": lambda app: app.deploy_all_in_one(),
    "02": lambda app: app.deploy_controller(worker=1),
    "03": lambda app: app.deploy(api=2, worker=2),
}


@dataclass(frozen=True)
class Exercise:
    """An exercise as its chapter has it, in code."""

    name: str  # of its check
    empty: list[str]  # the learner's cells before it
    check: str
    solution: list[str]  # what solves it, then what to do afterwards


def exercises(chapter: str) -> Iterator[Exercise]:
    """The exercises of a chapter, in order."""
    [path] = NOTEBOOKS.glob(f"{chapter}_*.ipynb")
    name, check, empty = "", "", list[str]()
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "code" and (found := CHECK.search(cell.source)):
            name, check = found[1], cell.source
        elif cell.cell_type == "code" and "yours" in cell.metadata.get("tags", []):
            empty.append(cell.source)
        elif cell.cell_type == "markdown" and (details := DETAILS.search(cell.source)):
            blocks = CODE.findall(details[1])
            assert name, f"a solution without a check before it: {details[1]}"
            assert blocks, f"the solution of {name} has no code"
            yield Exercise(name, empty, check, blocks)
            name, check, empty = "", "", []
    assert not name, f"{name} has no solution"


@pytest.fixture(scope="module")
def cloud(backend_home: tuple[str, Path]) -> Cloud:
    return faafo_lab.connect()


def test_every_check_has_a_solution_in_its_chapter() -> None:
    written = {exercise.name for chapter in BUILD for exercise in exercises(chapter)}
    assert written == {name for name in vars(check) if re.fullmatch(r"exercise_\d+_\d+", name)}


@pytest.mark.parametrize("chapter", BUILD)
def test_the_solutions_of_a_chapter_pass_their_checks_in_order(cloud: Cloud, chapter: str) -> None:
    app = Topology(cloud, say=lambda line: None)
    try:
        BUILD[chapter](app)
        names: dict[str, Any] = {"cloud": cloud, "app": app, "load": load, "reach": reach, "check": check}
        if app.workers:
            names["work"] = load.calibrate(app)
        for exercise in exercises(chapter):
            for cell in exercise.empty:
                exec(cell, names)  # noqa: S102  # the notebook's own code
            before: check.Verdict = eval(exercise.check, names)  # noqa: S307
            assert not before.passed, f"{exercise.name} passes before anything is done"
            solve, *afterwards = exercise.solution
            exec(solve, names)  # noqa: S102
            after: check.Verdict = eval(exercise.check, names)  # noqa: S307
            assert after.passed, repr(after)
            for block in afterwards:
                exec(block, names)  # noqa: S102
    finally:
        app.destroy()
    assert cloud.servers() == []
    assert [group.name for group in cloud.security_groups()] == ["default"]
