"""What is being done with servers: tasks beside the APIs, of one server one after the other.

    tasks.begin(id, work())             # after what is being done with it
    tasks.begin(id, end(), now=True)    # instead of that

A task that fails says so: its server is in the state "error", with the fault.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
from collections.abc import Callable, Coroutine
from typing import Any

from faafo_lab.cloud.emulator.common.service import Fault
from faafo_lab.cloud.emulator.machinery.hypervisor.client import HypervisorError
from faafo_lab.cloud.emulator.services.compute.history import History

log = logging.getLogger(__name__)

ROOM_SECONDS = 1.0  # between two looks whether a full disk has room again
Work = Coroutine[Any, Any, None]


class Tasks:
    """The tasks of all servers."""

    def __init__(self, history: History, fail: Callable[[str, str], None]) -> None:
        """`history` hears how a task ended; `fail` keeps a server's fault, and raises sqlite3.Error if it cannot."""
        self._history, self._fail = history, fail
        self._tasks: dict[str, list[asyncio.Task[None]]] = {}

    def begin(self, id: str, work: Work, *, now: bool = False) -> None:
        """Do this after what is being done with the server; with `now`, instead of it: that does not a step more."""
        earlier = tuple(self._tasks.get(id, ()))
        if now:
            for each in earlier:
                each.cancel()
        action, failed = self._history.open(id), True

        async def run() -> None:
            nonlocal failed
            if earlier:
                await asyncio.wait(earlier)
            failed = await self._failed(id, work)

        def ended(task: asyncio.Task[None]) -> None:
            work.close()  # where it was cancelled before it began
            self._tasks[id].remove(task)
            if not self._tasks[id]:
                del self._tasks[id]
            with contextlib.suppress(sqlite3.Error):
                self._history.end(id, action, "Error" if failed else "Success")

        task = asyncio.get_running_loop().create_task(run(), name=f"server {id}")
        self._tasks.setdefault(id, []).append(task)
        task.add_done_callback(ended)

    async def _failed(self, id: str, work: Work) -> bool:
        """Do it; whether it failed. While the disk is full, the fault is kept at last: no server hangs in its task."""
        try:
            await work
            return False
        except HypervisorError as error:
            message = str(error)
        except sqlite3.Error as error:
            message = f"The state could not be written ({error}): was the disk full?"
        except Fault as fault:
            message = fault.message
        except OSError as error:
            message = f"The instance's files could not be written: {error}."
        except Exception as error:
            log.exception("server %s", id)
            message = f"Unexpected error: {error!r}; see emulator.log."
        while True:
            try:
                self._fail(id, message)
                return True
            except sqlite3.Error as error:
                log.error("server %s: %s The state could not be written: %s", id, message, error)
            await asyncio.sleep(ROOM_SECONDS)

    async def close(self) -> None:
        """Stop what is being done."""
        tasks = [task for each in self._tasks.values() for task in each]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
