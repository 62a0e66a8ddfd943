"""A backup is restored beside the running database, in a server of its own, which nobody else reaches.

What it shows is what the backup is worth; and its files are what takes the place of the running database's.
"""

import contextlib
import gzip
import shlex
import signal
import tarfile
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from faafo_lab.app import services, settings
from faafo_lab.app.backups.log import Choice
from faafo_lab.app.backups.place import AT_ONCE, Place
from faafo_lab.app.backups.record import Branch, Segment
from faafo_lab.app.backups.server import LOOK_SECONDS, PSQL, START_SECONDS, Server, private
from faafo_lab.app.errors import BackupError

if not hasattr(tarfile, "data_filter"):  # Python before 3.11.4, such as Debian 12's
    from backports import tarfile  # type: ignore[no-redef]

ROOM = "restoring"  # the directory for it, beside the database's
PORT = 5433  # its socket's, in a private directory
READY = "database system is ready to accept connections"
TOO_SHORT = "recovery ended before configured recovery target was reached"

_CONTENTS = """
SELECT count(*), count(completed_at), count(failed_at), coalesce(max(created_at)::text, ''),
       count(*) FILTER (WHERE image LIKE 'database:%' AND whole.checksum IS DISTINCT FROM fractals.checksum)
FROM fractals LEFT JOIN (
    SELECT image, encode(sha256(string_agg(data, ''::bytea ORDER BY start)), 'hex') AS checksum
    FROM image_pieces GROUP BY image
) AS whole USING (image)"""


@dataclass(frozen=True)
class Contents:
    """What a database has: orders, those that are done, those that failed, when the newest one came (ISO 8601; "":
    there is none), and how many pictures in it are not what their rows say."""

    orders: int = 0
    done: int = 0
    failed: int = 0
    newest: str = ""
    damaged: int = 0


class Beside:
    """The restored database, in a server that runs until `end`."""

    def __init__(self, server: Server, data: Path, sockets: Path, options: dict[str, str], log: Path):
        self.data = data
        self._server, self._sockets, self._log = server, sockets, log
        self._process = server.start(data, sockets, options, log)

    def serves(self) -> bool:
        """Wait until it serves; False where its log has ended before the moment asked for. Raises ``BackupError``."""
        deadline = time.monotonic() + START_SECONDS
        while True:
            ended = self._process.poll() is not None
            text = self._log.read_text(encoding="utf-8", errors="replace")
            if READY in text:
                return True
            if ended and TOO_SHORT in text:
                return False
            if ended or time.monotonic() > deadline:
                raise BackupError(f"The restored database does not start: {_why(text.splitlines())}")
            time.sleep(LOOK_SECONDS)

    def end(self) -> int:
        """End it; 0 where that went in good order, so that its files are whole."""
        assert self._process.stdin
        self._process.stdin.close()
        return self._process.wait()

    def drop(self) -> None:
        """End it at once, if it has not ended: its files are needed no more."""
        self._server.signal(self.data, signal.SIGQUIT)
        self.end()

    def contents(self) -> Contents:
        """What it has, each picture in it read."""
        if self._sql("SELECT to_regclass('public.fractals')") == "":
            return Contents()
        orders, done, failed, newest, damaged = self._sql(_CONTENTS).split("|")
        return Contents(int(orders), int(done), int(failed), newest, int(damaged))

    def prepare(self) -> None:
        """Make it this deployment's: all that is to do is in the outbox, and the password is the present one."""
        from faafo_lab.app import outbox  # SQLAlchemy takes half a second of CPU: who only looks is spared it
        from faafo_lab.app.store import Store

        if self._sql("SELECT to_regclass('public.fractals')"):
            store = Store(f"postgresql://{services.DATABASE}@/{services.DATABASE}?host={self._sockets}&port={PORT}")
            try:
                store.write(outbox.put_all_back)
            finally:
                store.close()
        password = (settings.secret() or settings.PASSWORD_WITHOUT_SECRET).replace("'", "''")
        self._sql(f"SET standard_conforming_strings = on; ALTER ROLE {services.DATABASE} PASSWORD '{password}'")

    def _sql(self, text: str) -> str:
        reached = [
            "-h",
            str(self._sockets),
            "-p",
            str(PORT),
            "-U",
            self._server.superuser,
            "-d",
            services.DATABASE,
            "-w",
        ]
        return self._server.program("psql", *reached, *PSQL, text=text).strip()


