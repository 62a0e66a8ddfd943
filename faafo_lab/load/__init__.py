"""Load for the application, and what came of it: one row per request, one per finished fractal.

    tasks = load.same_tasks(60)                        # the same work each time: so that two runs compare
    rows = load.create(app.endpoints, tasks)           # POST them, four at a time
    timeline = load.Timeline(); timeline.mark("three workers"); timeline.collect(app.endpoint)
    timeline.rate(start, end)                          # fractals per second between two times

    load.run(app.endpoints, loop="closed", at_once=8, seconds=10)      # read a page, as fast as 8 clients get answers
    load.run(app.endpoints, loop="open", rate=20, seconds=10)          # read it 20 times a second, come what may
    load.run(app.endpoints, loop="open", rate=5, number=50, size=(320, 200))     # order 50 fractals, 5 a second
    load.start(...)                                    # the same in the background; `Load` says what there is to set

In a **closed loop** a fixed number of clients each send a request, wait for its answer, then send the next: a slow
server gets fewer requests. In an **open loop** requests arrive by the clock, as from the many visitors of a web page
who know nothing of each other: a slow server gets as many as before, and they queue.

A closed loop therefore hides waiting. Where a server stalls for a second, eight closed clients see eight slow requests
and send no others in that second: just the ones that would have waited are never sent. The measurement leaves out, in
step with the server, what would look bad: **coordinated omission** (Gil Tene, "How NOT to Measure Latency"). So an open
loop keeps its schedule, and a row's `latency` counts from the *intended* start, even if all the client's connections
were taken and the request went out late. `service_time`, from the actual start, is what one would have seen otherwise.
"""

import inspect
import itertools
import json
import math
import random
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal, ParamSpec, TypeVar
from urllib.parse import urlsplit

from faafo_lab.load.rows import Request, Rows, Summary
from faafo_lab.load.runner import Endpoints, Run, Task
from faafo_lab.load.timeline import Done, Sample, Timeline, completions, watch
from faafo_lab.load.wire import Client

__all__ = [
    "Done",
    "Load",
    "LoadError",
    "Request",
    "Rows",
    "Run",
    "Sample",
    "Summary",
    "Timeline",
    "completions",
    "create",
    "new_tasks",
    "read",
    "run",
    "same_tasks",
    "schedule",
    "start",
    "steady",
    "watch",
    "workers_of",
]

REQUEST_TIMEOUT_SECONDS = 30
RUN_LIMIT_SECONDS = 300  # of a closed loop that is to send a number of requests, however long that takes
RETRY_PAUSE_SECONDS = 0.25
CLOSED_AT_ONCE, OPEN_AT_ONCE = 4, 64  # connections, unless told otherwise
AT_ONCE_MAX = 256
REQUESTS_MAX = 100_000  # in one run: each is a row in memory
PAGE = "/v1/fractal?page=1"
# A fractal that keeps a quarter of a core busy for about a third of a second.
WIDTH_PIXELS, HEIGHT_PIXELS, ITERATIONS = 1440, 960, 320
BOX = {"xa": -0.8, "xb": -0.5, "ya": -0.1, "yb": 0.1}  # of the plane: most of what is there takes many steps
SEED = 391  # of those tried, the one whose groups of fifteen and of twenty fractals cost most alike

Loop = Literal["open", "closed"]
Arrivals = Literal["constant", "poisson"]
P = ParamSpec("P")
R = TypeVar("R")


class LoadError(ValueError):
    """A run that can't be: the message says which value is wrong, and what to give instead."""


def same_tasks(
    number: int,
    *,
    width: int = WIDTH_PIXELS,
    height: int = HEIGHT_PIXELS,
    iterations: int = ITERATIONS,
    seed: int = SEED,
) -> list[Task]:
    """`number` fractals of this size (pixels): the same ones for the same seed, so that two runs do equal work.

    Of another size, or with other `iterations`, they are other fractals: their uuids have nothing in common.
    """
    space = uuid.uuid5(uuid.NAMESPACE_URL, f"faafo-lab/{seed}/{width}/{height}/{iterations}")
    return [_task(uuid.uuid5(space, str(index)), width, height, iterations) for index in range(number)]


