"""The exercises of chapter 06: autoscaling and failure."""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from faafo_lab import autoscale, chaos, load
from faafo_lab.autoscale import Sample, Trace
from faafo_lab.check.chapter_3 import scaled_well
from faafo_lab.check.questions import failed, no_function, unwritten, working
from faafo_lab.check.verdict import Hint, exercise
from faafo_lab.cloud.base import Cloud
from faafo_lab.cloud.errors import CloudError, TimedOut
from faafo_lab.cloud.model import Server
from faafo_lab.topology import Topology, discover
from faafo_lab.topology.api import Fractal
from faafo_lab.topology.errors import first_line

MOST = 8  # workers
TASK_SECONDS_SIMULATED, BOOT_SECONDS_SIMULATED = 0.25, 10.0
HIDDEN = (11, 12, 13, 14, 15)  # the traces' seeds
WAIT_SECONDS = 8.0  # p95 of waiting, at most
MINUTES = 15.0  # server-minutes a trace, at most: four workers that run all the time take 16
WORKERS = 3  # that `repair` has to bring back
TASKS, TASK_SECONDS = 4, 0.5  # of the drill with a poison task
VICTIM_SECONDS = 5.0  # how long the poison and the accident take, where nobody is killed: long enough to be seen
VICTIMS = 4  # the poison must be given up before it has killed so many
DRILL_SECONDS = 180.0


@exercise
def exercise_6_1(cloud: Cloud, decide: Callable[..., Any] | None = None) -> Hint | str:
    """Your `decide(samples)` scales well on traces that you don't know: tasks wait briefly, and it costs little.

    On five hidden traces in the simulator (a task takes 0.25 s, a server boots for 10 s, at most 8 workers), 95 % of
    all moments have no task that has waited for more than 8 seconds, and a trace takes at most 15 server-minutes.
    """
    if not callable(decide) or unwritten(decide):
        return no_function(decide, "check.exercise_6_1(decide)")
    silent = Sample(
        at=0.0,
        waiting=None,
        oldest_waiting_seconds=None,
        wanted=3,
        requested=3,
        workers=3,
        working=None,
        rate=None,
        orders_per_second=None,
    )
    try:
        answer = decide((silent,))
        if answer in (None, ...):
            return Hint("decide(samples) returned nothing.", "It returns how many workers there should be, a number.")
        kept = getattr(answer, "wanted", answer)
        duel = autoscale.duel(
            {"yours": decide},
            [Trace.random(seed) for seed in HIDDEN],
            maximum=MOST,
            task_seconds=TASK_SECONDS_SIMULATED,
            boot_seconds=BOOT_SECONDS_SIMULATED,
        )
    except Exception as error:  # the learner's own
        return failed(
            "decide(samples)",
            error,
            "Any value of a sample may be None, where nobody answered.",
            "if samples[-1].waiting is None: return samples[-1].wanted",
        )
    yours, times = duel["yours"], duel.times_oracle("yours")
    if yours.p95_wait > WAIT_SECONDS:
        return Hint(
            f"Tasks wait too long: p95 {yours.p95_wait:.1f} s, and {WAIT_SECONDS:g} s are the limit.",
            "Look at what arrives, not only at what waits: a server that is asked for now helps in ten seconds.",
            "samples[-1].orders_per_second, samples[-1].requested",
        )
    if yours.cost > MINUTES:
        return Hint(
            f"It takes {yours.cost:.1f} server-minutes a trace (limit: {MINUTES:g}): {times:.2f} times what the oracle "
            "takes for the same waiting.",
            "Give servers back when nothing waits any more, one at a time.",
            "samples[-1].waiting == 0",
        )
    if kept < silent.wanted:
        return Hint(
            "Where nobody answers, decide(samples) removes workers.",
            "A dead metric is no reason to remove anything: keep what was wanted last.",
            "if samples[-1].waiting is None: return samples[-1].wanted",
        )
    return (
        f"p95 of waiting {yours.p95_wait:.1f} s (limit: {WAIT_SECONDS:g} s), {yours.cost:.1f} server-minutes a trace "
        f"(limit: {MINUTES:g}), {times:.2f} times the oracle's."
    )


@exercise
def exercise_6_2(cloud: Cloud, run: autoscale.Run | None = None) -> Hint | str:
    """Your `decide(samples)` does so on your cloud, too: no task waits for more than a quarter of the run.

    And the workers take fewer server-minutes than four of them that run all the time.
    """
    return scaled_well(run, "check.exercise_6_2(scaled)")


@exercise
def exercise_6_3(cloud: Cloud, repair: Callable[..., Any] | None = None) -> Hint | str:
    """After your `repair(wanted)` there are as many workers as wanted, all of them work, and healthy ones stay.

    The check sees to three workers, deletes one, freezes the program of another one, waits until the application has
    noticed, and calls your function.
    """
    if not callable(repair) or unwritten(repair):
        return no_function(repair, "check.exercise_6_3(repair)")
    app = discover(cloud)
    app.scale(worker=WORKERS)
    app.wait_serving()
    healthy, frozen, deleted = app.workers
    app.cloud.delete_servers([deleted])
    stuck = chaos.freeze(app, frozen.name, service="faafo-worker")
    try:
        app.cloud.wait_until(lambda: not working(app) - {healthy.name}, "the application has noticed")
        try:
            repair(WORKERS)
        except TimedOut as error:
            return Hint(
                f"repair({WORKERS}) did not end: {first_line(error)}",
                f"{frozen.name} is ACTIVE and silent, and `scale` waits until every server serves. Delete silent ones "
                "before.",
                "cloud.delete_servers(silent), then app.refresh().scale(worker=wanted)",
            )
        except Exception as error:  # the learner's own
            return failed(f"repair({WORKERS})", error)
        return _repaired(app.refresh(), healthy)
    finally:
        with suppress(CloudError):  # its server may be gone
            stuck.undo()


