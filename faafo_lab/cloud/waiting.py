"""Waiting, with a limit and a progress bar: every wait in the lab goes through `wait_until`.

wait_until(lambda: Look(served, 6, "app-worker-2 BUILD"), "servers ACTIVE", timeout_seconds=300)
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from faafo_lab.cloud.errors import TimedOut
from faafo_lab.cloud.progress import Progress

FIRST_PAUSE_SECONDS = 0.1  # between two looks at first …
PAUSE_GROWTH = 1.2  # … and then longer and longer, …
LAST_PAUSE_SECONDS = 1.0  # … up to this: kind to a cloud that takes minutes, quick with one that takes a second


@dataclass(frozen=True)
class Look:
    """One look at a wait's subject: how many of `total` are done; `seen` names the unfinished ones."""

    done: int
    total: int = 1
    seen: str = ""


def wait_until(look: Callable[[], Look | bool], what: str, timeout_seconds: float, *, progress: bool = True) -> None:
    """Call `look` until everything is done (or it returns True).

    A progress bar shows what is counted ("5/6 servers ACTIVE", of `what` = "servers ACTIVE"; a `look` that returns
    False or True counts nothing), and the elapsed seconds. An exception from `look` ends the wait, and so does an
    interrupt.
    Raises TimedOut after `timeout_seconds`, with the last look's words.
    """
    started = time.monotonic()
    pause = FIRST_PAUSE_SECONDS
    with Progress(what, 0, show=progress) as line:  # also if all is done already: a cell that is run again shows it
        while True:
            seen = look()
            if isinstance(seen, bool):
                seen = Look(int(seen))
            else:
                line.total = seen.total
            line.update(seen.done, seen.seen)
            if seen.done >= seen.total:
                return
            left = started + timeout_seconds - time.monotonic()
            if left <= 0:
                raise TimedOut(what, timeout_seconds, seen.seen, line.how_far)
            time.sleep(min(pause, left))
            pause = min(pause * PAUSE_GROWTH, LAST_PAUSE_SECONDS)