def new_tasks(
    *, width: int = WIDTH_PIXELS, height: int = HEIGHT_PIXELS, iterations: int = ITERATIONS
) -> Iterator[Task]:
    """Fractals of this size (pixels) that nobody ordered before, without end."""
    while True:
        yield _task(uuid.uuid4(), width, height, iterations)


def schedule(rate: float, arrivals: Arrivals = "constant", seed: int = 1) -> Iterator[float]:
    """When requests arrive, in seconds from the start, without end: `rate` a second on average.

    "constant": one every 1/rate seconds. "poisson": independent of each other, as visitors come (gaps between them are
    exponentially distributed); the same ones for the same seed.
    """
    if arrivals == "constant":
        yield from (index / rate for index in itertools.count())
    dice, at = random.Random(seed), 0.0
    while True:
        at += dice.expovariate(rate)
        yield at


@dataclass(frozen=True, kw_only=True)
class Load:
    """A load: what to send, and when. `run` and `start` send it.

    What: `tasks` orders these fractals, `size=(width, height)` (pixels) new ones of this size and so many `iterations`;
    without either, `path` is read. How many: `number`, or as many as start within `seconds`.
    When: `loop="closed"` keeps `at_once` requests in flight; `loop="open"` sends `rate` requests per second, by
    `schedule(rate, arrivals, seed)`, on at most `at_once` connections (the module's text says what that means).
    Every request has a time limit, `timeout_seconds`.

    Raises LoadError for values that make no load.
    """

    loop: Loop = "closed"
    rate: float | None = None
    arrivals: Arrivals = "constant"
    seed: int = 1
    at_once: int | None = None
    number: int | None = None
    seconds: float | None = None
    tasks: Iterable[Task] | None = None
    size: tuple[int, int] | None = None
    iterations: int = ITERATIONS
    path: str = PAGE
    timeout_seconds: float = REQUEST_TIMEOUT_SECONDS

    def __post_init__(self) -> None:
        if self.loop not in ("open", "closed"):
            raise LoadError(f'The loop is {self.loop!r}: give "open" or "closed".')
        if self.is_open and self.rate is None:
            raise LoadError("An open loop sends by the clock: say how many a second, for instance rate=10.")
        if not self.is_open and self.rate is not None:
            raise LoadError(
                'A closed loop has no rate, it goes as fast as answers come: leave rate out, or use loop="open".'
            )
        for what in ("rate", "seconds", "timeout_seconds"):
            value = getattr(self, what)
            if value is not None and not 0 < value < math.inf:
                raise LoadError(f"{what} is {value!r}: give a number above 0.")
        if self.arrivals not in ("constant", "poisson"):
            raise LoadError(f'arrivals is {self.arrivals!r}: give "constant" or "poisson".')
        check_at_once(self.at_once)
        if self.requests is None and self.seconds is None:
            raise LoadError("This run would never end: give number=… or seconds=…")
        wanted = math.ceil((self.rate or 0) * (self.seconds or 0)) if self.requests is None else self.requests
        if not 0 <= wanted <= REQUESTS_MAX or self.requests == 0:
            raise LoadError(f"That makes {wanted} requests: a run has 1 to {REQUESTS_MAX}.")
        if not self.path.startswith("/"):
            raise LoadError(f"The path is {self.path!r}: it starts with a slash, such as {PAGE}.")
        if self.tasks is not None and self.size is not None:
            raise LoadError("Give tasks or size, not both: size makes tasks of its own.")
        if self.size is not None and (len(self.size) != 2 or min(self.size) < 1):
            raise LoadError(f"The size is {self.size!r}: give width and height in pixels, such as (320, 200).")

    @property
    def is_open(self) -> bool:
        """Whether requests go out by the clock."""
        return self.loop == "open"

    @property
    def requests(self) -> int | None:
        """How many there will be at most; None where only time decides."""
        if isinstance(self.tasks, Sequence):
            return len(self.tasks) if self.number is None else min(self.number, len(self.tasks))
        return self.number

    def run(self, endpoints: Endpoints, *, progress: bool = True) -> Rows:
        """Send it, and return a row for each request: see the function `run`."""
        handle = self.start(endpoints)
        try:
            handle.wait(progress=progress)
        except KeyboardInterrupt:
            handle.stop()
        return handle.rows

    def start(self, endpoints: Endpoints) -> Run:
        """Send it in the background: see the function `start`."""
        check_endpoints(endpoints)
        due = self._due()
        if due is not None:
            limit_seconds = (due[-1] if due else 0.0) + self.timeout_seconds
        else:
            limit_seconds = RUN_LIMIT_SECONDS if self.seconds is None else self.seconds + self.timeout_seconds
        return Run(
            endpoints,
            self._orders(),
            path=self.path,
            at_once=self.at_once or (OPEN_AT_ONCE if self.is_open else CLOSED_AT_ONCE),
            timeout_seconds=self.timeout_seconds,
            limit_seconds=limit_seconds,
            due=due,
            seconds=None if self.is_open else self.seconds,
            total=self.requests,
        )

    def __str__(self) -> str:
        number = f"{self.requests} request{'s' * (self.requests != 1)}"
        if self.requests is None:
            number = f"{self.seconds:g} s of requests"
        if self.is_open:
            return f"{number}, open loop, {self.rate:g} a second"
        clients = self.at_once or CLOSED_AT_ONCE
        return f"{number}, closed loop, {clients} client{'s' * (clients != 1)}"

    def _orders(self) -> Iterator[Task | None]:
        """What each request orders; None where it reads `path`."""
        orders: Iterator[Task | None] = itertools.repeat(None)
        if self.tasks is not None:
            orders = iter(self.tasks)
        elif self.size is not None:
            orders = new_tasks(width=self.size[0], height=self.size[1], iterations=self.iterations)
        return itertools.islice(orders, REQUESTS_MAX if self.requests is None else self.requests)

    def _due(self) -> list[float] | None:
        """When each request is due, in seconds from the start; None in a closed loop."""
        if self.rate is None:
            return None
        times = schedule(self.rate, self.arrivals, self.seed)
        within = itertools.takewhile(lambda at: self.seconds is None or at < self.seconds, times)
        return list(itertools.islice(within, REQUESTS_MAX if self.requests is None else self.requests))


