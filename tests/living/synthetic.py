"""Streams of events that nobody observed: the same at every call, for tests of pictures, and for the benchmarks.

small()               a gate that is shut, 40 orders, a worker that dies with its task, a dead letter: 40 s
crowd(300, 20)        300 requests a second for 20 s
pane(small())         as `living.page` takes it
"""

import copy
import functools
import heapq
import itertools
import random
import uuid
from collections import deque
from collections.abc import Callable
from typing import Any

from faafo_lab.living.events import Event, NoteEvent, RequestEvent, TaskEvent, difference
from faafo_lab.living.page import Pane

START = 1_790_000_000.0
LEASE_SECONDS, RENEW_SECONDS = 3.0, 1.0
LOOK_SECONDS = 0.5  # between two looks at the scene
ORDERS, ORDERS_A_SECOND = 40, 5.0
OPENS, DIES, FORGOTTEN = 7.0, 12.0, 15.0  # seconds from the start: the gate, app-worker-2
SMALL_SECONDS = 40.0
BAD = 30  # the order that no worker can make
TRIES = 2
APIS = ("app-api-1", "app-api-2")
VICTIM = "app-worker-2"


def pane(events: list[Event], title: str = "A worker dies") -> Pane:
    """A recording as a page takes it."""
    return {"title": title, "events": events}


def servers(workers: int = 3, apis: int = 2) -> dict[str, Any]:
    """So many APIs, the services and so many workers, all at rest."""
    found: dict[str, Any] = {}
    kinds = [("services", "Services", 1), ("api", "API", apis), ("worker", "Workers", workers)]
    for number, (role, column, count) in enumerate(kinds):
        for index in range(1, count + 1):
            name = f"app-{role}" if role == "services" else f"app-{role}-{index}"
            words = {"api": "serving", "worker": "idle", "services": "database and queue"}[role]
            found[name] = {
                "role": role,
                "column": column,
                "status": "ACTIVE",
                "state": "" if role == "services" else words,
                "words": words,
                "well": True,
                "address": f"127.5.{number}.{index}",
                "cpu": 2.0,
                "cores": 0.25,
            }
            if role == "api":
                found[name] |= {"floating": f"127.6.0.{index}"}
    found["app-services"]["offers"] = ["queue", "database"]
    return found


def scene(workers: int = 3, balanced: bool = True, apis: int = 2) -> dict[str, Any]:
    """All that stands at first; the workers' gate to the queue is shut."""
    gates = [("you", "api", 80), ("api", "services", 5432), ("api", "services", 6379)]
    gates += [("worker", "services", 6379), ("worker", "api", 80)]
    first: dict[str, Any] = {
        "servers": servers(workers, apis),
        "gates": {
            f"{source}>{target}:{port}": {
                "from": source,
                "to": target,
                "port": port,
                "group": target,
                "open": (source, port) != ("worker", 6379),
            }
            for source, target, port in gates
        },
        "counts": {"waiting": 0, "working": 0, "done": 0, "failed": 0, "rate": 0.0},
        "leases": {"seconds": LEASE_SECONDS},
        "clock": {"ahead": 0.0002, "within": 0.003},
        "problem": "",
    }
    if balanced:
        members = {name: {"status": "ONLINE", "weight": 1} for name in APIS}
        first["front"] = {
            "name": "app-balancer",
            "address": "127.5.0.99",
            "floating": "127.6.0.99",
            "status": "ACTIVE",
            "algorithm": "ROUND_ROBIN",
            "members": members,
        }
    return first


def small() -> list[Event]:
    """40 orders, the gate shut for 7 s; app-worker-2 dies at 12 s, and its task comes back when the lease is over."""
    return _Run().events()


