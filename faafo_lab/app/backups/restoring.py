"""The restored database takes the place of the running one; or it only shows what it has.

The running one goes on while the other is prepared. It takes over in one step, when the database starts again: until
then it is the old one, from then on the new one, whatever is interrupted. The old one's files stay beside it.
"""

import shutil
import time
from dataclasses import dataclass
from datetime import UTC, datetime

from faafo_lab.app import services
from faafo_lab.app.backups import beside, taking
from faafo_lab.app.backups.beside import Contents
from faafo_lab.app.backups.log import Choice
from faafo_lab.app.backups.place import Place
from faafo_lab.app.backups.server import Server
from faafo_lab.app.backups.taking import Say
from faafo_lab.app.errors import BackupError
from faafo_lab.app.files.directory import sync


@dataclass(frozen=True)
class Restored:
    """What came of it. ``to``: the moment to which it leads."""

    choice: Choice
    contents: Contents
    to: datetime
    seconds: float


def show(server: Server, place: Place, to: datetime | None, say: Say) -> Restored:
    """Restore beside the running database, look, and drop it again; from `server.alone`.

    Raises ``BackupError`` and ``FilesAway``.
    """
    started = time.monotonic()
    try:
        _complete(server, place, say)
    except BackupError as error:
        say(str(error))
    choice = place.log().choose(to, datetime.now(UTC))
    with beside.restored(server, place, choice) as found:
        return _restored(choice, found.contents(), started)


def restore(server: Server, place: Place, url: str, to: datetime | None, say: Say) -> Restored:
    """Restore in place of the running database; from `server.alone`. Raises ``BackupError`` and ``FilesAway``."""
    started = time.monotonic()
    try:
        _complete(server, place, say)
    except BackupError as error:
        if to is None:
            raise BackupError(f"{error} Name the moment to restore to (--to), or make a backup first.") from None
        say(str(error))
    choice = place.log().choose(to, datetime.now(UTC))
    following = server.data.with_name(services.RESTORED)
    with beside.restored(server, place, choice) as found:
        contents = found.contents()
        found.prepare()
        if code := found.end():
            raise BackupError(f"The restored database did not end in good order (exit code {code}): try again.")
        say(f"restored {contents.orders} orders; the database starts again with them")
        shutil.rmtree(following, ignore_errors=True)
        taking.note(server, url)
        found.data.rename(following)  # from here on it is the new one
        sync(following.parent)
    server.restart()
    return _restored(choice, contents, started)


def _complete(server: Server, place: Place, say: Say) -> None:
    """Bring the end of the running database's log, if that one is the place's; raises ``BackupError``."""
    if server.serves() and any(each.system == server.system for each in place.log().backups):
        taking.archive_now(server, say)


def _restored(choice: Choice, contents: Contents, started: float) -> Restored:
    return Restored(choice, contents, choice.to or choice.reaches, time.monotonic() - started)