def takes_load(function: Callable[P, R]) -> Callable[P, R]:
    """Say (to the Tab key, to `help`) that the function's keywords are `Load`'s."""
    own = inspect.signature(function)
    first = [parameter for parameter in own.parameters.values() if parameter.kind is not parameter.VAR_KEYWORD]
    keywords = inspect.signature(Load).parameters.values()
    function.__signature__ = own.replace(parameters=[*first, *keywords])  # type: ignore[attr-defined]
    return function


@takes_load
def run(endpoints: Endpoints, *, progress: bool = True, **load: Any) -> Rows:
    """Send requests to the APIs in turn and return a row for each. The keywords are those of `Load`.

    `endpoints` are URLs by name, or a function that returns them, asked for each request. Load goes nowhere else.
    The run ends, at the latest, `timeout_seconds` after its last request was due (a closed loop of a `number` of
    requests: after RUN_LIMIT_SECONDS); what isn't answered by then is a row without a status. Interrupting ends it
    within about a second and returns the rows so far.

    Raises LoadError for settings that make no run.
    """
    return Load(**load).run(endpoints, progress=progress)


@takes_load
def start(endpoints: Endpoints, **load: Any) -> Run:
    """As `run`, in the background: the handle has the `rows` so far, `running`, `stop()` and `wait()`."""
    return Load(**load).start(endpoints)


