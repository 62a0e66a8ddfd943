"""The one client of the application's API.

    api = Api(app.endpoints.values, app.secret)
    api.stats()["waiting"]
    [node["name"] for node in api.nodes() if node["state"] == "idle"]

Requests go to the API that answered last (initially the first one); if it does not answer, to the others in turn.
Methods return the API's JSON unchanged, typed (`/v1/openapi.json` describes it). Only `faafo_lab.load` sends load: it
measures, and asks no other API when one is away.
"""

import hashlib
import itertools
import time
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, TypedDict

import requests

from faafo_lab.cloud import direct, notes
from faafo_lab.topology.errors import Gone, NoAnswer, TopologyError

FRACTALS = "/v1/fractal"
FIRST_PAGE = f"{FRACTALS}?page=1"
TIMEOUT_SECONDS = 10.0
PAGE = 200  # fractals per request in a search for finished ones
SERVED_BY = "X-Served-By"  # the header that each of its answers has
LOST = "lost"  # the state of a node that has been silent for too long


class Stats(TypedDict):
    """The number of fractals that wait, are in work, are done and have failed, and the queue's length; None: no
    broker."""

    waiting: int
    working: int
    done: int
    failed: int
    oldest_waiting_seconds: float  # the age of the oldest fractal that no worker has; 0 where none waits
    waiting_max: int  # the most that may wait; further orders are refused
    queue_depth: int | None
    dead: int | None


class Node(TypedDict):
    """An API or a worker, by its last report. A program that does not measure its machine reports None."""

    name: str
    role: str  # "api" or "worker"
    state: str  # "serving", "idle", "working", "draining", "drained" or "lost"
    drain: bool
    working_on: list[str]  # uuids
    load_average: list[float] | None  # over 1, 5 and 15 minutes
    cpu_percent: float | None  # 0 to 100 of all cores together
    cores: float | None
    version: str | None
    started_at: str  # ISO 8601
    last_heard: str
    seconds_since_heard: float


class Lost(TypedDict):
    """An attempt that was lost: its worker fell silent, or was stopped."""

    worker: str
    started_at: str  # ISO 8601
    lost_at: str


class Fractal(TypedDict):
    """An ordered fractal. Fields are None until they are known."""

    uuid: str
    generation: int  # which order of this uuid: one that was deleted and ordered anew has a higher one
    width: int
    height: int
    iterations: int
    xa: float
    xb: float
    ya: float
    yb: float
    c: list[float] | None
    duration: float | None  # seconds
    size: int | None  # bytes
    checksum: str | None
    generated_by: str | None
    attempts: int
    lost: list[Lost]  # the attempts that were lost, the oldest first
    failures: int
    failure: str | None
    leased_by: str | None
    image_at: str | None  # its picture's place: "database", "file://SERVER" or "swift://CONTAINER"
    created_at: str  # ISO 8601
    published_at: str | None
    started_at: str | None  # of the attempt that made it or is running; None without a lease
    completed_at: str | None
    failed_at: str | None


class Event(TypedDict):
    """A change of where a fractal is."""

    id: int  # of the change: several fractals may share it
    at: str  # ISO 8601, by the database's clock
    what: str  # "accepted", "queued", "leased", "lost", "done" …: see `faafo_lab.app.events`
    worker: str | None
    uuid: str
    generation: int


class Events(TypedDict):
    """A page of events, the oldest first."""

    objects: list[Event]
    last: int  # go on after this one
    more: bool  # whether there are more already
    forgotten: bool  # whether some in between are no longer kept
    now: str  # ISO 8601, by the database's clock


