"""One change at a time: whoever changes a cloud's application holds a lock file in this lab's home.

The lock ends with its process. Another machine, with a home of its own, does not see it: its changes show in the
listing of the cloud's servers (see `plan.Plan.difference`).
"""

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TextIO

from faafo_lab.cloud.base import Cloud
from faafo_lab.cloud.errors import TimedOut
from faafo_lab.cloud.marks import file_of
from faafo_lab.cloud.waiting import Look
from faafo_lab.topology.errors import Busy

CHANGING = "changing"  # the lock of all changes

_held = threading.local()  # the locks of this thread, which may change the application in several steps


@contextmanager
def alone(cloud: Cloud, what: str, timeout_seconds: float | None = None) -> Iterator[None]:
    """Keep others with this home from changing this cloud's application during the block, whose purpose is `what`.

    Waits until the present change has ended. Raises Busy, which names its process, at the limit (None: the cloud's
    own).
    """
    path = file_of(cloud.name, CHANGING)
    mine: set[str] = _held.__dict__.setdefault("paths", set())
    if str(path) in mine:
        yield
        return
    with lock_file(cloud, CHANGING) as file:

        def look() -> Look:
            holder = claim(file, f"to {what}")
            return Look(int(not holder), 1, holder)

        if look().seen:
            try:
                cloud.wait_until(look, "other changes finished", timeout_seconds, progress=timeout_seconds != 0)
            except TimedOut as error:
                raise Busy(
                    f"Can't {what}: {error.last_seen} changes the application on cloud "
                    f"{cloud.name!r}, and did not end within {error.timeout_seconds:g} s. Wait for it, then try again."
                ) from None
        mine.add(str(path))
        try:
            yield
        finally:
            mine.discard(str(path))
            file.truncate(0)


def lock_file(cloud: Cloud, name: str) -> TextIO:
    """The lock file of this name for one cloud, open: `claim` locks it, and closing it ends the lock."""
    path = file_of(cloud.name, name)
    return open(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+", encoding="utf-8")


def claim(file: TextIO, purpose: str) -> str:
    """Lock an open file, and write into it whose it is; returns "", or the present holder's words where it is
    locked."""
    file.seek(0)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return file.read() or "another process"
    file.truncate()
    file.write(f"process {os.getpid()} ({purpose}, since {datetime.now():%H:%M:%S})")
    file.flush()
    return ""
