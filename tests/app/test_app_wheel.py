"""The application as servers get it: the lab's wheel, and machine code in place of llvmlite."""

import ast
import ctypes
import dataclasses
import importlib.metadata
import io
import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from faafo_lab.app import kernel, llvm
from faafo_lab.app.errors import SettingsError
from faafo_lab.app.processors import PROCESSORS, Processor, file_name, this_processor
from faafo_lab.topology import wheel
from tests.app.test_app_fractal import defined, png, rows, task

ROOT = Path(__file__).parent.parent.parent
FLAGS = Path("/proc/cpuinfo").read_text().split()
HERE = [one for one in PROCESSORS if one.machine == os.uname().machine and one.needs <= set(FLAGS)]
DRAW = """
import sys
sys.modules["llvmlite"] = None  # importing it fails
from faafo_lab.app import fractal, kernel
from faafo_lab.app.julia import Task
assert kernel.__file__.startswith(sys.argv[1]), kernel.__file__
with open(sys.argv[2], "wb") as file:
    fractal.write_png(Task(*eval(sys.argv[3])), file)
"""


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("wheel")
    with zipfile.ZipFile(io.BytesIO(wheel.build().data)) as archive:
        archive.extractall(place)
    return place


def test_the_wheel_is_the_same_whenever_it_is_made() -> None:
    made = wheel.build()
    wheel.build.cache_clear()
    assert wheel.build() == made
    other = "import sys; from faafo_lab.topology import wheel; sys.stdout.write(wheel.build().sha256)"
    assert subprocess.check_output([sys.executable, "-c", other], text=True) == made.sha256


def test_pip_takes_the_wheel_and_it_has_the_application_alone(tmp_path: Path) -> None:
    made = wheel.build()
    (tmp_path / made.name).write_bytes(made.data)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*pip, "--target", str(tmp_path / "lib"), str(tmp_path / made.name)], check=True)
    names = {path.name for path in (tmp_path / "lib/faafo_lab").iterdir()} - {"__pycache__"}
    assert names == {"__init__.py", "interpreter.py", "app"}
    assert {path.name for path in (tmp_path / "lib/bin").iterdir()} == {
        "faafo",
        "faafo-api",
        "faafo-database",
        "faafo-install",
        "faafo-messaging",
        "faafo-worker",
    }
    assert (tmp_path / "lib/faafo_lab/app/install.sh").read_text() == (ROOT / "faafo_lab/app/install.sh").read_text()


def test_without_llvmlite_the_wheel_draws_the_same_picture(unpacked: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(unpacked)}
    for wanted in (task(300, 200), task(41, 23, 300, xa=-1e308, xb=1e308)):
        words = [str(unpacked), "it.png", repr(dataclasses.astuple(wanted))]
        subprocess.run([sys.executable, "-c", DRAW, *words], env=environment, cwd=tmp_path, check=True)
        assert (tmp_path / "it.png").read_bytes() == png(wanted)


@pytest.mark.parametrize("returning", [True, False])
@pytest.mark.parametrize("processor", HERE, ids=lambda one: one.llvm_name)
@pytest.mark.parametrize("size", [(1, 1), (9, 1), (7, 5), (41, 23), (64, 64)])
def test_the_machine_code_gives_the_definitions_pixels(
    size: tuple[int, int], processor: Processor, returning: bool, unpacked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernel, "MACHINE_CODE", unpacked / "faafo_lab/app/machine_code")
    monkeypatch.setattr(kernel, "this_processor", lambda: processor)
    machine = kernel.Compiled(returning)
    assert not hasattr(machine, "_engine"), "llvmlite made it"
    for iterations in (1, 12, 300):
        wanted = task(*size, iterations)
        assert rows(wanted, machine) == defined(wanted)
    memory_bytes = machine.buffer_bytes(*size)
    memory = ctypes.create_string_buffer(b"?" * (memory_bytes + 64), memory_bytes + 64)
    machine.kernel(ctypes.addressof(memory), 0, size[1], size[0], 9, 1.0, 1.0, 0.0, 1.0, 1.0, 0.0, 0.1, 0.1)
    assert memory.raw[memory_bytes:] == b"?" * 64


def test_each_processor_gets_the_best_code_that_it_can_run() -> None:
    v3 = "fpu sse2 avx avx2 bmi1 bmi2 f16c fma abm movbe"
    v4 = f"{v3} avx512f avx512bw avx512cd avx512dq avx512vl"
    chosen = [this_processor("x86_64", flags.split()).columns for flags in ("fpu sse2", v3, v4, f"{v4} amx_tile")]
    assert chosen == [2, 4, 8, 8]
    assert this_processor("x86_64", v4.replace("avx512dq", "").split()).columns == 4
    assert this_processor("aarch64", ["fp", "asimd"]).machine == "aarch64"
    with pytest.raises(SettingsError, match=r"no machine code for a processor of the kind 'riscv64': run workers on"):
        this_processor("riscv64", ["rv64imafdc"])
    assert sorted(llvm.files()) == sorted(file_name(one, how) for one in PROCESSORS for how in (True, False))


def test_what_servers_install_is_what_the_lab_has_locked() -> None:
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())
    own = {Requirement(word).name for word in groups["project"]["dependencies"]}
    assert {Requirement(word).name for word in groups["dependency-groups"]["app"]} - own == {"apache-libcloud"} - own
    locked = _pins(ROOT / "requirements.lock")
    wanted = _pins(ROOT / "faafo_lab/app/requirements.txt")
    assert {name: locked.get(name) for name in wanted} == wanted
    assert not {"llvmlite", "jupyterlab", "numpy", "openstacksdk", "asyncssh"} & set(wanted)


def _pins(path: Path) -> dict[str, str]:
    lines = [line.split(";")[0].rstrip(" \\") for line in path.read_text().splitlines() if "==" in line]
    return dict(line.split("==") for line in lines if not line.startswith(" "))


def test_the_application_imports_only_what_servers_install() -> None:
    """But for `llvm`, which servers are spared, and what `services` starts: PostgreSQL and Valkey come by apt there."""
    ours = {name.lower().replace("-", "_") for name in _pins(ROOT / "faafo_lab/app/requirements.txt")}
    owners = {"backports": ["backports-tarfile"], **importlib.metadata.packages_distributions()}  # for an older Python
    for path in (ROOT / "faafo_lab/app").rglob("*.py"):
        modules = {
            name.partition(".")[0]
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            for name in (
                [each.name for each in node.names]
                if isinstance(node, ast.Import)
                else [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else []
            )
        }
        foreign = modules - sys.stdlib_module_names - {"faafo_lab"}
        beyond = {module for module in foreign if not {o.lower().replace("-", "_") for o in owners[module]} & ours}
        assert beyond == ({"llvmlite"} if path.name == "llvm.py" else set()), path
