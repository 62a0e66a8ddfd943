"""Commands on servers, over SSH.

    result = cloud.run(server, "uptime")     # result.stdout, result.stderr, result.exit_code

The server is reached at its floating address, else its private one, as the user that clouds.yaml names (`ssh_user`,
default ubuntu), with the lab's own key. A server's host key is trusted when it is first seen and must stay the same.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

from faafo_lab.cloud import keys
from faafo_lab.cloud.errors import CommandFailed, Interrupted, TimedOut, Unreachable
from faafo_lab.cloud.model import Server
from faafo_lab.paths import make_home

if TYPE_CHECKING:
    import asyncssh

T = TypeVar("T")

SSH_PORT = 22
CONNECT_SECONDS = 30.0  # how long to go on trying to connect: a fresh server's SSH comes a while after ACTIVE
RETRY_SECONDS = 0.5
ERROR_LINES = 10  # how much of stderr an error shows


@dataclass(frozen=True)
class Login:
    """How a cloud's servers are logged in to."""

    cloud: str  # its name
    user: str
    port: int


@dataclass(frozen=True)
class Result:
    """What a command gave. `exit_code` is negative when a signal ended it."""

    stdout: str
    stderr: str
    exit_code: int


def run(
    login: Login,
    server: Server,
    command: str,
    *,
    timeout_seconds: float = 60,
    connect_seconds: float = CONNECT_SECONDS,
    check: bool = False,
) -> Result:
    """Run a shell command on a server and return what it gave; only connecting is tried again.

    Works from a notebook too (where an event loop is running), and stops when interrupted.
    Raises Unreachable when no connection comes about within `connect_seconds`, TimedOut when the command takes longer
    than `timeout_seconds`, CommandFailed when the server has no address, or its host key is another than before, or,
    with `check`, when the exit code is not 0.
    """
    host = server.address
    if host is None:
        raise CommandFailed(f"Server {server.name!r} has no address yet: wait for it with cloud.wait_for(server).")
    known = KnownHosts(make_home() / "known_hosts")

    async def session() -> Result:
        connection = await _connect(login, server, host, known, connect_seconds)
        async with connection:
            try:
                done = await asyncio.wait_for(connection.run(command), timeout_seconds)
            except TimeoutError:
                raise TimedOut(f"{command!r} on server {server.name!r}", timeout_seconds) from None
        if done.returncode is None:
            raise CommandFailed(f"The connection to server {server.name!r} broke while {command!r} ran: try again.")
        return Result(str(done.stdout or ""), str(done.stderr or ""), done.returncode)

    result = _in_own_loop(session())
    if check and result.exit_code != 0:
        tail = "\n".join((result.stderr or result.stdout).strip().splitlines()[-ERROR_LINES:])
        raise CommandFailed(f"{command!r} on server {server.name!r} ended with exit code {result.exit_code}:\n{tail}")
    return result


async def _connect(
    login: Login, server: Server, host: str, known: KnownHosts, connect_seconds: float
) -> asyncssh.SSHClientConnection:
    import asyncssh

    logging.getLogger("asyncssh").setLevel(logging.WARNING)
    who, port = f"{quote(login.cloud)}:{server.id}", login.port
    trusted = known.get(who)
    loop = asyncio.get_running_loop()
    deadline = loop.time() + connect_seconds
    while True:
        left = max(deadline - loop.time(), RETRY_SECONDS)
        try:
            async with asyncio.timeout(left):
                connection = await asyncssh.connect(
                    host,
                    port,
                    username=login.user,
                    client_keys=[str(keys.private_key_path())],
                    known_hosts=([asyncssh.import_public_key(trusted)], [], []) if trusted else None,
                    config=None,  # neither the user's ~/.ssh/config …
                    agent_path=None,  # … nor their agent: the lab's key alone
                )
        except asyncssh.HostKeyNotVerifiable as error:
            raise CommandFailed(
                f"Server {server.name!r} at {host}:{port} shows another host key than before. If it was rebuilt, "
                f"remove the line {who!r} from {known.path}; otherwise something else answers there."
            ) from error
        except (OSError, asyncssh.Error) as error:
            # Also when it is refused: a fresh server may get its key and user a while after it answers.
            if loop.time() + RETRY_SECONDS >= deadline:
                raise Unreachable(
                    f"No SSH to server {server.name!r} as {login.user!r} at {host}:{port} within "
                    f"{connect_seconds:g} s: {str(error) or type(error).__name__}. See that it is ACTIVE, that its "
                    f"security groups open port 22, and that it has the key pair {keys.KEY_PAIR_NAME!r}."
                ) from error
            await asyncio.sleep(RETRY_SECONDS)
            continue
        key = connection.get_server_host_key()
        if trusted is None and key is not None:
            known.add(who, key.export_public_key().decode())
        return connection


class KnownHosts:
    """The host keys seen so far: a file with a line "CLOUD:SERVER-ID KEY" for each, the cloud's name as in a URL."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def get(self, who: str) -> str | None:
        """The key of `who` in OpenSSH's format, or None."""
        lines = self.path.read_text(encoding="utf-8").splitlines() if self.path.exists() else []
        return next((line.split(maxsplit=1)[1] for line in lines if line.split(maxsplit=1)[:1] == [who]), None)

    def add(self, who: str, key: str) -> None:
        """Remember a key."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(f"{who} {key.strip()}\n")


def _in_own_loop(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in a thread of its own, as a notebook's own event loop is busy; an interrupt cancels it."""
    future: Future[T] = Future()
    started: Future[tuple[asyncio.AbstractEventLoop, asyncio.Task[Any]]] = Future()

    async def main() -> T:
        task = asyncio.current_task()
        assert task is not None
        started.set_result((asyncio.get_running_loop(), task))
        return await coroutine

    def work() -> None:
        try:
            future.set_result(asyncio.run(main()))
        except BaseException as error:
            future.set_exception(error)

    thread = threading.Thread(target=work, name="ssh", daemon=True)
    thread.start()
    try:
        return future.result()
    except KeyboardInterrupt:
        loop, task = started.result()
        loop.call_soon_threadsafe(task.cancel)
        raise Interrupted("a command on a server was under way") from None
    finally:
        thread.join()
