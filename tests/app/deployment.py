"""The real application for tests: a database and a broker, APIs and workers as processes.

A `Deployment` is one machine of the application: its own INSTANCE_ROOT and INSTANCE_PORTS in a temporary directory.
"""

import contextlib
import io
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import httpx

from faafo_lab.app import fractal
from faafo_lab.app.julia import Task
from faafo_lab.app.validation import ITERATIONS_MAX, SIZE_MAX_PIXELS
from tests.app.engines import FROM_WHEELS, Pair
from tests.app.relay import Relay
from tests.waiting import LIMIT_SECONDS, wait_for

SAMPLE_SECONDS = 0.005  # of a core's work, from which `lasting` reckons
SECRET = 'a secret: with / and @ and "quotes"'


class Deployment:
    """The application's processes on one machine."""

    def __init__(self, secret: str | None = SECRET, pair: Pair = FROM_WHEELS) -> None:
        self.place = Path(tempfile.mkdtemp(prefix="faafo"))
        self.root, self.ports = self.place / "root", self.place / "ports"
        self.root.mkdir()
        self.ports.mkdir()
        self.secret = secret
        self.command = [sys.executable, "-m"]
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self._database, self.broker = pair.database(self), pair.broker(self)
        # by default the programs take what comes from wheels; the others they are told
        self._told: dict[str, str] = {}
        if pair is not FROM_WHEELS:
            self._told = {"FAAFO_DATABASE_URL": self.database_url(), "FAAFO_QUEUE_URL": self.queue_url()}
        self._relays: list[Relay] = []

    def environment(self, **more: str) -> dict[str, str]:
        """What the programs see."""
        values = {
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "HOSTNAME": "test-machine",
            "INSTANCE_ROOT": str(self.root),
            "INSTANCE_PORTS": str(self.ports),
            **({"FAAFO_SECRET": self.secret} if self.secret else {}),
            **({"PYTHONPATH": os.environ["PYTHONPATH"]} if "PYTHONPATH" in os.environ else {}),
        }
        return values | self._told | more

    def launch(self, name: str, *words: str, **environment: str) -> subprocess.Popen[bytes]:
        """Start a command as process `name`; its output goes to `log(name)`."""
        with (self.place / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                words,
                env=self.environment(**environment),
                cwd=self.place,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.processes[name] = process
        return process

    def start(self, name: str, module: str, *arguments: str, **environment: str) -> subprocess.Popen[bytes]:
        """Start `faafo_lab.app.MODULE` as process `name`."""
        return self.launch(name, *self.command, f"faafo_lab.app.{module}", *arguments, **environment)

    def database(self) -> None:
        self._database.start()

    def messaging(self) -> None:
        self.broker.start()

    def api(self, name: str = "api", port: int = 80, **environment: str) -> httpx.Client:
        """Start an API; a client of it once it is healthy."""
        self.start(name, "api", "--listen", f"unix:{self.ports / str(port)}", **{"HOSTNAME": name} | environment)
        client = self.client(port)
        wait_for(f"{name} to be healthy", lambda: status(client, "/health") == 200)
        return client

    def api_at_tcp(self, name: str = "tcp-api", **environment: str) -> str:
        """Start an API at a free loopback port, for programs that know no Unix sockets; its URL once it is healthy."""
        self.start(name, "api", "--listen", "127.0.0.1:0", **{"HOSTNAME": name} | environment)
        found = wait_for(f"{name} to listen", lambda: re.search(r"serves at (127\.0\.0\.1:\d+)", self.log(name)))
        with httpx.Client(base_url=f"http://{found[1]}", timeout=30) as client:
            wait_for(f"{name} to be healthy", lambda: status(client, "/health") == 200)
        return f"http://{found[1]}"

    def worker(self, name: str, **environment: str) -> subprocess.Popen[bytes]:
        return self.start(name, "worker", "--name", name, **environment)

    def queue_url(self) -> str:
        return self.broker.url()

    def database_url(self) -> str:
        return self._database.url()

    def client(self, port: int = 80) -> httpx.Client:
        return httpx.Client(
            transport=httpx.HTTPTransport(uds=str(self.ports / str(port))), base_url="http://api", timeout=30
        )

    def log(self, name: str) -> str:
        path = self.place / f"{name}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def stop(self, name: str, number: int | None = None) -> int:
        """Signal a process (by default with what ends it in good order) and wait for its end; its exit code."""
        graceful = {server.name: server.graceful for server in (self._database, self.broker)}
        process = self.processes.pop(name)
        process.send_signal(graceful.get(name, signal.SIGTERM) if number is None else number)
        try:
            return process.wait(LIMIT_SECONDS)
        finally:
            _end(process)

    def signal(self, name: str, number: int) -> None:
        """Signal a process and all that it has started."""
        for pid in _tree(self.processes[name].pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def network(self) -> Relay:
        """Put a network between the broker and all programs that are started from now on."""
        between = self.broker.beside()
        relay = Relay(between, self.broker.address)
        self._relays.append(relay)
        self._told["FAAFO_QUEUE_URL"] = self.broker.url(between)
        return relay

    def close(self) -> None:
        for relay in self._relays:
            relay.close()
        for process in self.processes.values():
            _end(process)
        shutil.rmtree(self.place, ignore_errors=True)

    def run(self, module: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(
            [sys.executable, "-m", f"faafo_lab.app.{module}", *arguments],
            env=self.environment(**environment),
            cwd=self.place,
            capture_output=True,
            text=True,
            timeout=LIMIT_SECONDS,
            check=False,
        )


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process and what it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(LIMIT_SECONDS)


def _tree(pid: int) -> list[int]:
    """A process and its descendants."""
    pids = [pid]
    with contextlib.suppress(FileNotFoundError):  # it has just ended
        for task in Path(f"/proc/{pid}/task").iterdir():
            pids += [one for child in (task / "children").read_text().split() for one in _tree(int(child))]
    return pids


def status(client: httpx.Client, path: str) -> int:
    """The status of a GET, 0 where nobody answers."""
    try:
        return client.get(path).status_code
    except httpx.TransportError:
        return 0


def a_task(**changes: Any) -> dict[str, Any]:
    """A small fractal's request, as a client writes it."""
    task: dict[str, Any] = {"uuid": str(uuid.uuid4()), "width": 60, "height": 40, "iterations": 64}
    return task | {"xa": -2.0, "xb": 2.0, "ya": -1.5, "yb": 1.5} | changes


def picture(task: dict[str, Any]) -> bytes:
    """The PNG that a worker makes of it."""
    file = io.BytesIO()
    fractal.write_png(Task(**task), file)
    return file.getvalue()


def lasting(seconds: float, make: Callable[[dict[str, Any]], bytes] = picture, **changes: Any) -> dict[str, Any]:
    """A fractal's request that takes a core of this machine about so long: as large as `make` needs so long for.

    Where that would be larger than the API takes, another one is drawn, whose pixels take more steps.
    """
    for iterations in (320, *[ITERATIONS_MAX] * 50):
        task = a_task(iterations=iterations, xa=-0.8, xb=-0.5, ya=-0.1, yb=0.1, **changes)
        make(task)  # it loads what it needs
        while (took := _cpu_seconds(make, task)) < SAMPLE_SECONDS:
            task |= {name: 2 * task[name] for name in ("width", "height")}
        side = math.ceil(math.sqrt(task["width"] * task["height"] * seconds / took))
        if side <= SIZE_MAX_PIXELS:
            return task | {"width": side, "height": side}
    raise AssertionError(f"no fractal that the API takes lasts for {seconds} s")


def _cpu_seconds(make: Callable[[dict[str, Any]], bytes], task: dict[str, Any]) -> float:
    began = time.process_time()
    make(task)
    return time.process_time() - began


def no_fractals(client: httpx.Client) -> None:
    """Delete all fractals."""
    for one in client.get("/v1/fractal?results_per_page=-1").json()["objects"]:
        client.delete(f"/v1/fractal/{one['uuid']}", headers=AUTHORIZED)


def node(client: httpx.Client, name: str) -> dict[str, Any]:
    """A node as the API lists it, {} where it does not."""
    answer = client.get("/v1/node")
    assert answer.status_code == 200, answer.text
    return next((one for one in answer.json()["objects"] if one["name"] == name), {})


def counts(client: httpx.Client) -> dict[str, Any]:
    """How many fractals and messages there are, as the API's statistics say."""
    return {name: value for name, value in client.get("/v1/stats").json().items() if name not in MEASURES}


def done(client: httpx.Client, uuids: Sequence[str]) -> bool:
    """Whether all these are made."""
    try:
        return all(client.get(f"/v1/fractal/{one}").json().get("checksum") for one in uuids)
    except (httpx.TransportError, ValueError):
        return False


AUTHORIZED = {"Authorization": f"Bearer {SECRET}"}
MEASURES = ("oldest_waiting_seconds", "waiting_max")  # of the statistics: no counts
