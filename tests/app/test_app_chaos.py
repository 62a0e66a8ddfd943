"""Nothing accepted is lost, and nothing is made twice, whatever breaks meanwhile.

Several clients ask several APIs for 300 fractals, several workers make them; and all the while workers and APIs are
killed, stopped and frozen, broker and database are restarted, and the network to the broker is closed. A seed chooses
what breaks, when (by the number of fractals that are done) and for how long (by the number of answers that clients got
meanwhile). What the clients did and saw is a history, whose verdict has to be true.

FAAFO_CHAOS_SEED=… runs the same again, FAAFO_CHAOS_SEEDS=50 runs so many (`tests.seeds`). Failed runs leave their
histories in the directory that the message names: `faafo_lab.history.load`.
"""

import contextlib
import hashlib
import itertools
import random
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from faafo_lab import history
from faafo_lab.app import database
from faafo_lab.app.schema import fractals, image_pieces
from faafo_lab.history.checking import NOT_YET
from faafo_lab.history.collecting import seen, tell
from faafo_lab.history.events import ABSENT, ORDER, Event, History
from tests.app.deployment import Deployment, counts, picture, status
from tests.app.engines import every_pair
from tests.seeds import seeds
from tests.waiting import wait_for

SEEDS = seeds("CHAOS")
TASKS = 300
WAITING_MAX = 60  # clients ask for more while fewer are waiting
APIS = {"api-1": 80, "api-2": 81, "api-3": 82}
WORKERS = ("worker-1", "worker-2", "worker-3")
CLIENTS = 4
EXTRA_EVENTS = 1  # beside one of each kind
AT_ONCE = 0.3  # how often two things break together
END_SECONDS = 180.0


@dataclass
class Break:
    """What breaks once so many are done, and how many answers later it is mended."""

    after: int
    kinds: tuple[str, ...]
    answers: int

    def __str__(self) -> str:
        return f"after {self.after} fractals, for {self.answers} answers: {' and '.join(self.kinds)}"


