"""The application as it is at this moment: what the cloud says and what the application says, put together.

    watch = Watch(app)
    moment = watch.look()        # asks, within a few seconds; never raises because something is away
    moment.machines              # servers: role, state, CPU use, what each works on
    moment.problem               # "" or one sentence

A `Watch` has a connection to the cloud of its own, so that a thread may look while cells work with theirs.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import requests

from faafo_lab.cloud import direct
from faafo_lab.cloud.errors import CloudError
from faafo_lab.cloud.marks import ROLE_KEY
from faafo_lab.topology import VALKEY_PORT, Topology

log = logging.getLogger(__name__)

LIST_PAUSE_SECONDS = 2.0  # between two questions to the cloud; the application is asked at each look
ASK_LIMIT_SECONDS = 2.0
RATE_WINDOW_SECONDS = 4.0  # the throughput shown is the mean over this time
HISTORY_SECONDS = 60.0


@dataclass(frozen=True)
class Machine:
    """One server: what the cloud says of it (`status`), and what the application does (`state`, and the rest)."""

    name: str
    role: str
    status: str
    address: str
    state: str = ""  # "serving", "working", "idle", "drained", "lost" …; "" where the application doesn't know it
    cpu_percent: float | None = None  # of what its flavor may use
    load_average: float | None = None  # over a minute
    working_on: tuple[str, ...] = ()  # uuids of fractals

    @property
    def words(self) -> str:
        """What it does, in a few words."""
        if self.status != "ACTIVE":
            return self.status
        if self.working_on:
            more = f" and {len(self.working_on) - 1} more" if len(self.working_on) > 1 else ""
            return f"works on {self.working_on[0][:8]}{more}"
        if self.role == "services":
            return "database and queue"
        return {"": "starting", "lost": "not heard of", "working": "takes a task"}.get(self.state, self.state)


@dataclass(frozen=True)
class Moment:
    """All of the application at one time (`at`, seconds since 1970). Counts are None until it answered once."""

    at: float
    machines: tuple[Machine, ...] = ()
    endpoints: Mapping[str, str] | None = None
    waiting: int | None = None
    working: int | None = None
    done: int | None = None
    rate: float | None = None  # fractals per second, lately
    rates: tuple[tuple[float, float | None], ...] = ()  # (seconds ago, rate) of the last minute, oldest first
    problem: str = ""
    queue_port: int = VALKEY_PORT

    def of_role(self, *roles: str) -> list[Machine]:
        """The servers of these roles."""
        return [machine for machine in self.machines if machine.role in roles]

    def __str__(self) -> str:
        if not self.machines:
            return self.problem or "No server of the application is here."
        apis, workers = len(self.of_role("api", "controller")), len(self.of_role("worker"))
        text = f"{apis} API server{'s' * (apis != 1)}, {workers} worker{'s' * (workers != 1)}"
        if self.done is not None:
            text += f"; fractals: {self.waiting} waiting, {self.working} in work, {self.done} done"
        if self.rate is not None:
            text += f"; {self.rate:.1f} fractals/s"
        return f"{text}. {self.problem}".strip()


class Watch:
    """Looks at one application. To be used by one thread at a time."""

    def __init__(self, topology: Topology) -> None:
        self.topology = in_thread(topology)
        self.last = Moment(0.0)
        self._session = direct.Session()
        self._listed = float("-inf")
        self._queue_port = VALKEY_PORT
        self._done: deque[tuple[float, int]] = deque()  # (time, fractals done), as far back as a rate needs
        self._rates: deque[tuple[float, float | None]] = deque()

    def look(self) -> Moment:
        """Ask the cloud (now and then) and the application. What is away is named in `problem`, the rest is kept."""
        now, problem = time.time(), ""
        if time.monotonic() - self._listed >= LIST_PAUSE_SECONDS:
            try:
                self.topology.refresh()
                self._queue_port = self.topology.queue_port
                self._listed = time.monotonic()
            except CloudError as error:
                problem = f"The cloud is away: {first_line(error)}"
                self.topology.cloud = self.topology.cloud.again()  # it may have come back with new tokens
        servers = self.topology.servers
        nodes: dict[tuple[str, str], Any] = {}
        stats: dict[str, Any] | None = None
        if not servers and not problem:
            problem = "No application is here: deploy one, and it appears."
        elif servers:
            try:
                url, stats = self._ask("/v1/stats")
                nodes = {(n["name"], n["role"]): n for n in self._ask("/v1/node", url)[1]["objects"]}
            except LookupError:
                stats = None
                problem = problem or "No API of the application answers at the moment. Asking again every second."
        machines = []
        for server in servers.values():
            role = server.metadata[ROLE_KEY]
            machine = Machine(server.name, role, server.status, server.address or "")
            node = nodes.get((server.name, "api" if role == "controller" else role))
            if node:
                machine = replace(
                    machine,
                    state=node["state"],
                    cpu_percent=node["cpu_percent"] if node["state"] != "lost" else None,
                    load_average=node["load_average"][0] if node["state"] != "lost" else None,
                    working_on=tuple(node["working_on"]) if node["state"] != "lost" else (),
                )
            machines.append(machine)
        rate = self._note(now, stats["done"] if stats else None)
        counts = stats or {"waiting": self.last.waiting, "working": self.last.working, "done": self.last.done}
        self.last = Moment(
            at=now,
            machines=tuple(machines),
            endpoints=self.topology.endpoints,
            waiting=counts["waiting"],
            working=counts["working"],
            done=counts["done"],
            rate=rate,
            rates=tuple((now - at, value) for at, value in self._rates),
            problem=problem,
            queue_port=self._queue_port,
        )
        return self.last

    def look_closer(self) -> None:
        """Have the next look ask the cloud, too: something was changed."""
        self._listed = float("-inf")

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def _ask(self, path: str, first: str = "") -> tuple[str, Any]:
        """The answer of the first API that gives one, and its URL. Raises LookupError."""
        urls = list(self.topology.endpoints.values())
        for url in [first, *(url for url in urls if url != first)] if first else urls:
            try:
                answer = self._session.get(url + path, timeout=ASK_LIMIT_SECONDS)
                answer.raise_for_status()
                return url, answer.json()
            except (requests.RequestException, ValueError) as error:
                log.debug("%s%s: %s", url, path, error)
        raise LookupError(path)

    def _note(self, now: float, done: int | None) -> float | None:
        """Keep a count; returns the throughput over the last RATE_WINDOW_SECONDS, None while it is not known."""
        rate = None
        if done is None or (self._done and done < self._done[-1][1]):  # away, or another application
            self._done.clear()
        if done is not None:
            self._done.append((now, done))
            while len(self._done) > 2 and now - self._done[1][0] >= RATE_WINDOW_SECONDS:
                self._done.popleft()
            before, count = self._done[0]
            rate = (done - count) / (now - before) if now - before > 0.5 else None
        self._rates.append((now, rate))
        while now - self._rates[0][0] > HISTORY_SECONDS:
            self._rates.popleft()
        return rate


def in_thread(topology: Topology) -> Topology:
    """The same application for another thread: a connection of its own, and nothing printed."""
    return Topology(
        topology.cloud.again(), image=topology.image_name, flavor=topology.flavor_name, say=lambda line: None
    )


def first_line(error: BaseException) -> str:
    """An error as one line."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