class _Run:
    """The run that `small` tells: what is to happen is on a heap, by its time; seconds count from the start."""

    def __init__(self) -> None:
        self._chance = random.Random(15)
        self._todo: list[tuple[float, int, Callable[[float], None]]] = []
        self._known: list[tuple[float, int, Event]] = []  # when it became known
        self._count = itertools.count()
        self._shown: dict[str, Any] = {}
        self._scene = scene()
        self._waiting: deque[str] = deque()
        self._working: dict[str, str] = {}  # worker → uuid
        self._done: list[float] = []
        self._dead: set[str] = set()
        self._bad, self._tries = "", 0

    def events(self) -> list[Event]:
        """All of it, in the order in which it became known."""
        self._look(0.0)
        for number in range(ORDERS):
            self._at(1.0 + number / ORDERS_A_SECOND, functools.partial(self._order, number))
        for number in range(1, int(SMALL_SECONDS / LOOK_SECONDS) + 1):
            self._at(number * LOOK_SECONDS, self._look)
        self._at(OPENS, self._open)
        self._at(DIES, self._die)
        self._at(FORGOTTEN, self._forget)
        while self._todo:
            t, _, happen = heapq.heappop(self._todo)
            happen(t)
            self._hand_out(t)
        return [event for _, _, event in sorted(self._known, key=_when)]

    def _at(self, t: float, happen: Callable[[float], None]) -> None:
        heapq.heappush(self._todo, (t, next(self._count), happen))

    def _say(self, t: float, event: Event) -> None:
        """Add an event that became known at this time."""
        self._known.append((t, next(self._count), event))

    def _task(self, t: float, what: str, order: str, worker: str = "") -> None:
        event: TaskEvent = {"k": "task", "t": START + t, "what": what, "uuid": order}
        if worker:
            event["worker"] = worker
        self._say(t, event)

    def _note(self, t: float, text: str, server: str = "") -> None:
        note: NoteEvent = {"k": "note", "t": START + t, "text": text}
        if server:
            note["server"] = server
        self._say(t, note)

    def _order(self, number: int, t: float) -> None:
        order = str(uuid.UUID(int=self._chance.getrandbits(128), version=4))
        end = t + 0.04 + 0.1 * self._chance.random()
        request = _request(number, t, end, status=201)
        request |= {"method": "POST", "uuid": order}
        self._say(end, request)
        self._task(end - 0.02, "accepted", order)
        self._task(end - 0.01, "queued", order)
        if number == BAD:
            self._bad = order
        self._at(end, functools.partial(self._arrive, order))

    def _arrive(self, order: str, t: float) -> None:
        self._waiting.append(order)

    def _hand_out(self, t: float) -> None:
        """Workers that are idle take what waits, where the gate lets them."""
        if not self._scene["gates"]["worker>services:6379"]["open"]:
            return
        for name, server in self._scene["servers"].items():
            if server["role"] == "worker" and name not in self._dead and name not in self._working and self._waiting:
                order = self._waiting.popleft()
                self._working[name] = order
                self._task(t, "leased", order, name)
                seconds = 0.6 + 0.9 * self._chance.random()
                if seconds > RENEW_SECONDS:
                    self._at(t + RENEW_SECONDS, functools.partial(self._renew, name, order))
                self._at(t + seconds, functools.partial(self._end, name, order))

    def _renew(self, worker: str, order: str, t: float) -> None:
        if worker not in self._dead:
            self._task(t, "renewed", order, worker)

    def _end(self, worker: str, order: str, t: float) -> None:
        if worker in self._dead:
            return
        del self._working[worker]
        if order == self._bad:
            self._tries += 1
            self._task(t, "failed" if self._tries == TRIES else "retry", order, worker)
            if self._tries < TRIES:
                self._at(t + 1.0, functools.partial(self._again, order))
            return
        self._done.append(t)
        self._task(t, "done", order, worker)

    def _again(self, order: str, t: float) -> None:
        self._task(t, "queued", order)
        self._waiting.append(order)

    def _open(self, t: float) -> None:
        self._scene["gates"]["worker>services:6379"]["open"] = True
        self._note(t, "a rule was added to the group services: port 6379 from worker")
        self._look(t)

    def _die(self, t: float) -> None:
        self._dead.add(VICTIM)
        self._note(t, f"{VICTIM} was killed", VICTIM)
        self._at(t + LEASE_SECONDS, functools.partial(self._lose, self._working[VICTIM]))

    def _lose(self, order: str, t: float) -> None:
        del self._working[VICTIM]
        self._task(t, "lost", order, VICTIM)
        self._task(t, "queued", order)
        self._waiting.appendleft(order)

    def _forget(self, t: float) -> None:
        self._scene["servers"][VICTIM] |= {"state": "lost", "words": "not heard of", "well": False}
        self._look(t)

    def _look(self, t: float) -> None:
        """Say what has changed of what stands."""
        failed = int(self._tries == TRIES)
        recent = sum(t - 4.0 < done for done in self._done)
        working = len(self._working)
        self._scene["counts"] = {
            "waiting": len(self._waiting),
            "working": working,
            "done": len(self._done),
            "failed": failed,
            "rate": recent / 4.0,
        }
        for name, server in self._scene["servers"].items():
            if server["role"] == "worker" and name not in self._dead:
                order = self._working.get(name, "")
                server |= {
                    "state": "working" if order else "idle",
                    "words": f"works on {order[:8]}" if order else "idle",
                    "cpu": 97.0 if order else 2.0,
                }
        patch = difference(self._shown, self._scene)
        if patch:
            self._say(t, {"k": "scene", "t": START + t, "patch": patch})
        self._shown = copy.deepcopy(self._scene)


