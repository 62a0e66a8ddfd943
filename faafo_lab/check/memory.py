"""What is remembered of the exercises: tries, and what is solved, in FAAFO_LAB_HOME/exercises.json.

note = remember("2.1", at="…")     # a try that found this state
note = remember("2.1", at="")      # a try that found nothing missing: solved
recall()["2.1"].tries

Several notebooks may try at once: a lock file makes it one after the other, and the file is replaced as a whole.
"""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import datetime

from faafo_lab.paths import home, make_home, write_whole

NAME = "exercises.json"


@dataclass(frozen=True)
class Record:
    """What is remembered of one exercise."""

    tries: int = 0  # until it was solved, that one included
    solved: str = ""  # when it was solved first (ISO 8601); "": not yet
    at: str = ""  # the state that the last try found
    times: int = 0  # so many tries in a row found that state


def remember(exercise: str, at: str) -> tuple[Record, str]:
    """Count a try of this exercise that found the state `at` ("": solved).

    Returns what is known of the exercise now, and a sentence where the memory was broken. Raises OSError, ConfigError.
    """
    with _alone():
        records, problem = _read()
        known = records.get(exercise, Record())
        times = known.times + 1 if at == known.at else 1
        record = replace(known, tries=known.tries + (not known.solved), at=at, times=times)
        if not (at or known.solved):
            record = replace(record, solved=datetime.now().astimezone().isoformat(timespec="seconds"))
        _write({**records, exercise: record})
    return record, problem


def recall() -> tuple[dict[str, Record], str]:
    """What is known of each exercise that was tried, and a sentence where the memory was broken. Raises ConfigError."""
    return _read()


def _read() -> tuple[dict[str, Record], str]:
    path = home() / NAME
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        records = {str(name): Record(**value) for name, value in values.items()}
        if not all(map(_sound, records.values())):
            raise TypeError("a value of another kind")
    except FileNotFoundError:
        return {}, ""
    except (ValueError, TypeError, AttributeError):
        return {}, f"What was remembered of your exercises could not be read ({path}), so it starts anew."
    return records, ""


def _sound(record: Record) -> bool:
    """Whether each value is of its default's type."""
    return all(type(value) is type(getattr(Record, name)) for name, value in asdict(record).items())


def _write(records: dict[str, Record]) -> None:
    text = json.dumps({name: asdict(record) for name, record in sorted(records.items())}, indent=1)
    write_whole(make_home() / NAME, text)


@contextmanager
def _alone() -> Iterator[None]:
    """No other process or thread remembers anything during the block."""
    with open(os.open(make_home() / f"{NAME}.lock", os.O_RDWR | os.O_CREAT, 0o600), "r+", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
