"""One at a time: who changes the application of a cloud holds a lock, in this lab's home.

It goes with its process, so nothing is left locked. Another machine, whose home is another, does not see it: what that
changes at the same time shows in the listing of the cloud's servers (see `plan.Plan.difference`).
"""

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from faafo_lab.cloud.base import Cloud
from faafo_lab.cloud.errors import TimedOut
from faafo_lab.cloud.marks import file_of
from faafo_lab.cloud.waiting import Look
from faafo_lab.topology.errors import Busy

_held = threading.local()  # the locks of this thread, which may change the application in several steps


@contextmanager
def alone(cloud: Cloud, what: str, timeout_seconds: float | None = None) -> Iterator[None]:
    """Nobody else of this home changes the application on this cloud during the block, which is about to do `what`.

    Waits until who does so has ended. Raises Busy, which says who that is, at the limit (None: the cloud's own).
    """
    path = file_of(cloud.name, "changing")
    mine: set[str] = _held.__dict__.setdefault("paths", set())
    if str(path) in mine:
        yield
        return
    with open(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+", encoding="utf-8") as file:

        def look() -> Look:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return Look(0, 1, path.read_text(encoding="utf-8") or "another process")
            return Look(1)

        if holder := look().seen:
            try:
                cloud.wait_until(look, f"{holder} to finish", timeout_seconds)
            except TimedOut as error:
                raise Busy(
                    f"Can't {what}: {error.last_seen} changes the application on cloud "
                    f"{cloud.name!r}, and did not end within {error.timeout_seconds:g} s. Wait for it, then try again."
                ) from None
        file.truncate(0)
        file.write(f"process {os.getpid()} (to {what}, since {datetime.now():%H:%M:%S})")
        file.flush()
        mine.add(str(path))
        try:
            yield
        finally:
            mine.discard(str(path))
            file.truncate(0)
