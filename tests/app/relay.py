"""A network between two programs that a test can close: a relay of TCP connections or of Unix sockets."""

import asyncio
import contextlib
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

Address = str | tuple[str, int]  # a socket's path, or host and port
PIECE_BYTES = 65536


class Relay:
    """Listens at one address and relays each connection to another; runs in a thread of its own until `close`."""

    def __init__(self, listen: Address, target: Address) -> None:
        self._listen, self._target = listen, target
        self._connections: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._flows = asyncio.Event()
        self._flows.set()
        self._server: asyncio.Server | None = None
        self._thread = threading.Thread(target=self._loop.run_forever, name="relay", daemon=True)
        self._thread.start()
        self._do(self._serve())

    def refuse(self) -> None:
        """Close all connections and refuse new ones."""
        self._do(self._stop())

    def silence(self) -> None:
        """Let nothing through any more; connections stay open, new ones are accepted and hear nothing."""
        self._loop.call_soon_threadsafe(self._flows.clear)

    def open(self) -> None:
        """Let everything through again, what was held back first."""
        self._loop.call_soon_threadsafe(self._flows.set)
        if self._server is None:
            self._do(self._serve())

    def close(self) -> None:
        """End it."""
        self._do(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    async def _serve(self) -> None:
        if isinstance(self._listen, str):
            self._server = await asyncio.start_unix_server(self._connected, self._listen)
        else:
            self._server = await asyncio.start_server(self._connected, *self._listen)

    async def _stop(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        connections = list(self._connections)
        for task in connections:
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        writers = [writer]
        try:
            await self._flows.wait()
            if isinstance(self._target, str):
                far_reader, far_writer = await asyncio.open_unix_connection(self._target)
            else:
                far_reader, far_writer = await asyncio.open_connection(*self._target)
            writers.append(far_writer)
            ways = [asyncio.create_task(self._pass(*way)) for way in ((reader, far_writer), (far_reader, writer))]
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for way in ways:
                    way.cancel()
        except OSError:
            pass
        except asyncio.CancelledError:  # `refuse`
            for one in writers:
                one.transport.abort()
        finally:
            self._connections.discard(task)
            for one in writers:
                one.close()  # once all that was sent has been passed on

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(PIECE_BYTES):
                await self._flows.wait()
                writer.write(data)
                await writer.drain()
