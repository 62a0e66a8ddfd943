"""Measure the way back of a database with BACKED_UP fractals, on m1.tiny (a quarter of a core), from the object store.

backup_seconds         a backup of it
restore_seconds        from the call, after all of its rows were deleted, until the API lists them again
restore_lost_seconds   the server is deleted under orders that come every ORDER_SECONDS, and a new one is restored: the
                       seconds of accepted orders that are lost, with a piece of the log every 30 s at the latest
"""

from datetime import UTC, datetime
from itertools import count
from time import monotonic, sleep

from measure import Figures
from scaling import quiet_topology

from faafo_lab import load
from faafo_lab.topology import Topology
from faafo_lab.workbook import own_home

BACKED_UP = 200
ORDER_SECONDS, ORDERING_SECONDS = 0.5, 45.0


def figures() -> Figures:
    """All of it, by name."""
    with own_home(FAAFO_LAB_CLOUD="embedded"):
        app = quiet_topology()
        app.deploy(api=1, worker=1)
        load.create(app.endpoints, load.same_tasks(BACKED_UP), progress=False)
        load.watch(app, done=BACKED_UP)
        return _there_and_back(app) | _lost(app)


def _there_and_back(app: Topology) -> Figures:
    started = monotonic()
    app.backup()
    took, before = monotonic() - started, datetime.now(UTC)
    app.api.delete([fractal["uuid"] for fractal in app.fractals()])
    started = monotonic()
    app.restore(before)
    if len(app.fractals()) != BACKED_UP:
        raise RuntimeError(f"{len(app.fractals())} fractals came back, not {BACKED_UP}")
    return {"backup_seconds": (took, "s"), "restore_seconds": (monotonic() - started, "s")}


def _lost(app: Topology) -> Figures:
    accepted: dict[str, float] = {}
    end = monotonic() + ORDERING_SECONDS
    for number in count(1):
        [task] = load.same_tasks(1, seed=-number)
        load.create(app.endpoints, [task], progress=False)
        accepted[str(task["uuid"])] = monotonic()
        if monotonic() > end:
            break
        sleep(ORDER_SECONDS)
    app.cloud.delete_servers(app.of_role("services"))
    app.deploy(api=1, worker=1)
    app.restore()
    there = {fractal["uuid"] for fractal in app.fractals()}
    kept = max(at for uuid, at in accepted.items() if uuid in there)
    lost = [at for uuid, at in accepted.items() if uuid not in there]
    return {"restore_lost_seconds": (max(lost, default=kept) - kept, f"s, {len(lost)} of {len(accepted)} orders")}
