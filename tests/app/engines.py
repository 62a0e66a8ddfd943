"""The engines that the application's tests run on, as servers of a `Deployment`'s machine.

PostgreSQL and Valkey come from wheels and are always there; MariaDB and RabbitMQ are tested where the system has them.
All of them listen on Unix sockets or on the loopback address, in directories of the deployment, as who runs the tests.
"""

import os
import shutil
import signal
import socket
import subprocess
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from tests.app.relay import Address
from tests.programs import program
from tests.waiting import wait_for

if TYPE_CHECKING:
    from tests.app.deployment import Deployment

RABBITMQ_SCRIPTS = Path("/usr/lib/rabbitmq/bin")  # Debian's commands in the path become the user rabbitmq
INSTALL_SECONDS = 120


class Server(ABC):
    """One engine on a deployment's machine; `name` is its process there."""

    name: str
    ready: str  # what its log says when it serves
    graceful = signal.SIGTERM  # what ends it in good order

    def __init__(self, machine: "Deployment") -> None:
        self.machine = machine

    @staticmethod
    def missing() -> str:
        """Why this machine cannot run it; "" where it can."""
        return ""

    def start(self) -> None:
        """Start it, and wait until it serves."""
        before = self.machine.log(self.name).count(self.ready)
        self.launch()
        wait_for(type(self).__name__, lambda: self.machine.log(self.name).count(self.ready) > before)

    @abstractmethod
    def launch(self) -> None:
        """Start its process."""

    @abstractmethod
    def url(self) -> str:
        """How the application reaches it."""

    @property
    def password(self) -> str:
        return self.machine.secret or "faafo"

    @property
    def place(self) -> Path:
        """A directory for it alone."""
        place = self.machine.place / self.name
        place.mkdir(exist_ok=True)
        return place


class Broker(Server):
    """A server with a network that a test can close: `url(at=…)` leads through a relay that listens `beside` it."""

    name = "messaging"

    @property
    @abstractmethod
    def address(self) -> Address:
        """Where it listens."""

    @abstractmethod
    def url(self, at: Address | None = None) -> str:
        """How the application reaches it."""

    @abstractmethod
    def beside(self) -> Address:
        """Where a relay to it can listen."""


class PostgreSQL(Server):
    name, ready = "database", "ready to accept connections"
    graceful = signal.SIGINT  # SIGTERM waits for its clients

    def launch(self) -> None:
        self.machine.start(self.name, "services", "database")

    def url(self) -> str:
        return f"postgresql://faafo:{quote(self.password, safe='')}@/faafo?host={self.machine.ports}"


class Valkey(Broker):
    ready = "Ready to accept connections"

    def launch(self) -> None:
        self.machine.start(self.name, "services", "messaging")

    @property
    def address(self) -> Address:
        return str(self.machine.ports / "6379")

    def url(self, at: Address | None = None) -> str:
        return f"redis+socket://:{quote(self.password, safe='')}@{at or self.address}"

    def beside(self) -> Address:
        return str(self.machine.ports / "relay")


class MariaDB(Server):
    name, ready = "database", "ready for connections"

    @staticmethod
    def missing() -> str:
        return "" if program("mariadbd") and program("mariadb-install-db") else "MariaDB is not installed"

    def launch(self) -> None:
        data, setup = self.place / "data", self.place / "setup.sql"
        if not data.exists():
            shutil.copytree(_mariadb_template(), data)
        password = self.password.replace("\\", "\\\\").replace("'", "''")
        setup.write_text(
            "CREATE DATABASE IF NOT EXISTS faafo;\n"
            f"CREATE USER IF NOT EXISTS faafo@localhost IDENTIFIED BY '{password}';\n"
            "GRANT ALL ON faafo.* TO faafo@localhost;\n"
        )
        self.machine.launch(
            self.name,
            *(str(program("mariadbd")), *_mariadb_options(data), "--skip-networking", f"--socket={self.place / 's'}"),
            *(f"--pid-file={self.place / 'pid'}", f"--init-file={setup}", "--max-allowed-packet=64M"),
        )

    def url(self) -> str:
        return f"mysql://faafo:{quote(self.password, safe='')}@/faafo?unix_socket={self.place / 's'}"


@cache
def _mariadb_template() -> Path:
    """A data directory, made once and copied for each server."""
    holder = TemporaryDirectory(prefix="faafo-mariadb")
    _kept.append(holder)  # until the tests have ended
    data = Path(holder.name) / "data"
    words = [str(program("mariadb-install-db")), *_mariadb_options(data), "--auth-root-authentication-method=normal"]
    done = subprocess.run([*words, "--skip-test-db"], capture_output=True, text=True, timeout=INSTALL_SECONDS)
    assert done.returncode == 0, done.stdout + done.stderr
    return data


