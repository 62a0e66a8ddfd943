"""A coroutine in a thread of its own: a notebook's own event loop is busy."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import Future, wait
from contextlib import suppress
from typing import Any, Generic, Self, TypeVar

from faafo_lab.cloud.errors import Interrupted

T = TypeVar("T")


class Background(Generic[T]):
    """Runs the coroutine; leaving the context cancels its unfinished part, and waits for the thread's end."""

    def __init__(self, coroutine: Coroutine[Any, Any, T]) -> None:
        self._coroutine = coroutine
        self._future: Future[T] = Future()
        self._started: Future[tuple[asyncio.AbstractEventLoop, asyncio.Task[Any]]] = Future()
        self._thread = threading.Thread(target=self._work, name="ssh", daemon=True)

    @property
    def done(self) -> bool:
        """Whether the coroutine has ended, with a result or an exception."""
        return self._future.done()

    def ends_within(self, seconds: float) -> bool:
        """Wait up to so many seconds for its end; returns whether it has ended."""
        wait([self._future], timeout=seconds)
        return self.done

    def result(self) -> T:
        """Wait for its end, and return its result or raise its exception."""
        return self._future.result()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if not self.done:
            loop, task = self._started.result()
            with suppress(RuntimeError):  # it may have ended meanwhile
                loop.call_soon_threadsafe(task.cancel)
        self._thread.join()
        if kind is KeyboardInterrupt:
            raise Interrupted("a command on a server was in progress") from None

    def _work(self) -> None:
        async def main() -> T:
            task = asyncio.current_task()
            assert task is not None
            self._started.set_result((asyncio.get_running_loop(), task))
            return await self._coroutine

        try:
            self._future.set_result(asyncio.run(main()))
        except BaseException as error:
            self._future.set_exception(error)
