"""What is in the place of backups, and what its files are called.

    base-SYSTEM-TIME.tar.gz        all files of a database
    base-SYSTEM-TIME.json          its record: put last, deleted first
    wal-SYSTEM-SEGMENT-TIME.gz     a segment of its write-ahead log; TIME: when it was last written
    branch-SYSTEM-TIMELINE-TIME    PostgreSQL's history file of a timeline; TIME: when it began, by a restore

SYSTEM is the database's own number: a database that was made anew has another one, a restored one has the same, and a
timeline of its own from the restored moment on. TIME is in UTC, so the names alone say how far a log reaches.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

SEGMENT = re.compile(r"[0-9A-F]{24}")
HISTORY = re.compile(r"([0-9A-F]{8})\.history")
_FILE = re.compile(
    r"base-(?P<base>\d+)-(?P<ended>\d{8}T\d{12}Z)\.(?P<kind>json|tar\.gz)"
    r"|wal-(?P<wal>\d+)-(?P<segment>[0-9A-F]{24})-(?P<written>\d{8}T\d{12}Z)\.gz"
    r"|branch-(?P<branch>\d+)-(?P<timeline>[0-9A-F]{8})-(?P<began>\d{8}T\d{12}Z)"
)


@dataclass(frozen=True)
class Backup:
    """A whole backup. ``start`` and ``stop`` are positions in the log (bytes since its beginning)."""

    system: str
    timeline: int
    start: int
    stop: int
    segment_bytes: int
    version: int  # PostgreSQL's, such as 18
    started_at: datetime
    ended_at: datetime  # from this moment on it can be restored
    size: int  # bytes in the place
    checksum: str

    @property
    def name(self) -> str:
        """What users call it."""
        return stamp(self.ended_at)

    @property
    def file(self) -> str:
        """The file with the database's files."""
        return f"base-{self.system}-{self.name}.tar.gz"

    @property
    def record(self) -> str:
        """The file with this record."""
        return f"base-{self.system}-{self.name}.json"

    def as_dict(self) -> dict[str, Any]:
        """The record, for JSON."""
        times = {"started_at": self.started_at.isoformat(), "ended_at": self.ended_at.isoformat()}
        return {"name": self.name, **self.__dict__, **times}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Backup":
        """What ``as_dict`` said."""
        times = {name: datetime.fromisoformat(values[name]) for name in ("started_at", "ended_at")}
        return cls(**{name: values[name] for name in cls.__dataclass_fields__} | times)


@dataclass(frozen=True)
class Segment:
    """A piece of the log."""

    system: str
    name: str  # PostgreSQL's
    at: datetime  # when it was last written

    @property
    def file(self) -> str:
        """Its file."""
        return f"wal-{self.system}-{self.name}-{stamp(self.at)}.gz"


@dataclass(frozen=True)
class Branch:
    """The beginning of a timeline. ``parents`` are its ancestors, the oldest first, and where each was left."""

    system: str
    timeline: int
    at: datetime
    parents: tuple[tuple[int, int], ...] = ()

    @property
    def file(self) -> str:
        """Its file."""
        return f"branch-{self.system}-{self.timeline:08X}-{stamp(self.at)}"


def stamp(moment: datetime) -> str:
    """A moment as names have it."""
    return moment.astimezone(UTC).strftime("%Y%m%dT%H%M%S%fZ")


def _moment(text: str) -> datetime:
    return datetime.strptime(text, "%Y%m%dT%H%M%S%fZ").replace(tzinfo=UTC)


def of_file(name: str) -> Segment | Branch | str | None:
    """What a file is: a piece of the log, a branch (without its parents), "json", "tar.gz"; None: none of ours."""
    found = _FILE.fullmatch(name)
    if found is None:
        return None
    if found["wal"]:
        return Segment(found["wal"], found["segment"], _moment(found["written"]))
    if found["branch"]:
        return Branch(found["branch"], int(found["timeline"], 16), _moment(found["began"]))
    return found["kind"]


def position(text: str) -> int:
    """PostgreSQL's ``16/B374D848`` as a number of bytes."""
    high, low = text.split("/")
    return (int(high, 16) << 32) + int(low, 16)


def parents(history: str) -> tuple[tuple[int, int], ...]:
    """The ancestors in PostgreSQL's history file: each timeline, and the position where it was left."""
    rows = (line.split() for line in history.splitlines() if line.strip() and not line.startswith("#"))
    return tuple((int(row[0]), position(row[1])) for row in rows)
