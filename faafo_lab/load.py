"""Load for the application, and what came of it: one row per request, one per finished fractal.

    tasks = load.same_tasks(60)                        # the same work each time: so that two runs compare
    rows = load.create(app.endpoints, tasks)           # POST them, four at a time
    timeline = load.Timeline(); timeline.mark("three workers"); timeline.collect(app.endpoint)
    timeline.rate(start, end)                          # fractals per second between two times

    load.run(app.endpoints, loop="closed", at_once=8, seconds=10)      # read a page, as fast as 8 clients get answers
    load.run(app.endpoints, loop="open", rate=20, seconds=10)          # read it 20 times a second, come what may
    load.run(app.endpoints, loop="open", rate=5, number=50, size=(320, 200))     # order 50 fractals, 5 a second
    load.start(...)                                    # the same in the background

In a **closed loop** a fixed number of clients each send a request, wait for its answer, then send the next: a slow
server gets fewer requests. In an **open loop** requests arrive by the clock, as from the many visitors of a web page
who know nothing of each other: a slow server gets as many as before, and they queue.

A closed loop therefore hides waiting. Where a server stalls for a second, eight closed clients see eight slow requests
and send no others in that second: just the ones that would have waited are never sent. The measurement leaves out, in
step with the server, what would look bad: **coordinated omission** (Gil Tene, "How NOT to Measure Latency"). So an open
loop keeps its schedule, and a row's `latency` counts from the *intended* start, even if all the client's connections
were taken and the request went out late. `service_time`, from the actual start, is what one would have seen otherwise.
"""

import itertools
import json
import math
import random
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

import requests

from faafo_lab.rows import Request, Rows, Summary
from faafo_lab.runner import Endpoints, Run, Task
from faafo_lab.wire import Client

if TYPE_CHECKING:
    from faafo_lab.topology import Topology

