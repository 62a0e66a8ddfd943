"""The campaign: one fault, one concept, a ladder of hints, a clock. You repair it, as on any cloud.

with gameday.mission(1).start(app) as incident:
    print(incident)            # what users see
    incident.hint()            # one step of the ladder at a time; each costs points
    ...                        # look, and repair it
    incident.check()           # is all well again?
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from types import TracebackType
from typing import Self

from faafo_lab import chaos, load
from faafo_lab.chaos.plans import Journal
from faafo_lab.cloud import notes
from faafo_lab.cloud.errors import CloudError
from faafo_lab.cloud.waiting import Look
from faafo_lab.topology import NoAnswer, Topology
from faafo_lab.topology.api import LOST, Api

ANSWER_SECONDS = 1.0  # an API that takes longer is not well
SYMPTOM_SECONDS = 120.0  # within which users must see something of a fault
ORDER_SECONDS = 30.0  # an order that takes longer neither
POINTS, HINT_POINTS, LATE_POINTS = 100, 20, 30


@dataclass(frozen=True)
class Mission:
    """One fault to find and repair. `faults` injects it; `minutes` is what a good operator needs."""

    title: str
    symptom: str
    concept: str
    hints: tuple[str, ...]
    faults: Callable[[Topology], Sequence[chaos.Fault]]
    minutes: float = 10.0

    def start(self, app: Topology) -> Incident:
        """Break it, and start the clock when users see something of it.

        Raises ChaosError if the application is not well to begin with, TimedOut if nobody sees anything: then, and
        after an interrupt, the fault is undone.
        """
        if not app.refresh().endpoints:
            raise chaos.ChaosError("There is no application yet: build one, such as by 'faafo-lab scale-out'.")
        if wrong := complaints(app):
            raise chaos.ChaosError(f"The application is not well before the mission: {wrong[0]} Repair it first.")
        return Incident(self, app)


class Incident:
    """A mission that has begun. At a block's end its fault is undone, repaired or not."""

    def __init__(self, mission: Mission, app: Topology) -> None:
        self.mission, self.app, self.hints, self.solved = mission, app, 0, False
        self.journal = Journal(mission.title)
        self._took = 0.0
        before = chaos.active()
        try:
            self._faults = list(mission.faults(app))
            for fault in self._faults:
                self.journal.note(f"injected: {fault.what}")
            app.cloud.wait_until(lambda: bool(complaints(app)), "complaints of users", SYMPTOM_SECONDS)
        except BaseException:
            for fault in chaos.active():
                if fault not in before:
                    fault.undo()
            raise
        self.journal.note("users complain")
        notes.note(app.cloud.name, "users complain")
        self._began = time.monotonic()

    @property
    def seconds(self) -> float:
        """The clock: seconds since the start, or, once it is solved, until then."""
        return self._took or time.monotonic() - self._began

    @property
    def points(self) -> int:
        """100, less 20 for each hint and 30 if it took longer than it should; 0 while it is not solved."""
        late = LATE_POINTS * (self.seconds > 60 * self.mission.minutes)
        return max(0, POINTS - HINT_POINTS * self.hints - late) if self.solved else 0

    def hint(self) -> str:
        """The next step of the ladder; the last one is the repair itself."""
        ladder = self.mission.hints
        words = ladder[min(self.hints, len(ladder) - 1)]
        self.hints = min(self.hints + 1, len(ladder))
        self.journal.note(f"hint {self.hints}: {words}")
        return words

    def check(self) -> str:
        """Whether all is well again. What is not, it doesn't say: that is yours to find out."""
        if complaints(self.app):
            words = "Not yet: users still complain."
        else:
            if not self.solved:
                self.solved, self._took = True, self.seconds
            words = (
                f"Solved in {self.seconds:.0f} s, hints: {self.hints}, points: {self.points}. {self.mission.concept}"
            )
        self.journal.note(words)
        return words

    def close(self) -> None:
        """Undo the fault, if it is still there."""
        for fault in reversed(self._faults):
            fault.undo()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __str__(self) -> str:
        return f"{self.mission.title}. {self.mission.symptom} (A good operator needs {self.mission.minutes:g} minutes.)"

    __repr__ = __str__