class Api:
    """The APIs at these URLs (asked for anew each time, as they may change), with the deployment's secret.

    Each request has a time limit, and `within_seconds` limits all of them together. `session` keeps connections; it
    must be of one thread. Every method raises NoAnswer where no API answers, and TopologyError with the API's own
    words where it refuses.
    """

    def __init__(
        self,
        endpoints: Callable[[], Iterable[str]],
        secret: str = "",
        *,
        timeout_seconds: float = TIMEOUT_SECONDS,
        within_seconds: float | None = None,
        session: requests.Session | None = None,
    ) -> None:
        self._endpoints, self._secret, self._timeout_seconds = endpoints, secret, timeout_seconds
        self._end = None if within_seconds is None else time.monotonic() + within_seconds
        self._request = (session or direct).request
        self._last = ""  # the API that answered last

    def stats(self) -> Stats:
        """The fractals' counts by state, and the age of the oldest waiting one (seconds)."""
        answer: Stats = self._ask("/v1/stats")
        return answer

    def nodes(self) -> list[Node]:
        """Every API and worker as the application itself knows it."""
        answer: list[Node] = self._ask("/v1/node")["objects"]
        return answer

    def fractals(self) -> list[Fractal]:
        """Every fractal that was ordered, the oldest first."""
        answer: list[Fractal] = self._ask(f"{FRACTALS}?results_per_page=-1")["objects"]
        return answer

    def newest(self, number: int) -> list[Fractal]:
        """The fractals that were finished last, the newest first. (Fractals are finished roughly in the order of their
        orders.)"""
        found: list[Fractal] = []
        for page in itertools.count(1):  # the newest orders may all be waiting still
            answer = self._ask(f"{FRACTALS}?order=newest&results_per_page={PAGE}&page={page}")
            found += [fractal for fractal in answer["objects"] if fractal["completed_at"]]
            if len(found) >= number or page >= answer["total_pages"]:
                break
        return sorted(found, key=lambda fractal: str(fractal["completed_at"]), reverse=True)[:number]

    def picture(self, uuid: str, checksum: str) -> bytes:
        """A fractal's picture (PNG) with this checksum, from the first API that has it.

        Raises Gone where none has: it was deleted, or ordered anew.
        """
        png: bytes = self._ask(f"/fractal/{uuid}?checksum={checksum}", read=lambda answer: answer.content)
        return png

    def shows(self, fractal: Fractal) -> bool:
        """Whether an API shows a finished fractal's picture whole: its SHA-256 is the fractal's checksum."""
        checksum = fractal["checksum"] or ""
        try:
            return hashlib.sha256(self.picture(fractal["uuid"], checksum)).hexdigest() == checksum
        except Gone:
            return False

    def events(self, after: int = 0) -> Events:
        """The next page of what happened to fractals after this event (0: all that is kept, -1: none so far)."""
        answer: Events = self._ask(f"/v1/event?after={after}")
        return answer

    def delete(self, uuids: Iterable[str]) -> None:
        """Delete these fractals. Raises Gone at one that is not there."""
        for uuid in uuids:
            self._ask(f"{FRACTALS}/{uuid}", "DELETE", read=lambda answer: None)

    def drain(self, worker: str, drain: bool = True) -> None:
        """Drain a worker (it takes no new task), or end its drain."""
        self._ask(f"/v1/node/{worker}", "PUT", {"drain": drain})
        notes.note("", f"{worker} drains" if drain else f"{worker} drains no more", worker)

    def healthy(self) -> bool:
        """Whether an API says that it, its database and its queue are well."""
        try:
            self._ask("/health")
        except TopologyError:
            return False
        return True

    def _ask(
        self,
        path: str,
        method: str = "GET",
        body: Any = None,
        read: Callable[[requests.Response], Any] = requests.Response.json,
    ) -> Any:
        urls = sorted(self._endpoints(), key=lambda url: url != self._last)
        problem: TopologyError = NoAnswer("There is no API to ask: deploy the application first.")
        for url in urls:
            left = self._timeout_seconds if self._end is None else self._end - time.monotonic()
            if left <= 0:
                raise NoAnswer(f"The application's answers took too long (the last asked for: {path}).")
            try:
                answer = self._request(
                    method,
                    url + path,
                    json=body,
                    auth=direct.bearer(self._secret) if self._secret else None,
                    timeout=min(left, self._timeout_seconds),
                )
                if answer.ok:
                    content, self._last = read(answer), url
                    return content
                problem = _refusal(answer)
            except requests.RequestException as error:
                problem = NoAnswer(f"No API of the application answers ({url}{path}: {error}).")
        raise problem


def timestamp(text: str) -> float:
    """A time as the API writes it (ISO 8601), in seconds since 1970."""
    return datetime.fromisoformat(text).timestamp()


def healthy(url: str) -> bool:
    """Whether the API at this URL says that it, its database and its queue are well."""
    return Api(lambda: [url]).healthy()


def _refusal(answer: requests.Response) -> TopologyError:
    """The error for an API's answer that is not a success: a refusal, no answer for now, or another program's
    answer."""
    if SERVED_BY not in answer.headers:
        return NoAnswer(
            f"Another program than the application answers at {answer.url} ({answer.status_code} {answer.reason})."
        )
    try:
        words = str(answer.json()["error"])
    except (ValueError, KeyError, TypeError):
        words = answer.reason
    if answer.status_code < 500:
        kind = Gone if answer.status_code == 404 else TopologyError
        return kind(f"The application refuses ({answer.status_code}): {words}")
    return NoAnswer(f"No API of the application answers ({answer.url}: {answer.status_code}, {words}).")