def _repaired(app: Topology, healthy: Server) -> Hint | str:
    there = {server.name: server.id for server in app.workers}
    if there.get(healthy.name) != healthy.id:
        return Hint(
            f"{healthy.name} was well, and it is gone.",
            "Only those that are silent are replaced.",
            '{node["name"]: node["seconds_since_heard"] for node in app.nodes()}',
        )
    well = working(app) & set(there)
    if len(there) != WORKERS or well != set(there):
        silent = sorted(set(there) - well)
        return Hint(
            f"There are {len(there)} workers, and {len(well)} of them work"
            + (f": {', '.join(silent)} {'does' if len(silent) == 1 else 'do'} not." if silent else "."),
            "ACTIVE is what the cloud knows. The application knows whom it hears.",
            "cloud.delete_servers(silent), then app.refresh().scale(worker=wanted)",
        )
    return f"{WORKERS} workers, all of them work, and {healthy.name} is the same as before."


@exercise
def exercise_6_4(cloud: Cloud, guard: Callable[..., Any] | None = None) -> Hint | str:
    """Your `guard(fractals)` gives up the poison task before it has killed four times, and no other task.

    The check orders six tasks. The program of whichever worker starts the poison is killed each time, that of one
    worker is killed once while it has another task.
    """
    if not callable(guard) or unwritten(guard):
        return no_function(guard, "check.exercise_6_4(guard)")
    app = discover(cloud)
    app.ensure_workers(2)
    work = load.calibrate(app)
    tasks = work.tasks(2, VICTIM_SECONDS) + work.tasks(TASKS, TASK_SECONDS)
    poison, accident = tasks[0]["uuid"], tasks[1]["uuid"]
    load.create(app.endpoints, tasks, progress=False)
    drill = _Poison(app, {task["uuid"] for task in tasks}, poison, accident)
    try:
        found = drill.run(guard)
    finally:
        drill.close()
    app.wait_serving()
    return found


class _Poison:
    """Kills whoever starts the poison, once whoever starts the accident, and does what the guard says."""

    def __init__(self, app: Topology, uuids: set[str], poison: str, accident: str) -> None:
        self.app, self.uuids, self.poison, self.accident = app, uuids, poison, accident
        self.killed: list[tuple[str, str | None]] = []  # whose program, in which attempt of the poison
        self.spared = False
        self._faults: list[chaos.Fault] = []

    def run(self, guard: Callable[..., Any]) -> Hint | str:
        """Until all others are made and the poison is given up, or something went wrong."""
        end = time.monotonic() + DRILL_SECONDS
        while time.monotonic() < end:
            fractals = [each for each in self.app.fractals() if each["uuid"] in self.uuids]
            self._kill(fractals)
            if any(each["uuid"] == self.poison and each["completed_at"] for each in fractals):
                return Hint(
                    "The poison was made before its worker could be killed: this machine is busier now than when its "
                    "speed was measured. Your guard was not tried: run the check again.",
                )
            open_ones = [each for each in fractals if not each["completed_at"] and not each["failed_at"]]
            try:
                given_up = guard(open_ones)
                if given_up is None:
                    return Hint(
                        "guard(fractals) returned None.", "It returns a list of uuids; an empty one gives up none."
                    )
                given_up = list(given_up)
            except Exception as error:  # the learner's own
                return failed("guard(fractals)", error)
            if wrong := sorted(set(given_up) & self.uuids - {self.poison}):
                return Hint(
                    f"The guard gave up {wrong[0]}, which is no poison. Attempts of it that were lost: "
                    f"{max((len(each['lost']) for each in fractals if each['uuid'] == wrong[0]), default=0)}.",
                    "A worker may die for any reason, and its task is innocent. Twice in a row is a suspicion.",
                    'len(fractal["lost"]) >= 2',
                )
            if self.poison in given_up:
                self.app.api.delete([self.poison])
                self.uuids.discard(self.poison)
            if len(self.killed) >= VICTIMS:
                return Hint(
                    f"The poison has killed {len(self.killed)} times: {', '.join(name for name, _ in self.killed)}.",
                    "Each fractal says which attempts were lost.",
                    'fractal["uuid"], len(fractal["lost"])',
                )
            if self.poison not in self.uuids and not open_ones:
                return f"The poison was given up after it had killed {len(self.killed)} times; all others are made."
            time.sleep(0.2)
        return Hint(
            f"After {DRILL_SECONDS:.0f} s {len(open_ones)} tasks are neither made nor given up, and the poison has "
            f"killed {len(self.killed)} times. Where that is less than twice, this machine is too busy to try your "
            "guard: run the check again."
        )

    def close(self) -> None:
        """Undo what was done."""
        for fault in self._faults:
            with suppress(CloudError):  # its server may be gone
                fault.undo()

    def _kill(self, fractals: Sequence[Fractal]) -> None:
        for each in fractals:
            worker, started = each["leased_by"], each["started_at"]
            if each["completed_at"] or not worker or not started:
                continue
            if each["uuid"] == self.poison and (worker, started) not in self.killed:
                self._faults.append(chaos.kill(self.app, worker, service="faafo-worker"))
                self.killed.append((worker, started))
            elif each["uuid"] == self.accident and not self.spared:
                self._faults.append(chaos.kill(self.app, worker, service="faafo-worker"))
                self.spared = True
