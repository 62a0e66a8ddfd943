"""install.sh on an instance: units in systemd's format, the secret in files that only root reads, idempotent.

`systemctl` is a script here that notes how it is called: the embedded cloud's tests run the whole.
"""

import configparser
import contextlib
import os
import re
import shlex
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from faafo_lab.app import tasks
from faafo_lab.app.database import connect
from tests.app.deployment import SECRET, Deployment, done
from tests.waiting import LIMIT_SECONDS, wait_for

COMMANDS = {
    "faafo": "cli:main",
    "faafo-api": "api:main",
    "faafo-worker": "worker:main",
    "faafo-database": "services:database",
    "faafo-messaging": "services:messaging",
    "faafo-install": "install:main",
}


class Machine:
    """An instance's disk with the image's commands, and a `systemctl` that takes notes."""

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment
        self.bin = deployment.root / "bin"
        self.bin.mkdir()
        self.notes = deployment.place / "systemctl.txt"
        for name, target in COMMANDS.items():
            module, function = target.split(":")
            code = f"from faafo_lab.app.{module} import {function}; {function}()"
            self.command(name, f'exec {shlex.quote(sys.executable)} -c {shlex.quote(code)} "$@"')
        self.command("systemctl", f'echo "$*" >> {shlex.quote(str(self.notes))}')

    def command(self, name: str, line: str) -> None:
        path = self.bin / name
        path.write_text(f"#!/bin/sh\n{line}\n")
        path.chmod(0o755)

    def install(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        path = {"PATH": f"{self.bin}:{os.environ['PATH']}"}
        values = self.deployment.environment(**path | {"FAAFO_SECRET": ""} | environment)
        return subprocess.run(
            ["faafo-install", *words],
            env=values,
            cwd=self.deployment.place,
            capture_output=True,
            text=True,
            timeout=LIMIT_SECONDS,
            executable=str(self.bin / "faafo-install"),
            check=False,
        )

    def calls(self) -> list[str]:
        """How systemctl was called since the last time."""
        text = self.notes.read_text() if self.notes.exists() else ""
        self.notes.unlink(missing_ok=True)
        return text.splitlines()

    def unit(self, name: str) -> configparser.ConfigParser:
        parser = configparser.ConfigParser(interpolation=None)
        parser.optionxform = str  # type: ignore[assignment, method-assign]
        parser.read(self.deployment.root / f"etc/systemd/system/{name}.service")
        return parser

    def variables(self, name: str) -> dict[str, str]:
        """A unit's environment, read as systemd does."""
        path = Path(self.unit(name)["Service"]["EnvironmentFile"])
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        words = shlex.split(path.read_text())
        return dict(word.split("=", 1) for word in words)


@pytest.fixture
def machine(bare: Deployment) -> Machine:
    return Machine(bare)


def test_all_in_one(machine: Machine) -> None:
    wanted = ["-i", "database", "-i", "messaging", "-i", "faafo", "-r", "api", "-r", "worker", "-s", SECRET]
    done = machine.install(*wanted)
    assert done.returncode == 0, done.stderr
    names = ["faafo-database", "faafo-messaging", "faafo-api", "faafo-worker"]
    assert machine.calls() == ["daemon-reload", f"enable --now {' '.join(names)}"]
    for name in names:
        service = machine.unit(name)["Service"]
        assert service["ExecStart"] == f"${{INSTANCE_ROOT}}/bin/{name}"  # no name of a directory that needs quotes
        assert service["Restart"] == "always"
        assert machine.unit(name)["Install"]["WantedBy"] == "multi-user.target"
        assert machine.variables(name)["FAAFO_SECRET"] == SECRET
    assert machine.unit("faafo-database")["Service"]["KillSignal"] == "SIGINT"
    root = machine.deployment.root
    secrets = {path for path in root.rglob("*") if path.is_file() and SECRET.split('"')[0] in path.read_text()}
    assert secrets == {root / "etc/faafo" / name for name in ("secret", *(f"{name}.env" for name in names))}
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in secrets)
    assert (root / "etc/faafo/faafo.conf").read_text() == "endpoint_url = http://localhost\n"


def test_again_changes_nothing_and_a_change_restarts_what_it_concerns(machine: Machine) -> None:
    first = ["-i", "faafo", "-r", "api", "-r", "worker", "-m", "redis://:s@10.0.0.4:6379/0", "-s", "s"]
    assert machine.install(*first, "-d", "postgresql://faafo:s@10.0.0.4:5432/faafo").returncode == 0
    machine.calls()
    assert machine.install(*first, "-d", "postgresql://faafo:s@10.0.0.4:5432/faafo").returncode == 0
    assert machine.calls() == ["daemon-reload", "enable --now faafo-api faafo-worker"]
    assert machine.install(*first, "-d", "postgresql://faafo:s@10.0.0.5:5432/faafo").returncode == 0
    assert machine.calls() == ["daemon-reload", "enable --now faafo-api faafo-worker", "restart faafo-api"]


