"""The expirer: deletes objects when their time (X-Delete-At) has come."""

from __future__ import annotations

import asyncio
import heapq
import logging
import sqlite3
import time

from faafo_lab.cloud.emulator.common.store import Row
from faafo_lab.cloud.emulator.services.object_store.base import Collection, is_over

PATIENCE_SECONDS = 60.0  # until it looks at the clock again: it may have been set
log = logging.getLogger(__name__)


class Expirer:
    """Knows which object's time comes next."""

    def __init__(self, records: Collection) -> None:
        self._records = records
        self._next: list[tuple[int, str]] = []
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, row: Row) -> None:
        """Delete this object when its time has come, if it has one."""
        if row["delete_at"] is not None:
            heapq.heappush(self._next, (row["delete_at"], row["id"]))
            self._wait()

    def _wait(self) -> None:
        self.close()
        if self._next:
            seconds = min(max(self._next[0][0] - time.time(), 0.0), PATIENCE_SECONDS)
            self._timer = asyncio.get_running_loop().call_later(seconds, self._delete)

    def _delete(self) -> None:
        over = []
        while self._next and self._next[0][0] <= time.time():
            row = self._records.objects.get(heapq.heappop(self._next)[1])
            if row is not None and is_over(row):
                over.append(row)
        try:
            self._records.change(remove=over)
        except sqlite3.Error as error:  # the disk is full, say: try again later
            log.error("Objects whose time is over could not be deleted: %s", error)
            for row in over:
                heapq.heappush(self._next, (int(time.time() + PATIENCE_SECONDS), row["id"]))
        self._wait()

    def close(self) -> None:
        """Delete no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
