"""Repair: an end of all faults of an application, also of those whose program was killed."""

from __future__ import annotations

from contextlib import suppress

import faafo_lab
from faafo_lab.chaos.disks import empty
from faafo_lab.chaos.fault import undo_all
from faafo_lab.chaos.network import end_all
from faafo_lab.chaos.servers import SERVICE_SECONDS, SERVICES, start_server, thaw_server, unit
from faafo_lab.cloud import ssh
from faafo_lab.cloud.config import EMBEDDED
from faafo_lab.cloud.emulator import control
from faafo_lab.cloud.errors import CloudError
from faafo_lab.cloud.marks import ROLE_KEY
from faafo_lab.paths import embedded_state_dir
from faafo_lab.topology import Topology, discover

THAW_AND_START = """
for unit in {units}; do
    if systemctl is-enabled --quiet $unit 2>/dev/null; then
        sudo systemctl thaw $unit 2>/dev/null
        sudo systemctl reset-failed $unit 2>/dev/null
        sudo systemctl start $unit
    fi
done
"""


def repair(app: Topology) -> None:
    """Undo every fault that the present servers show, whoever injected it; returns when the application serves.

    Servers are started and thawed, services too, and rules of security groups are added that are missing. Deleted
    servers are not built again: that is `app.deploy()`. Raises TopologyError if the application does not serve then.
    """
    with suppress(CloudError):
        undo_all()
    app.refresh()
    for server in app.servers.values():
        (thaw_server if server.status == "PAUSED" else start_server)(app, server)
    end_all(app)
    servers = list(app.refresh().servers.values())
    units = " ".join(unit(app, service) for service in SERVICES)
    commands = empty(app) + THAW_AND_START.format(units=units)
    ssh.run_all(app.cloud, [(server, commands) for server in servers], timeout_seconds=SERVICE_SECONDS)
    if roles := {server.metadata[ROLE_KEY] for server in servers}:
        app.make_groups(*sorted(roles))
        app.wait_serving()


def repair_cloud(cloud: str, backend: str) -> None:
    """`repair` for a program that has ended: the application on this cloud; an embedded cloud that does not run is not
    started for it."""
    if cloud != EMBEDDED or control.status(embedded_state_dir()):
        repair(discover(faafo_lab.connect(cloud, backend), say=lambda line: None))
