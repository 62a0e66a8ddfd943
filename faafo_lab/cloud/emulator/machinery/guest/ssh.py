"""The instance's SSH server, on its port 22: admits the keys of ~/.ssh/authorized_keys, whatever the user name.

Commands and shells run as children of the agent, in the instance's environment, and end with their channel.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import select
import signal
import socket
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any

import asyncssh

from faafo_lab.cloud.emulator.machinery.guest.children import Child, Children
from faafo_lab.cloud.emulator.machinery.guest.console import Console
from faafo_lab.cloud.emulator.system import tree
from faafo_lab.cloud.emulator.system.sockets import Listening

PORT = 22
LOGIN_LIMIT_SECONDS = 60.0
_HANGUP_SECONDS = 0.5
_SENT_BY_CLIENT = ("LANG", "LC_", "TERM")

asyncssh.set_log_level(logging.ERROR)


def warm_up() -> None:
    """Load, in the hypervisor, what a first connection would load in every agent."""
    for module in ("concurrent.futures.thread", "encodings.idna", "stringprep", "subprocess", "tarfile"):
        __import__(module)
    asyncssh.generate_private_key("ssh-ed25519").export_private_key()


class SSHServer:
    """Listens on the instance's `ports/22`."""

    def __init__(
        self,
        disk: Path,
        environment: Mapping[str, str],
        children: Children,
        console: Console,
        start: Callable[[Coroutine[Any, Any, None]], None],
    ) -> None:
        """`start` starts a task."""
        self._home = Path(environment["HOME"])
        self._motd = disk / "etc/motd"
        self._key_path = disk / "etc/ssh/ssh_host_ed25519_key"
        self._environment = environment
        self._children = children
        self._console = console
        self._options: asyncssh.SSHServerConnectionOptions | None = None
        self._start = start

    def listen(self, ports: Path) -> None:
        """Serve until the loop ends."""
        self._console.line(f"sshd[1]: host key {self._host_key().get_fingerprint()} (ED25519)")
        Listening(ports / str(PORT), lambda connection: self._start(self._serve(connection)))

    def _host_key(self) -> asyncssh.SSHKey:
        """Made at first boot, kept on the instance's disk."""
        if not self._key_path.exists():
            self._key_path.parent.mkdir(parents=True, exist_ok=True)
            key = asyncssh.generate_private_key("ssh-ed25519", comment=self._environment["HOSTNAME"])
            new = self._key_path.with_suffix(".new")
            new.touch(mode=0o600)
            new.write_bytes(key.export_private_key())
            new.rename(self._key_path)
            self._key_path.with_suffix(".pub").write_bytes(key.export_public_key())
        return asyncssh.read_private_key(str(self._key_path))

    async def _construct(self) -> asyncssh.SSHServerConnectionOptions:
        """What all connections share; made for the first, as most instances never have one (2.5 MB)."""
        options: asyncssh.SSHServerConnectionOptions = await asyncssh.SSHServerConnectionOptions.construct(
            server_factory=lambda: _Login(self._home / ".ssh/authorized_keys"),
            server_host_keys=[self._host_key()],
            process_factory=self._run,
            sftp_factory=_SFTP,
            allow_scp=True,
            encoding=None,
            login_timeout=LOGIN_LIMIT_SECONDS,
            password_auth=False,
            kbdint_auth=False,
            host_based_auth=False,
            gss_host=None,
            agent_forwarding=False,
            line_editor=False,
            server_version="faafo-lab",
            config=[],
        )
        return options

    async def _serve(self, connection: socket.socket) -> None:
        if self._options is None:
            self._options = await self._construct()
        with contextlib.suppress(OSError, asyncssh.Error):
            served = await asyncssh.run_server(connection, options=self._options)
            await served.wait_closed()

    async def _run(self, process: asyncssh.SSHServerProcess[bytes]) -> None:
        """Run a command, or a shell where there is none, on a terminal or three pipes."""
        sent = {name: value for name, value in process.env.items() if name.startswith(_SENT_BY_CLIENT)}
        environment = {**self._environment, **sent}
        shell = environment["SHELL"]
        argv = [shell, "-c", process.command] if process.command else [shell]
        terminal = bool(process.term_type)
        to: int | asyncio.StreamWriter
        of_err: int | None = None
        if terminal:
            environment["TERM"] = str(process.term_type)
            if not process.command:
                argv.append("-i")
                if self._motd.exists():
                    process.stdout.write(self._motd.read_bytes().replace(b"\n", b"\r\n"))
            of_out, stdin = os.openpty()
            to, stdout, stderr = of_out, stdin, stdin
        else:
            (stdin, fd), (of_out, stdout), (of_err, stderr) = os.pipe(), os.pipe(), os.pipe()
            to = await _Input.to(fd)
        try:
            # The end of one output is not yet that of the other, and a terminal outlasts its input.
            await process.redirect(to, of_out, of_err, send_eof=False, recv_eof=not terminal)
            child = self._children.spawn(
                argv, environment, self._home, stdin=stdin, stdout=stdout, stderr=stderr, terminal=terminal
            )
        except OSError as error:
            process.stderr.write(f"{error}\n".encode())
            process.exit(127)
            return
        finally:
            for fd in {stdin, stdout, stderr}:
                os.close(fd)
        await self._attend(process, child, [of_out] if of_err is None else [of_out, of_err])

    async def _attend(self, process: asyncssh.SSHServerProcess[bytes], child: Child, sources: list[int]) -> None:
        """Await the child's end or the channel's, whichever is first, and end the other."""
        hangup: asyncio.Future[Any] = asyncio.ensure_future(process.channel.wait_closed())
        outputs: asyncio.Future[Any] = asyncio.gather(process.stdout.drain(), process.stderr.drain())
        try:
            await asyncio.wait({hangup, child.code}, return_when=asyncio.FIRST_COMPLETED)
            if not child.code.done():
                await _hang_up(child)
                return
            # What the child has written is still to be sent; what its own children write later is not awaited.
            unread = select.poll()
            for fd in sources:
                unread.register(fd, select.POLLIN)
            while True:
                await asyncio.wait({hangup, outputs}, return_when=asyncio.FIRST_COMPLETED, timeout=_HANGUP_SECONDS)
                if hangup.done() or outputs.done() or not any(seen & select.POLLIN for _, seen in unread.poll(0)):
                    break
            code = child.code.result()
            if code < 0 and -code in signal.Signals._value2member_map_:
                process.exit_with_signal(signal.Signals(-code).name.removeprefix("SIG"))
            else:
                process.exit(code if code >= 0 else 128 - code)
        finally:
            hangup.cancel()
            outputs.cancel()


