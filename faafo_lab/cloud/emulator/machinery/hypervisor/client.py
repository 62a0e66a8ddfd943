"""The hypervisor's client: how the emulator starts, stops and asks after its instances.

The hypervisor itself is a process of its own (`daemon`): its beat, which holds the flavors' CPU shares, must
not wait for APIs and relays. The socket pair between the two is also its lifeline: when the emulator dies, however
it dies, the hypervisor ends every instance and itself.

HypervisorError      an instance could not be booted, or the hypervisor did not answer; one clear sentence
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from faafo_lab.cloud.emulator.errors import EmulatorError
from faafo_lab.cloud.emulator.system import channel, sockets, tree
from faafo_lab.cloud.emulator.system.peers import Socket

log = logging.getLogger(__name__)

START_LIMIT_SECONDS = 30.0
BOOT_LIMIT_SECONDS = 60.0
KILL_LIMIT_SECONDS = 20.0
ANSWER_LIMIT_SECONDS = 10.0
_LINE_BYTES_MAX = 1 << 24


class HypervisorError(EmulatorError):
    """What went wrong with an instance, in one clear sentence."""


@dataclass(frozen=True)
class Guest:
    """All that an instance needs to boot."""

    id: str
    name: str
    # `instances/ID`: holds disk/, volumes/, console.log, procfs/. Exists; disk/ is unpacked where there is none.
    directory: str
    ports: str  # its INSTANCE_PORTS directory, see `Hypervisor.ports_dir`
    image_path: str  # the tar.gz of the initial disk
    cores: float | None  # the CPU cap in cores, None: none
    memory_mb: int
    public_keys: tuple[str, ...] = ()
    user_data: str | None = None  # Base64, as given to Nova
    metadata: dict[str, Any] = field(default_factory=dict)  # meta_data.json, for the programs in the instance
    metadata_url: str = ""  # where the metadata service answers the instance
    # Run the user data. A first boot that was cut short is made good at the next, whatever this says.
    first_boot: bool = True


class Hypervisor:
    """The hypervisor of one state directory; all methods belong to one asyncio loop."""

    def __init__(self, state_dir: Path, on_exit: Callable[[str], None]) -> None:
        """`on_exit` is called with the id of an instance whose init ended by itself (none of it is left then)."""
        self.state_dir = state_dir
        self._on_exit = on_exit
        self._sockets: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._reader: asyncio.Task[None] | None = None
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._alive: set[str] = set()
        self._closing = False
        self._starting = asyncio.Lock()

    async def start(self) -> None:
        """Start the process. It goes on to load what the guests share while the caller does other things."""
        async with self._starting:
            if self._writer is not None:
                return
            self._closing = False
            if left := await asyncio.to_thread(tree.end_leftovers, self.state_dir, KILL_LIMIT_SECONDS):
                raise HypervisorError(f"Processes {left} of an earlier run of the instances do not end.")
            self._sockets = sockets.sockets_dir(self.state_dir)
            ours, theirs = socket.socketpair()
            with theirs:
                self._process = subprocess.Popen(
                    [
                        sys.executable,
                        "-m",
                        "faafo_lab.cloud.emulator.machinery.hypervisor.daemon",
                        str(theirs.fileno()),
                        str(self.state_dir),
                    ],
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    start_new_session=True,
                    env={**os.environ, tree.STATE_VARIABLE: str(self.state_dir.resolve())},
                )
            reader, self._writer = await asyncio.open_connection(sock=ours, limit=_LINE_BYTES_MAX)
            self._reader = asyncio.create_task(self._read(reader))
        try:
            await self._ask("hello", START_LIMIT_SECONDS)
        except HypervisorError:
            await self.close()
            raise

    async def close(self) -> None:
        """Kill all instances and the process; nothing is left then, the sockets' directory neither."""
        self._closing = True
        process = self._process
        if self._writer is not None:
            self._writer.close()  # the lifeline: its end is the order
        if self._reader is not None:
            self._reader.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._reader
        await self._end_of(process)
        self._lost("the hypervisor was closed")
        self._process = self._writer = self._reader = None
        if self._sockets is not None:
            sockets.remove(self._sockets)

    def ports_dir(self, id: str) -> Path:
        """The short directory for an instance's sockets, its INSTANCE_PORTS; made when it boots."""
        if self._sockets is None:
            self._sockets = sockets.sockets_dir(self.state_dir)
        return self._sockets / id

    async def boot(self, guest: Guest) -> None:
        """Boot an instance; returns when its init runs. Raises HypervisorError, and then nothing of it is left."""
        if guest.id in self._alive:
            raise HypervisorError(f"Instance {guest.id} runs already.")
        if self._writer is None and not self._closing:
            await self.start()  # it died: its instances with it, but the next may live
        self._alive.add(guest.id)
        try:
            await self._ask("boot", BOOT_LIMIT_SECONDS, guest=asdict(guest))
        except BaseException:
            self._alive.discard(guest.id)
            if self._writer is not None:
                with contextlib.suppress(HypervisorError):
                    await self.kill(guest.id)
            raise

    async def kill(self, id: str) -> None:
        """SIGKILL an instance's whole tree; returns when none of its processes is left. Unknown id: nothing to do."""
        await self._end("kill", id, KILL_LIMIT_SECONDS)

    async def shutdown(self, id: str, grace_seconds: float) -> None:
        """Let the instance's init stop its units, then kill what is left of the tree after `grace_seconds`."""
        await self._end("shutdown", id, KILL_LIMIT_SECONDS + grace_seconds, grace_seconds=grace_seconds)

    async def freeze(self, id: str) -> None:
        """Stop all of an instance's processes but its init, and what may start meanwhile. Raises HypervisorError."""
        await self._ask("freeze", ANSWER_LIMIT_SECONDS, id=id)

    async def thaw(self, id: str) -> None:
        """Let a frozen instance go on. Unknown id: nothing to do."""
        if self._writer is not None:
            await self._ask("thaw", ANSWER_LIMIT_SECONDS, id=id)

    async def _end(self, verb: str, id: str, limit_seconds: float, **details: Any) -> None:
        self._alive.discard(id)
        if self._writer is not None:
            await self._ask(verb, limit_seconds, id=id, **details)

    async def owner(self, end: Socket) -> str | None:
        """The instance whose process holds this socket open; None where it is a process of no instance.

        Raises HypervisorError where that is not known.
        """
        found: str | None = await self._ask("owner", ANSWER_LIMIT_SECONDS, inode=end.inode, uid=end.uid)
        if found is None:
            raise HypervisorError(f"No process is seen to hold socket {end.inode} open.")
        return found or None

    async def pids(self, id: str) -> list[int]:
        """An instance's processes, its init first; none for an unknown id."""
        if self._writer is None:
            return []
        found: list[int] = await self._ask("pids", ANSWER_LIMIT_SECONDS, id=id)
        return found

    def console(self, id: str, line: str) -> None:
        """Write a line into an instance's console log (its agent keeps that file: don't write it yourself)."""
        if self._writer is not None:
            self._writer.write(channel.encode({"verb": "console", "number": 0, "id": id, "line": line}))

    async def _ask(self, verb: str, limit_seconds: float, **details: Any) -> Any:
        if self._writer is None:
            raise HypervisorError("The hypervisor does not run: start the embedded cloud again.")
        number = next(self._numbers)
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._answers[number] = answer
        try:
            self._writer.write(channel.encode({"verb": verb, "number": number, **details}))
            async with asyncio.timeout(limit_seconds):
                return await answer
        except TimeoutError:
            raise HypervisorError(
                f"The hypervisor did not answer to '{verb}' within {limit_seconds:.0f} s: see the emulator's log."
            ) from None
        finally:
            self._answers.pop(number, None)

    async def _read(self, reader: asyncio.StreamReader) -> None:
        async for message in channel.messages(reader):
            if "exit" in message:
                self._exited(message["exit"])
                continue
            answer = self._answers.get(message["number"])
            if answer is None or answer.done():
                continue
            if "error" in message:
                answer.set_exception(HypervisorError(message["error"]))
            else:
                answer.set_result(message["result"])
        if not self._closing:
            log.error("The hypervisor has died; so have its instances.")
            if self._writer is not None:
                self._writer.close()
            process, self._process, self._writer, self._reader = self._process, None, None, None
            async with self._starting:
                if self._writer is None:  # otherwise the next one runs already, and has seen to what was left
                    await self._end_of(process)
            self._lost("The hypervisor has died: boot the server again.")
            for id in list(self._alive):
                self._exited(id)

    async def _end_of(self, process: subprocess.Popen[bytes] | None) -> None:
        """Await a hypervisor's end, and end what it leaves."""
        if process is not None:
            try:
                await asyncio.to_thread(process.wait, KILL_LIMIT_SECONDS)
            except subprocess.TimeoutExpired:
                log.error("The hypervisor did not end within %.0f s: killed.", KILL_LIMIT_SECONDS)
                process.kill()
                await asyncio.to_thread(process.wait)
        await asyncio.to_thread(tree.end_leftovers, self.state_dir, KILL_LIMIT_SECONDS)

    def _exited(self, id: str) -> None:
        if id in self._alive:
            self._alive.discard(id)
            self._on_exit(id)

    def _lost(self, why: str) -> None:
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(HypervisorError(why))
