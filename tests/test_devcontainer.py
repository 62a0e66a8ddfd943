"""The development container (Codespaces): its description is sound, and its commands work in a clean environment.

The container itself is not made here: neither its image nor Codespaces' forwarding of the port is tested.
"""

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import requests

from faafo_lab.workbook import ROOT
from tests.clean import STEP_SECONDS, Place, answers, clean_environment, end, free_port
from tests.waiting import wait_for

FOLDER = ROOT / ".devcontainer"
DESCRIPTION = json.loads((FOLDER / "devcontainer.json").read_text())
COMMANDS = [DESCRIPTION["postCreateCommand"], DESCRIPTION["postAttachCommand"]]
NAME, DOMAIN = "orange-waffle", "app.example.org"
KNOWN = {  # of the reference, those that are used: https://containers.dev/implementors/json_reference/
    *("name", "image", "hostRequirements", "remoteEnv", "postCreateCommand", "waitFor", "postAttachCommand"),
    *("forwardPorts", "portsAttributes", "otherPortsAttributes", "customizations"),
}
REQUEST_SECONDS = 30


def test_the_description_has_the_named_keys_with_values_of_their_kind() -> None:
    assert set(DESCRIPTION) == KNOWN
    assert DESCRIPTION["image"] == f"mcr.microsoft.com/devcontainers/python:{binder_python()}"
    assert DESCRIPTION["hostRequirements"] == {"cpus": 2, "memory": "8gb"}
    assert DESCRIPTION["waitFor"] == "postCreateCommand", "nobody attaches before the packages are there"
    assert DESCRIPTION["otherPortsAttributes"] == {"onAutoForward": "ignore"}, "servers are reached through JupyterLab"
    assert all(re.fullmatch(r"[\w-]+\.[\w-]+", name) for name in DESCRIPTION["customizations"]["vscode"]["extensions"])


def binder_python() -> str:
    return (ROOT / "binder" / "runtime.txt").read_text().strip().removeprefix("python-")


def test_the_port_that_is_forwarded_is_jupyterlabs() -> None:
    [port] = DESCRIPTION["forwardPorts"]
    assert set(DESCRIPTION["portsAttributes"]) == {str(port)}
    assert f'port="${{1:-{port}}}"' in (FOLDER / "start").read_text()


@pytest.mark.parametrize("command", COMMANDS)
def test_a_commands_script_may_be_executed_and_stops_at_the_first_failure(command: str) -> None:
    assert os.access(ROOT / command, os.X_OK)
    assert "\nset -euo pipefail\n" in (ROOT / command).read_text()


def test_terminals_have_the_programs_and_the_home_that_the_scripts_use() -> None:
    folder = "${containerWorkspaceFolder}"
    for script in COMMANDS:
        text = (ROOT / script).read_text().replace("$PWD", folder)
        for name, value in DESCRIPTION["remoteEnv"].items():
            assert f'export {name}="{value.replace("${containerEnv:PATH}", "$PATH")}"' in text


@dataclass(frozen=True)
class Attached:
    """What somebody who attaches finds."""

    place: Place
    port: int
    url: str
    headers: dict[str, str]

    def get(self, path: str, **headers: str) -> requests.Response:
        return requests.get(self.url + path, headers={**self.headers, **headers}, timeout=REQUEST_SECONDS)


@pytest.fixture(scope="module")
def attached() -> Iterator[Attached]:
    codespace = {"CODESPACE_NAME": NAME, "GITHUB_CODESPACES_PORT_FORWARDING_DOMAIN": DOMAIN}
    with clean_environment(requirements=False, **codespace) as place:
        place.run(DESCRIPTION["postCreateCommand"])
        port, log = free_port(), place.base / "jupyter.log"
        with log.open("wb") as output:
            server = place.start(DESCRIPTION["postAttachCommand"], str(port), output=output)
        try:

            def said() -> re.Match[str] | None:
                assert server.poll() is None, "JupyterLab has ended"
                return re.search(rf"http://127\.0\.0\.1:{port}/\S*\?token=(\w+)", log.read_text(errors="replace"))

            token = wait_for("the terminal to show JupyterLab's address", said).group(1)  # type: ignore[union-attr]
            found = Attached(place, port, f"http://127.0.0.1:{port}/", {"Authorization": f"token {token}"})
            # It says its address a moment before it listens
            wait_for("JupyterLab to answer", lambda: answers(lambda: found.get("api/status")))
            yield found
        finally:
            end(server)
            print(f"--- the end of JupyterLab's log\n{log.read_text(errors='replace')[-4000:]}")  # shown of a failure
            place.run("sh", "-c", "FAAFO_LAB_HOME=$PWD/.faafo-lab .venv/bin/faafo-lab cloud stop")


@pytest.mark.timeout(3 * STEP_SECONDS)
def test_who_attaches_finds_the_first_chapter_and_the_cloud(attached: Attached) -> None:
    assert attached.get("").url == f"{attached.url}lab/tree/00_start_here.ipynb"
    cells = attached.get("api/contents/00_start_here.ipynb").json()["content"]["cells"]
    assert [cell for cell in cells if cell.get("outputs")] == []
    assert (attached.place.home / ".faafo-lab" / "workbook" / "00_start_here.ipynb").is_file()
    status = "FAAFO_LAB_HOME=$PWD/.faafo-lab .venv/bin/faafo-lab cloud status || true"  # it fails until the cloud runs
    wait_for("the embedded cloud", lambda: attached.place.run("sh", "-c", status).startswith("running"))


@pytest.mark.timeout(3 * STEP_SECONDS)
def test_pages_from_the_forwarded_port_may_ask_and_nobody_without_the_token(attached: Attached) -> None:
    own = f"https://{NAME}-{attached.port}.{DOMAIN}"
    answer = attached.get("api/status", Origin=own)
    assert (answer.status_code, answer.headers["Access-Control-Allow-Origin"]) == (200, own)
    assert requests.get(f"{attached.url}api/contents", timeout=REQUEST_SECONDS).status_code == 403, "without the token"


@pytest.mark.timeout(3 * STEP_SECONDS)
def test_who_attaches_again_is_shown_the_jupyterlab_that_runs(attached: Attached) -> None:
    said = attached.place.run(DESCRIPTION["postAttachCommand"], str(attached.port))
    assert f":{attached.port}/" in said
    assert "token=" in said
