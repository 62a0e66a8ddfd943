"""install.sh as on a real Debian machine: RabbitMQ, a user of its own, units that run.

It writes to /etc; so it runs in a mount namespace in which /etc is a copy. `apt-get` and `systemctl` are scripts that
note how they are called; `rabbitmqctl` is RabbitMQ's own and speaks with a real server.
"""

import os
import shlex
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote

import amqp
import kombu
import pytest

from faafo_lab.app.install import SCRIPT
from faafo_lab.topology import wheel
from faafo_lab.topology.package import SCRIPT as PACKAGE_SCRIPT
from faafo_lab.topology.roles import ROLES
from faafo_lab.topology.user_data import script
from tests.app.deployment import SECRET, Deployment, done
from tests.app.engines import RABBITMQ_SCRIPTS, Pair, PostgreSQL, RabbitMQ
from tests.app.test_app_fractal import png, task
from tests.app.test_app_install import COMMANDS
from tests.programs import possible
from tests.waiting import LIMIT_SECONDS, wait_for

LOCK = "-o DPkg::Lock::Timeout=600"
NAMESPACE = ["unshare", "--mount", "--"]


class RealMachine:
    """A machine with an /etc, /opt and /usr/local/bin of its own; `apt-get` and `systemctl` take notes."""

    def __init__(self, place: Path) -> None:
        self.etc, self.bin, self.opt, self.local = (place / name for name in ("etc", "bin", "opt", "local"))
        shutil.copytree("/etc", self.etc, symlinks=True)
        for made in (self.bin, self.opt, self.local):
            made.mkdir()
        self.notes = place / "notes.txt"
        for name in ("apt-get", "systemctl"):
            self.command(name, self.noting(name))

    def noting(self, name: str) -> str:
        return f'echo "{name} $*" >> {shlex.quote(str(self.notes))}'

    def command(self, name: str, line: str) -> None:
        path = self.bin / name
        path.write_text(f"#!/bin/sh\n{line}\n")
        path.chmod(0o755)

    def inside(self, *words: str) -> list[str]:
        """A command where those directories are this machine's."""
        mounts = 'mount --bind "$0" /etc && mount --bind "$1" /opt && mount --bind "$2" /usr/local/bin && shift 2'
        places = [str(place) for place in (self.etc, self.opt, self.local)]
        return [*NAMESPACE, "sh", "-c", f'{mounts} && exec "$@"', *places, *words]

    def environment(self) -> dict[str, str]:
        settings = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "SSL_"))}
        return {"PATH": f"{self.bin}:{os.environ['PATH']}", "LANG": "C.UTF-8"} | settings

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.inside(*words),
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=2 * LIMIT_SECONDS,
            check=False,
        )

    def noted(self) -> list[str]:
        return self.notes.read_text().splitlines()


