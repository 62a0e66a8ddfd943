"""The options of ``faafo backup`` and ``faafo restore``. What they do is imported by those who do it."""

import argparse
from datetime import UTC, datetime
from typing import Any

from faafo_lab.app import settings

BACKUP = """\
Back up the database, on the server that it runs on, as root: all of its files,
and from then on its write-ahead log, to the place FAAFO_BACKUP_URL:
file:///DIRECTORY, swift://ID:SECRET@KEYSTONE/CONTAINER?credential=application,
s3://... (as FAAFO_IMAGES_URL has them). It is noted, so the next time the
variable is not needed. Every piece of the log goes there when it is full, and
at the latest after --log-seconds: that much may be lost with the server.

Interrupted, it leaves no backup that is listed. A place that does not answer
is said in the database's log, and by --list."""
RESTORE = """\
Restore the database, on the server that it runs on, as root: from the newest
backup before the moment --to, and the log from there to that moment. Without
--to: to its last known state. The database runs on until the restored one
takes its place; the old one's files stay beside it, until the next restore.
Interrupted, it leaves the old database or the new one. What is to do goes into
the queue again. Images outside the database are not restored.

With --beside it is restored beside the running database, examined, and dropped:
that proves the backup."""


def add_to(commands: Any) -> None:
    """Let ``faafo`` have the two commands."""
    for name, help_, description in (
        ("backup", "back up the database", BACKUP),
        ("restore", "restore the database, to a moment if one is named", RESTORE),
    ):
        command = commands.add_parser(
            name, help=help_, formatter_class=argparse.RawDescriptionHelpFormatter, description=description
        )
        command.set_defaults(run=_run, do=name)
        command.add_argument("--lines", action="store_true", help="print JSON: for programs")
        if name == "backup":
            command.add_argument("--list", action="store_true", help="list the backups, and how far the log reaches")
            command.add_argument("--keep", type=int, metavar="N", help="delete all but the N newest, and older log")
            command.add_argument(
                "--log-seconds", type=int, metavar="N", help=f"(default: {settings.ARCHIVE_SECONDS}, or as before)"
            )
        else:
            command.add_argument("--to", type=moment, metavar="TIME", help="ISO 8601, UTC unless it says its zone")
            command.add_argument("--beside", action="store_true", help="beside the running database, to look at it")


def moment(text: str) -> datetime:
    """A moment as ISO 8601 has it, in UTC unless it says its zone."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is no moment such as 2026-01-31T18:29:19") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _run(client: object, options: argparse.Namespace) -> None:
    from faafo_lab.app.backups import command

    {"backup": command.backup, "restore": command.restore}[options.do](options)
