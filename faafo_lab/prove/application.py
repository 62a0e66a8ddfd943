"""The application: deployed, ordered from, probed for closed ports, scaled, one worker killed, removed."""

from __future__ import annotations

import hashlib
import itertools
import math
import statistics
from collections.abc import Callable, Sequence

from faafo_lab import load, reach
from faafo_lab.cloud.marks import ROLE_KEY
from faafo_lab.cloud.waiting import Look
from faafo_lab.prove.steps import Step, Wrong
from faafo_lab.topology import DATABASE_PORT, NoAnswer, Topology
from faafo_lab.topology.api import Fractal
from faafo_lab.topology.moment import observe
from faafo_lab.topology.roles import QUEUE, ROLES, Role

FIRST_ORDERS = 6
LOAD_SECONDS = 12  # the load under which a worker is killed keeps all of them busy for about so long, …
LOAD_MOST = 200  # … or is of so many fractals
PNG = b"\x89PNG"


class Application:
    """The steps for one application that ends with so many workers. `check` raises once the proof has to end."""

    def __init__(self, app: Topology, workers: int, check: Callable[[], None]) -> None:
        self._app, self._cloud, self._workers, self._check = app, app.cloud, workers, check
        self._seconds = 1.0  # that a fractal takes

    def steps(self) -> list[Step]:
        """Each after those that it needs."""
        return [
            Step("deploy(1, 1)", self._deploy),
            Step("orders", self._orders, ("deploy(1, 1)",)),
            Step("groups hold", self._groups, ("deploy(1, 1)",)),
            Step(f"scale to {self._workers} workers", self._scale, ("deploy(1, 1)",)),
            Step("kill a busy worker", self._kill, ("orders", f"scale to {self._workers} workers")),
            Step("destroy", self._destroy, ("deploy(1, 1)",)),
        ]

    def _deploy(self) -> str:
        self._app.deploy(api=1, worker=1)
        roles = sorted(node["role"] for node in self._app.nodes())
        if roles != ["api", "worker"]:
            raise Wrong(f"the application lists {', '.join(roles) or 'nobody'}")
        return f"{len(self._app.servers)} servers serve"

    def _orders(self) -> str:
        done = self._made(list(itertools.islice(load.new_tasks(), FIRST_ORDERS)))
        self._seconds = statistics.median(fractal["duration"] or 0.0 for fractal in done)
        for fractal in done:
            picture = self._app.api.picture(fractal["uuid"], str(fractal["checksum"]))
            if not picture.startswith(PNG) or hashlib.sha256(picture).hexdigest() != fractal["checksum"]:
                raise Wrong("a picture does not match its checksum")
        return f"{len(done)} fractals, each with its checksum; {self._seconds:.2f} s a fractal"

    def _groups(self) -> str:
        matrix = reach.matrix(self._app)
        groups = {name: self._role(name).group for name in matrix.targets}
        open_, shut = 0, 0
        for source, target, port, state, _ in matrix.rows():
            wanted = self._opens(target, port, groups.get(source, ""))
            if state == "open" and not wanted:
                raise Wrong(f"{source} reaches port {port} of {target}, which must be closed to it")
            # Where a server has no floating IP, "you" can't reach it, whatever its groups say.
            if state != "open" and wanted and (source != reach.YOU or self._app.servers[target].floating_addresses):
                raise Wrong(f"{source} does not reach port {port} of {target}, which must be open to it")
            open_, shut = open_ + (state == "open"), shut + (state == "shut")
        if matrix["app-worker-1", "app-services", DATABASE_PORT] != "shut":
            raise Wrong("a worker reaches the database, or reach.matrix does not show it as shut")
        return f"{open_ + shut} connections as required: {open_} open, {shut} shut"

    def _opens(self, target: str, port: int, group: str) -> bool:
        """Whether the target's group lets members of this group in."""
        return any(
            port == (self._app.queue_port if opening.port == QUEUE else opening.port)
            and opening.source in (None, group)
            for opening in self._role(target).openings
        )

    def _scale(self) -> str:
        self._app.scale(worker=self._workers)
        workers = [node for node in self._app.nodes() if node["role"] == "worker"]
        if len(workers) != self._workers:
            raise Wrong(f"the application lists {len(workers)} workers")
        return f"{len(self._app.servers)} servers serve"

    def _kill(self) -> str:
        number = min(LOAD_MOST, max(FIRST_ORDERS, math.ceil(LOAD_SECONDS * self._workers / self._seconds)))
        victims: list[str] = []

        def kill() -> None:
            def look() -> bool:
                moment = observe(self._app.servers.values(), self._app.api)
                victims.extend(each.name for each in moment.of_role("worker") if each.working_on)
                if not victims and not moment.waiting and not moment.working:
                    raise Wrong("every fractal was finished before a worker was seen at work")
                return bool(victims)

            self._cloud.wait_until(look, "a busy worker")
            self._cloud.delete_servers([self._app.servers[victims[0]]])
            self._app.refresh()

        done = self._made(list(itertools.islice(load.new_tasks(), number)), kill)
        return f"{victims[0]} deleted while it worked; all {len(done)} fractals were finished"

    def _destroy(self) -> str:
        strangers = [s.name for s in self._app.refresh().servers.values() if s.id not in self._cloud.created["servers"]]
        if strangers:
            raise Wrong(f"somebody else built {', '.join(strangers)} meanwhile: not removed")
        self._app.destroy()
        receipt = self._cloud.receipt()
        if not receipt.nothing_left:
            raise Wrong(receipt.ending)
        return "no lab resources remain"

    def _role(self, server: str) -> Role:
        return ROLES[self._app.servers[server].metadata[ROLE_KEY]]

    def _made(self, tasks: Sequence[load.tasks.Task], meanwhile: Callable[[], None] | None = None) -> list[Fractal]:
        """Order these fractals, and wait until all are finished. Raises Wrong if an order was refused or a fractal
        failed."""
        rows = load.create(self._app.endpoints, tasks)
        self._check()  # interrupted, it returns what it has
        if refused := [row for row in rows if not row.ok]:
            raise Wrong(
                f"{len(refused)} of {len(rows)} orders were not accepted: {refused[0].status or refused[0].error}"
            )
        if meanwhile:
            meanwhile()
        done: dict[str, Fractal] = {}
        ordered = {row.uuid for row in rows}

        def look() -> Look:
            try:
                fractals = self._app.fractals()
            except NoAnswer:
                return Look(len(done), len(ordered), "the API does not answer")
            if failed := [f["failure"] for f in fractals if f["uuid"] in ordered and f["failed_at"]]:
                raise Wrong(f"{len(failed)} fractals failed: {failed[0]}")
            done.update({f["uuid"]: f for f in fractals if f["uuid"] in ordered and f["completed_at"]})
            return Look(len(done), len(ordered), f"{len(ordered) - len(done)} to go")

        self._cloud.wait_until(look, "fractals finished")
        return list(done.values())
