"""Hold process trees to a share of a core each, as the embedded cloud holds its instances: with its governor.

``python governed.py CORES PID …`` holds the trees below these processes, which themselves are left alone, until its
standard input ends. It says "held" once it does. (A process of its own: the load generator must not delay its beat.)
"""

import select
import sys
import tempfile
import time
from pathlib import Path

from faafo_lab.cloud.emulator.machinery.hypervisor.governor import BEAT_NS, Governor


def main() -> None:
    """Govern."""
    cores, *pids = sys.argv[1:]
    with tempfile.TemporaryDirectory(prefix="faafo-governed") as gauges:
        governor = Governor()
        for pid in pids:
            governor.add(pid, int(pid), float(cores), Path(gauges) / pid, time.monotonic_ns())
        print("held", flush=True)
        beat_ns = 0
        while not select.select([sys.stdin], [], [], max(0.0, (beat_ns - time.monotonic_ns()) / 1e9))[0]:
            beat_ns = -(-governor.beat(time.monotonic_ns()) // BEAT_NS) * BEAT_NS
        for pid in pids:
            governor.remove(pid)


if __name__ == "__main__":
    main()
