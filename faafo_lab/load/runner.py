"""A run of load in the background: who sends what when, and how it ends. `load.start` makes one.

A few threads, the senders, take requests from one plan, in order. In a closed loop each takes the next when it has its
answer. In an open loop the plan has a time for each: one sender waits for the clock, another is ready, and one more
starts whenever none is; so there are as many connections as requests were in flight at the peak. Once the allowed
number is in flight, requests go out late, and their rows show it. A request that is sent again keeps its sender, also
while it waits for its next try.
"""

import math
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from faafo_lab.cloud.progress import Progress
from faafo_lab.load.choosing import Chooser, Clients
from faafo_lab.load.retrying import TRIES_MAX, Failure, Retries, Retry, checked_pause
from faafo_lab.load.rows import NEVER_SENT, Request, Rows, Try
from faafo_lab.load.tasks import Task
from faafo_lab.load.wire import CUT_OFF, Client, body_of
from faafo_lab.topology.api import FRACTALS

STOP_GRACE_SECONDS = 1.0  # for the answers in flight, when a run is stopped
CUT_SECONDS = 0.2  # for the senders, to see that their connections are gone
LOOK_SECONDS = 0.1
Endpoints = Mapping[str, str] | Callable[[], Mapping[str, str]]
Job = tuple[int, float | None, Task | None]  # its number, when it is due (seconds after the start), what to order


