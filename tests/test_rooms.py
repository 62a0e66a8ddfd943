"""How the house is built: what a room may import, and that no module needs itself. Imports for typing count."""

import ast
import re
from pathlib import Path

import faafo_lab

ROOT = Path(faafo_lab.__file__).parent.parent
NAMES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in (ROOT / "faafo_lab").rglob("*.py")
}
EMULATOR = "faafo_lab.cloud.emulator"
NETWORK = f"{EMULATOR}.services.network."  # one aggregate: each kind of resource needs the others


def imported(path: Path) -> set[str]:
    """The project's modules that a module imports, be it in a function or for typing alone."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            modules = {f"{node.module}.{each.name}" for each in node.names} & set(NAMES)
            found |= modules or {node.module}
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


def needs_of(room: str) -> set[str]:
    """What the modules of a room import."""
    return set().union(*(needs for name, needs in GRAPH.items() if f"{name}.".startswith(f"{room}.")))


def test_no_module_needs_itself() -> None:
    assert len(GRAPH) > 200
    assert [name for name in GRAPH if name in reached(name) and not name.startswith(NETWORK)] == []


def test_the_application_and_the_cloud_meet_only_in_user_data() -> None:
    beside = {name for name in needs_of("faafo_lab.app") if not f"{name}.".startswith("faafo_lab.app.")}
    assert beside <= {"faafo_lab.interpreter"}
    assert GRAPH["faafo_lab.interpreter"] == set()
    assert not [name for name in needs_of("faafo_lab.cloud") if name.startswith("faafo_lab.app")]


def test_what_is_observed_knows_nothing_of_how_notebooks_show_it() -> None:
    above = tuple(f"faafo_lab.{name}" for name in ("widgets", "plots", "check"))
    assert not [name for name in needs_of("faafo_lab.living") if name.startswith(above)]


def test_the_clouds_dataclasses_need_nothing() -> None:
    assert GRAPH["faafo_lab.cloud.model"] == set()


def test_the_emulators_floors_know_nothing_of_those_above() -> None:
    floors = [f"{EMULATOR}.{name}" for name in ("system", "common", "machinery", "services")]
    for number, floor in enumerate(floors):
        above = tuple(floors[number + 1 :])
        assert not [name for name in needs_of(floor) if above and name.startswith(above)], floor


def test_only_the_process_and_the_coverage_page_know_the_emulators_server() -> None:
    server = f"{EMULATOR}.server"
    assert {name for name, needs in GRAPH.items() if server in needs} == {
        f"{EMULATOR}.__main__",
        f"{EMULATOR}.coverage",
    }


def test_archives_are_unpacked_by_filters_that_an_older_python_has_from_a_package() -> None:
    """Python 3.11 has them since 3.11.4; Debian 12's is 3.11.2."""
    filtered = re.compile(r"\b(data|tar)_filter\(|\.extract(all)?\([^)]*filter=")
    users = {path.name: text for path in NAMES.values() if filtered.search(text := path.read_text(encoding="utf-8"))}
    assert {"beside.py", "disk.py", "files.py"} <= set(users)
    older = re.compile(r'if not hasattr\(tarfile, "(data|tar)_filter"\):')
    assert [name for name, text in users.items() if not older.search(text)] == []
