"""Binder: the configuration is sound, and its steps work in a clean environment, as an ordinary user, on one core.

The fixture `launch` does what Binder does, without Docker: a clean copy of the checkout, a new virtual environment
filled from binder/requirements.txt, binder/postBuild, and binder/start with JupyterLab behind a hub's prefix. It is the
long one (about a minute); all tests that need it share it.
"""

import ast
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import packages_distributions
from pathlib import Path
from urllib.parse import urljoin
from uuid import uuid4

import pytest
import requests

from faafo_lab.links import link
from faafo_lab.workbook import ROOT
from tests.clean import STEP_SECONDS, answers, clean_environment, end, free_port
from tests.waiting import wait_for

BINDER = ROOT / "binder"
FIRST_NOTEBOOK = "00_start_here.ipynb"  # the learner's copy
PREFIX = "/user/ada/"  # where a hub puts her Jupyter
REQUEST_SECONDS = 30


def pins(path: Path) -> dict[str, str]:
    """A locked file's requirements by name, each with its markers and hashes."""
    blocks = re.split(r"^(?=[a-z0-9])", re.sub(r"^ +#.*\n", "", path.read_text(), flags=re.M), flags=re.M)
    return {block.split("==")[0]: block.strip() for block in blocks if "==" in block}


def test_binder_installs_the_locked_versions_and_all_that_the_project_needs() -> None:
    lock, binder = pins(ROOT / "requirements.lock"), pins(BINDER / "requirements.txt")
    assert {name for name, pin in binder.items() if lock.get(name, "").split(" ")[0] != pin.split(" ")[0]} == set()
    assert [name for name, pin in binder.items() if "--hash=sha256:" not in pin] == []
    needed = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    names = {re.match(r"[\w-]+", line).group().lower() for line in needed}  # type: ignore[union-attr]
    assert names - set(binder) == set()


def test_what_the_lab_imports_is_installed_for_a_learner_too() -> None:
    locked, owners = set(pins(BINDER / "requirements.txt")), packages_distributions()
    imported: set[str] = set()
    for path in (ROOT / "faafo_lab").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported.update(name.name for name in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                imported.update(f"{node.module}.{name.name}" for name in node.names)
    missing = []
    for module in imported:
        top = module.split(".")[0]
        packages = owners.get(top, [module.replace(".", "-")])  # one that isn't installed is called like its module
        ours = top in sys.stdlib_module_names or top == "faafo_lab"
        if not ours and locked.isdisjoint(re.sub(r"[-_.]+", "-", package).lower() for package in packages):
            missing.append(module)
    assert missing == []


def test_repo2docker_accepts_the_configuration_and_can_cache_the_installation() -> None:
    pytest.importorskip("repo2docker", reason="jupyter-repo2docker is not installed: run make develop")
    command = [sys.executable, "-m", "repo2docker", "--no-build", "--debug", "."]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=STEP_SECONDS, check=False)
    assert run.returncode == 0, run.stderr
    assert "python=3.11" in run.stderr
    steps = [
        'pip install --no-cache-dir -r "binder/requirements.txt"',
        " src/ ${REPO_DIR}/",  # after it, whatever changes in the checkout is built again
        "RUN ./binder/postBuild",
        'ENV R2D_ENTRYPOINT="${REPO_DIR}/binder/start"',
    ]
    places = [run.stdout.find(step) for step in steps]
    assert -1 not in places, run.stdout
    assert places == sorted(places)


@pytest.mark.parametrize("script", ["postBuild", "start"])
def test_a_script_may_be_executed_and_stops_at_the_first_failure(script: str) -> None:
    path = BINDER / script
    assert os.access(path, os.X_OK)
    assert "\nset -euo pipefail\n" in path.read_text()