class Run:
    """Load that goes out in the background, and the rows that it has made so far.

    `orders`: what to send, a fractal to order or None to read `path`. `due`: when, in seconds from the start, one for
    each request (an open loop); without it, as answers come (a closed loop) for `seconds`, or until there are no more
    orders. `retry` says after each try that failed whether there is another. At `limit_seconds` the run ends whatever
    happens. As a context manager it is stopped at the end of the block. What `retry` or `endpoints` raise ends the run,
    and is raised by `wait` or at the end of the block. Its threads end with the Python process, too.
    """

    def __init__(
        self,
        endpoints: Endpoints,
        orders: Iterator[Task | None],
        *,
        path: str,
        at_once: int,
        timeout_seconds: float,
        limit_seconds: float,
        due: Sequence[float] | None = None,
        seconds: float | None = None,
        total: int | None = None,
        clients: Clients = "turns",
        retry: Retry | Retries | None = None,
    ) -> None:
        self.endpoints, self.path, self.at_once = endpoints, path, at_once
        self._chooser = Chooser(clients)
        self._retry = retry.for_run() if isinstance(retry, Retries) else retry
        self.timeout_seconds, self.limit_seconds, self.seconds = timeout_seconds, limit_seconds, seconds
        self.total = total if due is None else len(due)  # requests; None where time decides
        self._is_open = due is not None
        self._plan = _numbered(due, orders)
        self._rows: dict[int, Request] = {}
        self._under_way: dict[int, Request] = {}  # as they will read, should no answer come
        self._clients: list[Client] = []
        self._senders = self._queueing = 0
        self._begun = self._retries = 0  # requests, and tries beyond their first
        self._turn = threading.Lock()  # held while a sender takes from the plan
        self._count = threading.Lock()  # guards the counts and the rows
        self._deciding = threading.Lock()  # a learner's `retry` may count without a lock of its own
        self._stopping, self._idle, self._finished = threading.Event(), threading.Event(), threading.Event()
        self._note = ""
        self._failure: Exception | None = None
        self._took: float | None = None
        self._epoch, self._zero = time.time(), time.perf_counter()
        threading.Thread(target=self._conduct, name="load", daemon=True).start()

    # -- from outside ----------------------------------------------------------------------------------------------

    @property
    def rows(self) -> Rows:
        """The requests that have ended so far, in the order of the plan (a copy)."""
        with self._count:
            return Rows([self._rows[number] for number in sorted(self._rows)], self._note)

    @property
    def running(self) -> bool:
        """Whether requests remain to send, or answers to await."""
        return not self._finished.is_set()

    @property
    def elapsed(self) -> float:
        """Seconds since the start; once finished, what the run took."""
        return self._now() if self._took is None else self._took

    @property
    def ended(self) -> int:
        """How many requests have ended so far."""
        return len(self._rows)

    @property
    def in_flight(self) -> int:
        """How many requests wait for their answer now."""
        return len(self._under_way)

    def stop(self) -> Rows:
        """Send no more requests, give those in flight a moment, cut off the rest; returns the rows.

        Takes up to about STOP_GRACE_SECONDS. Stopping a run that has finished changes nothing.
        """
        if self.running:
            self._note = self._note or f"stopped after {self._now():.1f} s"
            self._stopping.set()
            self._finished.wait(STOP_GRACE_SECONDS + 2 * CUT_SECONDS + 1)
        return self.rows

    def wait(self, *, progress: bool = False, what: str = "") -> Rows:
        """Wait until the run has finished (it has its own limit); returns the rows. An interrupt ends only the wait.

        With `progress` a line says `what` is awaited, how far it is, and for how long it has run. Raises what `retry`
        or `endpoints` raised, and LoadError where `retry` returned neither seconds nor None.
        """
        total = max(1, math.ceil(self.seconds or 0)) if self.total is None else self.total
        what = what or (f"{self.seconds:g} s of requests" if self.total is None else "requests answered")
        with Progress(what, total, show=progress) as line:
            while not self._finished.wait(LOOK_SECONDS):
                done = int(self.elapsed) if self.total is None else self.ended
                line.update(min(done, total), f"{self.ended} answered" if self.total is None else "")
            line.update(total if self.total is None else self.ended)
        if self._failure:
            raise self._failure
        return self.rows

    def __enter__(self) -> "Run":
        return self

    def __exit__(self, kind: type[BaseException] | None, *exc_info: object) -> None:
        self.stop()
        if self._failure and kind is None:
            raise self._failure

    def __repr__(self) -> str:
        state = "running" if self.running else "finished"
        return f"<Run {state}, {self.elapsed:.1f} s: {self.ended} requests ended, {self.in_flight} in flight>"

    # -- the threads -----------------------------------------------------------------------------------------------

    def _now(self) -> float:
        return time.perf_counter() - self._zero

    def _conduct(self) -> None:
        """Start the senders, wait for the end, for `stop` or for the limit, and account for what has no answer then."""
        with self._turn:
            for _ in range(1 if self._is_open else min(self.at_once, self.total or self.at_once)):
                self._hire()
        while not self._idle.wait(LOOK_SECONDS / 2) and self._now() < self.limit_seconds:
            if self._stopping.is_set():
                self._idle.wait(STOP_GRACE_SECONDS)
                break
        at_limit = not self._idle.is_set() and not self._stopping.is_set()
        self._stopping.set()
        with self._count:
            clients = list(self._clients)
        for client in clients:
            client.cut()
        self._idle.wait(CUT_SECONDS)
        with self._count:
            now = self._epoch + self._now()
            for number, row in self._under_way.items():
                self._rows[number] = _cut(row, now)
            self._under_way.clear()
        if at_limit:
            with self._turn:
                self._account_for_the_unsent()
        self._took = self._now()
        self._finished.set()

    def _account_for_the_unsent(self) -> None:
        """At the limit, a request that was due and never sent counts as a failure."""
        self._note = f"ended at its limit of {self.limit_seconds:.0f} s"
        if not self._is_open:
            return
        now = self._epoch + self._now()
        unsent = 0
        for number, due, task in self._plan:
            assert due is not None
            intended = self._epoch + due
            row = Request(now, now - intended, None, "", NEVER_SENT, intended, _uuid(task))
            with self._count:
                self._rows[number] = row
            unsent += 1
        self._note += f": {unsent} requests were never sent" if unsent else ""

    def _hire(self) -> None:
        """Start one more sender, unless `at_once` are running."""
        with self._count:
            if self._senders >= self.at_once:
                return
            self._senders += 1
            client = Client(self.timeout_seconds)
            self._clients.append(client)
        threading.Thread(target=self._send_in_turn, args=(client,), name="load sender", daemon=True).start()

    def _send_in_turn(self, client: Client) -> None:
        """A sender: take a request when it is due, send it, note how it ended, until there is none left."""
        try:
            while (job := self._next()) is not None:
                self._send(client, job)
        except Exception as error:
            self._failure = self._failure or error
            self._stopping.set()
        finally:
            client.close()
            with self._count:
                self._senders -= 1
                if self._senders == 0:
                    self._idle.set()

    def _next(self) -> Job | None:
        """The next request, once it is due; None at the end."""
        with self._count:
            self._queueing += 1
        with self._turn:
            with self._count:
                self._queueing -= 1
                someone_waits = self._queueing > 0
            time_is_up = self.seconds is not None and self._now() >= self.seconds
            if self._stopping.is_set() or (time_is_up and self.ended):  # one request at least, however short the time
                return None
            job = next(self._plan, None)
            if job is None:
                return None
            if job[1] is not None:
                if not someone_waits:
                    self._hire()
                if self._stopping.wait(max(0.0, job[1] - self._now())):
                    return None
            return job

    def _send(self, client: Client, job: Job) -> None:
        """Send a request, again as long as it fails and `retry` says so, and note how it ended."""
        number, due, task = job
        method, path, body = ("GET", self.path, None) if task is None else ("POST", FRACTALS, body_of(task))
        connection = self._clients.index(client)
        started = self._epoch + self._now()
        intended = started if due is None else self._epoch + due
        tried: tuple[Try, ...] = ()
        while True:
            urls = list((self.endpoints() if callable(self.endpoints) else self.endpoints).values())
            endpoint = self._chooser.choose(urls, number + len(tried), connection)
            begin = self._now()
            attempt = Try(self._epoch + begin, 0.0, None, endpoint, CUT_OFF)
            row = Request(started, 0.0, None, endpoint, CUT_OFF, intended, _uuid(task), tried=(*tried, attempt))
            with self._count:
                self._under_way[number] = row
                self._begun += not tried
                self._retries += bool(tried)
            answer = client.send(method, endpoint, path, body, row.uuid)
            now = self._now()
            attempt = Try(self._epoch + begin, now - begin, answer.status, answer.server, answer.error)
            self._chooser.ended(endpoint, attempt.seconds, attempt.ok)
            tried = (*tried, attempt)
            latency = self._epoch + now - intended
            row = Request(started, latency, answer.status, answer.server, answer.error, intended, row.uuid, "", tried)
            with self._count:
                if number not in self._under_way:
                    return  # the run is over, and has accounted for it
                self._under_way[number] = row
            pause = self._pause(tried)
            if pause is None or self._stopping.wait(pause):
                break
        with self._count:
            if self._under_way.pop(number, None) is not None:
                self._rows[number] = row

    def _pause(self, tried: Sequence[Try]) -> float | None:
        """Seconds until the next try; None where there is none. Raises what `retry` raises, and LoadError."""
        last = tried[-1]
        if last.ok or self._retry is None or len(tried) >= TRIES_MAX or self._stopping.is_set():
            return None
        with self._deciding:
            failure = Failure(last.started, last.seconds, last.status, last.api, last.error, self._begun, self._retries)
            return checked_pause(self._retry(len(tried), failure))


def _cut(row: Request, now: float) -> Request:
    """A request under way, as it ends now."""
    *before, last = row.tried
    if last.error == CUT_OFF:
        last = replace(last, seconds=now - last.started)
    return replace(row, latency=now - row.intended, tried=(*before, last))


def _numbered(due: Iterable[float] | None, orders: Iterator[Task | None]) -> Iterator[Job]:
    if due is None:
        for number, task in enumerate(orders):
            yield number, None, task
    else:
        for number, (at, task) in enumerate(zip(due, orders, strict=False)):
            yield number, at, task


def _uuid(task: Task | None) -> str:
    return str(task.get("uuid", "")) if task is not None else ""
