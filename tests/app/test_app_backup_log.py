"""What a place of backups has, and what follows: which backup and which log lead to a moment, and what may go."""

from datetime import UTC, datetime, timedelta

import pytest

from faafo_lab.app.backups.log import Log, name_of
from faafo_lab.app.backups.record import Backup, Branch, Segment, of_file, parents
from faafo_lab.app.errors import BackupError

PIECE = 4 << 20
NOW = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)


def at(minute: float) -> datetime:
    return datetime(2026, 1, 31, 10, 0, tzinfo=UTC) + timedelta(minutes=minute)


def backup(minute: float, number: int, timeline: int = 1, system: str = "7") -> Backup:
    """A backup that ended at this minute, in the middle of this piece of the log."""
    start, stop = number * PIECE + 40, number * PIECE + 900
    return Backup(system, timeline, start, stop, PIECE, 18, at(minute - 0.1), at(minute), 5_000_000, "f" * 64)


def segment(minute: float, number: int, timeline: int = 1, system: str = "7") -> Segment:
    return Segment(system, name_of(timeline, number, PIECE), at(minute))


def branch(minute: float, timeline: int, *left: tuple[int, int], system: str = "7") -> Branch:
    return Branch(system, timeline, at(minute), left)


# Two backups, and one piece of the log a minute
PLAIN = Log((backup(1, 3), backup(5, 7)), tuple(segment(n - 1.5, n) for n in range(3, 12)))
# At minute 8 it went back to minute 3, to the middle of piece 5; before that, piece 9 was the last
WENT_BACK = Log(
    (backup(1, 3), backup(5, 7), backup(12, 7, timeline=2)),
    (*(segment(n - 1.5, n) for n in range(3, 10)), *(segment(n + 4, n, timeline=2) for n in range(5, 12))),
    (branch(8, 2, (1, 5 * PIECE + 500)),),
)


def test_names_say_what_a_file_is_and_nothing_else_is_ours() -> None:
    one, piece, other = backup(1, 3), segment(2, 5), branch(3, 2)
    assert [of_file(each) for each in (one.record, one.file, piece.file, other.file)] == [
        "json",
        "tar.gz",
        piece,
        other,
    ]
    assert [of_file(each) for each in ("base-7-x.json", "wal.gz", "", f"{piece.file}.part")] == [None] * 4
    assert Backup.from_dict(one.as_dict()) == one
    assert parents("1\t0/16B3740\tbefore 2026\n2\t1/0\tno\n") == ((1, 0x16B3740), (2, 1 << 32))


def test_a_moment_is_reached_from_the_newest_backup_before_it() -> None:
    assert PLAIN.choose(at(4), NOW).backup.name == backup(1, 3).name
    choice = PLAIN.choose(at(6.2), NOW)
    assert choice.backup.name == backup(5, 7).name
    assert [each.name[-2:] for each in choice.segments] == ["07", "08", "09"]  # 6.5 is when 08 ended
    last = PLAIN.choose(None, NOW)
    assert (last.reaches, last.to, len(last.segments), last.beyond) == (at(9.5), None, 5, 0)


@pytest.mark.parametrize(
    ("log", "to", "says"),
    [
        (Log(), at(1), "There is no backup here"),
        (PLAIN, NOW + timedelta(seconds=1), "is in the future"),
        (
            PLAIN,
            at(0.5),
            "No backup is old enough for 2026-01-31 10:00:30 UTC: the oldest one leads to 2026-01-31 10:01",
        ),
        (PLAIN, at(9.6), "The log reaches 2026-01-31 10:09:30 UTC: what came later, up to 2026-01-31 10:09:36 UTC,"),
        (WENT_BACK, at(0.5), "No backup is old enough"),
    ],
)
def test_a_moment_that_nothing_leads_to_is_refused_in_one_sentence(log: Log, to: datetime, says: str) -> None:
    with pytest.raises(BackupError, match=says) as refused:
        log.choose(to, NOW)
    assert "\n" not in str(refused.value)