def test_the_guides_own_urls_are_taken(machine: Machine) -> None:
    database = "mysql+pymysql://faafo:s@10.0.0.5:3306/faafo"
    words = ["-i", "faafo", "-r", "api", "-r", "worker", "-m", "rabbit://guest:s@10.0.0.4:5672/", "-d", database]
    done = machine.install(*words, "-s", "s")
    assert done.returncode == 0, done.stderr
    assert machine.variables("faafo-api")["FAAFO_DATABASE_URL"] == database
    for name in ("faafo-api", "faafo-worker"):
        assert machine.variables(name)["FAAFO_QUEUE_URL"] == "amqp://guest:s@10.0.0.4:5672/"
    with contextlib.closing(tasks.connection("amqp://guest:s@10.0.0.4:5672/")) as connection:
        assert connection.virtual_host == "/"
    connect(database, 1).dispose()


def test_the_split_topology(machine: Machine) -> None:
    queue = "redis://:s@10.0.0.4:6379/0"
    assert (
        machine.install("-i", "faafo", "-r", "worker", "-e", "http://10.0.0.7:8080", "-m", queue, "-s", "s").returncode
        == 0
    )
    assert machine.variables("faafo-worker") == {
        "MALLOC_ARENA_MAX": "2",
        "FAAFO_SECRET": "s",
        "FAAFO_ENDPOINT_URL": "http://10.0.0.7:8080",
        "FAAFO_QUEUE_URL": queue,
    }
    assert "FAAFO_DATABASE_URL" not in machine.variables("faafo-worker")
    conf = machine.deployment.root / "etc/faafo/faafo.conf"
    assert conf.read_text() == "endpoint_url = http://10.0.0.7:8080\n"
    several = ["-e", "http://10.0.0.7:8080", "-e", "http://10.0.0.8:8080"]
    assert machine.install("-r", "worker", *several, "-m", queue).returncode == 0
    assert machine.variables("faafo-worker")["FAAFO_ENDPOINT_URL"] == "http://10.0.0.7:8080 http://10.0.0.8:8080"
    assert conf.read_text() == "endpoint_url = http://10.0.0.7:8080\nendpoint_url = http://10.0.0.8:8080\n"
    # the secret of the last installation serves the next
    assert machine.install("-r", "api", "-d", "postgresql://faafo:s@10.0.0.4/faafo", "-m", queue).returncode == 0
    assert machine.variables("faafo-api")["FAAFO_SECRET"] == "s"


def test_what_is_secret_may_come_in_the_environment_and_goes_into_the_units_alone(machine: Machine) -> None:
    given = {
        "FAAFO_SECRET": SECRET,
        "FAAFO_QUEUE_URL": "redis://:hush@10.0.0.4:6379/0",
        "FAAFO_DATABASE_URL": "postgresql://faafo:hush@10.0.0.4:5432/faafo",
        "FAAFO_IMAGES_URL": "swift://me:hush@keystone/fractals?project=lab",
    }
    seen = machine.deployment.place / "seen.txt"
    machine.command("systemctl", f"cat /proc/$PPID/cmdline /proc/self/environ >> {shlex.quote(str(seen))}")
    done = machine.install("-r", "api", "-r", "worker", **given)
    assert done.returncode == 0, done.stderr
    assert machine.variables("faafo-api") == {"MALLOC_ARENA_MAX": "2"} | given
    assert machine.variables("faafo-worker")["FAAFO_QUEUE_URL"] == given["FAAFO_QUEUE_URL"]
    told = seen.read_text()
    assert "install.sh" in told
    assert not re.search("hush|a secret", told + done.stdout)
    # what an option says counts more
    assert machine.install("-r", "api", "-m", "redis://:other@10.0.0.4:6379/0", **given).returncode == 0
    assert machine.variables("faafo-api")["FAAFO_QUEUE_URL"] == "redis://:other@10.0.0.4:6379/0"


def test_where_images_go_is_the_apis_own_setting(machine: Machine) -> None:
    store = "swift://me:p%2Fw@keystone/fractals?project=lab"
    assert machine.install("-r", "api", "-r", "worker", "-o", store, "-s", "s").returncode == 0
    assert machine.variables("faafo-api")["FAAFO_IMAGES_URL"] == store
    assert "FAAFO_IMAGES_URL" not in machine.variables("faafo-worker")
    assert machine.install("-r", "api", "-o", "file:///var/lib/faafo").returncode == 0
    assert machine.variables("faafo-api")["FAAFO_IMAGES_URL"] == "file:///var/lib/faafo"


