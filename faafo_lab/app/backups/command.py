"""What ``faafo backup`` and ``faafo restore`` do and print."""

import argparse
import json
from collections.abc import Sequence
from datetime import UTC, datetime

from faafo_lab.app.backups import place as places
from faafo_lab.app.backups import restoring, server, taking
from faafo_lab.app.backups.log import said
from faafo_lab.app.backups.place import NOTE
from faafo_lab.app.backups.record import Backup
from faafo_lab.app.errors import BackupError, SettingsError

_FAILING = """
SELECT last_failed_wal, last_failed_time FROM pg_stat_archiver
WHERE last_failed_time > coalesce(last_archived_time, '-infinity')"""


def backup(options: argparse.Namespace) -> None:
    """Make a backup, or list them."""
    if options.keep is not None and options.keep < 1:
        raise SettingsError(f"--keep must be at least 1: got {options.keep}.")
    if options.log_seconds is not None and not 1 <= options.log_seconds <= 86_400:
        raise SettingsError(f"--log-seconds must be from 1 to 86400: got {options.log_seconds}.")
    if options.list:
        _list(options)
        return
    here = server.find()
    url = places.url(here.data.with_name(NOTE))
    place = places.open_place(url)
    with here.alone():
        place.files.names("base-")  # whether it answers
        taking.note(here, url)
        taking.archive_every(here, options.log_seconds)
        made = taking.take(here, place)
        deleted = place.keep(options.keep) if options.keep else []
    if options.lines:
        print(json.dumps({"backup": made.as_dict(), "deleted": [each.name for each in deleted]}))
        return
    seconds = (made.ended_at - made.started_at).total_seconds()
    print(f"{made.name}: {made.size / 1e6:.1f} MB, a copy of {seconds:.1f} s")
    for each in deleted:
        print(f"{each.name}: deleted")


def restore(options: argparse.Namespace) -> None:
    """Let the database be as it was at a moment, in its place or beside it."""
    here = server.find()
    url = places.url(here.data.with_name(NOTE))
    place = places.open_place(url)

    def say(text: str) -> None:
        if not options.lines:
            print(text, flush=True)

    with here.alone():
        if options.beside:
            done = restoring.show(here, place, options.to, say)
        else:
            done = restoring.restore(here, place, url, options.to, say)
    if options.lines:
        print(
            json.dumps(
                {
                    "backup": done.choice.backup.as_dict(),
                    "to": done.to.isoformat(),
                    "seconds": done.seconds,
                    **done.contents.__dict__,
                }
            )
        )
        return
    has = done.contents
    print(f"the database as it was at {said(done.to)}, in {done.seconds:.1f} s: {has.orders} orders, {has.done} done")
    if has.damaged:
        print(f"{has.damaged} pictures are damaged")


def _list(options: argparse.Namespace) -> None:
    """The backups, how far the log reaches, and why no further."""
    try:
        here: server.Server | None = server.find()
    except BackupError:  # any machine that is told the place may list what is there
        here = None
    place = places.open_place(places.url(here.data.with_name(NOTE) if here else None))
    log, now = place.log(), datetime.now(UTC)
    choice = log.choose(None, now) if log.backups else None
    failure = _failure(here) if here else ""
    if options.lines:
        print(
            json.dumps(
                {
                    "backups": [each.as_dict() for each in log.backups],
                    "reaches": choice.reaches.isoformat() if choice else None,
                    "gap": bool(choice and choice.beyond),
                    "failure": failure,
                }
            )
        )
        return
    _table(log.backups)
    if choice:
        behind = (now - choice.reaches).total_seconds()
        print(f"The log reaches {said(choice.reaches)}, {behind:.0f} s ago: what came later would be lost.")
        if choice.beyond:
            print("A piece of the log is missing after that: only a new backup leads further.")
    if failure:
        print(failure)


def _failure(here: server.Server) -> str:
    """Why the running database's log is not archived, "" where it is."""
    if not here.serves():
        return "The database does not run."
    failing = here.sql(_FAILING)
    if not failing:
        return ""
    name, at = failing.split("|")
    return f"The log can't be archived since its piece {name}, last tried at {at}: the database's own log says why."


def _table(backups: Sequence[Backup]) -> None:
    from prettytable import PrettyTable  # only those who print tables pay for it

    table = PrettyTable(["Backup", "Leads to", "MB"])
    table.align = "l"
    table.add_rows([[each.name, f"{said(each.ended_at)} or later", f"{each.size / 1e6:.1f}"] for each in backups])
    print(table)
