"""What PostgreSQL runs for each piece of its log (archive_command): it goes to the noted place of backups.

PostgreSQL keeps a piece until this has succeeded, and tries again. So a place that is away for long would fill the
database's disk, and then stop it. Before that happens, pieces are given up, and the log has a gap: the backups before
it lead to the gap, and only a new backup leads further. ``faafo backup --list`` and the database's own log say so.
"""

import contextlib
import gzip
import io
import shutil
import struct
import sys
from datetime import UTC, datetime
from pathlib import Path

from faafo_lab.app.backups.place import NOTE, open_place, read_note
from faafo_lab.app.backups.record import HISTORY, SEGMENT, Branch, Segment
from faafo_lab.app.errors import AppError
from faafo_lab.app.logs import Blot
from faafo_lab.app.settings import password_of

WAITING_BYTES = 256 * 1024 * 1024  # of pieces that wait on the database's disk, at most …
FREE_BYTES = 128 * 1024 * 1024  # … and at most so many that this much of the disk stays free
LEVEL = 1  # of compression: what is left of a piece that was ended early is zeros


def archive(path: Path, data: Path) -> None:
    """Put a file of the log into the place; raises ``AppError``."""
    name = path.name
    history = HISTORY.fullmatch(name)
    if not (history or SEGMENT.fullmatch(name)):
        return  # a note of PostgreSQL's own that no restore needs
    system = system_number(data)
    at = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    files = open_place(read_note(data.parent / NOTE)).files
    content = path.read_bytes()
    if history:
        files.put(Branch(system, int(history[1], 16), at).file, io.BytesIO(content), "text/plain")
    else:
        packed = io.BytesIO(gzip.compress(content, LEVEL))
        files.put(Segment(system, name, at).file, packed, "application/gzip")


def system_number(data: Path) -> str:
    """The database's own number, the beginning of its control file."""
    with (data / "global/pg_control").open("rb") as file:
        return str(struct.unpack("=Q", file.read(8))[0])


def waiting(data: Path) -> tuple[int, int]:
    """How many pieces of the log wait on the disk, and how many bytes they have."""
    log = data / "pg_wal"
    names = [path.stem for path in (log / "archive_status").glob("*.ready")]
    sizes = [path.stat().st_size for path in map(log.joinpath, names) if path.exists()]
    return len(sizes), sum(sizes)


def _noted(data: Path) -> str:
    with contextlib.suppress(AppError):
        return read_note(data.parent / NOTE)
    return ""


def main() -> None:
    """``python -m faafo_lab.app.backups.archive PATH``, in the database's directory."""
    data, path = Path.cwd(), Path(sys.argv[1])
    try:
        archive(data / path, data)
    except (AppError, OSError) as error:
        number, size = waiting(data)
        reason = Blot([password_of(_noted(data))])(str(error))
        given_up = size > WAITING_BYTES or shutil.disk_usage(data).free < FREE_BYTES
        then = (
            "It is given up, so that the disk does not fill: the log has a gap, and only a new backup leads further."
            if given_up
            else f"{number} of them, {size / 1e6:.0f} MB, wait on the database's disk."
        )
        print(f"faafo-database: {path.name} of the log can't be archived: {reason} {then}", file=sys.stderr)
        raise SystemExit(not given_up) from None


if __name__ == "__main__":
    main()
