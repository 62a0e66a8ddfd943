"""An instance's init: boots it, keeps it, ends it.

The order of things: become the root of a tree that nothing can leave; prepare the disk; listen; say "ready"; start
the enabled units; at first boot, run the user data. It ends with its lifeline, and takes the whole tree with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import platform
import signal
import socket
from pathlib import Path
from typing import Any

from faafo_lab.cloud.emulator.machinery.guest import disk, initsocket, ssh
from faafo_lab.cloud.emulator.machinery.guest.children import Children
from faafo_lab.cloud.emulator.machinery.guest.cloudinit import CloudInit
from faafo_lab.cloud.emulator.machinery.guest.console import Console
from faafo_lab.cloud.emulator.machinery.guest.hostname import change_hostname, set_hostname
from faafo_lab.cloud.emulator.machinery.guest.supervisor import Supervisor
from faafo_lab.cloud.emulator.machinery.guest.systemctl import systemctl
from faafo_lab.cloud.emulator.machinery.hypervisor.client import Guest
from faafo_lab.cloud.emulator.system import channel, tree

POWER_OFF, REBOOT = 0, 64  # exit statuses, see hypervisord

_KILL_LIMIT_SECONDS = 10.0
_SHUTDOWN_SECONDS = 90.0
_REST_SECONDS = 1.0
_POLL_SECONDS = 0.02


def run(guest: Guest, lifeline: socket.socket) -> int:
    """Be the init of `guest`; returns its exit status when the instance has ended and nothing of it is left."""
    # Handlers, not SIG_IGN: what is ignored here would be ignored by every program of the instance.
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, lambda *_: None)
    state_dir = os.environ.get(tree.STATE_VARIABLE, "")
    os.setsid()
    os.umask(0o022)
    tree.adopt_orphans()
    console = Console(Path(guest.directory) / "console.log")
    own_hostname = set_hostname(guest.name)
    signal.signal(signal.SIGTERM, _end_now)
    tree.signal_me_when_my_parent_dies(signal.SIGTERM)
    try:
        root = disk.prepare(guest)
    except disk.DiskError as error:
        console.line(f"init[1]: {error}")
        lifeline.sendall(channel.encode({"error": str(error)}))
        return 1
    os.environ.clear()
    os.environ.update(disk.environment(guest, root, state_dir))
    os.chdir(os.environ["HOME"])
    agent = Agent(guest, root, dict(os.environ), console, own_hostname)
    return asyncio.run(agent.run(lifeline))


def _end_now(number: int, frame: Any) -> None:
    """The hypervisor has died: nothing of the instance may outlive it."""
    tree.kill_below_me(_KILL_LIMIT_SECONDS)
    os._exit(1)


class Agent:
    """The init, once its loop runs."""

    def __init__(
        self, guest: Guest, root: Path, environment: dict[str, str], console: Console, own_hostname: bool
    ) -> None:
        self._guest = guest
        self._root = root
        self._environment = environment
        self._console = console
        self._children = Children()
        self._supervisor = Supervisor(root, environment, self._children, console)
        self._ssh = ssh.SSHServer(root, environment, self._children, console, self._start)
        self._cloud_init = CloudInit(root, environment, self._children, console, self._rename)
        self._own_hostname = own_hostname
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, lifeline: socket.socket) -> int:
        """Boot, and keep the instance until it ends; returns the exit status."""
        self._end: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._children.watch()
        reader, writer = await asyncio.open_connection(sock=lifeline)
        self._start(self._hear(reader))
        self._greet()
        await initsocket.listen(Path(self._guest.ports), self._answer)
        self._ssh.listen(Path(self._guest.ports))
        writer.write(channel.encode({"ready": True}))
        self._start(self._come_up())
        status = await self._end
        tree.kill_below_me(_KILL_LIMIT_SECONDS)
        return status

    def _start(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _greet(self) -> None:
        guest, say = self._guest, self._console.line
        cores = "all cores" if guest.cores is None else f"{guest.cores:g} cores"
        say(f"Linux version {platform.release()} ({platform.machine()}), a process tree of its own")
        say(f"Instance: {guest.name} ({guest.id})")
        say(f"CPU: {cores}; memory: {guest.memory_mb} MB (what is beyond it ends the largest process)")
        how = "" if self._own_hostname else " (in HOSTNAME only: this system allows no namespaces)"
        say(f"systemd[1]: Hostname set to <{guest.name}>{how}.")
        for address in guest.metadata.get("addresses", ()):
            say(f"ci-info: {address}")
        for volume in guest.metadata.get("devices", ()):
            say(f"virtio_blk: {Path(volume['path']).name}: volume {volume['serial']} is {volume['path']}")

    async def _hear(self, reader: asyncio.StreamReader) -> None:
        """Messages of the hypervisor; when there are no more, it is gone."""
        async for message in channel.messages(reader):
            if message["verb"] == "console":
                self._console.line(message["line"])
            elif message["verb"] == "shutdown":
                self._start(self._shut_down("Power-Off", POWER_OFF))
        self._finish(1)

    def _finish(self, status: int) -> None:
        if not self._end.done():
            self._end.set_result(status)

    async def _shut_down(self, target: str, status: int) -> None:
        self._console.line(f"systemd[1]: Reached target {target}: stopping all units.")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_SHUTDOWN_SECONDS):
                await self._supervisor.stop_all()
                await self._end_the_rest()
        self._console.line("reboot: Restarting system" if status == REBOOT else "reboot: Power down")
        self._finish(status)

    async def _end_the_rest(self) -> None:
        """Give what belongs to no unit a moment to end by itself."""
        for pid in tree.descendants(os.getpid()):
            tree.send(pid, signal.SIGTERM)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_REST_SECONDS):
                while tree.descendants(os.getpid()):
                    await asyncio.sleep(_POLL_SECONDS)

    # What the instance's commands ask

    async def _answer(self, words: list[str]) -> initsocket.Reply:
        command, arguments = (words[0], words[1:]) if words else ("", [])
        if command == "systemctl" and arguments[:1] in (["reboot"], ["poweroff"]):
            command = arguments[0]
        if command == "systemctl":
            return await systemctl(self._supervisor, arguments)
        if command == "cloud-init":
            return await self._cloud_init.status(arguments)
        if command in ("reboot", "poweroff", "shutdown"):
            reboot = command == "reboot" or "-r" in arguments
            self._start(self._shut_down("Reboot" if reboot else "Power-Off", REBOOT if reboot else POWER_OFF))
            return initsocket.Reply(0)
        return initsocket.Reply(127, error=f"init: {command} is not known here.\n")

    # Coming up

    async def _come_up(self) -> None:
        try:
            await self._cloud_init.init(self._guest.user_data, first_boot=self._guest.first_boot)
        except Exception as error:  # a mistake of ours must not keep the instance from coming up
            self._cloud_init.broke(error)
        await self._supervisor.boot()
        await self._cloud_init.final()
        self._console.line(f"systemd[1]: Startup finished in {self._console.uptime:.3f}s.")

    def _rename(self, name: str) -> None:
        """Take another host name than the server's."""
        self._environment["HOSTNAME"] = name
        (self._root / "etc/hostname").write_text(name + "\n", encoding="utf-8")
        if self._own_hostname:
            change_hostname(name)
        self._console.line(f"systemd[1]: Hostname set to <{name}>.")
