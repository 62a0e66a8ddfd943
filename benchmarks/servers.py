"""What the API's benchmarks share: real servers, alone or held to a share of a core, and the requests to them.

The servers are those of the tests: PostgreSQL and Valkey from their wheels, the API and the worker as processes.
"""

import json
import random
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep

import httpx
from http_load import Outcome

from faafo_lab.app.julia import Task
from faafo_lab.app.store import Store
from faafo_lab.cloud.emulator.system import tree
from tests.app.deployment import Deployment, status

HERE = Path(__file__).resolve().parent
LIMIT_SECONDS = 300.0
LOOK_SECONDS = 0.1
GROUP = 200
BOX = {"width": 64, "height": 64, "iterations": 64, "xa": -2.0, "xb": 2.0, "ya": -1.5, "yb": 1.5}


@contextmanager
def deployed() -> Iterator[Deployment]:
    """A machine with a database and a broker."""
    machine = Deployment()
    try:
        machine.database()
        machine.messaging()
        yield machine
    finally:
        machine.close()


def serve(machine: Deployment, name: str, port: int = 80, flask: bool = False) -> str:
    """Start an API server, ours or Flask's, below a shell of its own; its address once it answers."""
    path = str(machine.ports / str(port))
    command = ["-m", "faafo_lab.app.api", "--listen", f"unix:{path}"]
    if flask:
        command = [str(HERE / "flask_app.py"), path, machine.database_url(), machine.queue_url()]
    machine.launch(name, "sh", "-c", '"$@"; exit $?', "sh", sys.executable, *command, HOSTNAME=name)
    with machine.client(port) as client:
        until(f"{name}'s first answer", lambda: status(client, "/v1/fractal") == 200)
    return f"unix:{path}"


def process_of(machine: Deployment, name: str) -> int:
    """The process number of what `serve` has started."""
    [pid] = tree.children(machine.processes[name].pid)
    return pid


@contextmanager
def held(machine: Deployment, cores: float, *names: str) -> Iterator[None]:
    """Hold servers to a share of a core each."""
    shells = [str(machine.processes[name].pid) for name in names]
    words = [sys.executable, str(HERE / "governed.py"), str(cores), *shells]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as governor:
        assert governor.stdout is not None
        if not governor.stdout.readline():
            raise RuntimeError("the governor did not start")
        yield  # it ends with its standard input


def until(what: str, condition: Callable[[], object]) -> None:
    """Wait for a condition; raises TimeoutError."""
    deadline = monotonic() + LIMIT_SECONDS
    while not condition():
        if monotonic() > deadline:
            raise TimeoutError(f"timed out after {LIMIT_SECONDS:.0f} s: {what}")
        sleep(LOOK_SECONDS)


def count(client: httpx.Client, name: str) -> int:
    """One of the numbers of `/v1/stats`."""
    number: int = client.get("/v1/stats").raise_for_status().json()[name]
    return number


def fill(machine: Deployment, number: int) -> None:
    """Put so many orders into the database, as the API does; it puts them into the queue when it next looks."""
    store = Store(machine.database_url(), 2 * number)
    try:
        store.create_tables()
        for start in range(0, number, GROUP):
            store.add_many([Task(str(uuid.uuid4()), **BOX) for _ in range(min(GROUP, number - start))])  # type: ignore[arg-type]
    finally:
        store.close()


def post() -> bytes:
    """A request: an order of a small fractal."""
    body = json.dumps({"uuid": str(uuid.uuid4()), **BOX}).encode()
    head = f"POST /v1/fractal HTTP/1.1\r\nHost: api\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    return head.encode() + b"\r\n\r\n" + body


def get(page: int) -> bytes:
    """A request: a page of ten."""
    return f"GET /v1/fractal?page={page} HTTP/1.1\r\nHost: api\r\n\r\n".encode()


def get_any(pages: int) -> bytes:
    """A request: some page."""
    return get(random.randint(1, pages))


def all_answered(outcome: Outcome) -> Outcome:
    """Raise RuntimeError unless every request was answered well."""
    if outcome.good < len(outcome.latencies):
        raise RuntimeError(f"not every request was answered: {outcome.statuses}")
    return outcome
