"""The place of backups: what is in it, and the note of it on this machine, which the archiver reads.

The note is beside the database's directory, so it goes where that goes, such as to another server with a volume.
"""

import io
import json
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import IO

from faafo_lab.app import settings
from faafo_lab.app.backups.log import Log
from faafo_lab.app.backups.record import Backup, Branch, Segment, of_file, parents
from faafo_lab.app.errors import BackupError, SettingsError
from faafo_lab.app.files import Files
from faafo_lab.app.files.opening import open_files

SETTING = "FAAFO_BACKUP_URL"
NOTE = "backup.env"
AT_ONCE = 4  # requests


def url(note: Path | None) -> str:
    """The URL of this machine's place: ``FAAFO_BACKUP_URL``, else what is noted. Raises ``SettingsError``."""
    text = os.environ.get(SETTING) or (read_note(note) if note else "")
    if not text:
        raise SettingsError(
            f"Where do backups go? Set {SETTING} once, such as file:///DIRECTORY or swift://ID:SECRET@KEYSTONE/"
            f"CONTAINER?credential=application: it is noted for the next time."
        )
    return text


def read_note(note: Path) -> str:
    """What is noted; "" where nothing is."""
    try:
        return note.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise SettingsError(f"{note} can't be read ({error.strerror}): run this as root (sudo).") from None


def open_place(text: str) -> "Place":
    """The place with this URL; raises ``SettingsError``."""
    return Place(open_files(text, settings.hostname(), SETTING))


class Place:
    """A place of backups. All methods raise ``FilesAway``."""

    def __init__(self, files: Files):
        self.files = files

    def log(self) -> Log:
        """All that is there."""
        return read_log(self.files.names(), self.text)

    def put(self, backup: Backup, file: IO[bytes]) -> Backup:
        """Keep a backup's files, then its record: from then on it is listed. The backup, with their checksum."""
        whole = replace(backup, checksum=self.files.put_checked(backup.file, file, "application/gzip"))
        record = json.dumps(whole.as_dict()).encode()
        self.files.put_checked(whole.record, io.BytesIO(record), "application/json")
        return whole

    def get(self, backup: Backup, to: IO[bytes]) -> None:
        """Read a backup's files; raises ``BackupError`` where they are not what was put."""
        try:
            same = self.files.copy(backup.file, backup.size, to) == backup.checksum
        except FileNotFoundError:
            same = False
        if not same:
            raise BackupError(f"The backup {backup.name} is damaged at {self.files.place}: take another one (--to).")

    def text(self, name: str) -> str:
        """A small file."""
        return self.files.whole(name).decode()

    def keep(self, number: int) -> list[Backup]:
        """Let the newest backups stay, and the log since the oldest of them; the backups that were deleted.

        What a backup left that was interrupted is deleted, too: nobody else may make one meanwhile.
        """
        log = self.log()
        backups, segments, branches = log.superfluous(number)
        for backup in backups:
            self._delete([backup.record])
        whole = {each.file for each in log.backups} - {each.file for each in backups}
        half_made = [name for name in self.files.names("base-") if of_file(name) == "tar.gz" and name not in whole]
        self._delete([*half_made, *(each.file for each in segments), *(each.file for each in branches)])
        return backups

    def _delete(self, names: Sequence[str]) -> None:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(self.files.delete, names))


def read_log(names: Sequence[str], read: Callable[[str], str]) -> Log:
    """What a place with these files has; ``read`` gives a file's text. Raises ``BackupError``, and what it raises."""
    found = [(name, of_file(name)) for name in names]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        records = list(pool.map(lambda name: _record(name, read), [name for name, each in found if each == "json"]))
        branches = list(pool.map(lambda each: _branch(each, read), [e for _, e in found if isinstance(e, Branch)]))
    segments = tuple(each for _, each in found if isinstance(each, Segment))
    backups = sorted((each for each in records if each), key=lambda each: each.ended_at)
    return Log(tuple(backups), segments, tuple(each for each in branches if each))


def _record(name: str, read: Callable[[str], str]) -> Backup | None:
    try:
        return Backup.from_dict(json.loads(read(name)))
    except FileNotFoundError:  # just deleted
        return None
    except (ValueError, KeyError, TypeError):
        raise BackupError(f"The record {name} is no backup's: delete it.") from None


def _branch(branch: Branch, read: Callable[[str], str]) -> Branch | None:
    try:
        return replace(branch, parents=parents(read(branch.file)))
    except FileNotFoundError:
        return None
    except (ValueError, IndexError):
        raise BackupError(f"{branch.file} is no timeline's: delete it.") from None
