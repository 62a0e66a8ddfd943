"""install.sh as on a real Debian machine: RabbitMQ, a user of its own, units that run.

It writes to /etc; so it runs in a mount namespace in which /etc is a copy. `apt-get` and `systemctl` are scripts that
note how they are called; `rabbitmqctl` is RabbitMQ's own and speaks with a real server.
"""

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from urllib.parse import quote

import amqp
import kombu
import pytest

from faafo_lab.app.install import SCRIPT
from tests.app.deployment import SECRET, Deployment, done
from tests.app.engines import RABBITMQ_SCRIPTS, Pair, PostgreSQL, RabbitMQ
from tests.app.test_app_install import COMMANDS
from tests.programs import possible
from tests.waiting import LIMIT_SECONDS, wait_for

NAMESPACE = ["unshare", "--mount", "--"]


class RealMachine:
    """A deployment's PostgreSQL and RabbitMQ, and a copy of /etc."""

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment
        self.etc, self.bin = deployment.place / "etc", deployment.place / "bin"
        shutil.copytree("/etc", self.etc, symlinks=True)
        self.bin.mkdir()
        self.notes = deployment.place / "notes.txt"
        for name in ("apt-get", "systemctl"):
            self.command(name, f'echo "{name} $*" >> {shlex.quote(str(self.notes))}')
        for name, target in COMMANDS.items():
            module, function = target.split(":")
            code = f"from faafo_lab.app.{module} import {function}; {function}()"
            self.command(name, f'exec {shlex.quote(sys.executable)} -c {shlex.quote(code)} "$@"')
        assert isinstance(deployment.broker, RabbitMQ)
        node = [f"{key}={shlex.quote(value)}" for key, value in deployment.broker.environment().items()]
        noted = f'echo "rabbitmqctl $*" >> {shlex.quote(str(self.notes))}'
        self.command("rabbitmqctl", f'{noted}; env {" ".join(node)} {RABBITMQ_SCRIPTS / "rabbitmqctl"} "$@"')

    def command(self, name: str, line: str) -> None:
        path = self.bin / name
        path.write_text(f"#!/bin/sh\n{line}\n")
        path.chmod(0o755)

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command where /etc is the copy."""
        inside = 'mount --bind "$0" /etc && exec "$@"'
        return subprocess.run(
            [*NAMESPACE, "sh", "-c", inside, str(self.etc), *words],
            env={"PATH": f"{self.bin}:{os.environ['PATH']}", "LANG": "C.UTF-8"},
            capture_output=True,
            text=True,
            timeout=2 * LIMIT_SECONDS,
            check=False,
        )

    def broker_knows(self, password: str) -> bool:
        with kombu.Connection(self.queue_url(password)) as connection:
            try:
                connection.connect()
            except amqp.exceptions.AccessRefused:
                return False
            return True

    def queue_url(self, password: str) -> str:
        assert isinstance(self.deployment.broker, RabbitMQ)
        return f"amqp://faafo:{quote(password, safe='')}@127.0.0.1:{self.deployment.broker.port}//"


@pytest.fixture
def machine() -> Iterator[RealMachine]:
    if missing := RabbitMQ.missing():
        pytest.skip(missing)
    if os.geteuid() != 0 or not possible(*NAMESPACE, "mount", "--bind", "/etc", "/etc"):
        pytest.skip("only root can give it an /etc of its own, and only where mounts are allowed")
    deployment = Deployment(pair=Pair(PostgreSQL, RabbitMQ))
    try:
        deployment.database()
        deployment.messaging()
        yield RealMachine(deployment)
    finally:
        deployment.close()


def test_on_a_real_machine_broker_api_and_worker_are_set_up_and_work(machine: RealMachine) -> None:
    deployment = machine.deployment
    assert machine.run("rabbitmqctl", "delete_user", "faafo").returncode == 0
    options = ["-i", "messaging", "-i", "faafo", "-r", "api", "-r", "worker", "-d", deployment.database_url()]

    done_once = machine.run("bash", str(SCRIPT), *options, "-m", machine.queue_url("first"), "-s", "first")
    assert done_once.returncode == 0, done_once.stderr
    noted = machine.notes.read_text().splitlines()
    assert "apt-get install -y --no-install-recommends rabbitmq-server" in noted
    assert "systemctl enable --now rabbitmq-server" in noted
    assert noted[-1] == "systemctl enable --now faafo-api faafo-worker"
    assert machine.broker_knows("first")

    # again, with another secret: the broker learns it
    done_again = machine.run("bash", str(SCRIPT), *options, "-m", machine.queue_url(SECRET), "-s", SECRET)
    assert done_again.returncode == 0, done_again.stderr
    assert machine.notes.read_text().splitlines()[-1] == "systemctl restart faafo-api faafo-worker"
    assert machine.broker_knows(SECRET)
    assert not machine.broker_knows("first")

    # secrets are on no command line, and in files that only root reads
    assert "rabbitmqctl add_user faafo\n" in machine.notes.read_text()
    assert "rabbitmqctl change_password faafo\n" in machine.notes.read_text()
    assert not any(secret in machine.notes.read_text() for secret in ("first", SECRET))
    for name in ("secret", "faafo-api.env", "faafo-worker.env"):
        assert (machine.etc / "faafo" / name).stat().st_mode & 0o777 == 0o600

    # what the units say, with what their files of environment say, serves and works
    assert "faafo:" in (machine.etc / "passwd").read_text()
    for name in ("faafo-api", "faafo-worker"):
        unit = (machine.etc / f"systemd/system/{name}.service").read_text()
        assert "User=faafo\nAmbientCapabilities=CAP_NET_BIND_SERVICE\nNoNewPrivileges=yes" in unit
        assert f"ExecStart={machine.bin / name}\nEnvironmentFile=/etc/faafo/{name}.env\n" in unit
        lines = shlex.split((machine.etc / f"faafo/{name}.env").read_text())
        # on this machine "port 80" is the deployment's
        deployment.launch(name, str(machine.bin / name), **dict(line.split("=", 1) for line in lines))
    client = deployment.client()
    secret = {"Authorization": f"Bearer {SECRET}"}
    environment = {"FAAFO_ENDPOINT_URL": "http://localhost"}
    created = deployment.run("cli", "--wait", "60", "create", "--tasks", "2", **environment)
    assert created.returncode == 0, created.stderr
    uuids = created.stdout.split()[-2:]
    wait_for("the fractals", lambda: done(client, uuids))
    assert client.get("/v1/dead", headers=secret).json()["num_results"] == 0
