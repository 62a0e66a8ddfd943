"""Load for the application, and what came of it: one row per request, one per finished fractal.

    tasks = load.same_tasks(60)                        # the same work each time: so that two runs compare
    rows = load.create(app.endpoints, tasks)           # POST them, four at a time
    timeline = load.Timeline(); timeline.mark("three workers"); timeline.collect(app.endpoint)
    timeline.rate(since=…)                             # fractals per second

Requests go out from a few threads, each with its own connection; every request has a time limit, every run an end.
"""

import itertools
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

import requests
from tqdm.auto import tqdm

if TYPE_CHECKING:
    from faafo_lab.topology import Topology

REQUEST_TIMEOUT_SECONDS = 30
RETRY_PAUSE_SECONDS = 0.25
WATCH_LIMIT_SECONDS = 300
# A fractal that keeps a quarter of a core busy for about a third of a second.
WIDTH_PIXELS, HEIGHT_PIXELS, ITERATIONS = 720, 480, 320

Task = Mapping[str, Any]


@dataclass(frozen=True)
class Request:
    """One request: when it started (seconds since 1970), how long it took (seconds), how it ended.

    `status` is the HTTP status, or None where no answer came; `error` then says why. `api` is the server that answered.
    """

    started: float
    latency: float
    status: int | None
    api: str
    error: str = ""

    @property
    def ok(self) -> bool:
        """Whether the request got what it asked for."""
        return self.status is not None and self.status < 400


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
    seed: int = 1,
) -> list[Task]:
    """`number` fractals of this size (pixels): the same ones for the same seed, so that two runs do equal work."""
    space = uuid.uuid5(uuid.NAMESPACE_URL, f"faafo-lab/{seed}")
    return [
        {
            "uuid": str(uuid.uuid5(space, str(index))),
            "width": width,
            "height": height,
            "iterations": iterations,
            "xa": -1.5,
            "xb": 1.5,
            "ya": -1.0,
            "yb": 1.0,
        }
        for index in range(number)
    ]


def create(
    endpoints: Mapping[str, str], tasks: Sequence[Task], *, at_once: int = 4, progress: bool = True
) -> list[Request]:
    """POST each task to the APIs in turn, `at_once` at a time; a row for each request, in the tasks' order."""
    urls = itertools.cycle(endpoints.values())
    addressed = [(next(urls), task) for task in tasks]
    bar = tqdm(total=len(tasks), desc="fractals ordered", unit="", disable=not progress, leave=False)
    with bar, _Sessions() as sessions, ThreadPoolExecutor(at_once) as pool:

        def one(pair: tuple[str, Task]) -> Request:
            row = sessions.request("POST", pair[0] + "/v1/fractal", json=pair[1])
            bar.update()
            return row

        return list(pool.map(one, addressed))


def read(
    endpoints: Mapping[str, str], *, seconds: float, at_once: int = 8, path: str = "/v1/fractal?page=1"
) -> list[Request]:
    """GET `path` from the APIs in turn for so many seconds, `at_once` requests at any time (a closed loop)."""
    urls = list(endpoints.values())
    end = time.monotonic() + seconds
    with _Sessions() as sessions, ThreadPoolExecutor(at_once) as pool:

        def loop(number: int) -> list[Request]:
            rows = []
            for turn in itertools.count(number):
                if time.monotonic() >= end:
                    break
                rows.append(sessions.request("GET", urls[turn % len(urls)] + path))
            return rows

        return [row for rows in pool.map(loop, range(at_once)) for row in rows]


@contextmanager
def steady(
    endpoints: Callable[[], Mapping[str, str]], tasks: Iterable[Task], *, per_second: float
) -> Iterator[list[Request]]:
    """In the background, order a task every 1/per_second seconds from the APIs in turn until the block ends.

    `endpoints` is asked anew each time, as a client would ask a name server. An order that gets no answer, or a 5xx, is
    sent again to the next API: the uuid makes that safe. The list that the block gets grows by a row per request.
    """
    rows: list[Request] = []
    stop = threading.Event()
    waiting = iter(tasks)

    def run() -> None:
        with _Sessions() as sessions:
            due = time.monotonic()
            for turn, task in enumerate(waiting):
                for attempt in itertools.count():
                    if stop.is_set():
                        return
                    urls = list(endpoints().values())
                    row = sessions.request("POST", urls[(turn + attempt) % len(urls)] + "/v1/fractal", json=task)
                    rows.append(row)
                    if row.ok or (row.status is not None and row.status < 500):
                        break
                    stop.wait(RETRY_PAUSE_SECONDS)
                due += 1 / per_second
                if stop.wait(max(0.0, due - time.monotonic())):
                    return

    thread = threading.Thread(target=run, name="steady load", daemon=True)
    thread.start()
    try:
        yield rows
    finally:
        stop.set()
        thread.join(REQUEST_TIMEOUT_SECONDS + 5)


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

    Raises TimedOut at the limit.
    """
    from faafo_lab.cloud.waiting import Look

    samples: list[Sample] = []

    def look() -> Look:
        stats, nodes = app.stats(), [node for node in app.nodes() if node["state"] != "lost"]
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


class _Sessions:
    """A connection for each thread that asks, all closed at the end."""

    def __init__(self) -> None:
        self._local = threading.local()
        self._all: list[requests.Session] = []

    def __enter__(self) -> "_Sessions":
        return self

    def __exit__(self, *exc_info: object) -> None:
        for session in self._all:
            session.close()

    def request(self, method: str, url: str, **arguments: Any) -> Request:
        session = getattr(self._local, "session", None)
        if session is None:
            session = self._local.session = requests.Session()
            session.trust_env = False
            self._all.append(session)
        started, clock = time.time(), time.perf_counter()
        try:
            answer = session.request(method, url, timeout=REQUEST_TIMEOUT_SECONDS, **arguments)
            status, api, error = answer.status_code, answer.headers.get("X-Served-By", url), ""
        except requests.RequestException as problem:
            status, api, error = None, url, type(problem).__name__
        return Request(started, time.perf_counter() - clock, status, api, error)