def test_a_gap_in_the_log_ends_it_until_there_is_a_new_backup() -> None:
    pieces = tuple(each for each in PLAIN.segments if each.name != name_of(1, 9, PIECE))
    choice = Log(PLAIN.backups, pieces).choose(None, NOW)
    assert (choice.reaches, choice.beyond) == (at(6.5), 2)
    choice = Log((*PLAIN.backups, backup(8.2, 10)), pieces).choose(None, NOW)
    assert (choice.reaches, choice.beyond) == (at(9.5), 0)


def test_a_backup_whose_own_log_is_missing_leads_to_its_end() -> None:
    assert Log((backup(5, 7),)).choose(None, NOW).reaches == at(5)


@pytest.mark.parametrize(
    ("to", "backed_up", "timeline", "pieces"),
    [
        (at(2.5), 1, 1, [3, 4]),  # before the moment that it went back to
        (at(7), 5, 1, [7, 8, 9]),  # what was given up then, as it was then
        (at(8.5), 1, 2, [3, 4, 5, 6]),  # after it went back: not from the backup in between, which leads elsewhere
        (at(12.5), 12, 2, [7, 8, 9, 10]),
        (None, 12, 2, [7, 8, 9, 10, 11]),
    ],
)
def test_each_moment_is_of_the_timeline_that_was_the_databases_then(
    to: datetime | None, backed_up: float, timeline: int, pieces: list[int]
) -> None:
    choice = WENT_BACK.choose(to, NOW)
    assert (choice.backup.ended_at, choice.timeline) == (at(backed_up), timeline)
    numbers = [int(each.name[16:], 16) for each in choice.segments]
    assert numbers[: len(pieces)] == pieces[: len(numbers)]
    assert len(numbers) >= min(2, len(pieces))
    later = [int(each.name[:8]) for each in choice.segments if int(each.name[16:], 16) >= 5]
    assert set(later) <= {timeline}


def test_a_restore_knows_all_timelines_so_that_its_own_is_a_new_one() -> None:
    assert WENT_BACK.choose(at(2.5), NOW).branches == WENT_BACK.branches


def test_where_a_timeline_began_nothing_had_happened_since() -> None:
    log = Log((backup(1, 3),), tuple(segment(n - 1.5, n) for n in range(3, 10)), WENT_BACK.branches)
    choice = log.choose(at(8), NOW)
    assert (choice.timeline, choice.reaches) == (2, at(8))


def test_another_database_in_the_same_place_is_another_history() -> None:
    other = backup(6, 3, system="9")
    log = Log((*PLAIN.backups, other), PLAIN.segments)
    assert log.choose(at(5.5), NOW).backup.system == "7"
    assert log.choose(at(6), NOW).backup == other


def test_the_newest_backups_stay_with_all_of_the_log_since() -> None:
    gone, pieces, branches = PLAIN.superfluous(1)
    assert [each.ended_at for each in gone] == [at(1)]
    assert [each.name[-2:] for each in pieces] == ["03", "04", "05", "06"]
    assert branches == []
    assert PLAIN.superfluous(2) == ([], [], [])
    assert PLAIN.superfluous(9) == ([], [], [])


def test_what_stays_leads_to_the_same_moments_as_before() -> None:
    for log, keep in [(PLAIN, 1), (WENT_BACK, 1), (WENT_BACK, 2)]:
        gone, pieces, branches = log.superfluous(keep)
        left = Log(
            tuple(each for each in log.backups if each not in gone),
            tuple(each for each in log.segments if each not in pieces),
            tuple(each for each in log.branches if each not in branches),
        )
        assert left.choose(None, NOW) == log.choose(None, NOW)


def test_a_database_without_a_backup_that_stays_leaves_nothing() -> None:
    log = Log(
        (backup(1, 3, system="9"), *PLAIN.backups), (segment(1, 3, system="9"),), (branch(2, 2, (1, 5), system="9"),)
    )
    gone, pieces, branches = log.superfluous(2)
    assert ([each.system for each in gone], pieces, branches) == (["9"], list(log.segments), list(log.branches))
