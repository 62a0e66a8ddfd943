"""The instance's SSH server, on its port 22: admits the keys of ~/.ssh/authorized_keys, whatever the user name.

Commands and shells run as children of the agent, in the instance's environment, and end with their channel.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import signal
import socket
import struct
import termios
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import asyncssh

from faafo_lab.cloud.emulator.machinery.guest.children import Child, Children
from faafo_lab.cloud.emulator.machinery.guest.console import Console
from faafo_lab.cloud.emulator.system import tree

PORT = 22
LOGIN_LIMIT_SECONDS = 60.0
_HANGUP_SECONDS = 0.5
_COPY_BYTES = 1 << 16
_SENT_BY_CLIENT = ("LANG", "LC_", "TERM")

asyncssh.set_log_level(logging.ERROR)


def warm_up() -> None:
    """Load, in the hypervisor, what a first connection would load in every agent."""
    for module in ("concurrent.futures.thread", "encodings.idna", "stringprep", "subprocess", "tarfile"):
        __import__(module)
    asyncssh.generate_private_key("ssh-ed25519").export_private_key()


class SSHServer:
    """Listens on the instance's `ports/22`."""

    def __init__(self, disk: Path, environment: Mapping[str, str], children: Children, console: Console) -> None:
        self._home = Path(environment["HOME"])
        self._motd = disk / "etc/motd"
        self._key_path = disk / "etc/ssh/ssh_host_ed25519_key"
        self._environment = environment
        self._children = children
        self._console = console
        self._options: asyncssh.SSHServerConnectionOptions | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def listen(self, ports: Path) -> None:
        """Serve until the loop ends."""
        self._console.line(f"sshd[1]: host key {self._host_key().get_fingerprint()} (ED25519)")
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.setblocking(False)
        listener.bind(str(ports / str(PORT)))
        listener.listen(64)
        self._start(self._accept(listener))

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

    def _start(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            connection, _ = await loop.sock_accept(listener)
            self._start(self._serve(connection))

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
        """Run a command, or a shell where there is none, and be its terminal or its pipes."""
        environment = {**self._environment, **_accepted(process.env)}
        shell = environment["SHELL"]
        command = process.command
        try:
            if process.term_type:
                environment["TERM"] = process.term_type
                await self._on_terminal(process, [shell, "-c", command] if command else [shell, "-i"], environment)
            else:
                await self._on_pipes(process, [shell, "-c", command] if command else [shell], environment)
        except OSError as error:
            process.stderr.write(f"{error}\n".encode())
            process.exit(127)

    async def _on_pipes(
        self, process: asyncssh.SSHServerProcess[bytes], argv: list[str], environment: Mapping[str, str]
    ) -> None:
        # Socket pairs rather than pipes would change what programs see; pipes it is, three of them.
        (stdin, to), (of_out, stdout), (of_err, stderr) = os.pipe(), os.pipe(), os.pipe()
        try:
            child = self._children.spawn(argv, environment, self._home, stdin=stdin, stdout=stdout, stderr=stderr)
        except OSError:
            for fd in (to, of_out, of_err):
                os.close(fd)
            raise
        finally:
            for fd in (stdin, stdout, stderr):
                os.close(fd)
        self._start(_feed(process, to))
        outputs = asyncio.gather(_drain(of_out, process.stdout), _drain(of_err, process.stderr))
        try:
            await self._attend(process, child, outputs)
        finally:
            outputs.cancel()

    async def _on_terminal(
        self, process: asyncssh.SSHServerProcess[bytes], argv: list[str], environment: Mapping[str, str]
    ) -> None:
        ours, theirs = os.openpty()
        try:
            _resize(theirs, process.term_size)
            if process.command is None and self._motd.exists():
                process.stdout.write(self._motd.read_bytes().replace(b"\n", b"\r\n"))
            child = self._children.spawn(
                argv, environment, self._home, stdin=theirs, stdout=theirs, stderr=theirs, terminal=True
            )
        except OSError:
            os.close(ours)
            raise
        finally:
            os.close(theirs)
        self._start(_feed(process, os.dup(ours), ours))
        outputs = asyncio.gather(_drain(ours, process.stdout))
        try:
            await self._attend(process, child, outputs)
        finally:
            outputs.cancel()

    async def _attend(
        self, process: asyncssh.SSHServerProcess[bytes], child: Child, outputs: asyncio.Future[Any]
    ) -> None:
        """Await the child's end or the channel's, whichever is first, and end the other."""
        hangup: asyncio.Future[Any] = asyncio.ensure_future(process.channel.wait_closed())
        try:
            await asyncio.wait({hangup, child.code}, return_when=asyncio.FIRST_COMPLETED)
            if not child.code.done():
                await _hang_up(child)
                return
            # What the child has written is still to be sent; what its own children write later is not awaited.
            await asyncio.wait({hangup, outputs}, return_when=asyncio.FIRST_COMPLETED, timeout=_HANGUP_SECONDS)
            code = child.code.result()
            if code < 0 and -code in signal.Signals._value2member_map_:
                process.exit_with_signal(signal.Signals(-code).name.removeprefix("SIG"))
            else:
                process.exit(code if code >= 0 else 128 - code)
        finally:
            hangup.cancel()


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


def _accepted(sent: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in sent.items() if name.startswith(_SENT_BY_CLIENT)}


def _resize(terminal: int, size: tuple[int, int, int, int]) -> None:
    columns, rows, width, height = size
    with contextlib.suppress(OSError):
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, width, height))


async def _hang_up(child: Child) -> None:
    """Nobody listens any more: SIGHUP, then SIGKILL, for the command and what it started."""
    everyone = [child.pid, *tree.descendants(child.pid)]
    for pid in everyone:
        tree.send(pid, signal.SIGHUP)
        tree.send(pid, signal.SIGCONT)
    await asyncio.wait([child.code], timeout=_HANGUP_SECONDS)
    if not child.code.done():
        tree.kill([child.pid])


async def _readable(fd: int) -> None:
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(fd, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(fd)


async def _writable(fd: int) -> None:
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_writer(fd, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_writer(fd)


async def _drain(fd: int, writer: asyncssh.SSHWriter[bytes]) -> None:
    """From a child's file to the channel, until its end."""
    os.set_blocking(fd, False)
    try:
        while True:
            try:
                data = os.read(fd, _COPY_BYTES)
            except BlockingIOError:
                await _readable(fd)
                continue
            if not data:
                return
            writer.write(data)
            await writer.drain()
    except (OSError, asyncssh.Error):
        return  # a terminal ends with EIO, a channel with its connection
    finally:
        os.close(fd)


async def _feed(process: asyncssh.SSHServerProcess[bytes], fd: int, terminal: int | None = None) -> None:
    """From the channel to a child's stdin, window changes included, until its end."""
    os.set_blocking(fd, False)
    try:
        while True:
            try:
                data = await process.stdin.read(_COPY_BYTES)
            except asyncssh.TerminalSizeChanged as change:
                _resize(fd, change.term_size)
                continue
            except (asyncssh.BreakReceived, asyncssh.SignalReceived):
                data = b"\x03" if terminal is not None else b""
                if not data:
                    continue
            if not data:
                if terminal is not None:
                    os.write(fd, b"\x04")
                return
            while data:
                try:
                    data = data[os.write(fd, data) :]
                except BlockingIOError:
                    await _writable(fd)
    except (OSError, asyncssh.Error):
        return
    finally:
        os.close(fd)