class WithBroker(RealMachine):
    """A machine with the application's commands, and a deployment's PostgreSQL and RabbitMQ."""

    def __init__(self, deployment: Deployment) -> None:
        super().__init__(deployment.place)
        self.deployment = deployment
        for name, target in COMMANDS.items():
            module, function = target.split(":")
            code = f"from faafo_lab.app.{module} import {function}; {function}()"
            self.command(name, f'exec {shlex.quote(sys.executable)} -c {shlex.quote(code)} "$@"')
        assert isinstance(deployment.broker, RabbitMQ)
        node = [f"{key}={shlex.quote(value)}" for key, value in deployment.broker.environment().items()]
        self.command(
            "rabbitmqctl",
            f'{self.noting("rabbitmqctl")}; env {" ".join(node)} {RABBITMQ_SCRIPTS / "rabbitmqctl"} "$@"',
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


URLS = {"endpoint": ["http://10.0.0.7", "http://10.0.0.8"], "queue": ["amqp://faafo:x@10.0.0.4:5672//"]}


def need_root() -> None:
    if os.geteuid() != 0 or not possible(*NAMESPACE, "mount", "--bind", "/etc", "/etc"):
        pytest.skip("only root can give it an /etc of its own, and only where mounts are allowed")


@pytest.fixture
def machine() -> Iterator[WithBroker]:
    if missing := RabbitMQ.missing():
        pytest.skip(missing)
    need_root()
    deployment = Deployment(pair=Pair(PostgreSQL, RabbitMQ))
    try:
        deployment.database()
        deployment.messaging()
        yield WithBroker(deployment)
    finally:
        deployment.close()


@pytest.fixture
def server(tmp_path: Path) -> RealMachine:
    need_root()
    return RealMachine(tmp_path)


def test_on_a_real_machine_broker_api_and_worker_are_set_up_and_work(machine: WithBroker) -> None:
    deployment = machine.deployment
    assert machine.run("rabbitmqctl", "delete_user", "faafo").returncode == 0
    options = ["-i", "messaging", "-i", "faafo", "-r", "api", "-r", "worker", "-d", deployment.database_url()]

    done_once = machine.run("bash", str(SCRIPT), *options, "-m", machine.queue_url("first"), "-s", "first")
    assert done_once.returncode == 0, done_once.stderr
    noted = machine.noted()
    assert f"apt-get {LOCK} install -y --no-install-recommends rabbitmq-server" in noted
    assert "systemctl enable --now rabbitmq-server" in noted
    assert noted[-1] == "systemctl enable --now faafo-api faafo-worker"
    assert machine.broker_knows("first")

    # again, with another secret: the broker learns it
    done_again = machine.run("bash", str(SCRIPT), *options, "-m", machine.queue_url(SECRET), "-s", SECRET)
    assert done_again.returncode == 0, done_again.stderr
    assert machine.noted()[-1] == "systemctl restart faafo-api faafo-worker"
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
    uuids = created.stdout.splitlines()[1:-1]
    wait_for("the fractals", lambda: done(client, uuids))
    assert client.get("/v1/dead", headers=secret).json()["num_results"] == 0


def test_a_database_that_is_switched_off_is_started_before_it_is_asked(server: RealMachine) -> None:
    server.command("runuser", f"{server.noting('runuser')}; cat; echo {server.etc / 'pg_hba.conf'}")
    (server.etc / "pg_hba.conf").touch()
    assert server.run("bash", str(SCRIPT), "-i", "database", "-s", "x").returncode == 0
    noted = server.noted()
    assert noted[0] == f"apt-get {LOCK} install -y --no-install-recommends postgresql"
    assert noted[1] == "systemctl enable --now postgresql"
    assert noted[2].startswith("runuser -u postgres -- psql")
    assert noted[-1] == "systemctl restart postgresql", "it listens anew"
    assert "faafo 0.0.0.0/0 scram" in (server.etc / "pg_hba.conf").read_text()
    assert server.run("bash", str(SCRIPT), "-i", "database", "-s", "x").returncode == 0
    assert server.noted()[len(noted) :].count("systemctl restart postgresql") == 0


def test_the_commands_are_linked_also_where_the_caller_has_them_on_its_path(server: RealMachine) -> None:
    """A login over SSH has not."""
    programs = server.opt / "faafo/bin"
    programs.mkdir(parents=True)
    for name in COMMANDS:
        (programs / name).write_text("#!/bin/sh\n")
        (programs / name).chmod(0o755)
    path = f"PATH=/opt/faafo/bin:{server.environment()['PATH']}"
    assert server.run("env", path, "bash", str(SCRIPT), "-i", "faafo", "-s", "x").returncode == 0
    assert {path.name: str(path.readlink()) for path in server.local.iterdir()} == {
        name: f"/opt/faafo/bin/{name}" for name in COMMANDS
    }


def test_what_apt_can_not_install_ends_it_in_one_sentence(server: RealMachine) -> None:
    server.command("apt-get", f'{server.noting("apt-get")}; case "$*" in *update*) ;; *) exit 100 ;; esac')
    done = server.run("bash", str(SCRIPT), "-i", "messaging", "-s", "x")
    assert done.returncode == 1
    assert done.stderr == "faafo-install: apt-get could not install rabbitmq-server.\n"
    assert len(server.noted()) == 3, "it goes on to nothing else"


def test_it_waits_while_others_have_apts_lists(server: RealMachine) -> None:
    looked = server.bin / "looked"
    server.command(
        "apt-get",
        f'{server.noting("apt-get")}; case "$*" in *update*) [ -e {looked} ] || {{ touch {looked}; exit 100; }} ;; '
        f"*) [ -e {looked} ] ;; esac",
    )
    server.command("rabbitmqctl", "case $1 in add_user) cat > /dev/null ;; esac")
    assert server.run("bash", str(SCRIPT), "-i", "messaging", "-s", "x").returncode == 0
    assert [line.split()[3] for line in server.noted() if "apt-get" in line] == [
        "install",
        "update",
        "update",
        "install",
    ]


def test_a_full_disk_is_told_and_no_file_is_cut(server: RealMachine) -> None:
    full = "mount -t tmpfs -o size=4k none /etc/systemd/system && printf %4096d 1 > /etc/systemd/system/filler"
    server.command("faafo-worker", "true")
    done = server.run(
        "sh", "-c", f"{full}; bash {SCRIPT} -r worker -s x; s=$?; ls /etc/systemd/system/*.service; exit $s"
    )
    assert (done.returncode, done.stdout) == (1, "faafo-install: the secret is noted\n")
    assert "faafo-worker.service can't be written: is the disk full?" in done.stderr


class Answers(BaseHTTPRequestHandler):
    """At first it has not what is asked for, then half of it, then all."""

    bodies: list[bytes]

    def do_GET(self) -> None:
        body = self.bodies.pop(0) if self.bodies else b""
        self.send_response(200 if body else 404)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def given(name: str, url: str = "") -> str:
    """User data's beginning: this wheel, under a name of its own."""
    return f"set -eu\nname={name} sha256={wheel.build().sha256} url={url}\n{PACKAGE_SCRIPT.read_text()}"


def test_the_wheel_is_fetched_until_it_is_the_right_one(server: RealMachine) -> None:
    data = wheel.build().data
    Answers.bodies = [b"", data[:1000], data]
    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as store:
        threading.Thread(target=store.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{store.server_port}/x.whl"
        done = server.run("bash", "-c", f"{given('faafo_lab-0.1.0-py3-none-any.whl', url)}\nfaafo-install -h")
        store.shutdown()
    assert done.returncode == 0, done.stderr
    assert "waiting for faafo_lab-0.1.0-py3-none-any.whl, from the object store\nusage: faafo-install" in done.stdout
    assert not Answers.bodies


def test_an_instance_of_the_embedded_cloud_installs_nothing(server: RealMachine) -> None:
    """It shares this machine's files."""
    done = server.run("env", "INSTANCE_ROOT=/somewhere", "bash", "-c", given("x.whl"))
    assert (done.returncode, list(server.opt.iterdir())) == (1, [])
    assert "has the application in the image faafo-lab, and nowhere else" in done.stderr


def test_a_machine_with_no_python_that_is_new_enough_is_told_so(server: RealMachine) -> None:
    done = server.run("env", "PATH=/nowhere", "/bin/bash", "-c", given("x.whl"))
    assert done.returncode == 1
    assert "needs Python 3.11: choose an image of Debian 12, Ubuntu 24.04 or newer" in done.stderr


def test_a_server_installs_what_is_uploaded_to_it_and_draws(server: RealMachine, tmp_path: Path) -> None:
    pinned = next(line for line in (SCRIPT.with_name("requirements.txt")).read_text().splitlines() if "vine==" in line)
    if not possible(sys.executable, "-m", "pip", "download", "-qd", str(tmp_path / "x"), pinned.split()[0]):
        pytest.skip("no package index can be reached")
    name = f"faafo_lab-0.1.0-{os.getpid()}-py3-none-any.whl"  # /tmp is everybody's
    uploaded = Path("/tmp", name)
    user_data = script(ROLES["worker"], URLS, before=given(name), secret=SECRET, images="database", own_url="")
    boot = subprocess.Popen(server.inside("bash", "-c", user_data), env=server.environment(), stdout=subprocess.PIPE)
    try:
        assert boot.stdout is not None
        assert boot.stdout.readline().decode() == f"faafo-lab: waiting for {name}, which the lab uploads\n"
        uploaded.write_bytes(wheel.build().data[:100_000])
        wait_for("the half of it to be seen", lambda: (server.opt / "faafo-lab" / name).exists())
        uploaded.write_bytes(wheel.build().data)
        assert boot.wait(5 * LIMIT_SECONDS) == 0, boot.stdout.read()
    finally:
        boot.kill()
        boot.communicate()
        uploaded.unlink(missing_ok=True)
    assert {path.name for path in server.local.iterdir()} == set(COMMANDS)
    assert "FAAFO_QUEUE_URL" in (server.etc / "faafo/faafo-worker.env").read_text()
    assert "ExecStart=/usr/local/bin/faafo-worker\n" in (server.etc / "systemd/system/faafo-worker.service").read_text()
    installed = {path.name.partition("-")[0] for path in server.opt.glob("faafo/lib/python*/site-packages/*.dist-info")}
    assert not installed & {"pip", "setuptools", "llvmlite", "numpy", "openstacksdk"}
    assert "faafo_lab" in installed
    megabytes = int(subprocess.check_output(["du", "-sm", server.opt / "faafo"]).split()[0])
    assert 50 < megabytes < 120
    assert server.run("faafo", "--help").stdout.startswith("usage: faafo")
    wanted = task(300, 200)
    code = f"import sys; from faafo_lab.app import fractal, julia; fractal.write_png(julia.{wanted}, sys.stdout.buffer)"
    drawn = subprocess.check_output(
        server.inside("/opt/faafo/bin/python", "-c", code), env=server.environment(), cwd=tmp_path
    )
    assert drawn == png(wanted)


VOLUME = "6f70656e-7374-4163-8b00-000000000000"


class WithDisk(RealMachine):
    """A machine with a /var/lib and a /dev of its own, to which a disk of the cloud is attached."""

    def __init__(self, place: Path, device: str) -> None:
        place.mkdir()
        super().__init__(place)
        self.lib, self.dev = place / "var-lib", place / "dev"
        (self.dev / "disk/by-id").mkdir(parents=True)
        self.lib.mkdir()
        subprocess.run(["cp", "-a", "/dev/null", "/dev/urandom", device, str(self.dev)], check=True)
        (self.dev / f"disk/by-id/virtio-{VOLUME[:20]}").symlink_to(device)
        (self.etc / "fstab").write_text("")
        shutil.rmtree(self.etc / "postgresql", ignore_errors=True)
        self.command("runuser", f"cat >&2; echo {self.etc / 'hba'}")
        (self.etc / "hba").write_text("host faafo faafo all\n")

    def inside(self, *words: str) -> list[str]:
        mounts = 'mount --bind "$0" /var/lib && mount --bind "$1" /dev && shift && exec "$@"'
        return super().inside("sh", "-c", mounts, str(self.lib), str(self.dev), *words)

    def install(self, then: str) -> str:
        """Install the database on the volume, and what a command says then."""
        done = self.run("bash", "-c", f'bash "$0" -i database -v {VOLUME} -s x >&2 && {then}', str(SCRIPT))
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture
def device(tmp_path: Path) -> Iterator[str]:
    """An empty block device."""
    need_root()
    image = tmp_path / "disk"
    with image.open("wb") as file:
        file.truncate(64 << 20)
    if not possible("losetup", "--find", "--show", str(image)):
        pytest.skip("this machine has no free loop device")
    listed = subprocess.run(["losetup", "-j", str(image), "-n", "-O", "NAME"], stdout=subprocess.PIPE, check=True)
    name = listed.stdout.decode().strip()
    yield name
    subprocess.run(["losetup", "--detach", name], check=True)


def test_a_volume_is_formatted_once_and_the_next_machine_finds_the_database_on_it(tmp_path: Path, device: str) -> None:
    one, two = (WithDisk(tmp_path / name, device) for name in ("one", "two"))
    (one.lib / "postgresql/15").mkdir(parents=True)
    (one.lib / "postgresql/15/table").write_text("rows\n")
    (one.etc / "postgresql").mkdir()
    (one.etc / "postgresql/settings").write_text("settings\n")
    read = "cat /var/lib/postgresql/15/table /etc/postgresql/settings && findmnt -n -o FSTYPE /var/lib/postgresql"
    assert one.install(read) == "rows\nsettings\next4\n"
    noted = one.noted()
    assert noted.index("systemctl disable --now postgresql") < noted.index("systemctl enable --now postgresql")
    assert f"apt-get {LOCK} install -y --no-install-recommends postgresql" in noted
    mounted = [line.split()[1] for line in (one.etc / "fstab").read_text().splitlines()]
    assert mounted == ["/var/lib/faafo-volume", "/var/lib/postgresql", "/etc/postgresql"]
    assert one.install(f"echo more >>/var/lib/postgresql/15/table && {read}") == "rows\nmore\nsettings\next4\n"
    assert [line.split()[1] for line in (one.etc / "fstab").read_text().splitlines()] == mounted
    assert one.noted().count("systemctl disable --now postgresql") == 1, "it was moved once"
    assert list((one.lib / "postgresql").iterdir()) == [], "without its volume it starts no old database"
    assert two.install(read) == "rows\nmore\nsettings\next4\n"
    assert "systemctl disable --now postgresql" not in two.noted()


def test_an_images_own_empty_database_makes_room_for_the_volumes_and_one_with_something_in_it_does_not(
    tmp_path: Path, device: str
) -> None:
    def machine(name: str, *files: str) -> WithDisk:
        made = WithDisk(tmp_path / name, device)
        for file in files:
            (made.lib / "postgresql/15/main" / file).parent.mkdir(parents=True, exist_ok=True)
            (made.lib / "postgresql/15/main" / file).write_text(name)
        (made.etc / "postgresql").mkdir()
        return made

    read = "cat /var/lib/postgresql/15/main/base/5/1259"
    assert machine("first", "base/5/1259", "base/16384/16385").install(read) == "first"
    image = machine("image", "base/1/1259", "base/5/1259", "base/5/1259_fsm", "base/5/pg_internal.init")
    assert image.install(read) == "first"
    assert "systemctl stop postgresql@*" in image.noted()
    for name, file in (("database", "base/16400/1259"), ("table", "base/5/16390")):
        done = machine(name, file, "base/1/1259").run("bash", str(SCRIPT), "-i", "database", "-v", VOLUME, "-s", "x")
        assert (done.returncode, "another one in /var/lib/postgresql" in done.stderr) == (1, True)


def test_a_database_that_runs_has_ended_before_its_files_are_copied(tmp_path: Path, device: str) -> None:
    """With systemd, `stop postgresql` does not wait for the cluster: that is a unit of its own."""
    machine = WithDisk(tmp_path / "one", device)
    data = machine.lib / "postgresql/15/main"
    data.mkdir(parents=True)
    (data / "postmaster.pid").write_text("1\n")
    (machine.etc / "postgresql").mkdir()
    runs = "/var/lib/postgresql/15/main/postmaster.pid"
    stop = f"""case "$*" in 'stop postgresql@*') rm -f {runs} ;; esac"""
    machine.command("systemctl", f"{machine.noting('systemctl')}\n{stop}")
    assert machine.install(f"ls {runs} 2>/dev/null || findmnt -n -o FSTYPE /var/lib/postgresql") == "ext4\n"