def _when(item: tuple[float, int, Event]) -> tuple[float, int]:
    return item[:2]


def crowd(requests_per_second: float, seconds: float, request_seconds: float = 1.0) -> list[Event]:
    """Readers of a page, so many a second, for so long; each request takes about `request_seconds`."""
    chance = random.Random(15)
    told = [_opened()]
    for number in range(int(requests_per_second * seconds)):
        t = number / requests_per_second
        end = t + request_seconds * (0.7 + 0.6 * chance.random())
        told.append((end, _request(number, t, end, status=503 if chance.random() < 0.02 else 200)))
    return _as_known(told)


def rush(
    orders_per_second: float, seconds: float, workers: int = 6, apis: int = 2, balanced: bool = True
) -> list[Event]:
    """Orders, so many a second, for so long, each from its request to its result: there are five events to an order."""
    chance = random.Random(15)
    told = [_opened(workers, apis, balanced)]
    for number in range(int(orders_per_second * seconds)):
        t = number / orders_per_second
        order = str(uuid.UUID(int=chance.getrandbits(128), version=4))
        worker = f"app-worker-{number % workers + 1}"
        taken = t + 0.3 + 0.5 * chance.random()
        request = _request(number, t, t + 0.1)
        to = f"app-api-{number % apis + 1}"
        request |= {"method": "POST", "status": 201, "uuid": order, "to": to, "via": balanced}
        told.append((t + 0.1, request))
        for at, what, who in (
            (t + 0.07, "accepted", ""),
            (t + 0.08, "queued", ""),
            (taken, "leased", worker),
            (taken + 0.2, "done", worker),
        ):
            task: TaskEvent = {"k": "task", "t": START + at, "what": what, "uuid": order}
            if who:
                task["worker"] = who
            told.append((at, task))
    return _as_known(told)


def _opened(workers: int = 3, apis: int = 2, balanced: bool = True) -> tuple[float, Event]:
    """The scene at first, with every gate open."""
    first = scene(workers, balanced, apis)
    first["gates"]["worker>services:6379"]["open"] = True
    return 0.0, {"k": "scene", "t": START, "patch": first}


def _request(number: int, t: float, end: float, status: int = 200) -> RequestEvent:
    """One request through the load balancer."""
    return {
        "k": "request",
        "t": START + t,
        "end": START + end,
        "id": f"r{number + 1}",
        "method": "GET",
        "path": "/v1/fractal",
        "to": APIS[number % 2],
        "via": True,
        "status": status,
    }


def _as_known(told: list[tuple[float, Event]]) -> list[Event]:
    """These in the order of when they became known."""
    return [event for _, _, event in sorted(((t, number, event) for number, (t, event) in enumerate(told)), key=_when)]
