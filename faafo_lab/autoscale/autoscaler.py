"""`Autoscaler`: watch, decide, act, again and again, in the background.

    with autoscale.Autoscaler(app, autoscale.QueueAge(), maximum=6) as scaler:
        ...
    scaler.run                   # the score of its samples

What it knows is what the cloud and the application tell, so another process can go on where one has stopped.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from types import TracebackType

from faafo_lab.autoscale.fleet import Changes, Fleet, changes, fleet
from faafo_lab.autoscale.limits import Limits, bounded
from faafo_lab.autoscale.samples import Decision, Policy, Sample
from faafo_lab.autoscale.score import Run
from faafo_lab.cloud import notes
from faafo_lab.cloud.errors import CloudError, NotFound, NotReady, QuotaExceeded
from faafo_lab.cloud.marks import ROLE_KEY
from faafo_lab.cloud.model import Server
from faafo_lab.topology import Busy, Node, Stats, TakenOver, Topology, TopologyError, in_thread
from faafo_lab.topology.api import Api
from faafo_lab.topology.errors import first_line
from faafo_lab.topology.lock import alone, claim, lock_file
from faafo_lab.topology.plan import numbered

log = logging.getLogger(__name__)

EVERY_SECONDS = 2.0
ANSWER_SECONDS = 5.0  # how long an API may take: one that is overloaded is slow, and still right
AFTER_ERROR_SECONDS = 30.0  # until the next request, where one was refused or a server failed: it may happen again
FINISH_SECONDS, FINISH_LOOK_SECONDS = 60.0, 0.5  # for workers that still drain when it stops
SAMPLES_KEPT = 7200


class Autoscaler:
    """Keeps as many workers as a policy wants, between `minimum` and `maximum`: see `limits.Limits`.

    `samples` and `decisions` are those so far, the newest last (of the last SAMPLES_KEPT); `wanted` is the last
    decision. Each change, and each kind of trouble, says so once in a line (`say`; default: the application's own);
    with `say_each` each decision does.
    While another autoscaler on this machine scales the application, it stands by, and takes over when that one ends.

    As a context manager it runs in the background, and decides every `every_seconds`. Leaving it stops it: workers that
    drain finish first, all others stay. Raises TopologyError where there is no application, and LoadError for numbers
    that make no sense. What the policy raises ends it, and is raised again when it is left.
    """

    def __init__(
        self,
        app: Topology,
        policy: Policy,
        *,
        maximum: int,
        minimum: int = 1,
        out_cooldown_seconds: float = 0.0,
        in_cooldown_seconds: float = 0.0,
        every_seconds: float = EVERY_SECONDS,
        say: Callable[[str], None] | None = None,
        say_each: bool = False,
    ) -> None:
        self.limits = Limits(maximum, minimum, out_cooldown_seconds, in_cooldown_seconds)
        self.samples: list[Sample] = []
        self.decisions: list[Decision] = []
        self.wanted = minimum
        self.holder = ""  # who scales the application instead
        self.every_seconds = every_seconds
        self._policy = bounded(policy, self.limits)
        self._say, self._says_each = say or app.say, say_each
        self._app = in_thread(app).refresh()
        if not self._app.apis:
            raise TopologyError("There is no API server, so nothing can be scaled: deploy the application first.")
        self._api = Api(lambda: self._app.endpoints.values(), self._app.secret, timeout_seconds=ANSWER_SECONDS)
        self._started = time.monotonic()
        self._answering_since: float | None = None
        self._counted: tuple[float, int, int] | None = None  # when, orders, finished
        self._fleet: Fleet | None = None
        self._deleted: set[str] = set()  # the ids of servers that the cloud may still list
        self._requests_from = 0.0  # no request before
        self._troubles: dict[str, str] = {}
        self._lock = lock_file(self._app.cloud, "autoscaling")
        self._leads = False
        self._stop = threading.Event()
        self._ended = threading.Event()
        self._error: Exception | None = None

    @property
    def run(self) -> Run:
        """All samples so far, and what they come to."""
        return Run(tuple(self.samples), self.limits.minimum, self.limits.maximum)

    # -- in the background ------------------------------------------------------------------------------------------

    def __enter__(self) -> "Autoscaler":
        threading.Thread(target=self._loop, name="autoscaling", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self.wait()
        if self._error is not None and kind is None:
            raise self._error

    def wait(self) -> None:
        """Return when it has ended: it was stopped, the policy failed, or another chapter took the application over."""
        self._ended.wait()  # an interrupted Thread.join() would take the thread for ended (Python 3.11)

    def _loop(self) -> None:
        try:
            due = time.monotonic()
            while not self._stop.wait(max(0.0, due - time.monotonic())):
                due = max(due + self.every_seconds, time.monotonic())
                self.step()
        except Exception as error:  # shown now, and raised where the user waits for it
            self._error = error
            self._line(f"the autoscaler ends: {first_line(error)}")
        finally:
            self.close()
            self._ended.set()

    def close(self) -> None:
        """Let workers that drain finish, and end: another autoscaler may take over."""
        try:
            end = time.monotonic() + FINISH_SECONDS
            while self._leads:
                self.watch()  # the last change may have begun a drain
                if not (self._fleet and self._fleet.known and (self._fleet.leaving or self._fleet.drained)):
                    break
                if time.monotonic() > end:
                    self._line("it ends while workers drain: the next autoscaler goes on with them")
                    break
                self.act()
                time.sleep(FINISH_LOOK_SECONDS)
        except TakenOver:
            log.debug("another chapter has the workers that drain")
        finally:
            if self._leads:
                notes.want(self._app.cloud.name, None)
            self._leads = False
            self._lock.close()

    def step(self) -> None:
        """Watch, decide and act once; or stand by."""
        sample = self.watch()
        if self.leads():
            self.decide()
            self.act()
        else:
            self._keep(Decision(sample.wanted, f"standing by: {self.holder} scales the application"))

    def leads(self) -> bool:
        """Whether it is this autoscaler that scales the application: the first one on this machine does."""
        if not self._leads:
            self.holder = claim(self._lock, "an autoscaler")
            self._leads = not self.holder
            waited = self._trouble("leader", f"{self.holder} scales the application: standing by" * bool(self.holder))
            if waited and self._leads:
                self._line("the other autoscaler has ended: taking over")
        return self._leads

    # -- watch ------------------------------------------------------------------------------------------------------

    def watch(self) -> Sample:
        """Add a sample: what cloud and application say now."""
        servers, (stats, nodes, latency) = self._listed(), self._answer()
        now = time.monotonic()
        self._fleet = None
        if servers is not None:
            self._fleet = fleet(
                servers,
                nodes,
                now=datetime.now(UTC),
                answering_seconds=now - self._answering_since if self._answering_since else 0.0,
                boot_seconds=self._app.cloud.config.wait_seconds,
            )
        before = self.samples[-1] if self.samples else None
        requested = self._fleet.requested if self._fleet else before.requested if before else self.limits.minimum
        if not self._leads:
            self.wanted = requested
        ready = [server.name for server in self._fleet.ready] if self._fleet else []
        working = [node for node in nodes or () if node["role"] == "worker" and node["name"] in ready]
        orders, rate = self._rates(now, stats)
        sample = Sample(
            at=now - self._started,
            waiting=stats["waiting"] if stats else None,
            working=stats["working"] if stats else None,
            oldest_waiting_seconds=stats["oldest_waiting_seconds"] if stats else None,
            rate=rate,
            orders_per_second=orders,
            wanted=self.wanted,
            requested=requested,
            workers=len(ready) if stats and self._fleet else before.workers if before else 0,
            cpu=_mean(node["cpu_percent"] for node in working),
            load_average=_mean(node["load_average"][0] if node["load_average"] else None for node in working),
            latency_seconds=latency,
        )
        self.samples.append(sample)
        del self.samples[:-SAMPLES_KEPT]
        return sample

    def _listed(self) -> list[Server] | None:
        """The workers' servers; None where the cloud does not answer."""
        try:
            servers = self._app.cloud.servers()
        except CloudError as error:
            self._trouble("cloud", f"the cloud does not answer: {first_line(error)}")
            return None
        self._trouble("cloud", "")
        self._deleted &= {server.id for server in servers}
        there = [s for s in servers if s.metadata.get(ROLE_KEY) == "worker" and s.id not in self._deleted]
        return sorted(there, key=lambda server: numbered(server.name))

    def _answer(self) -> tuple[Stats | None, list[Node] | None, float | None]:
        """What the application says of itself, and how long its first answer took (seconds)."""
        try:
            asked = time.monotonic()
            stats = self._api.stats()
            latency = time.monotonic() - asked
            nodes = self._api.nodes()
        except TakenOver:
            raise
        except TopologyError as error:
            self._trouble("application", f"the application does not answer: {first_line(error)}")
            self._answering_since = None
            self._look_again()
            return None, None, None
        self._trouble("application", "")
        self._answering_since = self._answering_since or asked
        return stats, nodes, latency

    def _look_again(self) -> None:
        """List the servers: the APIs may have other addresses now."""
        try:
            self._app.refresh()
        except TakenOver:
            raise
        except CloudError as error:
            log.debug("not listed: %s", error)

    def _rates(self, now: float, stats: Stats | None) -> tuple[float | None, float | None]:
        """Orders, and finished fractals, per second since the sample before; None without an answer."""
        if stats is None:
            return None, None
        orders = stats["waiting"] + stats["working"] + stats["done"] + stats["failed"]
        before, self._counted = self._counted, (now, orders, stats["done"])
        if before is None or now <= before[0]:
            return 0.0, 0.0
        seconds = now - before[0]
        return max(0, orders - before[1]) / seconds, max(0, stats["done"] - before[2]) / seconds

    # -- decide -----------------------------------------------------------------------------------------------------

    def decide(self) -> Decision:
        """Ask the policy, by all samples so far."""
        decision = self._policy(tuple(self.samples))
        self._keep(decision)
        self.wanted = decision.wanted
        notes.want(self._app.cloud.name, decision.wanted)
        return decision

    def _keep(self, decision: Decision) -> None:
        """Remember a decision, and say it where it changes something or where each is said."""
        self.decisions.append(decision)
        del self.decisions[:-SAMPLES_KEPT]
        now, why = self.samples[-1], f": {decision.why}" if decision.why else ""
        if decision.wanted != now.wanted:
            self._line(f"{now.wanted} → {decision.wanted} workers{why}")
        elif self._says_each:
            self._tell(f"{now.wanted} workers ({now.requested} requested, {now.workers} ready){why}")

    # -- act --------------------------------------------------------------------------------------------------------

    def act(self) -> None:
        """Change what has to change now. It waits for nothing: what is under way, the next sample shows."""
        todo = changes(self.wanted, self._fleet) if self._fleet else Changes()
        if not todo.request:
            self._trouble("quota", "")
        if not todo:
            return
        cloud = self._app.cloud
        try:
            with alone(cloud, "scale the workers", timeout_seconds=0):
                for server, why in todo.delete:
                    if server.status == "ERROR":
                        self._requests_from = time.monotonic() + AFTER_ERROR_SECONDS
                        why = f"failed ({cloud.server(server.id).fault or 'the cloud gives no reason'})"
                    self._delete(server, f"{why}: deleted")
                for server in todo.cancel:
                    self._delete(server, "cancelled before it arrived")
                for server in todo.resume:
                    self._drain(server, False)
                    self._line(f"{server.name}: its drain ends, it stays")
                for server in todo.drain:
                    self._drain(server)
                    self._line(f"{server.name}: drains")
                if todo.request and time.monotonic() >= self._requests_from:
                    self._request(todo.request)
        except TakenOver:
            raise
        except Busy as error:
            self._trouble("change", f"waiting: {first_line(error)}")
        except CloudError as error:
            self._trouble("change", f"not changed: {first_line(error)}")
        else:
            self._trouble("change", "")

    def _drain(self, server: Server, drain: bool = True) -> None:
        with notes.quiet():  # its own line says it
            self._api.drain(server.name, drain)

    def _delete(self, server: Server, words: str) -> None:
        try:
            with notes.quiet():
                self._app.cloud.delete_server(server)
        except NotFound:
            words = f"{words} by somebody else"
        self._deleted.add(server.id)
        self._line(f"{server.name}: {words}")

    def _request(self, number: int) -> None:
        """Request as many workers as the quota has room for."""
        room = self._app.cloud.limits().room(self._app.flavor)
        fits = number if room is None else min(number, room)
        try:
            with notes.quiet():
                names = self._app.request_workers(fits) if fits else []
        except (NotReady, QuotaExceeded) as error:  # another quota, or somebody else was quicker
            self._requests_from = time.monotonic() + AFTER_ERROR_SECONDS
            self._trouble("quota", f"waiting for room: {' '.join(str(error).split())}")
            return
        if names:
            self._line(f"{', '.join(names)}: requested")
        full = f"the quota is used up: {self.wanted} workers are wanted, {number - fits} of them wait for room"
        self._trouble("quota", full * (fits < number))

    # -- words ------------------------------------------------------------------------------------------------------

    def _trouble(self, kind: str, words: str) -> str:
        """Say a trouble in a line where it is new; "": it is over. Returns the words before."""
        before = self._troubles.get(kind, "")
        self._troubles[kind] = words
        if words and not before:
            self._line(words)
        return before

    def _line(self, words: str) -> None:
        """Say a change or a trouble."""
        self._tell(words)
        notes.note(self._app.cloud.name, f"autoscaler: {words}")

    def _tell(self, words: str) -> None:
        self._say(f"{time.monotonic() - self._started:5.1f} s: {words}")


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