_kept: list[TemporaryDirectory[str]] = []


def _mariadb_options(data: Path) -> list[str]:
    account = ["--user=root"] if os.geteuid() == 0 else []  # root is no other user here: the files are its own
    small = ["--innodb-buffer-pool-size=16M", "--innodb-log-file-size=16M", "--performance-schema=off"]
    # what lies in the common /tmp, the next MariaDB to start there removes
    return ["--no-defaults", *account, f"--datadir={data}", f"--tmpdir={data.parent}", *small]


class RabbitMQ(Broker):
    """With an epmd (the Erlang nodes' directory) of its own, which is a process of the deployment, too."""

    ready = "Server startup complete"

    def __init__(self, machine: "Deployment") -> None:
        super().__init__(machine)
        self.port, self.node_port, self.epmd_port = _free_ports(3)

    @staticmethod
    def missing() -> str:
        there = (RABBITMQ_SCRIPTS / "rabbitmq-server").exists() and program("epmd")
        return "" if there else "RabbitMQ is not installed"

    def environment(self) -> dict[str, str]:
        """What its server and `rabbitmqctl` share; HOME has the cookie with which they know each other."""
        return {
            "HOME": str(self.place),
            "ERL_EPMD_PORT": str(self.epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": f"faafo{self.port}@localhost",
            "RABBITMQ_CONF_ENV_FILE": str(self.place / "none"),
            "RABBITMQ_CTL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
        }

    def launch(self) -> None:
        files = {"advanced.config": self._configuration(), "plugins": "[].\n"}
        for name, content in files.items():
            (self.place / name).write_text(content)
        if "epmd" not in self.machine.processes:
            self.machine.launch("epmd", str(program("epmd")), "-address", "127.0.0.1", "-port", str(self.epmd_port))
            wait_for("epmd", lambda: _answers(self.epmd_port))
        here = {
            "RABBITMQ_MNESIA_BASE": "mnesia",
            "RABBITMQ_LOG_BASE": "log",
            "RABBITMQ_CONFIG_FILE": "none",
            "RABBITMQ_ADVANCED_CONFIG_FILE": "advanced.config",
            "RABBITMQ_ENABLED_PLUGINS_FILE": "plugins",
        }
        self.machine.launch(
            self.name,
            str(RABBITMQ_SCRIPTS / "rabbitmq-server"),
            **self.environment(),
            **{name: str(self.place / file) for name, file in here.items()},
            RABBITMQ_LOGS="-",
            RABBITMQ_DIST_PORT=str(self.node_port),
            RABBITMQ_ALLOW_INPUT="yes",  # the process is the server's own, not that of a script that waits for it
            RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="-noinput +S 1:1",
        )

    def _configuration(self) -> str:
        """As Erlang terms, in which a password may have any character."""
        password = ",".join(str(byte) for byte in self.password.encode())
        return (
            f'[{{rabbit, [{{tcp_listeners, [{{"127.0.0.1", {self.port}}}]}},\n'
            f'  {{default_user, <<"faafo">>}}, {{default_pass, <<{password}>>}}]}},\n'
            " {kernel, [{inet_dist_use_interface, {127,0,0,1}}]}].\n"
        )

    @property
    def address(self) -> Address:
        return "127.0.0.1", self.port

    def url(self, at: Address | None = None) -> str:
        host, port = at or self.address
        return f"amqp://faafo:{quote(self.password, safe='')}@{host}:{port}//"

    def beside(self) -> Address:
        return "127.0.0.1", _free_ports(1)[0]


def _free_ports(count: int) -> list[int]:
    """Ports of the loopback address that nobody had just now."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(one.getsockname()[1]) for one in sockets]
    for one in sockets:
        one.close()
    return ports


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


@dataclass(frozen=True)
class Pair:
    """A database and a broker."""

    database: type[Server]
    broker: type[Broker]

    def __str__(self) -> str:
        return f"{self.database.__name__}-{self.broker.__name__}"

    def missing(self) -> str:
        return self.database.missing() or self.broker.missing()


FROM_WHEELS = Pair(PostgreSQL, Valkey)
FROM_THE_SYSTEM = Pair(MariaDB, RabbitMQ)
PAIRS = (FROM_WHEELS, FROM_THE_SYSTEM)

# Marks a test (or a module) that runs on every pair that the machine has; others run on the wheels'
every_pair = pytest.mark.parametrize("pair", PAIRS, ids=str, indirect=True)
