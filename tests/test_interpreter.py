"""No setting of the user's Python or language makes the lab stumble."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import faafo_lab

HOSTILE = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONWARNINGS": "error"}
ODD = "it's 100% $HOME \\o/ ü"  # two directories' names
_OPEN = {"open", "fdopen", "NamedTemporaryFile", "TemporaryFile"}
_BYTES = ("os", "tarfile", "Image")


def texts(tree: ast.AST) -> Iterator[ast.Call]:
    """The calls in a module that read or write text in the encoding that the user's language happens to have."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or any(keyword.arg == "encoding" for keyword in node.keywords):
            continue
        called = node.func
        name = called.attr if isinstance(called, ast.Attribute) else called.id if isinstance(called, ast.Name) else ""
        module = ast.unparse(called.value) if isinstance(called, ast.Attribute) else ""
        modes = [each.value for each in node.args if isinstance(each, ast.Constant) and isinstance(each.value, str)]
        modes += [ast.unparse(each.value) for each in node.keywords if each.arg == "mode"]
        opens = name in _OPEN and module not in _BYTES and bool(modes) and "b" not in "".join(modes)
        talks = any(each.arg == "text" and ast.unparse(each.value) == "True" for each in node.keywords)
        if name in ("read_text", "write_text") or opens or (talks and name in ("run", "Popen", "check_output")):
            yield node


def test_every_text_has_its_encoding() -> None:
    root = Path(faafo_lab.__file__).parent
    found = [
        f"{path.relative_to(root)}:{call.lineno}: {ast.unparse(call)}"
        for path in root.rglob("*.py")
        for call in texts(ast.parse(path.read_bytes()))
    ]
    assert found == []


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    home = tmp_path / ODD / "lab"
    yield home
    command(home, "cloud", "stop")


def command(home: Path, *words: str) -> str:
    """What `faafo-lab` says, in an environment as hostile as can be."""
    done = subprocess.run(
        [Path(sys.executable).with_name("faafo-lab"), *words],
        umask=0,
        env={**os.environ, **HOSTILE, "FAAFO_LAB_HOME": str(home), "FAAFO_LAB_CLOUD": "embedded"},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout


def test_an_application_runs_in_a_home_of_any_name_and_nobody_else_can_look_into_it(home: Path, tmp_path: Path) -> None:
    assert str(home) in command(home, "cloud", "start")
    assert "serving: app-api-1, app-services, app-worker-1" in command(home, "scale-out", "--api", "1", "--worker", "1")
    assert str(home) in command(home, "cloud", "status")
    assert "key pair faafo-lab: deleted" in command(home, "clean-up")
    made = [home, *home.parents[: len(home.relative_to(tmp_path).parts) - 1]]
    assert {path.stat().st_mode & 0o777 for path in (*made, home / "embedded")} == {0o700}
