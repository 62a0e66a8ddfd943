"""Attempts, until there is a connection: one way after the other, one user after the other."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
from typing import TYPE_CHECKING, Self

from faafo_lab.cloud import keys
from faafo_lab.cloud.errors import CommandFailed, Unreachable
from faafo_lab.cloud.model import Server
from faafo_lab.cloud.ssh.notes import Notes
from faafo_lab.cloud.ssh.ways import SSH_PORT, Map, Target, Way

if TYPE_CHECKING:
    import asyncssh

FIRST_TRY_SECONDS, LAST_TRY_SECONDS = 10.0, 60.0  # the limit of one attempt: a busy server needs seconds for its keys
FIRST_PAUSE_SECONDS, LAST_PAUSE_SECONDS = 0.5, 3.0  # between two rounds of attempts
DENIED_PAUSE_SECONDS = 10.0  # … after a refused key: servers block clients that try too often
DENIED_SECONDS = 60.0  # how long a new server may refuse the key: boot creates its user and key
ANSWERS = (errno.ECONNREFUSED, errno.ECONNRESET)  # errors that show that the server exists


class Connector:
    """Makes connections, within one event loop. Those to jump hosts are shared, and end with the context."""

    def __init__(self, map: Map, cloud: str, port: int, limit_seconds: float) -> None:
        self._map, self._port, self._limit_seconds = map, port, limit_seconds
        self._host_keys = Notes("known_hosts", cloud)
        self._jumps: dict[str, asyncio.Task[asyncssh.SSHClientConnection]] = {}

    async def __aenter__(self) -> Self:
        logging.getLogger("asyncssh").setLevel(logging.WARNING)
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._jumps.values():
            task.cancel()
        for made in await asyncio.gather(*self._jumps.values(), return_exceptions=True):
            if not isinstance(made, BaseException):
                made.close()
                await made.wait_closed()

    async def connect(self, target: Target) -> asyncssh.SSHClientConnection:
        """Connect to a server, retrying until it succeeds or `limit_seconds` have passed.

        Raises Unreachable, early if no connection is possible, and CommandFailed for a changed host key.
        """
        loop = asyncio.get_running_loop()
        started = loop.time()
        end = started + self._limit_seconds
        denied_since: float | None = None
        pause, limit = FIRST_PAUSE_SECONDS, FIRST_TRY_SECONDS
        while True:
            try:
                return await self._try_all(target, min(limit, max(end - loop.time(), FIRST_PAUSE_SECONDS)))
            except OSError as error:
                denied = error.server if isinstance(error, _Denied) else None
                denied_since = (denied_since or loop.time()) if denied else None
            spent = f"{loop.time() - started:.1f} s"
            no_ssh = f"No SSH to server {target.server.name!r} after {spent}: {target.seen}."
            if denied and denied_since and loop.time() >= min(denied_since + DENIED_SECONDS, end - FIRST_PAUSE_SECONDS):
                raise Unreachable(f"{no_ssh} {_about_keys(denied)}")
            if loop.time() + FIRST_PAUSE_SECONDS >= end:
                raise Unreachable(
                    f"{no_ssh} Check that it is ACTIVE and booted (cloud.console({target.server.name!r})), and that "
                    f"its security groups open port {SSH_PORT}."
                )
            await asyncio.sleep(min(4 * pause, DENIED_PAUSE_SECONDS) if denied_since else pause)
            pause, limit = min(1.5 * pause, LAST_PAUSE_SECONDS), min(1.5 * limit, LAST_TRY_SECONDS)

    async def _try_all(self, target: Target, limit_seconds: float) -> asyncssh.SSHClientConnection:
        """One round over all ways. Raises _Denied if the key was refused by a server that is certainly the right
        one."""
        import asyncssh

        said: dict[Way, OSError] = {}
        for way in target.ways:
            try:
                return await self._try(target, way, limit_seconds)
            except (OSError, asyncssh.Error) as error:
                said[way] = error if isinstance(error, OSError) else ConnectionError(str(error))
                target.silent &= said[way].errno not in ANSWERS and not isinstance(error, _Denied | _OtherKey)
        target.seen = "; ".join(f"{way}: {_words(error)}" for way, error in said.items())
        # A private address may belong to a machine in our own network: jump hosts are the reliable way.
        sure = [error for way, error in said.items() if way.jump] or list(said.values())
        if all(isinstance(error, _OtherKey) for error in sure):
            raise CommandFailed(str(sure[0]))
        raise next((error for error in sure if isinstance(error, _Denied)), ConnectionError(target.seen))

    async def _try(self, target: Target, way: Way, limit_seconds: float) -> asyncssh.SSHClientConnection:
        """One way, as one user after the other."""
        import asyncssh

        tunnel = await self._jump(way.jump, limit_seconds) if way.jump else None
        for number, user in enumerate(target.users):
            try:
                async with asyncio.timeout(limit_seconds):
                    connection = await self._open(target, way.address, user, tunnel)
            except asyncssh.PermissionDenied:
                continue
            target.tried, target.users, target.connected = target.users[:number], (user,), True
            self._map.remember(target.server, user)
            return connection
        raise _Denied(f"permission denied as {', '.join(target.users)}", target.server)

    async def _jump(self, jump: Target, limit_seconds: float) -> asyncssh.SSHClientConnection:
        """The connection to a jump host; all that need it meanwhile share one."""
        import asyncssh

        id = jump.server.id
        task = self._jumps.get(id)
        if task is None or (task.done() and (task.cancelled() or task.exception() or task.result().is_closed())):
            task = self._jumps[id] = asyncio.create_task(self._try(jump, jump.ways[0], limit_seconds))
        try:
            return await asyncio.shield(task)
        except (OSError, asyncssh.Error) as error:
            words = f"no SSH to {jump.server.name} at {jump.ways[0]}, {_words(error)}"
            raise (_Denied(words, jump.server) if isinstance(error, _Denied) else ConnectionError(words)) from error

    async def _open(
        self, target: Target, address: str, user: str, tunnel: asyncssh.SSHClientConnection | None
    ) -> asyncssh.SSHClientConnection:
        import asyncssh

        id, port = target.server.id, self._port
        trusted = self._host_keys.get(id)
        try:
            connection = await asyncssh.connect(
                address,
                port,
                tunnel=tunnel or (),
                username=user,
                client_keys=[str(keys.private_key_path())],
                known_hosts=([asyncssh.import_public_key(trusted)], [], []) if trusted else None,
                config=None,  # neither the user's ~/.ssh/config …
                agent_path=None,  # … nor their agent: the lab's key alone
            )
        except asyncssh.HostKeyNotVerifiable as error:
            raise _OtherKey(
                f"Server {target.server.name!r} at {address}:{port} has a different host key than before. If it was "
                f"rebuilt, remove the line {self._host_keys.key(id)!r} from {self._host_keys.path}; otherwise "
                f"another machine answers there."
            ) from error
        key = connection.get_server_host_key()
        if trusted is None and key is not None:
            self._host_keys.add(id, key.export_public_key().decode())
        return connection


def _about_keys(server: Server) -> str:
    mine = keys.KEY_PAIR_NAME
    name = server.name
    key = (
        f"{name!r} was created with the key pair {server.key_name!r}"
        if server.key_name
        else f"{name!r} has no key pair"
    )
    not_mine = "" if server.key_name == mine else f", not with {mine!r}, the lab's own"
    return f"{key}{not_mine}. If its user has another name, set it as ssh_user in clouds.yaml (section faafo_lab)."


def _words(error: Exception) -> str:
    number = getattr(error, "errno", None)
    return os.strerror(number).lower() if number else str(error) or "no answer"


class _Denied(ConnectionError):
    """A server, the target or a jump host, answers and accepts none of the users."""

    def __init__(self, words: str, server: Server) -> None:
        super().__init__(words)
        self.server = server


class _OtherKey(ConnectionError):
    """A server's host key differs from the known one."""