def test_where_workers_reach_an_api_and_how_many_may_wait_are_the_apis_own_settings(machine: Machine) -> None:
    wanted = ["-r", "api", "-r", "worker", "-a", "http://10.0.0.7:8080", "-s", "s"]
    assert machine.install(*wanted, "-w", "300").returncode == 0
    told = {"FAAFO_ADVERTISED_URL": "http://10.0.0.7:8080", "FAAFO_WAITING_MAX": "300"}
    assert told.items() <= machine.variables("faafo-api").items()
    assert not told.keys() & machine.variables("faafo-worker").keys()
    assert machine.install(*wanted, FAAFO_WAITING_MAX="200").returncode == 0
    assert machine.variables("faafo-api")["FAAFO_WAITING_MAX"] == "200"


def test_what_the_units_say_runs(machine: Machine) -> None:
    wanted = ["-i", "database", "-i", "messaging", "-i", "faafo", "-r", "api", "-r", "worker", "-s", SECRET]
    assert machine.install(*wanted).returncode == 0
    deployment = machine.deployment
    for name in ("faafo-database", "faafo-messaging", "faafo-api", "faafo-worker"):
        with (deployment.place / f"{name}.log").open("wb") as log:
            deployment.processes[name] = subprocess.Popen(
                [machine.unit(name)["Service"]["ExecStart"].replace("${INSTANCE_ROOT}/bin", str(machine.bin))],
                env=deployment.environment(**machine.variables(name)),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
    # the demo waits for all this, makes a few fractals, and does it once
    assert machine.install("-r", "demo").returncode == 0
    client = deployment.client()
    fractals = client.get("/v1/fractal").json()["objects"]
    assert len(fractals) == 5
    assert machine.install("-r", "demo").returncode == 0
    assert client.get("/v1/fractal").json()["num_results"] == 5
    wait_for("the demo's fractals", lambda: done(client, [one["uuid"] for one in fractals]))


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "nothing to do"),
        (["-s", "x"], "nothing to do"),
        (["-i", "everything"], "-i everything: it installs database, messaging or faafo"),
        (["-r", "all"], "-r all: it runs api, worker or demo"),
        (["-i"], "-i needs a value"),
        (["-r", "api", "-m"], "-m needs a value"),
        (["-x"], "-x is no option"),
        (["--help"], "is no option"),
        (["-r", "api", "extra"], "'extra' is no option"),
        (["-r", "worker", "-e", "10.0.0.1"], "it must begin with http://"),
        (
            ["-r", "worker", "-e", "http://10.0.0.1", "-e", "http://:80"],
            "-e http://:80: it must begin with http:// and",
        ),
        (["-r", "worker", "-e", "http://10.0.0.1 http://10.0.0.2"], "it must begin with http:// and a host"),
        (["-r", "api", "-a", "http://"], "-a http://: it must begin with http:// and a host"),
        (["-r", "api", "-w", "many"], "-w many (FAAFO_WAITING_MAX): it is a whole number from 1"),
        (["-r", "api", "-w", "0"], "-w 0 (FAAFO_WAITING_MAX): it is a whole number from 1"),
        (["-r", "worker", "-m", "10.0.0.1"], "it must begin with redis:// or amqp://"),
        (["-r", "api", "-d", "sqlite://"], "it must begin with postgresql://"),
        (["-r", "api", "-o", "/var/lib/faafo"], "-o (FAAFO_IMAGES_URL): it must be database, file:///DIR"),
        (["-r", "api", "-s", "a\nb"], "a secret is one line"),
        (["-i", "database", "-v", "/dev/vdb"], "-v /dev/vdb: it is a volume's id, such as"),
        (["-r", "api", "-v", "6f70656e-7374-4163-8b00-000000000000"], "-v is for the files of a database: add -i"),
    ],
)
def test_a_wrong_option_is_one_sentence_and_changes_nothing(machine: Machine, words: list[str], says: str) -> None:
    done = machine.install(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert says in done.stderr
    assert done.stderr.count("\n") == 1
    assert machine.calls() == []
    assert not list(machine.deployment.root.rglob("*.service"))


def test_help_shows_every_option(machine: Machine) -> None:
    done = machine.install("-h")
    assert (done.returncode, done.stderr) == (0, "")
    for word in (
        "-i database",
        "-i messaging",
        "-i faafo",
        "-r api",
        "-r worker",
        "-r demo",
        "-e",
        "-a",
        "-m",
        "-d",
        "-o",
        "-w",
        "-s",
        "-v",
    ):
        assert word in done.stdout


def test_a_machine_without_the_application_is_told_so(machine: Machine) -> None:
    (machine.bin / "faafo-api").unlink()
    done = machine.install("-r", "api", PATH=f"{machine.bin}:/usr/bin:/bin")
    assert (done.returncode, "add -i faafo" in done.stderr) == (1, True)


def test_a_service_manager_that_fails_is_named(machine: Machine) -> None:
    machine.command("systemctl", '[ "$1" = daemon-reload ]')
    done = machine.install("-r", "api")
    assert (done.returncode, "systemd could not start faafo-api" in done.stderr) == (1, True)
