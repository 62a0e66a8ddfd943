"""Health monitors: the members of a pool are asked again and again; who fails is taken out, who recovers comes back."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from pathlib import Path

from faafo_lab.cloud.emulator.machinery.balancing.pools import Backend, Member, Monitor

log = logging.getLogger(__name__)

Door = Callable[[str, int, str], Path]

_LINE_BYTES = 1 << 12


class Monitors:
    """The checks of one pool; belongs to one asyncio loop."""

    def __init__(self, backend: Backend, door: Door) -> None:
        """`door` is `Switch.door`."""
        self._backend = backend
        self._door = door
        self._tasks: dict[tuple[Member, Monitor], asyncio.Task[None]] = {}

    def follow(self) -> None:
        """Check exactly the members that the pool has now, as it wants it; a check that is as before goes on."""
        pool = self._backend.pool
        wanted = {(member, pool.monitor) for member in pool.members if pool.monitor is not None}
        for key in [key for key in self._tasks if key not in wanted]:
            self._tasks.pop(key).cancel()
        for member, monitor in wanted:
            if (member, monitor) not in self._tasks:
                task = asyncio.get_running_loop().create_task(self._watch(member, monitor))
                self._tasks[member, monitor] = task

    def stop(self) -> None:
        for task in self._tasks.values():
            task.cancel()
        self._tasks.clear()

    async def _watch(self, member: Member, monitor: Monitor) -> None:
        health = self._backend.health
        in_a_row = 0  # results that contradict what is known
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            well = await check(member, monitor, self._door)
            known = health.get(member.id)
            if known is None:
                health[member.id] = well  # the first result counts at once
            elif well == known:
                in_a_row = 0
            else:
                in_a_row += 1
                if in_a_row >= (monitor.rise if well else monitor.fall):
                    log.info("member %s at %s:%d: %s", member.id, member.address, member.port, "up" if well else "down")
                    health[member.id] = well
                    in_a_row = 0
            await asyncio.sleep(max(0.0, began + monitor.delay - loop.time()))


async def check(member: Member, monitor: Monitor, door: Door) -> bool:
    """Whether a member answers with an expected status within the monitor's time."""
    if not member.reachable:
        return False
    writer: asyncio.StreamWriter | None = None
    try:
        async with asyncio.timeout(monitor.timeout):
            place = door(member.check_address, member.check_port, member.source)
            reader, writer = await asyncio.open_unix_connection(str(place), limit=_LINE_BYTES)
            if not monitor.http:
                return True
            host = f"Host: {monitor.domain}\r\n" if monitor.domain else ""
            head = f"{monitor.method} {monitor.path} HTTP/{monitor.version:.1f}\r\n{host}Connection: close\r\n\r\n"
            writer.write(head.encode())
            protocol, code, *_ = [*(await reader.readline()).split(), b"", b""]
            return protocol.startswith(b"HTTP/") and code.isdigit() and int(code) in monitor.codes
    except (OSError, TimeoutError, ValueError):
        return False
    finally:
        if writer is not None:
            writer.transport.abort()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
