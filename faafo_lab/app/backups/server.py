"""The PostgreSQL of this machine: an instance's, from the wheel; or that of a Debian or Ubuntu machine, with systemd.

Both are spoken to with PostgreSQL's own programs, as the account that it runs under.
"""

import contextlib
import fcntl
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path

from faafo_lab.app import account, services, settings
from faafo_lab.app.account import Account
from faafo_lab.app.backups.archive import system_number
from faafo_lab.app.errors import BackupError

START_SECONDS = 120.0
LOOK_SECONDS = 0.1
ASK_SECONDS = 0.5  # between two questions: each is a process here and one of the database's, of the CPU that both have
PSQL = ("-X", "-q", "-t", "-A", "-v", "ON_ERROR_STOP=1")  # values alone, separated by "|"
DEBIAN = Path("/usr/lib/postgresql")
DEBIAN_ACCOUNT = "postgres"


class Server(ABC):
    """A PostgreSQL server. ``data`` is its directory; beside it is room for others."""

    binaries: Path
    data: Path
    sockets: Path
    port: int
    superuser: str
    words: tuple[str, ...]  # before a command that runs as its account

    def __init__(self) -> None:
        self.variables: dict[str, str] = {}
        self._lock: int | None = None

    @property
    def tuned(self) -> dict[str, str]:
        """With which settings another server runs on a copy of the data."""
        return {}

    @property
    def system(self) -> str:
        """The database's own number."""
        return system_number(self.data)

    @abstractmethod
    def own(self, directory: Path) -> None:
        """Let its account own a file, or a directory with all that is in it."""

    @abstractmethod
    def restart(self) -> None:
        """Stop it, let restored data take the place of its own, and start it."""

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Nobody else backs up or restores here; what the programs that it starts have not ended counts, too."""
        handle = os.open(self.data.with_name("backups.lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            raise BackupError("A backup or a restore is under way on this machine: wait for its end.") from None
        self._lock = handle
        try:
            yield
        finally:
            self._lock = None
            os.close(handle)

    @contextlib.contextmanager
    def room(self, name: str) -> Iterator[Path]:
        """A new directory beside the data, which is deleted afterwards unless it got another name."""
        path = self.data.with_name(name)
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(mode=0o700)
        self.own(path)
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)

    def program(self, name: str, *arguments: str, text: str = "") -> str:
        """Run one of PostgreSQL's programs to its end; what it prints. Raises ``BackupError`` with its own words.

        ``text`` is its standard input, which unlike its arguments nobody else on the machine sees.
        """
        done = subprocess.run(
            [*self.words, str(self.binaries / name), *arguments],
            input=text,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            env=self.environment(),
            cwd=self.data.parent,
            pass_fds=[self._lock] if self._lock is not None else [],
            check=False,
        )
        if done.returncode:
            words = (done.stderr or done.stdout).strip().splitlines()
            raise BackupError(f"{name} failed: {words[-1] if words else f'exit code {done.returncode}'}")
        return done.stdout

    def sql(self, text: str) -> str:
        """What a statement answers, columns separated by "|"; raises ``BackupError``."""
        return self.program("psql", *self.connection(), *PSQL, "-d", "postgres", text=text).strip()

    def serves(self) -> bool:
        """Whether it answers."""
        try:
            return self.sql("SELECT 1") == "1"
        except BackupError:
            return False

    def connection(self) -> list[str]:
        """How its programs reach it."""
        return ["-h", str(self.sockets), "-p", str(self.port), "-U", self.superuser, "-w"]

    def environment(self) -> dict[str, str]:
        """The environment of its programs."""
        return services.environment() | {"LC_ALL": "C.UTF-8"} | self.variables

    def signal(self, data: Path, number: int) -> None:
        """Send a signal to the server that runs on this data, if one does."""
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            process = (data / "postmaster.pid").read_text(encoding="utf-8").split("\n", 1)[0]
            os.kill(int(process), number)

    def start(self, data: Path, sockets: Path, options: dict[str, str], log: Path) -> subprocess.Popen[bytes]:
        """Start another server, on other data; it ends in good order when its standard input does, or this process."""
        given = [f"--{name}={value}" for name, value in (self.tuned | options).items()]
        where = ["-D", str(data), f"--data_directory={data}", "-k", str(sockets)]  # Debian's settings name their own
        postgres = [str(self.binaries / "postgres"), *where, *given]
        watched = 'exec 3<&0; { cat <&3; kill -INT $$; } >/dev/null 2>&1 & exec "$@" 3<&- </dev/null'
        with log.open("wb") as output:
            return subprocess.Popen(
                [*self.words, "sh", "-c", watched, "sh", *postgres],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                env=self.environment(),
                cwd=data,
                pass_fds=[self._lock] if self._lock is not None else [],
            )

    def _wait_serving(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not self.serves():
            if time.monotonic() > deadline:
                raise BackupError(f"The restored database does not answer after {START_SECONDS:.0f} s: see its log.")
            time.sleep(ASK_SECONDS)


class Embedded(Server):
    """An instance's, which `services` starts."""

    superuser = "faafo"
    port = settings.DATABASE_PORT

    def __init__(self, sockets: Path):
        super().__init__()
        self._account: Account = account.find()
        self.words = self._account.words
        self.binaries, self.data, self.sockets = services.postgres_binaries(), services.postgres_data(), sockets
        self.variables = {"PGPASSWORD": settings.secret() or settings.PASSWORD_WITHOUT_SECRET}

    @property
    def tuned(self) -> dict[str, str]:
        """With which settings another server runs on a copy of the data."""
        return services.POSTGRES_SETTINGS

    def own(self, directory: Path) -> None:
        """Let its account own a directory."""
        self._account.own(directory)

    def restart(self) -> None:
        """End it: its service starts it again, and lets restored data take the place of its own."""
        restored = self.data.with_name(services.RESTORED)
        self.signal(self.data, signal.SIGINT)
        deadline = time.monotonic() + START_SECONDS
        while restored.exists():
            if time.monotonic() > deadline:
                raise BackupError(
                    "The database does not start again. When it does, it has the restored data: see its log."
                )
            time.sleep(LOOK_SECONDS)
        self._wait_serving()


