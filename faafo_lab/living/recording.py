"""Recordings: a run's events in a file, to be shown without any cloud.

    with faafo_lab.record(app, "wave.jsonl") as recording:      # or: recording = record(app, …); …; recording.close()
        load.run(app.endpoints, loop="open", rate=5, number=50, size=(320, 200))
    print(recording)                                # what was recorded, in words
    recording.cut(3, 12).save("moment.jsonl")       # seconds from its start
    load("wave.jsonl").events

A file has a JSON object a line: first the head, then the events, in the order in which they became known. It grows
while it is recorded, so that a program that dies loses little; its head has an end only when that was reached.

Its errors:

    Exception
    └── RecordingError       a recording can't be made, read or cut as requested
        ├── TooLong          it does not fit into one page (`page`)
        ├── NoRecording      the file is no recording
        └── NotWritten       the file can't be written
"""

from __future__ import annotations

import errno
import json
import math
import os
import threading
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO

from faafo_lab.living import cutting
from faafo_lab.living.events import KINDS, Clock, Event, Scene, rounded, scene_at
from faafo_lab.living.stream import Stream
from faafo_lab.paths import write_whole
from faafo_lab.topology import Topology

FORMAT = "faafo-lab recording 1"
LATE_LIMIT_SECONDS = 6.0  # how long a recording waits at its end for what happened until then


class RecordingError(Exception):
    """A recording can't be made, read or cut as requested."""


class NoRecording(RecordingError):
    """The file is no recording."""


class NotWritten(RecordingError):
    """The file can't be written."""


class Recording:
    """Events of a run, from `start` to `end` (seconds since 1970, by the recording machine's clock).

    `events[0]` is the whole scene at the start, and the last events of the tasks in flight follow it. `whole`: whether
    the recording reached its end; else its last event is its end.
    """

    def __init__(
        self, events: Sequence[Event], *, start: float, end: float | None = None, title: str = "", whole: bool = True
    ) -> None:
        self.events, self.title, self.start, self.whole = list(events), title, start, whole
        self._end = end

    @property
    def end(self) -> float:
        """Its end; while it is recorded, or where it broke off, that of its last event."""
        if self._end is not None:
            return self._end
        return max([self.start, *(cutting.span(event)[1] for event in self.events)])

    @property
    def seconds(self) -> float:
        """How long it is."""
        return self.end - self.start

    @property
    def scene(self) -> Scene:
        """What stands at its end."""
        return scene_at(self.events, math.inf)

    @property
    def clock(self) -> Clock:
        """How far the application's clock was ahead of the recording machine's, as known at the end; its events are
        corrected by that. Empty where no API answered."""
        return self.scene.get("clock", {})

    def cut(self, start: float = 0.0, end: float = math.inf) -> Recording:
        """The part between these times, in seconds from the start of this recording. It begins with the whole scene,
        and with the last events of the tasks that are in flight then. Raises RecordingError where nothing is left."""
        if not 0 <= start < min(end, self.seconds):
            raise RecordingError(
                f"There is nothing from {start:g} s to {end:g} s: the recording lasts {self.seconds:.1f} s."
            )
        first, last = self.start + start, min(self.start + end, self.end)
        return Recording(cutting.cut(self.events, first, last), start=first, end=last, title=self.title)

    def save(self, path: str | Path) -> Path:
        """Write it to this file; returns the path. Raises NotWritten."""
        path = Path(path)
        try:
            write_whole(path, "".join(f"{line}\n" for line in (self._head(), *map(_json, self.events))))
        except OSError as error:
            raise _not_written(path, error) from error
        return path

    def _head(self) -> str:
        head: dict[str, Any] = {"format": FORMAT, "title": self.title, "start": rounded(self.start)}
        if self.whole and self._end is not None:
            head |= {"end": rounded(self._end), "clock": self.clock}
        return _json(head)

    def __str__(self) -> str:
        requests = [event for event in self.events if event["k"] == "request"]
        statuses = Counter(str(event["status"] or event.get("error") or "no answer") for event in requests)
        tasks = Counter(event["what"] for event in self.events if event["k"] == "task" and event["t"] >= self.start)
        words = [f"{self.title + ': ' if self.title else ''}{self.seconds:.1f} s, {len(self.events)} events"]
        if statuses:
            told = ", ".join(f"{count} × {status}" for status, count in sorted(statuses.items()))
            words.append(f"{len(requests)} requests ({told})")
        if tasks:
            shown = [f"{tasks[what]} {what}" for what in ("accepted", "done", "lost", "failed", "late") if tasks[what]]
            words.append(f"Tasks: {', '.join(shown) or 'none of them done'}")
        words += [f"{event['t'] - self.start:.1f} s: {event['text']}" for event in self.events if event["k"] == "note"]
        gaps = [event for event in self.events if event["k"] == "gap"]
        words += [f"{gap['t'] - gap['from']:.1f} s unseen ({gap['text']})" for gap in gaps]
        if clock := self.clock:
            ahead = f"{1000 * clock['ahead']:.1f} ± {1000 * clock['within']:.1f} ms"
            words.append(f"The application's clock is {ahead} ahead; its times are corrected by that")
        if not self.whole:
            words.append("It broke off before its end")
        return ". ".join(words) + "."

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self}>"


