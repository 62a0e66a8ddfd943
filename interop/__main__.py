"""Run OpenStack's own tests against an embedded cloud that is started for them. `make interop` does this.

python -m interop                       all of required.txt; the figures go to build/interop.json
python -m interop network test_keypairs some: those with one of these texts in their names
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from faafo_lab.cloud.emulator import control
from faafo_lab.cloud.emulator.errors import EmulatorError

from . import config
from .results import Results, required

HERE = Path(__file__).resolve().parent
BUILD = HERE.parent / "build"
TEMPEST = BUILD / "tempest" / "bin"  # the environment that make sets up
OUT = BUILD / "interop"  # configuration and logs of the last run
LIMIT_SECONDS = 3600
GRACE_SECONDS = 20
SHOWN_CHARACTERS = 200  # of a line that says why
STESTR = "[DEFAULT]\ntest_path={tempest}/test_discover\ntop_dir={tempest}\ngroup_regex=([^\\.]*\\.)*\n"


def main(arguments: Sequence[str]) -> int:
    """Run and report. Returns 0 where none failed, 1 where one did, 2 where they could not be run."""
    parser = argparse.ArgumentParser(prog="python -m interop", description="OpenStack's tests, on an embedded cloud.")
    parser.add_argument("--list", type=Path, default=HERE / "required.txt", help="a file of test names, one per line")
    parser.add_argument("chosen", nargs="*", metavar="TEXT", help="run those with one of these texts in their names")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # either way nothing is left running
    try:
        results = Results(required(options.list, options.chosen))
        with embedded_cloud() as clouds_yaml:
            run(clouds_yaml, results)
    except (EmulatorError, OSError, ValueError, TimeoutError) as error:
        print(f"interop: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interop: interrupted.", file=sys.stderr)
        return 130
    print("", *results.table(), sep="\n")
    for cls in results.leaks:
        print(f"{cls} could not be torn down.")
    if options.list == HERE / "required.txt" and not options.chosen:
        results.write(BUILD / "interop.json")
    return 1 if results.of("failed") else 0


@contextlib.contextmanager
def embedded_cloud() -> Iterator[Path]:
    """An embedded cloud for one run: its clouds.yaml. Its log is kept beside tempest's."""
    directory = Path(tempfile.mkdtemp(prefix="interop-"))  # short: Unix sockets are in it
    try:
        yield control.start(directory / "cloud").clouds_yaml
    finally:
        control.stop(directory / "cloud")
        OUT.mkdir(parents=True, exist_ok=True)
        log = directory / "cloud" / "emulator.log"
        if log.exists():
            shutil.copy(log, OUT / "emulator.log")
        shutil.rmtree(directory, ignore_errors=True)


def run(clouds_yaml: Path, results: Results) -> None:
    """Run the tests that `results` wants and fill it. Raises `OSError` or `TimeoutError`."""
    shutil.rmtree(OUT, ignore_errors=True)  # what a killed run left of locked accounts would keep this one waiting
    OUT.mkdir(parents=True)
    conf = config.write(OUT, clouds_yaml)
    package = next((TEMPEST.parent / "lib").glob("python3*/site-packages/tempest"), None)
    if package is None:
        raise OSError(f"There is no tempest in {TEMPEST.parent}: make interop installs it.")
    (OUT / ".stestr.conf").write_text(STESTR.format(tempest=package))
    names = OUT / "tests.txt"
    names.write_text("".join(rf"^{re.escape(name)}(\[|$)" + "\n" for name in results.wanted))
    with (OUT / "tempest.err").open("w") as errors:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("OS_")}
        settings: dict[str, Any] = {"cwd": OUT, "stderr": errors, "env": environment, "start_new_session": True}
        subprocess.run([TEMPEST / "stestr", "init"], check=True, stdout=errors, **settings)
        command = [TEMPEST / "tempest", "run", "--config-file", conf, "--include-list", names]
        tests = subprocess.Popen([*command, "--concurrency", "1", "--subunit"], stdout=subprocess.PIPE, **settings)
        listener = subprocess.Popen(
            [TEMPEST / "python", HERE / "events.py"], stdin=tests.stdout, stdout=subprocess.PIPE, text=True, **settings
        )
        try:
            follow(listener, results)
        finally:
            _end(tests)
            _end(listener)
    if not results.ended:
        raise OSError(f"tempest ran no test: see {OUT / 'tempest.err'}.")


def follow(listener: subprocess.Popen[str], results: Results) -> None:
    """Print the results as they come. Raises `TimeoutError` after LIMIT_SECONDS."""
    assert listener.stdout is not None
    started = time.monotonic()

    def too_long(*_: object) -> None:
        raise TimeoutError(f"tempest has not ended within {LIMIT_SECONDS} s.")

    before = signal.signal(signal.SIGALRM, too_long)
    signal.alarm(LIMIT_SECONDS)
    try:
        for line in listener.stdout:
            _show(json.loads(line), results)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    print(f"{len(results.ended)} of {len(results.wanted)} tests in {time.monotonic() - started:.0f} s")


def _show(event: Mapping[str, Any], results: Results) -> None:
    noted = results.add(event)
    if noted is None:
        return
    name, kind = noted
    print(f"{len(results.ended):4} {kind:<8}{name.removeprefix('tempest.api.')} ({event['seconds']:.1f} s)", flush=True)
    if kind != "passed":
        print(
            *(f"             {line[:SHOWN_CHARACTERS]}" for line in event["reason"].splitlines()), sep="\n", flush=True
        )


def _end(process: subprocess.Popen[Any]) -> None:
    """End a process that leads a group, and its children."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_SECONDS)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