__all__ = [
    "Done",
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
WATCH_LIMIT_SECONDS = 300
CLOSED_AT_ONCE, OPEN_AT_ONCE = 4, 64  # connections, unless told otherwise
AT_ONCE_MAX = 256
REQUESTS_MAX = 100_000  # in one run: each is a row in memory
PAGE = "/v1/fractal?page=1"
# A fractal that keeps a quarter of a core busy for about a third of a second.
WIDTH_PIXELS, HEIGHT_PIXELS, ITERATIONS = 720, 480, 320
SEED = 113  # of those tried, the one whose groups of twenty fractals cost most alike

Loop = Literal["open", "closed"]
Arrivals = Literal["constant", "poisson"]


class LoadError(ValueError):
    """A run that can't be: the message says which value is wrong, and what to give instead."""


@dataclass(frozen=True)
class Done:
    """One finished fractal: when it was complete (seconds since 1970), which worker made it, in how many seconds."""

    uuid: str
    at: float
    worker: str
    duration: float


def same_tasks(
    number: int,
    *,
    width: int = WIDTH_PIXELS,
    height: int = HEIGHT_PIXELS,
    iterations: int = ITERATIONS,
    seed: int = SEED,
) -> list[Task]:
    """`number` fractals of this size (pixels): the same ones for the same seed, so that two runs do equal work."""
    space = uuid.uuid5(uuid.NAMESPACE_URL, f"faafo-lab/{seed}")
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


def run(
    endpoints: Endpoints,
    *,
    loop: Loop = "closed",
    rate: float | None = None,
    arrivals: Arrivals = "constant",
    seed: int = 1,
    at_once: int | None = None,
    number: int | None = None,
    seconds: float | None = None,
    tasks: Iterable[Task] | None = None,
    size: tuple[int, int] | None = None,
    iterations: int = ITERATIONS,
    path: str = PAGE,
    timeout_seconds: float = REQUEST_TIMEOUT_SECONDS,
    progress: bool = True,
) -> Rows:
    """Send requests to the APIs in turn and return a row for each.

    What to send: `tasks` orders these fractals, `size=(width, height)` (pixels) new ones of this size; without either,
    `path` is read. How many: `number`, or as many as start within `seconds`.
    When: `loop="closed"` keeps `at_once` requests in flight; `loop="open"` sends `rate` requests per second, by
    `schedule`, on at most `at_once` connections (see the module's text for what that means).

    Every request has a time limit, `timeout_seconds`. The run ends, at the latest, that long after its last request was
    due (a closed loop of a `number` of requests: after RUN_LIMIT_SECONDS); what isn't answered by then is a row without
    a status. Interrupting ends it within about a second and returns the rows so far.
    `endpoints` are URLs by name, or a function that returns them, asked for each request. Load goes nowhere else.

    Raises LoadError for settings that make no run.
    """
    handle = start(
        endpoints,
        loop=loop,
        rate=rate,
        arrivals=arrivals,
        seed=seed,
        at_once=at_once,
        number=number,
        seconds=seconds,
        tasks=tasks,
        size=size,
        iterations=iterations,
        path=path,
        timeout_seconds=timeout_seconds,
    )
    try:
        handle.wait(progress=progress)
    except KeyboardInterrupt:
        handle.stop()
    return handle.rows


def start(
    endpoints: Endpoints,
    *,
    loop: Loop = "closed",
    rate: float | None = None,
    arrivals: Arrivals = "constant",
    seed: int = 1,
    at_once: int | None = None,
    number: int | None = None,
    seconds: float | None = None,
    tasks: Iterable[Task] | None = None,
    size: tuple[int, int] | None = None,
    iterations: int = ITERATIONS,
    path: str = PAGE,
    timeout_seconds: float = REQUEST_TIMEOUT_SECONDS,
) -> Run:
    """As `run`, in the background: the handle has the `rows` so far, `running`, `stop()` and `wait()`.

    Raises LoadError for settings that make no run.
    """
    if tasks is not None and isinstance(tasks, Sequence):
        number = len(tasks) if number is None else min(number, len(tasks))
    _check(endpoints, loop, rate, arrivals, at_once, number, seconds, path, timeout_seconds, tasks is not None, size)
    orders: Iterator[Task | None] = itertools.repeat(None)
    if tasks is not None:
        orders = iter(tasks)
    elif size is not None:
        orders = new_tasks(width=size[0], height=size[1], iterations=iterations)
    orders = itertools.islice(orders, REQUESTS_MAX if number is None else number)
    if loop == "closed":
        return Run(
            endpoints,
            orders,
            path=path,
            at_once=at_once or CLOSED_AT_ONCE,
            timeout_seconds=timeout_seconds,
            limit_seconds=RUN_LIMIT_SECONDS if seconds is None else seconds + timeout_seconds,
            seconds=seconds,
            total=number,
        )
    assert rate is not None
    times = itertools.takewhile(lambda at: seconds is None or at < seconds, schedule(rate, arrivals, seed))
    due = list(itertools.islice(times, REQUESTS_MAX if number is None else number))
    return Run(
        endpoints,
        orders,
        path=path,
        at_once=at_once or OPEN_AT_ONCE,
        timeout_seconds=timeout_seconds,
        limit_seconds=(due[-1] if due else 0.0) + timeout_seconds,
        due=due,
    )


def create(
    endpoints: Endpoints, tasks: Sequence[Task], *, at_once: int = CLOSED_AT_ONCE, progress: bool = True
) -> Rows:
    """POST each task to the APIs in turn, `at_once` at a time; a row for each request, in the tasks' order."""
    if not tasks:
        return Rows()
    _check(endpoints, at_once=at_once, number=len(tasks))
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
        return handle.wait(progress=progress, what="fractals ordered")


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


@dataclass(frozen=True)
class Sample:
    """The application at one moment: tasks waiting, in work and done, and each node's load average and CPU use (%)."""

    at: float
    waiting: int
    working: int
    done: int
    load: Mapping[str, float]
    cpu: Mapping[str, float]


def watch(app: "Topology", done: int, *, timeout_seconds: float = WATCH_LIMIT_SECONDS) -> list[Sample]:
    """Watch the application until it has finished `done` fractals in all; a sample every look, the last one at the end.

    An API that is too busy to answer in time is asked again. Raises TimedOut at the limit.
    """
    from faafo_lab.cloud.waiting import Look
    from faafo_lab.topology import TopologyError

    samples: list[Sample] = []

    def look() -> Look:
        try:
            stats, nodes = app.stats(), [node for node in app.nodes() if node["state"] != "lost"]
        except TopologyError:
            return Look(samples[-1].done if samples else 0, done, "the API does not answer")
        samples.append(
            Sample(
                time.time(),
                stats["waiting"],
                stats["working"],
                stats["done"],
                {node["name"]: node["load_average"][0] for node in nodes},
                {node["name"]: node["cpu_percent"] or 0.0 for node in nodes},
            )
        )
        return Look(min(done, stats["done"]), done, f"{stats['waiting']} waiting, {stats['working']} in work")

    app.cloud.wait_until(look, f"{done} fractals to be done", timeout_seconds=timeout_seconds)
    return samples


@dataclass
class Timeline:
    """What happened, on one clock: fractals finished, and events that you marked."""

    done: dict[str, Done] = field(default_factory=dict)
    events: list[tuple[float, str]] = field(default_factory=list)

    def mark(self, label: str) -> float:
        """Note an event; returns its time (seconds since 1970)."""
        now = time.time()
        self.events.append((now, label))
        return now

    def collect(self, endpoint: str) -> int:
        """Read from the API what has been finished; returns how many fractals it lists as finished."""
        finished = completions(endpoint)
        self.done.update({f"{item.uuid}@{item.at}": item for item in finished})
        return len(finished)

    def between(self, start: float, end: float) -> list[Done]:
        """The fractals that were finished in this time, in order."""
        return sorted((item for item in self.done.values() if start <= item.at <= end), key=lambda item: item.at)

    def rate(self, start: float, end: float) -> float:
        """Fractals per second between two times, measured from the first to the last one that was finished in it."""
        found = self.between(start, end)
        if len(found) < 2:
            return 0.0
        return (len(found) - 1) / (found[-1].at - found[0].at)

    def makers(self, start: float = 0.0, end: float = float("inf")) -> Counter[str]:
        """How many fractals each worker made in this time."""
        return Counter(item.worker for item in self.between(start, end))


def completions(endpoint: str) -> list[Done]:
    """The fractals that this API lists as finished."""
    answer = requests.get(f"{endpoint}/v1/fractal?results_per_page=-1", timeout=REQUEST_TIMEOUT_SECONDS)
    answer.raise_for_status()
    return [
        Done(
            item["uuid"],
            datetime.fromisoformat(item["completed_at"]).timestamp(),
            item["generated_by"],
            item["duration"],
        )
        for item in answer.json()["objects"]
        if item["completed_at"]
    ]


def _task(name: uuid.UUID, width: int, height: int, iterations: int) -> Task:
    return {
        "uuid": str(name),
        "width": width,
        "height": height,
        "iterations": iterations,
        "xa": -1.5,
        "xb": 1.5,
        "ya": -1.0,
        "yb": 1.0,
    }


def _check(
    endpoints: Endpoints,
    loop: str = "closed",
    rate: float | None = None,
    arrivals: str = "constant",
    at_once: int | None = None,
    number: int | None = None,
    seconds: float | None = None,
    path: str = PAGE,
    timeout_seconds: float = REQUEST_TIMEOUT_SECONDS,
    has_tasks: bool = False,
    size: tuple[int, int] | None = None,
) -> None:
    """Raise LoadError for the first setting that makes no run."""
    urls = {} if callable(endpoints) else endpoints
    if not callable(endpoints) and not urls:
        raise LoadError("There is no API to send anything to: deploy the application, then pass app.endpoints.")
    for name, url in urls.items():
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise LoadError(f"The endpoint of {name!r} is {url!r}: give a URL such as http://203.0.113.7:8080.")
    if loop not in ("open", "closed"):
        raise LoadError(f'The loop is {loop!r}: give "open" or "closed".')
    if loop == "open" and rate is None:
        raise LoadError("An open loop sends by the clock: say how many a second, for instance rate=10.")
    if loop == "closed" and rate is not None:
        raise LoadError(
            'A closed loop has no rate, it goes as fast as answers come: leave rate out, or use loop="open".'
        )
    for what, value in (("rate", rate), ("seconds", seconds), ("timeout_seconds", timeout_seconds)):
        if value is not None and not 0 < value < math.inf:
            raise LoadError(f"{what} is {value!r}: give a number above 0.")
    if arrivals not in ("constant", "poisson"):
        raise LoadError(f'arrivals is {arrivals!r}: give "constant" or "poisson".')
    if at_once is not None and not 1 <= at_once <= AT_ONCE_MAX:
        raise LoadError(f"at_once is {at_once!r}: give 1 to {AT_ONCE_MAX}.")
    if number is None and seconds is None:
        raise LoadError("This run would never end: give number=… or seconds=…")
    wanted = number if number is not None else math.ceil((rate or 0) * (seconds or 0))
    if not 0 <= wanted <= REQUESTS_MAX or number == 0:
        raise LoadError(f"That makes {wanted} requests: a run has 1 to {REQUESTS_MAX}.")
    if not path.startswith("/"):
        raise LoadError(f"The path is {path!r}: it starts with a slash, such as {PAGE}.")
    if has_tasks and size is not None:
        raise LoadError("Give tasks or size, not both: size makes tasks of its own.")
    if size is not None and (len(size) != 2 or min(size) < 1):
        raise LoadError(f"The size is {size!r}: give width and height in pixels, such as (320, 200).")
