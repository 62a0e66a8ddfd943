"""`faafo-lab prove`: a whole run, one that fails, some that end early, and what a report must not tell."""

from __future__ import annotations

import json
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import yaml

import faafo_lab
from faafo_lab import cli
from faafo_lab.cloud import BACKENDS
from faafo_lab.cloud.base import VERBS, Cloud
from faafo_lab.cloud.emulator import control
from faafo_lab.cloud.marks import DESCRIPTION, ROLE_KEY
from faafo_lab.paths import embedded_state_dir
from faafo_lab.prove import Redactor
from faafo_lab.prove.budget import Guard
from faafo_lab.workbook import own_home

WORKFLOW = Path(faafo_lab.__file__).parent.parent / ".github/workflows/devstack.yml"
RUN_LIMIT_SECONDS = 240


@pytest.fixture
def home() -> Iterator[Path]:
    """A home of its own, where no cloud runs yet."""
    with own_home(FAAFO_LAB_CLOUD="embedded") as home:
        yield home


@contextmanager
def proving(home: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    """`faafo-lab prove` as a process."""
    command = [sys.executable, "-m", "faafo_lab.cli", "prove", "--report", str(home / "report"), *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def proved(home: Path, *options: str) -> tuple[int, str, dict[str, Any]]:
    """Its exit status, what it printed, and the report, where it wrote one."""
    with proving(home, *options) as process:
        said, _ = process.communicate(timeout=RUN_LIMIT_SECONDS)
        return process.returncode, said, report(home)


def report(home: Path) -> dict[str, Any]:
    path = home / "report" / "prove.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def states(data: dict[str, Any]) -> dict[str, str]:
    (run,) = data["runs"]
    return {step["what"]: step["state"] for step in run["steps"]}


def assert_clear(cloud: Cloud) -> None:
    assert cloud.servers() == []
    assert cloud.floating_ips() == []
    assert cloud.key_pairs() == []
    assert [group.name for group in cloud.security_groups()] == ["default"]
    assert cloud.containers() == []
    assert cloud.volumes() == []
    assert cloud.snapshots() == []


@pytest.mark.long
def test_on_the_embedded_cloud_every_step_is_right_and_nothing_is_left_or_told(home: Path) -> None:
    cloud = faafo_lab.connect()
    mine = cloud.create_floating_ip(description="")  # as one that the user made elsewhere
    status, said, data = proved(home)
    assert status == 0, said
    assert "at most 4 servers at a time, 60 minutes" in said.splitlines()[0]
    assert data["right"] is True
    seen = states(data)
    assert set(seen.values()) <= {"ok", "absent"}
    assert set(VERBS) <= set(seen)
    application = [step["what"] for step in data["runs"][0]["steps"] if step["part"] == "application"]
    assert application == [
        "deploy(1, 1)",
        "orders",
        "groups hold",
        "scale to 2 workers",
        "kill a busy worker",
        "destroy",
    ]
    assert re.fullmatch(r"v2.1, microversions 2.1 to 2.\d+", data["services"]["compute"])
    assert {"faafo-lab", "shade", "openstacksdk", "apache-libcloud"} <= set(data["versions"])
    assert data["runs"][0]["receipt"]["servers"] == "5 created, 5 deleted"
    assert data["runs"][0]["receipt"]["floating IPs"] == "2 created, 2 deleted", "it took a free one of others"
    assert data["runs"][0]["receipt"]["left"] == "nothing"
    assert [ip.id for ip in cloud.floating_ips()] == [mine.id]
    cloud.delete_floating_ip(mine)
    assert_clear(cloud)
    text = "".join(path.read_text(encoding="utf-8") for path in (home / "report").iterdir())
    entry = yaml.safe_load((embedded_state_dir() / "clouds.yaml").read_text())["clouds"]["embedded"]["auth"]
    told = [
        value for key, value in entry.items() if "domain" not in key and re.search(rf"\b{re.escape(value)}\b", text)
    ]
    assert told == []
    assert not re.search(r"127\.\d+\.\d+\.\d+|https?://|[0-9a-f]{8}-[0-9a-f]{4}-|/tmp", text)


def test_the_verbs_are_right_through_every_backend_beside_a_running_application_which_stays(home: Path) -> None:
    cloud = faafo_lab.connect()
    group = cloud.create_security_group("api", f"{DESCRIPTION}mine")
    mine = cloud.create_server("app-api-1", image="plain-linux", flavor="m1.tiny", metadata={ROLE_KEY: "api"})
    address = cloud.create_floating_ip()
    status, said, data = proved(home)
    assert status == 1
    assert "Lab resources exist already, and are left unchanged" in said
    assert data == {}, "nothing was begun"
    status, said, data = proved(home, "--only", "verbs", "--backend", "all")
    assert status == 0, said
    assert [run["backend"] for run in data["runs"]] == list(BACKENDS)
    assert [server.id for server in cloud.servers()] == [mine.id]
    assert [ip.id for ip in cloud.floating_ips()] == [address.id]
    assert {each.id for each in cloud.security_groups() if each.name != "default"} == {group.id}


def test_what_fails_is_told_and_stops_only_what_needs_it(home: Path) -> None:
    control.start(embedded_state_dir(), quotas={"instances": 1, "floatingip": 0})
    status, said, data = proved(home)
    assert status == 1
    assert "Not every step is right" in said
    seen = states(data)
    assert {what for what, state in seen.items() if state == "failed"} == {"create_floating_ip", "deploy(1, 1)"}
    skipped = {what for what, state in seen.items() if state == "skipped"}
    assert {"attach_floating_ip", "detach_floating_ip", "delete_floating_ip"} <= skipped
    assert {"orders", "groups hold", "scale to 2 workers", "kill a busy worker", "destroy"} <= skipped
    assert seen["stop_server"] == seen["delete_server"] == seen["nothing is left"] == "ok"
    (why,) = [step["detail"] for step in data["runs"][0]["steps"] if step["what"] == "create_floating_ip"]
    assert why.startswith("QuotaExceeded: ")
    assert_clear(faafo_lab.connect())


@pytest.mark.parametrize(
    ("after", "number"), [("server app-api-1: created", signal.SIGINT), ("create_server", signal.SIGTERM)]
)
def test_an_interrupt_ends_it_and_leaves_nothing(home: Path, after: str, number: signal.Signals) -> None:
    with proving(home) as process:
        assert process.stdout is not None
        assert any(after in line for line in process.stdout)
        process.send_signal(number)
        said, _ = process.communicate(timeout=RUN_LIMIT_SECONDS)
    assert process.returncode == 128 + number, said
    data = report(home)
    assert data["right"] is False
    assert data["ended"] == f"interrupted by {number.name}"
    assert states(data)["destroy" if number == signal.SIGINT else "delete_key_pair"] == "not run"
    assert states(data)["nothing is left"] == "ok"
    assert_clear(faafo_lab.connect())


def test_the_end_of_the_budget_ends_it_and_leaves_nothing(home: Path) -> None:
    cloud = faafo_lab.connect()
    status, said, data = proved(home, "--only", "application", "--minutes", "0.05")
    assert status == 1, said
    assert data["ended"] == "the budget of 0.05 minutes is used up"
    assert states(data)["destroy"] == "not run"
    assert_clear(cloud)


def test_a_budget_that_is_too_small_is_refused(home: Path) -> None:
    status, said, data = proved(home, "--servers", "3")
    assert (status, data) == (1, {})
    assert said.startswith("faafo-lab: The application takes 4 servers at a time, and the budget has 3")


def test_what_creates_something_is_finished_before_an_interrupt_ends_it() -> None:
    done: list[str] = []
    with Guard(1, done.append) as guard:
        with suppress(KeyboardInterrupt), guard.finishing():
            signal.raise_signal(signal.SIGTERM)
            done.append("created")
        assert done == ["created"]
        with pytest.raises(KeyboardInterrupt):
            guard.check()
        with guard.cleaning():
            signal.raise_signal(signal.SIGTERM)
            done.append("removed")
        assert done[-1] == "removed"
        assert guard.status == 128 + signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


WORDS = {
    "user": ["anna"],
    "password": ["pa$$ w.rd(1"],
    "project": ["Alpha-7", "a"],
    "host": ["node3"],
    "name": ["web", "shade"],
}
TOLD = [
    ("No quota in project alpha-7.", "No quota in project <project>."),
    ("user anna, not hannah: pa$$ w.rd(1", "user <user>, not hannah: <password>"),
    ("for a: image web_2 and web", "for <project>: image <name>_2 and <name>"),
    ("at https://cloud.example.org:5000/v3/x?y=z, refused", "at <url> refused"),
    ("as bob@example.org on api.cloud.example.org", "as <mail> on <host>"),
    ("server 3f2a9c1e-0b7d-4c55-9e1f-2a3b4c5d6e7f and 3f2a9c1e0b7d4c559e1f2a3b4c5d6e7f", "server <id> and <id>"),
    ("10.0.0.5:22, 203.0.113.0/24, fd00::5/64, fa:16:3e:00:11:22", "<address>, <address>, <address>, <mac>"),
    ("token gAAAAABk-x_y1= or QWxhZGRpbjpvcGVuIHNlc2FtZTEyMzQ1Njc4", "token <token> or <token>"),
    ("There is no image 'bar'. There are: x, y and z.", "There is no image <name>. There are: <names>"),
    ("Server 'app-api-1' failed on host compute-3: no room", "Server 'app-api-1' failed on host <host>: no room"),
    ("[Errno 2] /home/anna/.config/openstack/clouds.yaml", "[Errno 2] <path>"),
    ("clouds.yaml says v2.93 at 12:30, and it doesn't", "clouds.yaml says v2.93 at 12:30, and it doesn't"),
]


@pytest.mark.parametrize(("text", "clean"), TOLD)
def test_a_report_names_no_one_and_no_place(text: str, clean: str) -> None:
    assert Redactor(WORDS).clean(text) == clean


def test_only_the_proofs_own_words_stay_where_they_are_a_users_name_too() -> None:
    data = {"backend": "shade", "steps": [{"detail": "shade failed for anna"}], "seconds": 1.5}
    cleaned = Redactor(WORDS).clean(data, keep=frozenset({"shade"}))
    assert cleaned == {"backend": "shade", "steps": [{"detail": "<name> failed for <user>"}], "seconds": 1.5}


def test_the_workflows_commands_are_ones_that_exist() -> None:
    workflow = yaml.safe_load(WORKFLOW.read_text(encoding="utf-8"))
    scripts = [step.get("run", "") for job in workflow["jobs"].values() for step in job["steps"]]
    called = [line.partition("faafo-lab prove ")[2] for script in scripts for line in script.splitlines()]
    lines = [line for line in called if line]
    assert lines
    for line in lines:
        options = cli.parser().parse_args(["prove", *shlex.split(line)])
        assert options.run is cli.prove_run
