"""All that a place of backups has, and what follows from it. Pure: it reads nothing and changes nothing.

A restore begins a new timeline, and the one before ends there; so at each moment one timeline of one database was the
application's. ``Log.choose`` finds that one, the newest backup that leads there, and the pieces of the log in between.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from faafo_lab.app.backups.record import Backup, Branch, Segment
from faafo_lab.app.errors import BackupError

Line = tuple[str, int]  # a database and its timeline


@dataclass(frozen=True)
class Choice:
    """What to restore: a backup, then these pieces of the log up to ``to`` (None: to their end), along a timeline."""

    backup: Backup
    timeline: int
    to: datetime | None
    reaches: datetime  # how far the log goes on from this backup
    segments: tuple[Segment, ...]
    branches: tuple[Branch, ...]  # all of the database's: the restored one's timeline must be a new one
    beyond: int = 0  # pieces that are there, but lead nowhere: one before them is missing


@dataclass(frozen=True)
class Log:
    """Backups (the oldest first), pieces of the log, and beginnings of timelines."""

    backups: tuple[Backup, ...] = ()
    segments: tuple[Segment, ...] = ()
    branches: tuple[Branch, ...] = ()

    def choose(self, to: datetime | None, now: datetime) -> Choice:
        """What leads to the database as it was at ``to`` (None: to its last known state). Raises ``BackupError``."""
        if not self.backups:
            raise BackupError("There is no backup here: 'faafo backup' makes one.")
        if to is not None and to > now:
            raise BackupError(f"{said(to)} is in the future: it is {said(now)}.")
        lines = {line: began for line, began in self._lines().items() if to is None or began <= to}
        line = max(lines, key=lambda each: lines[each], default=None)
        leading = [each for each in self.backups if line and self._leads(each, line)] if line else []
        usable = [each for each in leading if to is None or each.ended_at <= to]
        if line is None or not usable:
            oldest = min(leading or self.backups, key=lambda each: each.ended_at)
            after = said(oldest.ended_at)
            raise BackupError(
                f"No backup is old enough for {said(to or now)}: the oldest one leads to {after} or later."
            )
        choice = self._choice(usable[-1], line[1], to)
        if to is not None and to > choice.reaches:
            raise BackupError(
                f"The log reaches {said(choice.reaches)}: what came later, up to {said(to)}, is not in it."
            )
        return choice

    def superfluous(self, keep: int) -> tuple[list[Backup], list[Segment], list[Branch]]:
        """What goes where the newest ``keep`` backups stay, with all of the log since the oldest of them."""
        kept = self.backups[-keep:]
        needed: dict[str, int] = {}
        sizes = {each.system: each.segment_bytes for each in kept}
        for each in kept:
            number = each.start // each.segment_bytes
            needed[each.system] = min(number, needed.get(each.system, number))
        segments = [
            each
            for each in self.segments
            if each.system not in needed or number_of(each.name, sizes[each.system]) < needed[each.system]
        ]
        return list(self.backups[:-keep]), segments, [each for each in self.branches if each.system not in needed]

    def _lines(self) -> dict[Line, datetime]:
        """When each timeline became the application's."""
        lines: dict[Line, datetime] = {(each.system, each.timeline): each.at for each in self.branches}
        for each in self.backups:  # the oldest first
            lines.setdefault((each.system, each.timeline), each.started_at)
        return lines

    def _history(self, system: str, timeline: int) -> list[tuple[int, int, int | None]]:
        """A timeline and those before it, the oldest first: each with the positions where it began and was left."""
        parents = next((e.parents for e in self.branches if (e.system, e.timeline) == (system, timeline)), ())
        ends = [(each, left) for each, left in parents]
        begins = [0, *(left for _, left in ends)]
        return [(each, begin, left) for (each, left), begin in zip([*ends, (timeline, None)], begins, strict=True)]

    def _leads(self, backup: Backup, line: Line) -> bool:
        """Whether this timeline goes on from the backup."""
        system, timeline = line
        return backup.system == system and any(
            each == backup.timeline and (left is None or backup.stop <= left)
            for each, _, left in self._history(system, timeline)
        )

    def _choice(self, backup: Backup, timeline: int, to: datetime | None) -> Choice:
        history = self._history(backup.system, timeline)
        branches = tuple(e for e in self.branches if e.system == backup.system)
        segments: list[Segment] = []
        reaches, enough = backup.ended_at, 0
        for segment in self._following(backup, history):
            reaches = max(reaches, segment.at)
            if enough < 2:  # that one, and the next: what is written at the same time may be in either
                segments.append(segment)
            enough += to is not None and segment.at >= to
        end = (
            _number(segments[-1], backup) + 1 if segments else backup.stop // backup.segment_bytes
        ) * backup.segment_bytes
        # where it began, nothing had happened since the timeline before
        reaches = max([reaches, *(e.at for e in branches if e.timeline == timeline and e.parents[-1][1] <= end)])
        beyond = sum(
            e.system == backup.system and e.name[:8] == f"{timeline:08X}" and e.at > reaches for e in self.segments
        )
        return Choice(backup, timeline, to, reaches, tuple(segments), branches, beyond)

    def _following(self, backup: Backup, history: Sequence[tuple[int, int, int | None]]) -> Iterator[Segment]:
        """The pieces of the log since the backup began, one after the other, up to the first that is missing."""
        known: dict[str, Segment] = {}
        for each in sorted(self.segments, key=lambda each: each.at):
            if each.system == backup.system:
                known.setdefault(each.name, each)
        number = backup.start // backup.segment_bytes
        while True:
            begin, end = number * backup.segment_bytes, (number + 1) * backup.segment_bytes
            found = None
            for timeline, began, left in history:  # where one leaves the other, the later one has both
                if began < end and (left is None or left > begin):
                    found = known.get(name_of(timeline, number, backup.segment_bytes), found)
            if found is None:
                return
            yield found
            number += 1


def said(moment: datetime) -> str:
    """A moment as users read it, to the second; later than it was, never earlier, would be a lie: it is cut."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def name_of(timeline: int, number: int, segment_bytes: int) -> str:
    """PostgreSQL's name of a piece of the log."""
    high, low = divmod(number, (1 << 32) // segment_bytes)
    return f"{timeline:08X}{high:08X}{low:08X}"


def number_of(name: str, segment_bytes: int) -> int:
    """How many pieces there were before the one with this name."""
    return int(name[8:16], 16) * ((1 << 32) // segment_bytes) + int(name[16:], 16)


def _number(segment: Segment, backup: Backup) -> int:
    return number_of(segment.name, backup.segment_bytes)