def complaints(app: Topology) -> list[str]:
    """What is wrong with the application, from the outside; none: every API answers quickly, every server is heard of,
    and an order is made."""
    servers = app.refresh().servers.values()
    wrong = [f"{server.name} is {server.status}." for server in servers if server.status != "ACTIVE"]
    if not app.endpoints:
        return [*wrong, "there is no API."]
    for name, url in app.endpoints.items():
        begun = time.monotonic()
        well = Api(lambda url=url: [url], app.secret, timeout_seconds=10 * ANSWER_SECONDS).healthy()  # type: ignore[misc]
        if not well:
            wrong.append(f"{name} says that it is not healthy, or says nothing.")
        elif time.monotonic() - begun > ANSWER_SECONDS:
            wrong.append(f"{name} takes {time.monotonic() - begun:.1f} s for an answer.")
    try:
        heard = {node["name"] for node in app.nodes() if node["state"] != LOST}
        silent = [server.name for server in (*app.apis, *app.workers) if server.name not in heard]
        wrong += [f"nothing is heard of {name}." for name in silent]
        if not wrong and not _makes_an_order(app):
            wrong.append(f"an order was not made within {ORDER_SECONDS:.0f} s.")
    except NoAnswer as error:
        wrong.append(f"no API answers ({error})")
    return wrong


def _makes_an_order(app: Topology) -> bool:
    [task] = islice(load.new_tasks(width=64, height=48), 1)
    if not load.create(app.endpoints, [task], progress=False)[0].ok:
        return False
    deadline = time.monotonic() + ORDER_SECONDS
    made: list[str] = []

    def look() -> Look | bool:
        try:
            made[:] = [one["uuid"] for one in app.api.newest(1) if one["uuid"] == task["uuid"]]
        except CloudError:
            made.clear()
        return bool(made) or time.monotonic() > deadline

    app.cloud.wait_until(look, "order made", 2 * ORDER_SECONDS, progress=False)
    return bool(made)


def _closed(app: Topology) -> list[chaos.Fault]:
    gate = chaos.close_gate(app, "services", 5432)
    return [gate, *(chaos.kill(app, server.name, service="faafo-api") for server in app.of_role("api"))]


MISSIONS = (
    Mission(
        "1. Slower than yesterday",
        "Every order is made. But a batch that took one minute yesterday takes two today, or more.",
        "A worker that hangs looks alive to its cloud: only what it does not say (its heartbeat) gives it away.",
        (
            "What does the application say of its workers? app.nodes()",
            "One of them has not been heard of for a while, though its server is ACTIVE.",
            'Its program is frozen: systemctl thaw faafo-worker on it, or app.replace("app-worker-1").',
        ),
        lambda app: [chaos.freeze(app, "app-worker-1", service="faafo-worker")],
    ),
    Mission(
        "2. Nothing is made at all",
        "Orders are accepted, a little slower than usual. None is made.",
        "The queue is only the fast path: what was accepted meanwhile is in the database, and comes out of its outbox.",
        (
            'What does an API say of its health? And app.stats()["queue_depth"]?',
            "The broker does not answer. On which server is it?",
            "systemctl start faafo-messaging on app-services (on a distribution's image: rabbitmq-server).",
        ),
        lambda app: [chaos.stop(app, "app-services", service="faafo-messaging")],
    ),
    Mission(
        "3. It worked until it restarted",
        "Since the API servers' programs were started again, every request fails. Nobody changed the database.",
        "A security group lets new connections in: those that are open do not notice that its rule is gone.",
        (
            "What does an API say of its health?",
            'The API can\'t reach the database. Who may? cloud.security_group("services")',
            'A rule is missing: cloud.add_rule("services", 5432, remote_group="api").',
        ),
        _closed,
    ),
    Mission(
        "4. One in two is slow",
        "Every other request takes two seconds. The CPUs are idle.",
        "Latency is not load: more servers do not help, one server less does.",
        (
            "Is each API slow, or one of them? Measure each endpoint on its own.",
            "The slow one has nothing to do, and its network is slow. A new server is on another one.",
            'app.replace("app-api-2"): a network fault ends with its server.',
        ),
        lambda app: [chaos.latency(app, chaos.ANYWHERE, "app-api-2", milliseconds=2000)],
    ),
)


def mission(number: int) -> Mission:
    """The mission of this number, from 1. Raises ChaosError if there is none."""
    if number not in range(1, len(MISSIONS) + 1):
        raise chaos.ChaosError(f"There is no mission {number!r}: give a number from 1 to {len(MISSIONS)}.")
    return MISSIONS[number - 1]
