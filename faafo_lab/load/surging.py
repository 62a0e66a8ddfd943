"""A surge in the middle of a steady load, and what remains of it: the retry storm.

    path = "/v1/fractal?results_per_page=100"          # an expensive page
    capacity = load.capacity(app.endpoints, path=path)                           # requests per second
    eager = load.Retries(attempts=4, budget=None, first_seconds=0)
    calm = load.surge(app.endpoints, rate=0.6 * capacity, path=path, retry=replace(eager, budget=0.1))
    storm = load.surge(app.endpoints, rate=0.6 * capacity, path=path, retry=eager)
    calm.after, storm.after                            # the share of requests that succeeded at the end: 1.0 and 0.0
    plots.storm({"with a budget": calm, "without": storm})

For a second or so, four times as many requests come. They queue, and the queue is longer than clients wait. A client
that gives up does not take its request back: the server answers it later, for nobody. Without retries, the queue drains
after the surge, because capacity is left. With three eager retries, each request that times out comes four times, which
is more than the capacity: the queue never drains, every answer is too late, and every request is sent four times.
The overload sustains itself after its trigger is gone: a metastable failure (Bronson et al., "Metastable Failures in
Distributed Systems", HotOS 2021). A budget keeps tries below the capacity, and the queue drains.
"""

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from faafo_lab.load.choosing import Clients
from faafo_lab.load.errors import LoadError
from faafo_lab.load.retrying import Retries, Retry, patience
from faafo_lab.load.rows import Request, Rows
from faafo_lab.load.runner import Endpoints
from faafo_lab.load.sending import AT_ONCE_MAX, Load, check_endpoints, start
from faafo_lab.load.wire import Client
from faafo_lab.topology.api import FIRST_PAGE

WARM_SECONDS = 0.5  # of a measured capacity, not counted
CAPACITY_CLIENTS = 8
CALM_SECONDS, SURGE_SECONDS, AFTER_SECONDS = 1.5, 1.0, 6.5
TIMES = 4.0  # as many requests as before, in a surge
TIMEOUT_SECONDS = 0.5
LAST_SECONDS = 2.0  # of a load: what is left of the surge
QUIET_LIMIT_SECONDS = 60.0


@dataclass(frozen=True)
class Surge:
    """A steady load of `rate` requests per second, disturbed from `begin` to `end` (seconds since 1970).

    `rows`: the steady load's requests, without those of the surge.
    """

    rows: Rows = field(repr=False)
    rate: float
    begin: float
    end: float

    @property
    def start(self) -> float:
        """When the load started (seconds since 1970)."""
        return self.rows[0].intended

    @property
    def before(self) -> float:
        """The share of the requests before the surge that succeeded."""
        return _share(row for row in self.rows if row.intended < self.begin - TIMEOUT_SECONDS)

    @property
    def after(self) -> float:
        """The share of the requests of the last LAST_SECONDS that succeeded, seconds after the surge."""
        last = self.rows[-1].intended - LAST_SECONDS
        return _share(row for row in self.rows if row.intended > max(last, self.end))

    def __str__(self) -> str:
        tries = self.rows.summary().amplification
        return (
            f"{self.rate:.0f} requests/s: {self.before:.0%} succeeded before the surge of "
            f"{self.end - self.begin:.1f} s, {self.after:.0%} at the end; {tries:.2f} tries for each request"
        )

    __repr__ = __str__


def capacity(
    endpoints: Endpoints, *, path: str = FIRST_PAGE, seconds: float = 2.5, clients: Clients = "turns"
) -> float:
    """How many reads of `path` per second these APIs answer together, at most (a closed loop, the beginning left out).

    Raises LoadError where not all reads succeed.
    """
    _wait_until_quiet(endpoints, path, TIMEOUT_SECONDS)
    load = Load(seconds=seconds + WARM_SECONDS, at_once=CAPACITY_CLIENTS, path=path, clients=clients)
    rows = load.run(endpoints, progress=False)
    if not all(row.ok for row in rows):
        raise LoadError(f"There is no capacity to measure where requests fail: {rows.summary()}.")
    warm = rows[0].started + WARM_SECONDS
    ends = [row.started + row.latency for row in rows if row.started + row.latency >= warm]
    return (len(ends) - 1) / (max(ends) - min(ends)) if len(ends) > 1 else len(rows) / rows.summary().seconds


def surge(
    endpoints: Endpoints,
    *,
    rate: float,
    path: str = FIRST_PAGE,
    retry: Retry | Retries | None = None,
    clients: Clients = "turns",
    timeout_seconds: float = TIMEOUT_SECONDS,
    after_seconds: float = AFTER_SECONDS,
    trigger: Callable[[], object] | None = None,
    progress: bool = True,
) -> Surge:
    """Read `path` `rate` times a second, in an open loop, with a surge after CALM_SECONDS; go on for `after_seconds`.

    The surge is TIMES as many requests for SURGE_SECONDS, or what `trigger` does until it returns. It waits first until
    the APIs have answered what others left. A request gives up after `timeout_seconds`, and is sent again as `retry`
    says. Raises LoadError for settings that make no load and where the APIs don't become idle, and what `retry` and
    `trigger` raise.
    """
    settings = Load(
        loop="open",
        rate=rate,
        seconds=CALM_SECONDS + SURGE_SECONDS + after_seconds,
        at_once=min(AT_ONCE_MAX, math.ceil(2 * rate * patience(retry, timeout_seconds)) + CAPACITY_CLIENTS),
        timeout_seconds=timeout_seconds,
        path=path,
        clients=clients,
        retry=retry,
    )

    def crowd() -> None:
        extra = (TIMES - 1) * rate
        with start(
            endpoints,
            loop="open",
            rate=extra,
            seconds=SURGE_SECONDS,
            at_once=min(AT_ONCE_MAX, math.ceil(extra * timeout_seconds) + CAPACITY_CLIENTS),
            timeout_seconds=timeout_seconds,
            path=path,
        ) as run:
            run.wait()

    _wait_until_quiet(endpoints, path, timeout_seconds)
    with settings.start(endpoints) as run:
        time.sleep(CALM_SECONDS)
        begin = time.time()
        (trigger or crowd)()
        end = time.time()
        rows = run.wait(progress=progress)
    return Surge(rows, rate, begin, end)


def _wait_until_quiet(endpoints: Endpoints, path: str, timeout_seconds: float) -> None:
    """Wait until each API that answers at all does so in a fraction of the time limit."""
    check_endpoints(endpoints)
    deadline = time.monotonic() + QUIET_LIMIT_SECONDS
    for name, url in (endpoints() if callable(endpoints) else endpoints).items():
        client = Client(QUIET_LIMIT_SECONDS)
        try:
            while True:
                asked = time.monotonic()
                answer = client.send("GET", url, path)
                if answer.status is None or time.monotonic() - asked < timeout_seconds / 2:
                    break
                if time.monotonic() > deadline:
                    raise LoadError(
                        f"{name} took more than {timeout_seconds / 2:g} s for each request, although this load had not "
                        f"begun, for {QUIET_LIMIT_SECONDS:.0f} s: wait until nothing else asks it."
                    )
        finally:
            client.close()


def _share(rows: Iterable[Request]) -> float:
    """The share of these requests that succeeded; not a number without any."""
    results = [row.ok for row in rows]
    return sum(results) / len(results) if results else math.nan