class Debian(Server):
    """That of Debian's and Ubuntu's packages: the cluster that their programs use."""

    superuser = "postgres"
    words = ("runuser", "-u", DEBIAN_ACCOUNT, "--")

    def __init__(self, version: str, cluster: str, port: int, data: Path, sockets: Path):
        super().__init__()
        self.binaries, self.data, self.port, self.sockets = DEBIAN / version / "bin", data, port, sockets
        self._version, self._cluster = version, cluster

    @property
    def tuned(self) -> dict[str, str]:
        """With which settings another server runs on a copy of the data."""
        configuration = f"/etc/postgresql/{self._version}/{self._cluster}/postgresql.conf"
        return {"config_file": configuration, "external_pid_file": "", "listen_addresses": "", "ssl": "off"}

    def own(self, directory: Path) -> None:
        """Let its account own a directory."""
        for path in (directory, *directory.rglob("*")):
            shutil.chown(path, DEBIAN_ACCOUNT, DEBIAN_ACCOUNT)

    def restart(self) -> None:
        """Stop it, let restored data take the place of its own, and start it."""
        unit = f"postgresql@{self._version}-{self._cluster}"
        for verb in ("stop", "start"):
            done = subprocess.run(["systemctl", verb, unit], capture_output=True, encoding="utf-8", check=False)
            if done.returncode:
                raise BackupError(f"systemctl {verb} {unit} failed: {done.stderr.strip()}")
            if verb == "stop":
                services.adopt(self.data)
        self._wait_serving()


def find() -> Server:
    """The PostgreSQL of this machine. Raises ``BackupError`` where there is none."""
    if path := settings.port_socket(settings.DATABASE_PORT):
        settings.take_over("faafo-database")
        if services.postgres_data().exists():
            return Embedded(path.parent)
    elif program := shutil.which("pg_lsclusters"):
        listed = subprocess.run([program, "-h"], capture_output=True, encoding="utf-8", check=False).stdout
        if found := re.match(r"(\S+) +(\S+) +(\d+) +\S+ +\S+ +(\S+)", listed):
            if os.geteuid():
                raise BackupError("The database's files are its own account's: run this as root (sudo).")
            return Debian(found[1], found[2], int(found[3]), Path(found[4]), Path("/var/run/postgresql"))
    raise BackupError("There is no PostgreSQL on this machine: run this on the server that has the database.")


@contextlib.contextmanager
def private(server: Server) -> Iterator[Path]:
    """A directory for another server's socket, which nobody else may enter."""
    place = server.sockets if isinstance(server, Embedded) else None  # whose name is short enough
    with tempfile.TemporaryDirectory(dir=place) as name:
        server.own(Path(name))
        yield Path(name)