def test_postbuild_fails_where_the_installation_does(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    python = tmp_path / "bin" / "python"
    python.write_text("#!/bin/sh\nexit 7\n")  # pip cannot install
    python.chmod(0o755)
    environment = {"PATH": f"{python.parent}:/usr/bin:/bin"}
    run = subprocess.run([BINDER / "postBuild"], env=environment, timeout=STEP_SECONDS, check=False)
    assert run.returncode == 7


@dataclass(frozen=True)
class Launch:
    """A JupyterLab that Binder's steps have started."""

    url: str  # of the server, with the hub's prefix
    origin: str  # the same, without
    token: str
    command: Callable[..., str]  # run a program as the user; its output

    def get(self, url: str, token: bool = True) -> requests.Response:
        headers = {"Authorization": f"token {self.token}"} if token else {}
        return requests.get(url, headers=headers, timeout=REQUEST_SECONDS)

    def answers(self, url: str, text: str = "") -> bool:
        """Whether there is a page with this text."""
        return answers(lambda: self.get(url), text)


@pytest.fixture(scope="module")
def launch() -> Iterator[Launch]:
    with clean_environment(JUPYTERHUB_SERVICE_PREFIX=PREFIX) as place:
        place.run("binder/postBuild")
        token, port, log = uuid4().hex, free_port(), place.base / "jupyter.log"
        options = ["--no-browser", "--ip=127.0.0.1", f"--port={port}", "--ServerApp.port_retries=0"]
        options += [f"--IdentityProvider.token={token}", f"--ServerApp.base_url={PREFIX}"]
        with log.open("wb") as output:
            server = place.start("binder/start", "jupyter", "lab", *options, output=output)
        try:
            origin = f"http://127.0.0.1:{port}"
            started = Launch(origin + PREFIX, origin, token, place.run)
            wait_for("JupyterLab", lambda: server.poll() is not None or started.answers(started.url + "api/status"))
            assert server.poll() is None, "JupyterLab has ended"
            yield started
        finally:
            end(server)
            print(f"--- the end of JupyterLab's log\n{log.read_text(errors='replace')[-4000:]}")  # shown of a failure


@pytest.mark.timeout(2 * STEP_SECONDS)
def test_a_launch_lands_in_jupyterlab_on_the_first_notebook_with_the_cloud_up(launch: Launch) -> None:
    landed = launch.get(launch.url)
    assert landed.ok
    assert landed.url == f"{launch.url}lab/tree/{FIRST_NOTEBOOK}"
    opened = launch.get(f"{launch.url}api/contents/{FIRST_NOTEBOOK}").json()["content"]
    assert [cell for cell in opened["cells"] if cell.get("outputs")] == []
    assert "00_start_here.ipynb is as it came" in launch.command("faafo-lab", "fresh", "00")
    status = "faafo-lab cloud status || true"  # it fails until the cloud runs
    wait_for("the embedded cloud", lambda: launch.command("sh", "-c", status).startswith("running"))


@pytest.mark.timeout(2 * STEP_SECONDS)
def test_an_instances_page_and_its_links_load_through_jupyterlab_with_the_token_alone(launch: Launch) -> None:
    endpoint = launch.command("faafo-lab", "scale-out", "--api", "1", "--worker", "1").split()[-1]
    task = {"uuid": str(uuid4()), "width": 64, "height": 64, "iterations": 64, "xa": -1, "xb": 1, "ya": -1, "yb": 1}
    assert requests.post(f"{endpoint}/v1/fractal", json=task, timeout=REQUEST_SECONDS).status_code == 201
    address = launch.origin + link(endpoint, {"JUPYTERHUB_SERVICE_PREFIX": PREFIX})
    wait_for("the page with the fractal", lambda: launch.answers(address, f"fractal-{task['uuid']}"))
    image = re.search(r'<img src="([^"]+)"', launch.get(urljoin(address, "index/1")).text)
    assert image
    assert launch.get(urljoin(address + "index/1", image.group(1))).content.startswith(b"\x89PNG")
    assert "Fractals" not in launch.get(address, token=False).text
    refused = launch.get(f"{launch.url}proxy/127.0.0.1:{launch.origin.rpartition(':')[2]}/")
    assert refused.status_code == 403
