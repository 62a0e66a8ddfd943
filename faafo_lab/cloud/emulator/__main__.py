"""The emulator's process: `python -m faafo_lab.cloud.emulator --state-dir DIR`. `control.start` starts it detached."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import fcntl
import json
import logging
import os
import signal
import sqlite3
import sys
from pathlib import Path

from faafo_lab.cloud.emulator.control import LOCK, LOCK_SECONDS, open_state_dir, quota, seconds, shares
from faafo_lab.cloud.emulator.errors import AlreadyRunning, EmulatorError, StateError

WATCH_SECONDS = 2.0


def main() -> int:
    """Run until SIGTERM. Exit status 1 where it cannot start."""
    parser = argparse.ArgumentParser(prog="python -m faafo_lab.cloud.emulator", description=__doc__)
    parser.add_argument("--state-dir", type=Path, required=True)
    parser.add_argument("--port", type=int, help="the APIs' port (default: 5000, or a free one)")
    parser.add_argument("--quota", type=quota, action="append", default=[], metavar="NAME=N")
    parser.add_argument("--address-lag", type=seconds, default=0.0, metavar="SECONDS")
    parser.add_argument("--shares", type=shares, metavar="FACTOR")
    parser.add_argument(
        "--report", type=int, metavar="FD", help="run in the background, and report the start on this file descriptor"
    )
    options = parser.parse_args()
    os.umask(0o077)  # whatever is written is the user's alone
    report = options.report
    if report is not None:
        os.set_inheritable(report, False)
        if os.fork():  # the caller's child ends here, so that it has no zombie to look after later
            os._exit(0)
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", level=logging.INFO)
    try:
        asyncio.run(_run(options, report))
    except EmulatorError as error:
        logging.error("%s", error)
        if report is not None:
            _say(report, {"error": type(error).__name__, "message": str(error)})
        return 1
    return 0


async def _run(options: argparse.Namespace, report: int | None) -> None:
    from faafo_lab.cloud.emulator.server import Emulator, check_quotas  # heavy: only once the options are right

    quotas = dict(options.quota)
    check_quotas(quotas)
    directory = open_state_dir(options.state_dir)
    with contextlib.ExitStack() as stack:
        descriptor = await _lock(directory)
        stack.callback(os.close, descriptor)
        os.chdir(directory)
        (directory / "emulator.pid").unlink(missing_ok=True)
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        try:
            cloud = Emulator(
                directory,
                port=options.port,
                quotas=quotas,
                address_lag_seconds=options.address_lag,
                shares=options.shares,
            )
            try:
                await cloud.start()
                (directory / "emulator.pid").write_text(f"{os.getpid()}\n", encoding="utf-8")
                logging.info("The APIs answer at %s/identity (pid %d).", cloud.site.url, os.getpid())
                if report is not None:
                    _say(report, {"pid": os.getpid(), "auth_url": f"{cloud.site.url}/identity"})
                while not stop.is_set() and _ours(descriptor, directory):
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(stop.wait(), WATCH_SECONDS)
                logging.info("Stopping.")
            finally:
                (directory / "emulator.pid").unlink(missing_ok=True)
                await cloud.stop()
        except (OSError, sqlite3.Error) as error:
            raise StateError(
                f"The state in {directory} cannot be written ({error}): free some space, or choose another directory."
            ) from error
    logging.info("Stopped.")


async def _lock(directory: Path) -> int:
    """Lock the state directory: the descriptor holds the lock. Raises `AlreadyRunning`."""
    descriptor = os.open(directory / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    for _ in range(round(LOCK_SECONDS / 0.05)):  # somebody who looks whether it is locked holds it for a moment
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return descriptor
        except BlockingIOError:
            await asyncio.sleep(0.05)
    os.close(descriptor)
    raise AlreadyRunning(f"Another emulator runs on {directory}: stop it first, or use another state directory.")


def _ours(descriptor: int, directory: Path) -> bool:
    """Whether the state directory is still the one that is locked: one that was removed ends its emulator."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(directory / LOCK))
    except OSError:
        return False


def _say(report: int, message: dict[str, object]) -> None:
    """Tell the caller, who may have gone."""
    with contextlib.suppress(BrokenPipeError), os.fdopen(report, "w", encoding="utf-8") as pipe:
        json.dump(message, pipe)


if __name__ == "__main__":
    sys.exit(main())
