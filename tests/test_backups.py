"""The database is backed up to the project's object store, and goes back to a named second, also on another server."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

import faafo_lab
from faafo_lab import load
from faafo_lab.cloud.marks import BACKUPS_CONTAINER
from faafo_lab.topology import Topology, TopologyError


def draw(app: Topology, number: int, seed: int) -> None:
    """Order fractals, and wait until they are made."""
    made = app.stats()["done"]
    load.create(app.endpoints, load.same_tasks(number, seed=seed), progress=False)
    load.watch(app, done=made + number)


@pytest.mark.timeout(600)
def test_the_database_goes_back_to_a_named_second_and_to_another_server(backend_home: tuple[str, Path]) -> None:
    app = Topology(faafo_lab.connect(), say=lambda line: None)
    try:
        app.deploy(api=1, worker=1)
        with pytest.raises(TopologyError, match="There is no backup"):
            app.restore()
        draw(app, 2, seed=1)
        made = app.backup(log_seconds=10)
        draw(app, 2, seed=2)
        before = datetime.now(UTC)
        app.api.delete([fractal["uuid"] for fractal in app.fractals()])
        proof = app.restore_beside(before)
        assert (proof.orders, proof.done, proof.damaged, app.fractals()) == (4, 4, 0, [])
        assert app.restore(before).orders == 4
        assert {fractal["checksum"] is not None for fractal in app.fractals()} == {True}
        draw(app, 1, seed=3)  # it goes on
        with pytest.raises(TopologyError, match="No backup is old enough"):
            app.restore(made.started_at)
        newer = app.backup(keep=1)
        assert [each.name for each in app.backups()] == [newer.name]

        app.cloud.delete_servers(app.of_role("services"))
        reaches = app.backups().reaches
        assert reaches is not None
        assert reaches >= newer.ended_at
        app.deploy(api=1, worker=1)
        assert app.restore().orders == 5
        draw(app, 1, seed=4)
    finally:
        app.destroy()
    assert BACKUPS_CONTAINER not in app.cloud.containers()
    assert app.cloud.receipt().nothing_left
