"""A program whose output, and that of what it leaves behind, goes to the console."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from faafo_lab.cloud.emulator.machinery.guest.children import Children
from faafo_lab.cloud.emulator.machinery.guest.console import Console

_READ_BYTES = 1 << 16


async def run(
    argv: Sequence[str], environment: Mapping[str, str], directory: Path, children: Children, console: Console
) -> int:
    """Run it to its end; its exit code, -N where signal N ended it. Raises OSError where it cannot be started."""
    ours, theirs = os.pipe()
    try:
        child = children.spawn(argv, environment, directory, stdout=theirs)
    except OSError:
        os.close(ours)
        raise
    finally:
        os.close(theirs)
    os.set_blocking(ours, False)
    loop = asyncio.get_running_loop()
    ended = False

    def copy() -> None:
        """Copy what has been written so far; close at the end of it all."""
        nonlocal ended
        try:
            while data := os.read(ours, _READ_BYTES):
                console.raw(data)
        except BlockingIOError:
            return
        ended = True
        loop.remove_reader(ours)
        os.close(ours)

    loop.add_reader(ours, copy)
    code = await child.code
    if not ended:
        copy()
    return code
