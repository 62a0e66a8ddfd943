"""The emulator's modules: none reaches back to the one that knows them all, and none is part of a circle."""

import ast
from pathlib import Path

import faafo_lab
from faafo_lab.cloud import emulator

ROOT = Path(faafo_lab.__file__).parent.parent
NAMES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in Path(emulator.__file__).parent.rglob("*.py")
}
SERVER = f"{emulator.__name__}.server"
NETWORK = f"{emulator.__name__}.services.network."  # one aggregate: each kind of resource needs the others


def imported(path: Path) -> set[str]:
    """The emulator's modules that a module imports, for typing too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{each.name}" for each in node.names} | {node.module}
        elif isinstance(node, ast.Import):
            found |= {each.name for each in node.names}
    return found & set(NAMES)


GRAPH = {name: imported(path) for name, path in NAMES.items()}


def reached(start: str) -> set[str]:
    """All that a module needs, and what that needs."""
    seen: set[str] = set()
    todo = [start]
    while todo:
        new = GRAPH[todo.pop()] - seen
        seen |= new
        todo += new
    return seen


def test_only_the_process_and_the_coverage_page_know_the_server() -> None:
    assert {name for name, needs in GRAPH.items() if SERVER in needs} == {
        f"{emulator.__name__}.__main__",
        f"{emulator.__name__}.coverage",
    }


def test_no_module_needs_itself() -> None:
    assert len(GRAPH) > 100
    assert [name for name in GRAPH if name in reached(name) and not name.startswith(NETWORK)] == []
