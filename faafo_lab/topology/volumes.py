"""The database's volume, `app-database`: it outlives app-services, and the next app-services takes it.

`deploy(database="volume")` creates it. From then on it is part of the application: an app-services that is built while
it exists keeps its database on it, whoever calls for one. A database that is on app-services' own disk moves to the
volume while its APIs wait. The new app-services is given the old one's address, so nobody else has to change.
"""

from __future__ import annotations

import functools
import time
from contextlib import suppress

from faafo_lab.cloud import ssh
from faafo_lab.cloud.base import Cloud
from faafo_lab.cloud.errors import Forbidden, NotFound
from faafo_lab.cloud.marks import DESCRIPTION
from faafo_lab.cloud.model import Server, Snapshot, Volume
from faafo_lab.topology.errors import TopologyError
from faafo_lab.topology.undo import Undo

VOLUME = "volume"  # the place, as `deploy` calls it
NAME = "app-database"
GIGABYTES = 5
DATABASE_KEY = "faafo-lab-database"  # the metadata key of an app-services built with a volume: the volume's id
SERVICES_KEY = "faafo-lab-services"  # that of a server that connects to app-services: its address
MOVE_SECONDS = 3600.0  # the limit of a move
COPIED = "the database is on volume"  # what the installer says of a move


def find(cloud: Cloud) -> Volume | None:
    """The application's volume; None if there is none, or no block storage for this user."""
    with suppress(NotFound, Forbidden):
        return next((each for each in cloud.volumes() if each.name == NAME and is_ours(each)), None)
    return None


def is_ours(thing: Volume | Snapshot) -> bool:
    """Whether the lab made this volume or snapshot."""
    return thing.description.startswith(DESCRIPTION)


def check(cloud: Cloud) -> None:
    """Raise TopologyError if this cloud has no volumes for this user."""
    try:
        cloud.volume_limits()
    except (NotFound, Forbidden) as error:
        raise TopologyError(
            f"The database can't be on a volume ({str(error).rstrip('.')}): leave out database={VOLUME!r}."
        ) from None


def ensure(cloud: Cloud, undo: Undo) -> tuple[Volume, str]:
    """The application's volume, created (with an undo step) if there is none; and what was done in words."""
    if there := find(cloud):
        return there, ""
    undo.add(f"volume {NAME}", functools.partial(_discard, cloud))
    made = cloud.create_volume(NAME, GIGABYTES, description=f"{DESCRIPTION}the application's database")
    return made, f"created, {GIGABYTES} GB"


def attach(cloud: Cloud, server: Server, volume: Volume) -> None:
    """Attach the volume to this server, once a server that was deleted has released it.

    Raises InUse if another server has it.
    """
    holder = cloud.volume(volume.id).server_id
    if holder not in (None, server.id) and all(other.id != holder for other in cloud.servers()):
        _released(cloud, volume)
    cloud.attach_volume(server, volume, progress=False)


def move(cloud: Cloud, server: Server, volume: Volume) -> float:
    """Move the database of this server from its own disk to the volume; returns for how many seconds it was away at the
    most, 0.0 if it was moved before.

    The volume is attached first. A move that was interrupted is repeated: it goes on. Raises TopologyError with the
    installer's own words.
    """
    if server.status != "ACTIVE":
        raise TopologyError(
            f"{server.name} is {server.status}, so its database can't be moved to a volume: start it with "
            f"cloud.start_server({server.name!r}), and run this again."
        )
    attach(cloud, server, volume)
    started = time.monotonic()
    [result] = ssh.run_all(
        cloud,
        [(server, f"sudo -n faafo-install -i database -v {volume.id}")],
        timeout_seconds=MOVE_SECONDS,
        what="databases moved",
    )
    if result.exit_code:
        words = (result.stderr.strip() or f"exit code {result.exit_code}").splitlines()[-1]
        raise TopologyError(f"The database of {server.name} was not moved: {words} Run this again: it goes on.")
    return time.monotonic() - started if COPIED in result.stdout else 0.0


def remove(cloud: Cloud) -> dict[str, str]:
    """Delete all of the lab's snapshots and volumes, which no server may have any more; returns the words to report, by
    name."""
    done: dict[str, str] = {}
    with suppress(NotFound, Forbidden):
        for snapshot in filter(is_ours, cloud.snapshots()):
            cloud.delete_snapshot(snapshot, progress=False)
            done[f"snapshot {snapshot.name}"] = "deleted"
        for volume in filter(is_ours, cloud.volumes()):
            if volume.server_id and all(server.id != volume.server_id for server in cloud.servers()):
                _released(cloud, volume)
            cloud.delete_volume(volume, progress=False)
            done[f"volume {volume.name}"] = "deleted"
    return done


def _released(cloud: Cloud, volume: Volume) -> None:
    """Wait until a volume is free: a real cloud detaches it some time after its server is gone."""
    cloud.wait_until(lambda: cloud.volume(volume.id).status == "available", f"volume {volume.name} free")


def _discard(cloud: Cloud) -> None:
    """Delete the application's volume unless a server has it, and so perhaps the only copy of a database."""
    there = find(cloud)
    if there is None or (there.server_id and any(server.id == there.server_id for server in cloud.servers())):
        return
    _released(cloud, there)
    cloud.delete_volume(there, progress=False)
