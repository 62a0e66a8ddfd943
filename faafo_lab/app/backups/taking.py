"""A backup is made: all of the database's files, checked against their manifest, packed, put into the place.

It has the part of the log that it needs itself, so it leads to the moment of its end even where the log got lost.
"""

import json
import tarfile
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime

from faafo_lab.app import settings
from faafo_lab.app.backups import place as places
from faafo_lab.app.backups.place import NOTE, Place
from faafo_lab.app.backups.record import Backup, position
from faafo_lab.app.backups.server import ASK_SECONDS, Server
from faafo_lab.app.errors import BackupError

COPY = "backing-up"  # the directory for it, beside the database's
MANIFEST = "backup_manifest"
ARCHIVED_SECONDS = 60.0  # that the end of the log may take to the place
SILENT_SECONDS = 3.0  # of it that need no word
_ARCHIVED = "SELECT failed_count, coalesce(last_archived_wal, '') FROM pg_stat_archiver"
LEVEL = 1  # of compression: an instance has a quarter of a core

Say = Callable[[str], None]


def note(server: Server, url: str) -> None:
    """From now on the database's log goes to this place."""
    path = server.data.with_name(NOTE)
    if places.read_note(path) != url:
        new = path.with_name(f"{NOTE}.new")
        new.unlink(missing_ok=True)
        new.touch(mode=0o600)
        new.write_text(f"{url}\n", encoding="utf-8")
        server.own(new)
        new.replace(path)


def archive_every(server: Server, seconds: int | None) -> None:
    """From now on a piece of the log goes there at the latest after so many seconds (None: as before)."""
    if seconds is None and server.sql("SHOW archive_timeout") != "0":
        return
    server.sql(f"ALTER SYSTEM SET archive_timeout = '{settings.ARCHIVE_SECONDS if seconds is None else seconds}s'")
    server.sql("SELECT pg_reload_conf()")


def take(server: Server, place: Place) -> Backup:
    """Make a backup, from `server.alone`; raises ``BackupError`` and ``FilesAway``."""
    started_at = datetime.now(UTC)
    with server.room(COPY) as copy:
        server.program(
            "pg_basebackup", *server.connection(), "-D", str(copy), "-X", "stream", "-c", "fast", "--no-sync"
        )
        server.program("pg_verifybackup", "-q", str(copy))
        ended_at = datetime.now(UTC)
        manifest = json.loads((copy / MANIFEST).read_text(encoding="utf-8"))
        [needed] = manifest["WAL-Ranges"]
        with tempfile.TemporaryFile(dir=copy.parent) as file:
            with tarfile.open(fileobj=file, mode="w:gz", compresslevel=LEVEL) as packed:
                packed.add(copy, ".")
            backup = Backup(
                system=server.system,
                timeline=needed["Timeline"],
                start=position(needed["Start-LSN"]),
                stop=position(needed["End-LSN"]),
                segment_bytes=int(server.sql("SELECT setting FROM pg_settings WHERE name = 'wal_segment_size'")),
                version=int((copy / "PG_VERSION").read_text(encoding="utf-8")),
                started_at=started_at,
                ended_at=ended_at,
                size=file.tell(),
                checksum="",
            )
            return place.put(backup, file)


def archive_now(server: Server, say: Say) -> None:
    """End the present piece of the log, and wait until it is in the place. Raises ``BackupError`` where it is not."""
    if not places.read_note(server.data.with_name(NOTE)):
        raise BackupError("The database's log goes to no place yet: 'faafo backup' begins that.")
    failed, _ = server.sql(_ARCHIVED).split("|")
    server.sql("SELECT pg_current_xact_id()")  # an empty piece would not be ended
    name = server.sql("SELECT pg_walfile_name(pg_switch_wal())")
    started, said = time.monotonic(), False
    while True:
        failures, archived = server.sql(_ARCHIVED).split("|")
        if archived[8:] >= name[8:]:  # whatever timeline they are of
            return
        lasted = time.monotonic() - started
        if lasted > SILENT_SECONDS and not said:
            say(f"waiting until the end of the database's log is in the place, {ARCHIVED_SECONDS:.0f} s at most …")
            said = True
        if failures != failed or lasted > ARCHIVED_SECONDS:
            raise BackupError("The end of the database's log can't be archived: its log says why.")
        time.sleep(ASK_SECONDS)