class Clients:
    """Asks for fractals and looks at them, as users do: their history. Notes answers that nobody should get, too."""

    def __init__(self, deployment: Deployment, seed: int) -> None:
        self.deployment = deployment
        self.seed = seed
        self.tasks: list[dict[str, Any]] = [_task(random.Random(f"{seed}/task/{n}")) for n in range(TASKS)]
        self.history = History()
        self.accepted: list[str] = []
        self.wrong: list[str] = []
        self.answers = 0
        self.done = 0
        self.ends = dict.fromkeys(APIS, 0)  # how often each API went down or came up: then it may break a connection
        self._next = iter(self.tasks)
        self._lock = threading.Lock()
        self._stop = threading.Event()
        work = [*(lambda n=n: self._client(n) for n in range(CLIENTS)), self._watch]
        self._threads = [threading.Thread(target=one, daemon=True) for one in work]

    @contextmanager
    def running(self) -> Iterator[None]:
        for thread in self._threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in self._threads:
                thread.join(60)

    def finished(self) -> bool:
        return bool(self.wrong) or (len(self.accepted) == TASKS and self.done == TASKS)

    def _client(self, number: int) -> None:
        choice = random.Random(f"{self.seed}/client/{number}")
        with self._noting(), Connections(self.deployment) as connections:
            task: dict[str, Any] | None = None
            while not self._stop.is_set():
                if task is None and len(self.accepted) - self.done < WAITING_MAX:
                    with self._lock:
                        task = next(self._next, None)
                name = choice.choice(list(APIS))
                if task is None:
                    self._look(connections, name, choice)
                    self._stop.wait(0.01)
                elif self._order(connections, name, task):
                    task = None

    def _order(self, connections: "Connections", name: str, task: dict[str, Any]) -> bool:
        """Whether it is accepted."""
        began, uuid = time.time(), task["uuid"]
        answer = self._ask(connections, name, "POST", "/v1/fractal", json=task)
        self.history.events.append(Event(began, ORDER, uuid, time.time(), name, answer.status_code if answer else None))
        if answer:
            self.accepted.append(uuid)
        return answer is not None

    def _look(self, connections: "Connections", name: str, choice: random.Random) -> None:
        """What users look at: a page of the list, or one fractal, and its picture once it is made."""
        if not self.accepted:
            return
        if choice.randrange(3) == 0:
            self._ask(connections, name, "GET", f"/v1/fractal?page={choice.randint(1, 20)}")
            return
        one, began = choice.choice(self.accepted), time.time()
        if not (answer := self._ask(connections, name, "GET", f"/v1/fractal/{one}")):
            return
        if answer.status_code == 404:
            self.history.events.append(Event(began, ABSENT, one, time.time()))
            return
        fractal = answer.json()
        png = fractal["completed_at"] and self._ask(connections, name, "GET", f"/fractal/{one}")
        if png or not fractal["completed_at"]:  # else nobody knows
            whole = bool(png) and hashlib.sha256(png.content).hexdigest() == fractal["checksum"]
            self.history.events.append(seen(fractal, whole, began))

    def _watch(self) -> None:
        """How many are done."""
        with self._noting(), Connections(self.deployment) as connections:
            for name in itertools.cycle(APIS):
                if answer := self._ask(connections, name, "GET", "/v1/stats"):
                    self.done = answer.json()["done"]
                if self._stop.wait(0.05):
                    return

    @contextmanager
    def _noting(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # a bug of this test's: say so, rather than wait
            self.wrong.append(repr(error))
            raise

    def _ask(
        self, connections: "Connections", name: str, method: str, path: str, json: Any = None
    ) -> httpx.Response | None:
        """An answer of 2xx, or of 404 to a GET; None where the API is away, or says that it cannot now.

        Anything else is wrong.
        """
        ends = self.ends[name]
        try:
            answer = connections[name].request(method, path, json=json)
        except httpx.TransportError as error:
            if ends == self.ends[name] and ends % 2 == 0:
                self.wrong.append(f"{method} {path} at {name}, which is up: {error!r}")
            self._stop.wait(0.02)
            return None
        with self._lock:
            self.answers += 1
        if answer.is_success or (method == "GET" and answer.status_code == 404):
            return answer
        if answer.status_code != 503 or not answer.headers.get("Retry-After", "").isdecimal():
            self.wrong.append(f"{method} {path} at {name}: {answer.status_code} {answer.text}")
        self._stop.wait(float(answer.headers.get("Retry-After", 1)))
        return None


class Connections(dict[str, httpx.Client]):
    """One client's connections to all APIs."""

    def __init__(self, deployment: Deployment) -> None:
        super().__init__({name: deployment.client(port) for name, port in APIS.items()})

    def __enter__(self) -> "Connections":
        return self

    def __exit__(self, *error: object) -> None:
        for client in self.values():
            client.close()


class Chaos:
    """Breaks and mends; each method breaks something and returns how to mend it."""

    def __init__(self, deployment: Deployment, clients: Clients, seed: int) -> None:
        self.deployment, self.clients = deployment, clients
        self.choice = random.Random(f"{seed}/chaos")
        self.network = deployment.network()
        self.kinds: dict[str, Callable[[], Callable[[], None]]] = {
            "kill a worker": lambda: self._end_worker(signal.SIGKILL),
            "stop a worker": lambda: self._end_worker(signal.SIGTERM),
            "freeze a worker": self._freeze_worker,
            "kill an API": lambda: self._end_api(signal.SIGKILL),
            "stop an API": lambda: self._end_api(signal.SIGTERM),
            "kill the broker": lambda: self._end_server("messaging", signal.SIGKILL),
            "restart the broker": lambda: self._end_server("messaging", None),
            "kill the database": lambda: self._end_server("database", signal.SIGKILL),
            "restart the database": lambda: self._end_server("database", None),
            "freeze the database": self._freeze_database,
            "refuse connections to the broker": self._refuse,
            "silence the network to the broker": self._silence,
        }
        self.events = self._events()

    def start(self) -> None:
        for name in APIS:
            self._start_api(name)
        for name in WORKERS:
            self._start_worker(name, self.choice.choice(list(APIS)))

    def run(self) -> None:
        for event in self.events:
            wait_for(
                f"{event.after} fractals (there are {self.clients.done})",
                lambda event=event: self.clients.done >= event.after or self.clients.finished(),
                END_SECONDS,
            )
            mend = [self.kinds[kind]() for kind in event.kinds]
            enough = self.clients.answers + event.answers
            wait_for(
                f"{event.answers} answers {event}",
                lambda enough=enough: self.clients.answers >= enough or self.clients.wrong,
                END_SECONDS,
            )
            for one in mend:
                one()

    def _events(self) -> list[Break]:
        """One of each kind, and a few more, in any order; sometimes two at once."""
        kinds = [*self.kinds, *self.choice.choices(list(self.kinds), k=EXTRA_EVENTS)]
        self.choice.shuffle(kinds)
        moments = sorted(self.choice.sample(range(5, TASKS - WAITING_MAX), len(kinds)))
        events = []
        for moment, kind in zip(moments, kinds, strict=True):
            together = (kind,)
            if self.choice.random() < AT_ONCE:
                # another part of the house: the same cannot break twice
                others = [one for one in self.kinds if one.split()[-1] != kind.split()[-1]]
                together = (kind, self.choice.choice(others))
            # the APIs without their database answer once a second and client, otherwise a hundred times
            many = 12 if any("database" in one for one in together) else 400
            events.append(Break(moment, together, self.choice.randint(4, many)))
        return events

    def _start_api(self, name: str) -> None:
        port = APIS[name]
        self.deployment.start(name, "api", "--listen", f"unix:{self.deployment.ports / str(port)}", HOSTNAME=name)
        with self.deployment.client(port) as client:
            wait_for(f"{name} to listen", lambda: status(client, "/v1/load") == 200)

    def _start_worker(self, name: str, api: str) -> None:
        said = "works for"
        before = self.deployment.log(name).count(said)
        self.deployment.worker(name, FAAFO_ENDPOINT_URL=f"http://localhost:{APIS[api]}")
        wait_for(f"{name} to start", lambda: self.deployment.log(name).count(said) > before)

    def _end_worker(self, number: int) -> Callable[[], None]:
        name, next_api = self.choice.choice(WORKERS), self.choice.choice(list(APIS))
        code = self.deployment.stop(name, number)
        assert code == (0 if number == signal.SIGTERM else -number), self.deployment.log(name)
        return lambda: self._start_worker(name, next_api)

    def _freeze_worker(self) -> Callable[[], None]:
        """For longer than its lease: somebody else makes what it has in hand, and it does not know."""
        name = self.choice.choice(WORKERS)
        process = self.deployment.processes[name]
        process.send_signal(signal.SIGSTOP)

        def mend() -> None:
            said = f"{name} has not reported"
            before = sum(self.deployment.log(api).count(said) for api in APIS)
            deadline = time.monotonic() + 12  # with nothing in hand it is not missed
            while time.monotonic() < deadline and not self.clients.finished():
                if sum(self.deployment.log(api).count(said) for api in APIS) > before:
                    break
                time.sleep(0.1)
            process.send_signal(signal.SIGCONT)

        return mend

    def _end_api(self, number: int) -> Callable[[], None]:
        name = self.choice.choice(list(APIS))
        self.clients.ends[name] += 1
        code = self.deployment.stop(name, number)
        assert code == (0 if number == signal.SIGTERM else -number), self.deployment.log(name)

        def mend() -> None:
            self._start_api(name)
            self.clients.ends[name] += 1

        return mend

    def _end_server(self, name: str, number: int | None) -> Callable[[], None]:
        self.deployment.stop(name, number)
        return self.deployment.messaging if name == "messaging" else self.deployment.database

    def _freeze_database(self) -> Callable[[], None]:
        """It accepts connections and requests, and answers nobody."""
        self.deployment.signal("database", signal.SIGSTOP)
        return lambda: self.deployment.signal("database", signal.SIGCONT)

    def _refuse(self) -> Callable[[], None]:
        self.network.refuse()
        return self.network.open

    def _silence(self) -> Callable[[], None]:
        self.network.silence()
        if self.choice.random() < 0.5:
            return self.network.open

        def mend() -> None:
            self.network.refuse()  # those connections are beyond hope
            self.network.open()

        return mend


def _task(choice: random.Random) -> dict[str, Any]:
    """A small fractal."""
    return {
        "uuid": str(uuid.UUID(int=choice.getrandbits(128), version=4)),
        "width": choice.randint(8, 400),
        "height": choice.randint(8, 400),
        "iterations": choice.randint(16, 128),
        "xa": choice.uniform(-4.0, -1.0),
        "xb": choice.uniform(1.0, 4.0),
        "ya": choice.uniform(-3.0, -0.5),
        "yb": choice.uniform(0.5, 3.0),
    }


def _failure(log: str) -> str:
    """The first thing that an API's log has a traceback of."""
    before, found, after = log.partition("Traceback (most recent call last)")
    return (before[-300:] + found + after[:4000]) if found else ""


def _explained(told: History, found: history.Verdict) -> str:
    """The verdict, and the life of the order that it is about."""
    late = (order for order, fate in found.fates.items() if fate == NOT_YET)
    order = found.witness.order if found.witness else next(late, "")
    return "\n".join(map(str, [found, *(history.stages(told, order) if order else ())]))


@every_pair
@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("number", range(len(SEEDS)))
def test_whatever_breaks_each_accepted_fractal_is_made_once(
    bare: Deployment, capsys: pytest.CaptureFixture[str], number: int, tmp_path: Path
) -> None:
    seed = SEEDS[number]
    with capsys.disabled():
        print(f"\nFAAFO_CHAOS_SEED={seed}")
    print(f"FAAFO_CHAOS_SEED={seed}")  # and where a failure is shown
    bare.database()
    bare.messaging()
    clients = Clients(bare, seed)
    chaos = Chaos(bare, clients, seed)
    print(*chaos.events, sep="\n")
    chaos.start()
    with clients.running():
        chaos.run()
        with contextlib.suppress(pytest.fail.Exception):  # the verdict says more
            wait_for("the end of all orders", clients.finished, END_SECONDS)
    assert clients.wrong == [], "\n".join(filter(None, (_failure(bare.log(api)) for api in APIS)))

    connection = Connections(bare)["api-1"]
    # one that came back before its database tries that again after a second; the others may have served meanwhile
    wait_for("api-1 to be healthy", lambda: status(connection, "/health") == 200)
    told, began = clients.history, time.time()
    made = {one["uuid"]: one for one in connection.get("/v1/fractal?results_per_page=-1").json()["objects"]}
    for task in clients.tasks:
        if task["uuid"] in made:
            whole = connection.get(f"/fractal/{task['uuid']}").content == picture(task)
            told.events.append(seen(made[task["uuid"]], whole, began))
        else:
            told.events.append(Event(began, ABSENT, task["uuid"], time.time()))
    tell(told, lambda after: connection.get(f"/v1/event?after={after}").json())
    found = history.verdict(told)
    assert found.valid, f"{_explained(told, found)}\n{told.save(tmp_path / f'{seed}.jsonl')}"
    assert (found.acknowledged, found.made_once, set(made)) == (TASKS, TASKS, set(found.fates))
    engine = database.connect(bare.database_url(), 1)
    with engine.connect() as connected:
        kept = connected.scalars(sa.select(image_pieces.c.image)).all()
        assert sorted(kept) == sorted(connected.scalars(sa.select(fractals.c.image))), "one image each, and no other"
    engine.dispose()

    # what was queued twice is taken and dropped, nothing is left over
    idle = {"waiting": 0, "working": 0, "done": TASKS, "failed": 0, "queue_depth": 0, "dead": 0}
    wait_for("the queue to be empty", lambda: counts(connection) == idle)
    for name in (*APIS, *WORKERS):
        assert bare.processes[name].poll() is None, f"{name} has ended: {bare.log(name)}"
        assert "Traceback" not in bare.log(name), bare.log(name)
