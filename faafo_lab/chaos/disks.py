"""A full disk."""

from __future__ import annotations

from faafo_lab.chaos.errors import ChaosError
from faafo_lab.chaos.fault import Fault, inject
from faafo_lab.chaos.servers import run, server_of
from faafo_lab.topology import Topology

BALLAST = "/var/tmp/faafo-lab-ballast"  # noqa: S108  it must outlive a reboot, as a full disk does
FILL = """\
size=$(( $(df --output=avail -B1 /var/tmp | tail -n 1) - {leave_bytes} ))
if [ $size -gt 0 ]; then sudo fallocate -l $size {ballast}; fi
"""
# An embedded server's disk is a directory on this machine's, which no fault may fill. So none of its files may grow:
# the server's init, from which this shell and every service come, and all below it are limited to files of 0 bytes.
LIMIT = """\
ps -eo pid=,ppid= | awk -v init=$PPID '
    {{ parent[$1] = $2 }}
    END {{ for (each in parent) {{ up = each; while (up && up != init) up = parent[up]; if (up == init) print each }} }}
' | while read -r process; do prlimit --pid "$process" --fsize={soft}: 2>/dev/null; done
prlimit --pid $PPID --fsize={soft}:
"""


def fill_disk(app: Topology, server: str, leave_bytes: int = 0) -> Fault:
    """Fill a server's disk up to `leave_bytes`: what writes there fails.

    In the embedded cloud, whose servers share this machine's disk, no file of the server can be written instead,
    however much is to be left (RLIMIT_FSIZE: programs see "File too large" or are ended by SIGXFSZ).
    Raises NotFound if there is no such server, ChaosError if `leave_bytes` is below 0.
    """
    if leave_bytes < 0:
        raise ChaosError(f"leave_bytes must be 0 or more, not {leave_bytes}.")
    there = server_of(app, server)
    fill = LIMIT.format(soft=0) if app.embedded else FILL.format(leave_bytes=leave_bytes, ballast=BALLAST)
    return inject(app, f"the disk of {there.name} is full", run(app, there, fill), run(app, there, empty(app)), server)


def empty(app: Topology) -> str:
    """The shell command by which a disk has room again."""
    return LIMIT.format(soft="unlimited") if app.embedded else f"sudo rm -f {BALLAST}"