def create(
    endpoints: Endpoints, tasks: Sequence[Task], *, at_once: int = CLOSED_AT_ONCE, progress: bool = True
) -> Rows:
    """POST each task to the APIs in turn, `at_once` at a time; a row for each request, in the tasks' order."""
    if not tasks:
        return Rows()
    check_endpoints(endpoints)
    check_at_once(at_once)
    handle = Run(
        endpoints,
        iter(tasks),
        path=PAGE,
        at_once=at_once,
        timeout_seconds=REQUEST_TIMEOUT_SECONDS,
        limit_seconds=REQUEST_TIMEOUT_SECONDS * (1 + math.ceil(len(tasks) / at_once)),
        total=len(tasks),
    )
    with handle:
        return handle.wait(progress=progress, what=f"{len(tasks)} fractals to be ordered")


def read(endpoints: Endpoints, *, seconds: float, at_once: int = 8, path: str = PAGE) -> Rows:
    """GET `path` from the APIs in turn for so many seconds, `at_once` requests at any time (a closed loop)."""
    with start(endpoints, seconds=seconds, at_once=at_once, path=path) as handle:
        return handle.wait()


def workers_of(rows: Rows, endpoint: str) -> Rows:
    """Fill in, row by row, which worker made the fractal that was ordered; "" where it isn't finished.

    Changes the rows and returns them. Raises requests.RequestException where the API doesn't answer.
    """
    makers = {item.uuid: item.worker for item in completions(endpoint)}
    rows[:] = [replace(row, worker=makers.get(row.uuid, "")) if row.uuid else row for row in rows]
    return rows


@contextmanager
def steady(endpoints: Callable[[], Mapping[str, str]], tasks: Iterable[Task], *, per_second: float) -> Iterator[Rows]:
    """In the background, order a task every 1/per_second seconds from the APIs in turn until the block ends.

    `endpoints` is asked anew each time, as a client would ask a name server. An order that gets no answer, or a 5xx, is
    sent again to the next API: the uuid makes that safe. The list that the block gets grows by a row per request.
    """
    rows, stop, client = Rows(), threading.Event(), Client(REQUEST_TIMEOUT_SECONDS)
    waiting = iter(tasks)

    def order() -> None:
        zero, due = time.time() - time.monotonic(), time.monotonic()
        for turn, task in enumerate(waiting):
            body, intended = json.dumps(dict(task)).encode(), due
            for attempt in itertools.count():
                if stop.is_set():
                    return
                urls = list(endpoints().values())
                started = time.monotonic()
                answer = client.send("POST", urls[(turn + attempt) % len(urls)], "/v1/fractal", body)
                row = Request(
                    zero + started,
                    time.monotonic() - intended,
                    answer.status,
                    answer.server,
                    answer.error,
                    zero + intended,
                    str(task.get("uuid", "")),
                )
                rows.append(row)
                if row.ok or (row.status is not None and row.status < 500):
                    break
                stop.wait(RETRY_PAUSE_SECONDS)
                intended = time.monotonic()
            due += 1 / per_second
            if stop.wait(max(0.0, due - time.monotonic())):
                return

    thread = threading.Thread(target=order, name="steady load", daemon=True)
    thread.start()
    try:
        yield rows
    finally:
        stop.set()
        thread.join(REQUEST_TIMEOUT_SECONDS + 5)
        client.close()


def _task(name: uuid.UUID, width: int, height: int, iterations: int) -> Task:
    return {
        "uuid": str(name),
        "width": width,
        "height": height,
        "iterations": iterations,
        **BOX,
    }


def check_endpoints(endpoints: Endpoints) -> None:
    """Raise LoadError where there is nothing, or no URL, to send to."""
    urls = {} if callable(endpoints) else endpoints
    if not callable(endpoints) and not urls:
        raise LoadError("There is no API to send anything to: deploy the application, then pass app.endpoints.")
    for name, url in urls.items():
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise LoadError(f"The endpoint of {name!r} is {url!r}: give a URL such as http://203.0.113.7:8080.")


def check_at_once(at_once: int | None) -> None:
    """Raise LoadError for a number of connections that can't be."""
    if at_once is not None and not 1 <= at_once <= AT_ONCE_MAX:
        raise LoadError(f"at_once is {at_once!r}: give 1 to {AT_ONCE_MAX}.")