class Recorder(Recording):
    """A recording that goes on until `close()`, or the end of its block."""

    def __init__(self, app: Topology, path: str | Path | None = None, title: str = "") -> None:
        self.path = None if path is None else Path(path)
        self._file: TextIO | None = None
        self._failed = False
        self._writing = threading.Lock()
        super().__init__([], start=time.time(), title=title, whole=False)
        if self.path:
            self._file = _opened(self.path)
        try:
            self._stream = Stream.of(app)
        except BaseException:
            if self._file:
                self._file.close()
            raise
        self.start = rounded(time.time())
        with self._writing:
            self.events += self._stream.listen(self._take, recent=False)
            if self._file:
                self._file.truncate(0)
            self._write([self._head(), *map(_json, self.events)])

    @property
    def running(self) -> bool:
        """Whether it goes on."""
        return self._end is None

    def close(self) -> None:
        """End it now: wait for what happened until now and arrives late (LATE_LIMIT_SECONDS at most), and write the
        file. Closing it again changes nothing. Raises NotWritten."""
        if not self.running:
            return
        end = rounded(time.time())
        try:
            self._stream.wait_until_complete(end, LATE_LIMIT_SECONDS)
        finally:  # also if that is interrupted
            self._stream.unlisten(self._take)
            with self._writing:
                self.events = [event for event in self.events if cutting.span(event)[0] <= end]
                self._end, self.whole = end, True
            self._stream.close()
            self._finish()

    def _finish(self) -> None:
        """Write the file as a whole, now that its end is known."""
        if self._file and self.path:
            with suppress(OSError):  # of what could not be written before
                self._file.close()
            self.save(self.path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _take(self, new: Sequence[Event]) -> None:
        with self._writing:
            if self.running and new:
                self.events += new
                self._write(map(_json, new))

    def _write(self, lines: Any) -> None:
        if self._file and not self._failed:
            try:
                self._file.writelines(f"{line}\n" for line in lines)
                self._file.flush()
            except OSError:  # a full disk: it has room again at the end, or that says so
                self._failed = True


def record(app: Topology, path: str | Path | None = None, *, title: str = "") -> Recorder:
    """Record what happens to this application from now on, to its block's end or its `close()`; into this file, which
    is replaced, or (None) in memory alone.

    Raises NotWritten, before anything begins, where the file can't be written.
    """
    return Recorder(app, path, title)


def load(path: str | Path) -> Recording:
    """The recording in this file. One that broke off, as its program ended before it did, is read as far as it goes.

    Raises NoRecording for another file, and for one that does not exist.
    """
    path = Path(path)
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise NoRecording(f"{path} can't be read as a recording: {reason}.") from error
    *lines, rest = lines  # "" where the last line is whole
    try:
        head = json.loads(lines[0])
        if head["format"] != FORMAT:
            raise ValueError(f"its format is {head['format']!r}")
        start, title = float(head["start"]), str(head["title"])
        end = float(head["end"]) if "end" in head else None
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise NoRecording(f"{path} is no recording that faafo_lab.record made: {_reason(error)}.") from error
    events: list[Event] = []
    for number, line in enumerate(lines[1:], 2):
        try:
            events.append(_event(json.loads(line)))
        except (ValueError, KeyError, TypeError) as error:
            raise NoRecording(f"{path} is damaged in line {number}: {_reason(error)}.") from error
    return Recording(events, start=start, end=end, title=title, whole=end is not None and not rest)


def _event(told: Any) -> Event:
    """An event of a file. Raises ValueError, KeyError or TypeError for what is none."""
    if told["k"] not in KINDS:
        raise ValueError(f"there are no events of the kind {told['k']!r}")
    first, last = cutting.span(told)
    if not first <= last < math.inf:
        raise ValueError("its times make no sense")
    event: Event = told
    return event


def _reason(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"{error} is missing"
    if isinstance(error, json.JSONDecodeError | TypeError | IndexError):
        return "a line of it is no JSON object"
    return str(error)


def _opened(path: Path) -> TextIO:
    """The file, to be written. What is in it stays so far. Raises NotWritten."""
    try:
        if path.parent.is_dir() and not os.access(path.parent, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return path.open("a", encoding="utf-8")
    except OSError as error:
        raise _not_written(path, error) from error


def _not_written(path: Path, error: OSError) -> NotWritten:
    if isinstance(error, FileNotFoundError):
        return NotWritten(f"There is no folder {str(path.parent)!r} to write {path.name} into: make it first.")
    return NotWritten(f"The recording {str(path)!r} can't be written: {error.strerror or error}.")


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
