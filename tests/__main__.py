"""Run the tests in two parts: side by side what may run so, then one by one what measures. `make test` does this.

python -m tests                          all of them
python -m tests tests/app -k worker      some: the arguments are pytest's
python -m tests --libraries=each         slow tests through each library, not through one in turn (`tests.libraries`)
"""

import os
import subprocess
import sys
import time
from collections.abc import Sequence

import pytest

from tests.libraries import IN_TURN

PROCESSES = min(len(os.sched_getaffinity(0)) + 1, 6)  # one more than cores: tests wait more than they compute
PARTS = {
    "side by side": ["-m", "not alone", f"--numprocesses={PROCESSES}", "--dist=loadgroup", "--no-loadscope-reorder"],
    "one by one": ["-m", "alone"],
}


def main(arguments: Sequence[str]) -> int:
    """Run both parts, the second one also where the first has failed; returns pytest's exit status of the worse."""
    ended: list[int] = []
    for name, options in PARTS.items():
        print(f"\n{name}:", flush=True)
        started = time.monotonic()
        ended.append(run_pytest([f"--libraries={IN_TURN}", *options, *arguments]))
        print(f"{name}: {time.monotonic() - started:.0f} s", flush=True)
        if ended[-1] == pytest.ExitCode.INTERRUPTED:
            break
    some = [status for status in ended if status != pytest.ExitCode.NO_TESTS_COLLECTED]
    return max(some, default=pytest.ExitCode.NO_TESTS_COLLECTED)


def run_pytest(arguments: Sequence[str]) -> int:
    """Run pytest in a process of its own; its exit status."""
    with subprocess.Popen([sys.executable, "-m", "pytest", *arguments]) as process:
        while True:
            try:
                return process.wait()
            except KeyboardInterrupt:
                pass  # pytest has been interrupted, too, and clears up first


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
