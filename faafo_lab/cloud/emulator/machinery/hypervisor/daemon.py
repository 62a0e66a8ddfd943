"""The hypervisor's process: parent of every instance's init, and the clock of the CPU shares.

One thread, one loop: a beat of the governor, messages of the emulator, ends of children. It loads what the guest
agents need once and forks them from itself, so that an agent boots in milliseconds and shares most of its memory.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import logging
import os
import selectors
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NoReturn

from faafo_lab.cloud.emulator.machinery.hypervisor.client import KILL_LIMIT_SECONDS, Guest
from faafo_lab.cloud.emulator.machinery.hypervisor.freezer import Freezer
from faafo_lab.cloud.emulator.machinery.hypervisor.governor import BEAT_NS, Governor
from faafo_lab.cloud.emulator.machinery.hypervisor.memory import BEAT_NS as MEMORY_BEAT_NS
from faafo_lab.cloud.emulator.machinery.hypervisor.memory import Memory
from faafo_lab.cloud.emulator.machinery.hypervisor.owners import Owners
from faafo_lab.cloud.emulator.system import tree
from faafo_lab.cloud.emulator.system.channel import Channel, Message

log = logging.getLogger(__name__)

REBOOT_STATUS = 64  # an init that exits with this wants to be booted again

_KILL_BEAT_SECONDS = 0.002
_IDLE_SECONDS = 0.1
_EMPTY_LOOKS = 2


@dataclass
class Instance:
    """A running or ending instance."""

    guest: Guest
    pid: int
    channel: Channel
    memory: Memory
    booted: bool = False
    # Numbers of the questions that are answered when it has booted or ended
    waiting: list[int] = field(default_factory=list)
    ending: bool = False
    status: int | None = None  # how its init ended, None while it lives
    stop_by: float | None = None  # an orderly shutdown becomes a kill at this time
    wanted: bool = False  # somebody asked for this end: it is nobody's news
    empty_looks: int = 0
    error: str | None = None


class HypervisorProcess:
    """The loop, and what it knows."""

    def __init__(self, emulator: Channel) -> None:
        self._emulator = emulator
        self._selector = selectors.DefaultSelector()
        self._selector.register(emulator, selectors.EVENT_READ, None)
        self._instances: dict[str, Instance] = {}
        self._governor = Governor()
        self._freezer = Freezer()
        self._owners = Owners()
        self._preloaded = False
        self._answer: dict[str, Callable[[Message], Any]] = {
            "hello": lambda message: True,
            "freeze": self._freeze,
            "thaw": self._thaw,
            "pids": lambda message: self._governor.pids(message["id"]),
            "owner": self._owner,
        }

    def run(self) -> None:
        """Serve until the emulator is gone, then end every instance."""
        beat_ns = memory_ns = 0
        while not self._emulator.closed:
            ending = any(instance.ending for instance in self._instances.values())
            wait = _KILL_BEAT_SECONDS if ending else min(_IDLE_SECONDS, (beat_ns - time.monotonic_ns()) / 1e9)
            for key, _ in self._selector.select(max(0.0, wait)):
                if key.data is None:
                    self._hear_emulator()
                else:
                    self._hear_guest(key.data)
            for channel in (self._emulator, *(one.channel for one in self._instances.values())):
                if channel.behind:
                    channel.flush()
            self._reap()
            self._end_instances()
            self._freezer.sweep()
            now_ns = time.monotonic_ns()
            if now_ns >= beat_ns:
                # On a common grid, so that instances share their beats.
                beat_ns = -(-self._governor.beat(now_ns) // BEAT_NS) * BEAT_NS
            if now_ns >= memory_ns:
                memory_ns = now_ns + MEMORY_BEAT_NS
                self._watch_memory(now_ns)
            if not self._preloaded and not self._emulator.closed:
                self._preload()

    def close(self) -> None:
        for instance in self._instances.values():
            instance.channel.close()
        if not tree.kill_below_me(KILL_LIMIT_SECONDS):
            log.error("Some processes of the instances could not be killed.")

    def _preload(self) -> None:
        """Load what every guest agent needs, once and for all of them, and keep the collector off it."""
        self._preloaded = True
        for module in ("asyncio", "asyncssh", "faafo_lab.cloud.emulator.machinery.guest.agent"):
            importlib.import_module(module)
        importlib.import_module("faafo_lab.cloud.emulator.machinery.guest.ssh").warm_up()
        gc.collect()
        gc.freeze()

    def _hear_emulator(self) -> None:
        for message in self._emulator.receive():
            verb, number = message["verb"], message["number"]
            try:
                if verb == "boot":
                    self._boot(Guest(**message["guest"]), number)
                elif verb in ("kill", "shutdown"):
                    self._end(message, number)
                elif verb == "console":
                    self._tell_console(message["id"], message["line"])
                else:
                    self._reply(number, self._answer[verb](message))
            except Exception as error:
                log.exception("'%s' failed", verb)
                self._emulator.send({"number": number, "error": f"The hypervisor failed to {verb}: {error}."})

    def _reply(self, number: int, result: Any) -> None:
        self._emulator.send({"number": number, "result": result})

    def _owner(self, message: Message) -> str | None:
        inits = {one.pid: id for id, one in self._instances.items() if one.status is None}
        likely = [pid for _, pids in self._governor.known(self._instances) for pid in pids]
        return self._owners.owner(message["inode"], message["uid"], inits, likely)

    def _tell_console(self, id: str, line: str) -> None:
        if instance := self._instances.get(id):
            instance.channel.send({"verb": "console", "line": line})

    def _boot(self, guest: Guest, number: int | None) -> None:
        if number is not None and guest.id in self._instances:
            self._emulator.send({"number": number, "error": f"Instance {guest.id} runs already."})
            return
        if not self._preloaded:
            self._preload()
        waiting = [] if number is None else [number]
        try:
            pid, lifeline = self._fork(guest)
        except OSError as error:  # too many processes or files
            self._fail(guest, waiting, f"The init of {guest.name} cannot be started: {error}.")
            return
        instance = Instance(guest, pid, Channel(lifeline), Memory(guest.memory_mb << 20), waiting=waiting)
        self._instances[guest.id] = instance
        self._selector.register(instance.channel, selectors.EVENT_READ, instance)
        try:
            self._governor.add(guest.id, pid, guest.cores, Path(guest.directory) / "procfs", time.monotonic_ns())
        except OSError as error:
            instance.error = f"The gauges of {guest.name} cannot be written: {error}."
            self._kill(instance)

    def _fork(self, guest: Guest) -> tuple[int, socket.socket]:
        """Start a guest's init; its process, and our end of its lifeline. Raises OSError."""
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                pid = os.fork()
            except OSError:
                ours.close()
                raise
            if not pid:
                self._become_guest(guest, theirs)
        return pid, ours

    def _fail(self, guest: Guest, waiting: list[int], why: str) -> None:
        """A guest could not boot: tell who waits for it, or, where it has rebooted by itself, its console."""
        for number in waiting:
            self._emulator.send({"number": number, "error": why})
        if not waiting:
            log.error("%s", why)
            with contextlib.suppress(OSError), (Path(guest.directory) / "console.log").open("ab") as console:
                console.write(f"hypervisor: {why}\n".encode(errors="replace"))
            self._emulator.send({"exit": guest.id})

    def _become_guest(self, guest: Guest, lifeline: socket.socket) -> NoReturn:
        """In the child: keep nothing of the hypervisor but its memory."""
        status = 1
        try:
            lifeline_fd = os.dup2(lifeline.fileno(), 3) if lifeline.fileno() != 3 else 3
            for fd in [int(name) for name in os.listdir("/proc/self/fd")]:
                if fd > lifeline_fd:
                    with contextlib.suppress(OSError):  # the listing's own
                        os.close(fd)
            from faafo_lab.cloud.emulator.machinery.guest import agent

            status = agent.run(guest, socket.socket(fileno=lifeline_fd))
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)

    def _hear_guest(self, instance: Instance) -> None:
        for message in instance.channel.receive():
            if message.get("ready"):
                instance.booted = True
                self._governor.forgive(instance.guest.id)
                while instance.waiting and not instance.ending:
                    self._reply(instance.waiting.pop(), True)
            elif "error" in message:
                instance.error = message["error"]
        if instance.channel.closed:
            self._selector.unregister(instance.channel)

    def _watch_memory(self, now_ns: int) -> None:
        """Where an instance uses more than it has, its largest process goes."""
        for id, pids in self._governor.known([id for id, one in self._instances.items() if not one.ending]):
            instance = self._instances[id]
            if victim := instance.memory.victim([pid for pid in pids if pid != instance.pid], now_ns):
                self._tell_console(id, f"Out of memory (the flavor has {instance.guest.memory_mb} MB): {victim[1]}")
                tree.send(victim[0], signal.SIGKILL)

    def _end(self, message: Message, number: int) -> None:
        instance = self._instances.get(message["id"])
        if instance is None:
            self._reply(number, True)
            return
        if not instance.wanted:
            # Who waits for the boot hears that it will not come.
            for waiting in instance.waiting:
                self._emulator.send({"number": waiting, "error": "The server was deleted while it booted."})
            instance.waiting.clear()
        instance.wanted = True
        instance.waiting.append(number)
        self._freezer.thaw(message["id"])
        if message["verb"] == "shutdown" and not instance.ending and not instance.channel.closed:
            if instance.stop_by is None:
                instance.stop_by = time.monotonic() + message["grace_seconds"]
                self._governor.cap(instance.guest.id, None)  # it is about to stop
                instance.channel.send({"verb": "shutdown", "grace_seconds": message["grace_seconds"]})
            return
        self._kill(instance)

    def _freeze(self, message: Message) -> bool:
        instance = self._instances.get(message["id"])
        if instance is None or instance.ending or instance.stop_by is not None:
            raise ValueError("it does not run")
        self._governor.cap(instance.guest.id, None)  # whoever stops them now also continues them
        self._freezer.freeze(instance.guest.id, instance.pid)
        return True

    def _thaw(self, message: Message) -> bool:
        instance = self._instances.get(message["id"])
        if instance is not None and message["id"] in self._freezer:
            self._freezer.thaw(message["id"])
            self._governor.cap(message["id"], instance.guest.cores)
        return True

    def _kill(self, instance: Instance) -> None:
        instance.ending = True
        self._freezer.forget(instance.guest.id)
        self._governor.remove(instance.guest.id)
        if instance.status is None:
            tree.kill([instance.pid])

    def _reap(self) -> None:
        ended = tree.reap()
        for instance in self._instances.values() if ended else ():
            if instance.pid in ended:
                instance.status = ended[instance.pid]
                self._kill(instance)

    def _end_instances(self) -> None:
        """Go on with every end: kill orphans, until there are none; then tell those who wait."""
        now = time.monotonic()
        for instance in self._instances.values():
            if instance.stop_by is not None and now > instance.stop_by and not instance.ending:
                self._kill(instance)
        ending = [instance for instance in self._instances.values() if instance.ending]
        if not ending:
            return
        # Orphans come to us only when their init is dead, so whoever is not an init is to go.
        inits = {one.pid for one in self._instances.values() if one.status is None}
        orphans = [pid for pid in tree.children(os.getpid()) if pid not in inits]
        if orphans:
            tree.kill(orphans)
        for instance in ending:
            instance.empty_looks = 0 if orphans or instance.status is None else instance.empty_looks + 1
            if instance.empty_looks >= _EMPTY_LOOKS:
                self._ended(instance)

    def _ended(self, instance: Instance) -> None:
        del self._instances[instance.guest.id]
        if not instance.channel.closed:
            self._hear_guest(instance)  # its last words
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(instance.channel)
        instance.channel.close()
        if instance.wanted:
            for number in instance.waiting:
                self._reply(number, True)
        elif not instance.booted:
            why = instance.error or f"Its init ended with status {instance.status} before it was up."
            self._fail(instance.guest, instance.waiting, why)
        elif instance.status == REBOOT_STATUS:
            self._boot(replace(instance.guest, first_boot=False), None)
        else:
            self._emulator.send({"exit": instance.guest.id})


def main() -> None:
    """Run the hypervisor; its arguments: the number of the inherited socket to the emulator, the state directory."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    tree.adopt_orphans()
    tree.mark_me(Path(sys.argv[2]))
    process = HypervisorProcess(Channel(socket.socket(fileno=int(sys.argv[1]))))
    try:
        process.run()
    finally:
        process.close()


if __name__ == "__main__":
    main()
