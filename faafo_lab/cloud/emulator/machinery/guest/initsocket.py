"""Where the instance's commands ask their init: `$INSTANCE_PORTS/init.sock`.

A request is a line with the command's words as a JSON list, the answer a line `{"code", "output", "error"}`. The
socket is not a port: the switch takes files whose names are numbers.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from pathlib import Path

NAME = "init.sock"
_ASK_LIMIT_SECONDS = 10.0
_LINE_BYTES_MAX = 1 << 20


@dataclass(frozen=True)
class Reply:
    """What a command prints and returns."""

    code: int
    output: str = ""
    error: str = ""


Answer = Callable[[list[str]], Awaitable[Reply]]


async def listen(ports: Path, answer: Answer) -> asyncio.Server:
    """Answer the instance's commands."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, TimeoutError):
            async with asyncio.timeout(_ASK_LIMIT_SECONDS):
                line = await reader.readline()
            try:
                words = [str(word) for word in json.loads(line)]
            except (ValueError, TypeError):
                reply = Reply(1, error="init: a JSON list of words is wanted.\n")
            else:
                reply = await answer(words)
            writer.write(json.dumps(asdict(reply)).encode() + b"\n")
            await writer.drain()
        writer.close()

    return await asyncio.start_unix_server(serve, ports / NAME, limit=_LINE_BYTES_MAX)
