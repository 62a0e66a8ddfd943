"""Commands and file uploads over the connections, on one server or several at once."""

from __future__ import annotations

import asyncio
import shlex
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from faafo_lab.cloud.errors import CommandFailed, TimedOut
from faafo_lab.cloud.model import Server
from faafo_lab.cloud.ssh.background import Background
from faafo_lab.cloud.ssh.connecting import Connector
from faafo_lab.cloud.ssh.ways import SSH_PORT, Map, Project, Target
from faafo_lab.cloud.waiting import Look

if TYPE_CHECKING:
    import asyncssh

QUIET_SECONDS = 2.0  # a wait that is over by then shows no progress line
LOOK_SECONDS = 10.0  # between two queries of the cloud for the cause, while there is no connection
ERROR_LINES = 10  # how much of stderr an error shows
CHUNK_BYTES = 1 << 16
MARGIN_SECONDS = 30.0  # connections and commands have limits of their own: a longer wait is a fault

T = TypeVar("T")
Job = Callable[[int, "asyncssh.SSHClientConnection"], Awaitable[T]]


@dataclass(frozen=True)
class Result:
    """A command's result. `exit_code` is negative if a signal ended it. `user`: the account that ran it."""

    stdout: str
    stderr: str
    exit_code: int
    user: str = field(default="", compare=False)


def run(cloud: Project, server: Server, command: str, *, timeout_seconds: float = 60, check: bool = False) -> Result:
    """Run a shell command on a server and return its result; only connecting is retried.

    Works in a notebook too (with a running event loop), and stops when interrupted. Raises Unreachable if there is no
    connection within the cloud's limit (`config.wait_seconds`), or none is possible; TimedOut if the command takes
    longer than `timeout_seconds`; NotFound if the server is deleted meanwhile; CommandFailed if the server has no
    address, or its host key has changed, or, with `check`, if the exit code is not 0.
    """
    [result] = run_all(cloud, [(server, command)], timeout_seconds=timeout_seconds, check=check)
    return result


def run_all(
    cloud: Project,
    commands: Sequence[tuple[Server, str]],
    *,
    timeout_seconds: float = 60,
    check: bool = False,
    what: str = "",
    inputs: Sequence[str] = (),
) -> list[Result]:
    """Run a command on each of these servers, at the same time; the results are in the same order.

    `inputs`: each command's standard input, which unlike its words nobody else on the server sees (default: empty).
    With `what`, a progress line of that text shows from the start. Raises as `run` does, for the first that fails.
    """

    async def job(number: int, connection: asyncssh.SSHClientConnection) -> Result:
        server, command = commands[number]
        given = inputs[number] if inputs else None
        try:
            done = await asyncio.wait_for(connection.run(command, input=given), timeout_seconds)
        except TimeoutError:
            raise TimedOut(f"{command!r} on server {server.name!r}", timeout_seconds) from None
        result = _result(connection, done, server, repr(command))
        if check:
            _check(result, server, repr(command))
        return result

    return _on_all(cloud, [server for server, _ in commands], job, what, timeout_seconds)


def upload(cloud: Project, server: Server, data: bytes, path: str, *, timeout_seconds: float = 600) -> None:
    """Write a file on a server, replacing what is there; `path` is absolute, or relative to the user's home.

    The file appears whole or not at all. It needs a shell, not SFTP, which small images lack. Raises as `run` does.
    """
    name, part = shlex.quote(path), shlex.quote(f"{path}.part")
    command = (
        f"cat > {part} && [ $(wc -c < {part}) -eq {len(data)} ] && mv -f {part} {name} || {{ rm -f {part}; exit 1; }}"
    )
    what = f"the upload of {path!r}"
    sent = 0

    async def job(_: int, connection: asyncssh.SSHClientConnection) -> None:
        nonlocal sent
        process = await connection.create_process(command, encoding=None)
        try:
            async with asyncio.timeout(timeout_seconds):
                with suppress(ConnectionError):  # the shell has ended already, and says why
                    while sent < len(data):
                        process.stdin.write(data[sent : sent + CHUNK_BYTES])
                        await process.stdin.drain()
                        sent = min(sent + CHUNK_BYTES, len(data))
                    process.stdin.write_eof()
                done = await process.wait()
        except TimeoutError:
            raise TimedOut(
                f"{what} to server {server.name!r}", timeout_seconds, f"{sent} of {len(data)} bytes sent"
            ) from None
        _check(_result(connection, done, server, what), server, what)

    def sent_so_far() -> Look:
        return Look(sent // 1000, len(data) // 1000 + 1)

    _on_all(cloud, [server], job, "", timeout_seconds, sending=sent_so_far)


def _on_all(
    cloud: Project,
    servers: Sequence[Server],
    job: Job[T],
    what: str,
    timeout_seconds: float,
    sending: Callable[[], Look] | None = None,
) -> list[T]:
    """Connect to all these servers and do the job there, in an event loop of its own; this thread shows the
    progress."""
    map, limit_seconds = Map(cloud), cloud.config.wait_seconds
    targets = [map.target(server) for server in servers]
    done = 0
    looked = time.monotonic() + QUIET_SECONDS - LOOK_SECONDS

    async def one(connector: Connector, number: int, target: Target) -> T:
        nonlocal done
        async with await connector.connect(target) as connection:
            result = await job(number, connection)
        done += 1
        return result

    async def everything() -> list[T]:
        async with Connector(map, cloud.name, cloud.published_port(SSH_PORT), limit_seconds) as connector:
            return await asyncio.gather(*(one(connector, *each) for each in enumerate(targets)))

    def look() -> Look:
        nonlocal looked
        if work.done:
            work.result()  # which may raise
        late = [target for target in targets if not target.connected]
        if late and time.monotonic() - looked >= LOOK_SECONDS:
            map.look_again(late)
            looked = time.monotonic()
        seen = "; ".join(f"{target.server.name} at {target.seen}" for target in late)
        return Look(done if what else len(targets) - len(late), len(targets), seen)

    longest = limit_seconds + timeout_seconds + MARGIN_SECONDS
    with Background(everything()) as work:
        if what or not (work.ends_within(QUIET_SECONDS) or all(target.connected for target in targets)):
            cloud.wait_until(look, what or "servers that answer SSH", longest)
        if sending and not work.ends_within(QUIET_SECONDS):
            cloud.wait_until(lambda: work.done or sending(), f"kB of a file on {servers[0].name}", longest)
        results = work.result()
    for target in targets:
        if target.tried:
            print(f"{target.server.name} accepts the user {target.users[0]!r}, not {', '.join(target.tried)}.")
    return results


def _result(
    connection: asyncssh.SSHClientConnection, done: asyncssh.SSHCompletedProcess, server: Server, what: str
) -> Result:
    if done.returncode is None:
        raise CommandFailed(f"The connection to server {server.name!r} broke while {what} ran: try again.")
    user = str(connection.get_extra_info("username"))
    return Result(_text(done.stdout), _text(done.stderr), done.returncode, user)


def _text(output: str | bytes | None) -> str:
    return output.decode(errors="replace") if isinstance(output, bytes) else output or ""


def _check(result: Result, server: Server, what: str) -> None:
    if result.exit_code != 0:
        tail = "\n".join((result.stderr or result.stdout).strip().splitlines()[-ERROR_LINES:])
        raise CommandFailed(f"{what} on server {server.name!r} ended with exit code {result.exit_code}:\n{tail}")
