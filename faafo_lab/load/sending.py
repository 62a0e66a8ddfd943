"""What to send, and when: `Load` says it, `run` and `start` send it. The package says what the two loops mean."""

import inspect
import itertools
import math
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, ParamSpec, TypeVar
from urllib.parse import urlsplit

from faafo_lab.load.choosing import CLIENTS, Clients
from faafo_lab.load.errors import LoadError
from faafo_lab.load.retrying import Retries, Retry, check_retry, patience
from faafo_lab.load.rows import Rows
from faafo_lab.load.runner import Endpoints, Run
from faafo_lab.load.tasks import ITERATIONS, Task, new_tasks
from faafo_lab.topology.api import FIRST_PAGE

REQUEST_TIMEOUT_SECONDS = 30
RUN_LIMIT_SECONDS = 300  # of a closed loop with a fixed number of requests
CLOSED_AT_ONCE, OPEN_AT_ONCE = 4, 64  # connections, unless told otherwise
AT_ONCE_MAX = 512
REQUESTS_MAX = 100_000  # in one run: each is a row in memory

Loop = Literal["open", "closed"]
Arrivals = Literal["constant", "poisson"]
P = ParamSpec("P")
R = TypeVar("R")


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
    Which API a request goes to: `clients="turns"`, each in turn; "first", always the first; "random", any; "own", each
    connection keeps to one, half of them to the first of two; "fastest", of two random ones that with less to wait for.
    Every try has a time limit, `timeout_seconds`. Which requests are tried again: `retry=load.Retries(...)`, or a
    function `retry(tries, answer)`, called after each try that failed, one call at a time: it returns the seconds until
    the next try, or None to give up (`answer`: see `load.Failure`). The next try goes to the API that `clients` says,
    and keeps the request's connection; a request has TRIES_MAX tries at most.

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
    path: str = FIRST_PAGE
    timeout_seconds: float = REQUEST_TIMEOUT_SECONDS
    clients: Clients = "turns"
    retry: Retry | Retries | None = None

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
        if self.clients not in CLIENTS:
            raise LoadError(f"clients is {self.clients!r}: give one of {', '.join(map(repr, CLIENTS))}.")
        if self.arrivals not in ("constant", "poisson"):
            raise LoadError(f'arrivals is {self.arrivals!r}: give "constant" or "poisson".')
        check_at_once(self.at_once)
        check_retry(self.retry)
        if self.requests is None and self.seconds is None:
            raise LoadError("This run would never end: give number=… or seconds=…")
        wanted = math.ceil((self.rate or 0) * (self.seconds or 0)) if self.requests is None else self.requests
        if not 0 <= wanted <= REQUESTS_MAX or self.requests == 0:
            raise LoadError(f"That makes {wanted} requests: a run has 1 to {REQUESTS_MAX}.")
        if not self.path.startswith("/"):
            raise LoadError(f"The path is {self.path!r}: it starts with a slash, such as {FIRST_PAGE}.")
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
        due, longest = self._due(), patience(self.retry, self.timeout_seconds)
        if due is not None:
            limit_seconds = (due[-1] if due else 0.0) + longest
        else:
            limit_seconds = RUN_LIMIT_SECONDS if self.seconds is None else self.seconds + longest
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
            clients=self.clients,
            retry=self.retry,
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
    """Give the function `Load`'s keywords in its signature, for the Tab key and `help`."""
    own = inspect.signature(function)
    first = [parameter for parameter in own.parameters.values() if parameter.kind is not parameter.VAR_KEYWORD]
    keywords = inspect.signature(Load).parameters.values()
    function.__signature__ = own.replace(parameters=[*first, *keywords])  # type: ignore[attr-defined]
    return function


@takes_load
def run(endpoints: Endpoints, *, progress: bool = True, **load: Any) -> Rows:
    """Send requests to the APIs and return a row for each. The keywords are those of `Load`.

    `endpoints` are URLs by name, or a function that returns them, asked for each request. No other address gets load.
    The run ends, at the latest, when its last request has had the time for all its tries (without `retry`:
    `timeout_seconds` after it was due; a closed loop of a `number` of requests: after RUN_LIMIT_SECONDS); a request
    without an answer by then is a row without a status. Interrupting ends it within about a second and returns the rows
    so far.

    Raises LoadError for settings that make no run, and what `retry` raises.
    """
    return Load(**load).run(endpoints, progress=progress)


@takes_load
def start(endpoints: Endpoints, **load: Any) -> Run:
    """As `run`, in the background: the handle has the `rows` so far, `running`, `stop()` and `wait()`."""
    return Load(**load).start(endpoints)


def create(
    endpoints: Endpoints,
    tasks: Sequence[Task],
    *,
    at_once: int = CLOSED_AT_ONCE,
    clients: Clients = "turns",
    retry: Retry | Retries | None = None,
    progress: bool = True,
) -> Rows:
    """POST each task, `at_once` at a time; a row for each request, in the tasks' order. `clients`, `retry`: see `Load`.

    `rows.new` says how many were new: an order whose uuid was ordered before is accepted and changes nothing.
    """
    if not tasks:
        return Rows()
    check_endpoints(endpoints)
    check_at_once(at_once)
    check_retry(retry)
    handle = Run(
        endpoints,
        iter(tasks),
        path=FIRST_PAGE,
        at_once=at_once,
        timeout_seconds=REQUEST_TIMEOUT_SECONDS,
        limit_seconds=patience(retry, REQUEST_TIMEOUT_SECONDS) * (1 + math.ceil(len(tasks) / at_once)),
        total=len(tasks),
        clients=clients,
        retry=retry,
    )
    with handle:
        return handle.wait(progress=progress, what="fractals ordered")


def read(
    endpoints: Endpoints,
    *,
    seconds: float,
    at_once: int = 8,
    path: str = FIRST_PAGE,
    clients: Clients = "turns",
    retry: Retry | Retries | None = None,
) -> Rows:
    """GET `path` for so many seconds, `at_once` requests at any time (a closed loop). The rest is as in `Load`."""
    with start(endpoints, seconds=seconds, at_once=at_once, path=path, clients=clients, retry=retry) as handle:
        return handle.wait()


def check_endpoints(endpoints: Endpoints) -> None:
    """Raise LoadError if there is no endpoint, or one is not a URL."""
    urls = {} if callable(endpoints) else endpoints
    if not callable(endpoints) and not urls:
        raise LoadError("There is no API to send anything to: deploy the application, then pass app.endpoints.")
    for name, url in urls.items():
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise LoadError(f"The endpoint of {name!r} is {url!r}: give a URL such as http://203.0.113.7:8080.")


def check_at_once(at_once: int | None) -> None:
    """Raise LoadError for a number of connections out of range."""
    if at_once is not None and not 1 <= at_once <= AT_ONCE_MAX:
        raise LoadError(f"at_once is {at_once!r}: give 1 to {AT_ONCE_MAX}.")
