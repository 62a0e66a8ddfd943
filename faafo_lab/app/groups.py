"""Group commit: what comes while a group is on its way goes together in the next one.

Alone, a request waits for nobody; under load, many share one transaction and its wait for the disk. (PostgreSQL does
the same with its log.)
"""

import asyncio
import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Generic, TypeVar

log = logging.getLogger(__name__)

T = TypeVar("T")
R = TypeVar("R")

GROUP_MAX = 200


class Groups(Generic[T, R]):
    """Calls ``work``, which blocks, in a thread of its own: with several items, for an answer or an error for each."""

    def __init__(self, name: str, work: Callable[[list[T]], Sequence[R | Exception]]):
        self._work = work
        self._thread = ThreadPoolExecutor(1, name)
        self._lock = threading.Lock()
        self._waiting: list[tuple[T, asyncio.Future[R]]] = []
        self._busy = False

    async def ask(self, item: T) -> R:
        """The answer to one item; raises its error, or what ``work`` raises."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[R] = loop.create_future()
        with self._lock:
            self._waiting.append((item, future))
            start, self._busy = not self._busy, True
        if start:
            aside(self._thread, self._run, loop)
        return await future

    def close(self) -> None:
        """Finish what waits."""
        self._thread.shutdown()

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        while True:
            with self._lock:
                group, self._waiting = self._waiting[:GROUP_MAX], self._waiting[GROUP_MAX:]
                if not group:
                    self._busy = False
                    return
            answers: Sequence[R | Exception]
            try:
                answers = self._work([item for item, _ in group])
            except Exception as error:
                answers = [error] * len(group)
            loop.call_soon_threadsafe(_deliver, [future for _, future in group], answers)


def aside(thread: ThreadPoolExecutor, work: Callable[..., object], *arguments: object) -> None:
    """Call ``work`` in that thread; nobody waits for it, so the log says where it failed."""
    thread.submit(work, *arguments).add_done_callback(_say)


def _say(ended: Future[Any]) -> None:
    if not ended.cancelled() and (error := ended.exception()):
        log.error("background work has failed", exc_info=error)


def _deliver(futures: Sequence["asyncio.Future[R]"], answers: Sequence[R | Exception]) -> None:
    for future, answer in zip(futures, answers, strict=True):
        if future.cancelled():
            continue
        if isinstance(answer, Exception):
            future.set_exception(answer)
        else:
            future.set_result(answer)