class _Login(asyncssh.SSHServer):
    """Admits whoever holds a key of the file, by any user name: there is one account."""

    def __init__(self, keys: Path) -> None:
        self._keys = keys
        self._connection: asyncssh.SSHServerConnection | None = None

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._connection = conn

    def begin_auth(self, username: str) -> bool:
        if self._connection is not None:
            with contextlib.suppress(OSError, ValueError):
                self._connection.set_authorized_keys(str(self._keys))
        return True

    def connection_requested(self, dest_host: str, dest_port: int, orig_host: str, orig_port: int) -> bool:
        """Be a jump host: the agent connects, and so the target sees this instance, as its security groups do."""
        return True


class _SFTP(asyncssh.SFTPServer):
    """Relative paths start at the agent's directory, which is the home."""

    def exit(self) -> None:
        """Tell OpenSSH's scp that all went well: it waits for a status."""
        self.channel.exit(0)


class _Input(asyncio.StreamWriter):
    """A command's input. (A bare transport loses its buffer where the end comes while it resumes its protocol.)"""

    async def drain(self) -> None:
        with contextlib.suppress(OSError):  # the command need not read it all
            await super().drain()

    @classmethod
    async def to(cls, fd: int) -> _Input:
        loop = asyncio.get_running_loop()
        made = await loop.connect_write_pipe(asyncio.streams.FlowControlMixin, os.fdopen(fd, "wb", buffering=0))
        return cls(*made, None, loop)


async def _hang_up(child: Child) -> None:
    """Nobody listens any more: SIGHUP, then SIGKILL, for the command and what it started."""
    everyone = [child.pid, *tree.descendants(child.pid)]
    for pid in everyone:
        tree.send(pid, signal.SIGHUP)
        tree.send(pid, signal.SIGCONT)
    await asyncio.wait([child.code], timeout=_HANGUP_SECONDS)
    if not child.code.done():
        tree.kill([child.pid])
