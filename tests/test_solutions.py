"""Every exercise's solution, taken from the notebooks as they are, passes its check: through every backend."""

import ast
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import pytest

import faafo_lab
from faafo_lab import check, load
from faafo_lab.cloud.base import Cloud
from faafo_lab.topology import Topology
from faafo_lab.workbook import NOTEBOOKS

SHORTER = ("seconds=60", "seconds=30")  # an autoscaler's run, in which a learner has more to see
DETAILS = re.compile(r"<details><summary>Solution</summary>\n(.*?)</details>", re.DOTALL)
CODE = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
CHECK = re.compile(r"^check\.(exercise_\d+_\d+)\(", re.MULTILINE)
EXERCISE = re.compile(r"^\*\*\d+\.\d+\*\*", re.MULTILINE)


def draw_six(app: Topology) -> None:
    """Six small fractals, ordered and made."""
    six = load.same_tasks(6, width=96, height=64)
    load.create(app.endpoints, six, progress=False)
    load.watch(app, done=len(six))


def with_pictures(app: Topology) -> None:
    """An application whose pictures are in the object store, with six of them."""
    app.deploy(api=2, worker=2, images="objects")
    draw_six(app)


def with_a_backup(app: Topology) -> None:
    """An application whose database is on a volume, and was backed up with six fractals in it."""
    app.deploy(api=1, worker=1, database="volume")
    draw_six(app)
    app.backup(log_seconds=5)


BUILD: dict[str, Callable[[Topology], object]] = {
    "00": lambda app: None,
    "01": lambda app: app.deploy_all_in_one(),
    "02": lambda app: app.deploy_controller(worker=1),
    "03": lambda app: app.deploy(api=2, worker=2),
    "04": with_pictures,
    "05": lambda app: app.deploy(api=2, worker=1, balancer=True),
    "06": lambda app: app.deploy(api=1, worker=1),
    "07": with_a_backup,
}
MEASURING = ("03", "05", "06")  # its checks look at what was measured, so nothing else may run beside it
CHAPTERS = [pytest.param(chapter, marks=[pytest.mark.alone] * (chapter in MEASURING)) for chapter in BUILD]


@dataclass
class Exercise:
    """One exercise of a chapter: the cells that it begins with (what the learner fills in), its check and its solution
    (what solves it, then what to do afterwards)."""

    name: str  # of the check
    begin: list[str]
    check: str  # the expression
    solution: list[str]


def cells_of(chapter: str) -> list[nbformat.NotebookNode]:
    [path] = NOTEBOOKS.glob(f"{chapter}_*.ipynb")
    return list(nbformat.read(path, as_version=4).cells)


def exercises(chapter: str) -> Iterator[Exercise]:
    """Each exercise of a chapter, in order."""
    begin: list[str] = []
    found: Exercise | None = None
    for cell in cells_of(chapter):
        if cell.cell_type == "code" and (name := CHECK.search(cell.source)):
            code, _, call = cell.source.rpartition("\n\n")
            found = Exercise(name[1], [*begin, code], call, [])
        elif cell.cell_type == "code":
            begin.append(cell.source)
        elif details := DETAILS.search(cell.source):
            assert found, f"a solution without a check before it: {details[1]}"
            found.solution = CODE.findall(details[1])
            assert found.solution, f"the solution of {found.name} has no code"
            yield found
            found = None
        elif EXERCISE.search(cell.source):
            begin = []
    assert found is None, f"{found} has no solution"


def imports(chapter: str) -> str:
    """All that a chapter imports and defines on its way to the exercises."""
    code = [cell.source for cell in cells_of(chapter) if cell.cell_type == "code"]
    lines = [
        node
        for source in code
        for node in ast.parse(source).body
        if isinstance(node, ast.Import | ast.ImportFrom | ast.FunctionDef)
    ]
    return "\n".join(map(ast.unparse, lines))


@pytest.fixture(scope="module")
def cloud(backend_home: tuple[str, Path]) -> Cloud:
    return faafo_lab.connect()


def test_every_check_has_a_solution_in_its_chapter() -> None:
    written = {exercise.name for chapter in BUILD for exercise in exercises(chapter)}
    assert written == {name for name in vars(check) if re.fullmatch(r"exercise_\d+_\d+", name)}


@pytest.mark.timeout(600)
@pytest.mark.parametrize("chapter", CHAPTERS)
def test_the_solutions_of_a_chapter_pass_their_checks_in_order(cloud: Cloud, chapter: str) -> None:
    """Each exercise as the learner finds it is not solved, and its solution solves it."""
    app = Topology(cloud, say=lambda line: None)
    try:
        BUILD[chapter](app)
        names: dict[str, Any] = {}
        exec(imports(chapter), names)  # noqa: S102  # the notebook's own code
        names |= {"cloud": cloud, "app": app}
        if app.workers:
            names["work"] = load.calibrate(app)
        for exercise in exercises(chapter):
            for code in exercise.begin:
                exec(code, names)  # noqa: S102
            before: check.Verdict = eval(exercise.check, names)  # noqa: S307
            assert not before.passed, f"{exercise.name} passes before anything is done"
            solve, *afterwards = exercise.solution
            exec(solve.replace(*SHORTER), names)  # noqa: S102
            after: check.Verdict = eval(exercise.check, names)  # noqa: S307
            assert after.passed, repr(after)
            for code in afterwards:
                exec(code, names)  # noqa: S102
    finally:
        app.destroy()
    assert cloud.servers() == []
    assert [group.name for group in cloud.security_groups()] == ["default"]