@contextlib.contextmanager
def restored(server: Server, place: Place, choice: Choice) -> Iterator[Beside]:
    """The database as ``choice`` says, in a server that ends with this. Raises ``BackupError`` and ``FilesAway``."""
    version = int(server.program("postgres", "--version").split()[-1].split(".")[0])
    if version != choice.backup.version:
        raise BackupError(f"The backup is PostgreSQL {choice.backup.version}'s, and this machine has {version}.")
    with server.room(ROOM) as room, private(server) as sockets:
        data, log = room / "data", room / "log"
        _fetch(server, place, choice, room)
        hba = sockets / "hba.conf"
        hba.write_text("local all all trust\n", encoding="utf-8")
        server.own(hba)
        options = _options(choice, room) | {"port": str(PORT), "hba_file": str(hba)}
        found = Beside(server, data, sockets, options, log)
        try:
            if not found.serves():
                # The log goes on for longer than anything was written to the database: its end is how it was then
                options.pop("recovery_target_time")
                found = Beside(server, data, sockets, options, log)
                found.serves()
            yield found
        finally:
            found.drop()


def _fetch(server: Server, place: Place, choice: Choice, room: Path) -> None:
    """Bring the backup's files, checked against their manifest, and the log that goes on from there."""
    data, log = room / "data", room / "wal"
    with tempfile.TemporaryFile(dir=room) as file:
        place.get(choice.backup, file)
        file.seek(0)
        with tarfile.open(fileobj=file, mode="r:gz") as packed:
            packed.extractall(data, filter="data")
    data.chmod(0o700)
    log.mkdir()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(lambda each: _bring(place, each, log), (*choice.segments, *choice.branches)))
    server.own(room)
    server.program("pg_verifybackup", "-q", str(data))
    (data / "recovery.signal").touch(mode=0o600)
    server.own(data / "recovery.signal")


def _bring(place: Place, each: Segment | Branch, log: Path) -> None:
    """Put a piece of the log where PostgreSQL looks for it."""
    content = place.files.whole(each.file)
    if isinstance(each, Branch):
        (log / f"{each.timeline:08X}.history").write_bytes(content)
        return
    try:
        (log / each.name).write_bytes(gzip.decompress(content))
    except (OSError, EOFError):
        raise BackupError(f"{each.file} at {place.files.place} is damaged: restore to before it (--to).") from None


def _options(choice: Choice, room: Path) -> dict[str, str]:
    """Recovery, and nothing that reaches outside; what it writes to its log waits for the archiver of whoever has its
    files then."""
    quoted = shlex.quote(str(room / "wal")).replace("%", "%%")
    return {
        "listen_addresses": "",
        "unix_socket_permissions": "0700",
        "hot_standby": "off",
        "archive_mode": "on",
        "archive_command": "false",
        "restore_command": f"cp {quoted}/%f %p",
        "recovery_target_timeline": str(choice.timeline),
        "recovery_target_action": "promote",
        "lc_messages": "C",
        "log_min_messages": "warning",
        "logging_collector": "off",
        "log_destination": "stderr",
    } | ({"recovery_target_time": choice.to.isoformat(sep=" ")} if choice.to else {})


def _why(lines: Sequence[str]) -> str:
    """The reason in a server's log."""
    bad = [line for line in lines if "FATAL" in line or "PANIC" in line]
    return (bad or [line for line in lines if line.strip()] or ["it says nothing."])[-1]
