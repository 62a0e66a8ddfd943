"""In a real Jupyter kernel: an interrupt ends a cell in one line, and nothing runs on behind a panel or the kernel."""

import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import psutil
import pytest
from jupyter_client.manager import start_new_kernel

from faafo_lab.workbook import own_home
from tests.waiting import wait_for

CELL_SECONDS = 120
KERNEL_ARGUMENTS = ["--log-level=ERROR"]
SETUP = """\
import faafo_lab, psutil, threading, time
from faafo_lab import load, reach, widgets
from faafo_lab.cloud.waiting import wait_until
from faafo_lab.topology import Topology
cloud = faafo_lab.connect()
app = Topology(cloud).deploy(api=1, worker=1)


def announce(command):
    def runs():
        return command in [process.info["cmdline"] for process in psutil.process_iter(["cmdline"])]

    wait_until(runs, "the command", 60, progress=False)
    print("on it")"""
# Threads of the lab's that a cell or a panel may have left behind.
OURS = '[t.name for t in threading.enumerate() if t.name.startswith(("load", "steady", "ssh", "faafo "))]'
TAG = re.compile("<[^>]+>")
ANSI_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


@dataclass
class Cell:
    """What a cell has shown, and how it ended."""

    shown: list[str] = field(default_factory=list)
    error: str = ""  # its name
    traceback: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def text(self) -> str:
        return "\n".join(self.shown)


class Kernel:
    """A kernel of its own process."""

    def __init__(self) -> None:
        self.manager, self.client = start_new_kernel(extra_arguments=KERNEL_ARGUMENTS)
        self.process = psutil.Process(self.manager.provisioner.pid)

    def run(self, code: str, interrupt_at: str = "") -> Cell:
        """Run a cell; with `interrupt_at`, interrupt it when it shows this."""
        cell, interrupted = Cell(), threading.Event()

        def note(message: dict[str, Any]) -> None:
            content = message["content"]
            if message["msg_type"] == "error":
                cell.error, cell.traceback = content["ename"], [ANSI_COLOUR.sub("", t) for t in content["traceback"]]
            elif message["msg_type"] == "stream":
                cell.shown.append(content["text"])
            elif message["msg_type"] in ("display_data", "update_display_data", "execute_result"):
                cell.shown.append(content["data"]["text/plain"])
            elif message["msg_type"] == "comm_msg" and "value" in (state := content["data"].get("state", {})):
                cell.shown.append(TAG.sub("", str(state["value"])))
            if interrupt_at and interrupt_at in cell.text and not interrupted.is_set():
                interrupted.set()
                self.manager.interrupt_kernel()

        started = time.monotonic()
        self.client.execute_interactive(code, output_hook=note, timeout=CELL_SECONDS)
        cell.seconds = time.monotonic() - started
        assert interrupted.is_set() or not interrupt_at, cell.text
        return cell

    def value(self, expression: str) -> str:
        """What an expression prints as."""
        cell = self.run(f"print({expression})")
        assert not cell.error, cell.traceback
        return cell.text.strip()

    def end(self, now: bool = True) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=now)


@pytest.fixture(scope="module")
def home() -> Iterator[None]:
    with own_home(FAAFO_LAB_CLOUD="embedded"):
        yield


@pytest.fixture(scope="module")
def kernel(home: None) -> Iterator[Kernel]:
    kernel = Kernel()
    try:
        assert not kernel.run(SETUP).error
        yield kernel
    finally:
        kernel.end()


@pytest.mark.parametrize(
    ("code", "shown", "words"),
    [
        ("cloud.wait_until(lambda: False, 'a miracle')", "a miracle, ", "a miracle, "),
        ("load.watch(app, done=10**6)", "/1000000 fractals", "1000000"),
        (
            "load.create(app.endpoints, load.same_tasks(10**5, width=64, height=48))",
            "/100000 fractals ordered",
            "fractals ordered",
        ),
        ("with load.start(app.endpoints, seconds=100) as run:\n    run.wait(progress=True)", "answered", "100 s of"),
        ("reach.matrix(app)", "servers probed", "servers probed"),
        (
            "threading.Thread(target=announce, args=[['sleep', '100.5']]).start()\n"
            "cloud.run('app-worker-1', 'sleep 100.5')",
            "on it",
            "a command on a server",
        ),
        ("while True:\n    cloud.servers(); print('again')", "again", ""),
    ],
)
def test_an_interrupted_cell_ends_in_one_line_and_the_next_one_works(
    kernel: Kernel, code: str, shown: str, words: str
) -> None:
    cell = kernel.run(code, interrupt_at=shown)
    assert cell.error in ("Interrupted", "KeyboardInterrupt")
    if cell.error == "Interrupted":
        [line] = cell.traceback
        assert words in line
        assert "run the cell again" in line
        assert "\n" not in line
    else:  # between two calls, in the learner's own code
        assert words == ""
    assert kernel.value(OURS) == "[]"
    assert kernel.value("len(app.refresh().servers)") == "3"


def test_an_interrupted_run_of_load_keeps_its_rows(kernel: Kernel) -> None:
    cell = kernel.run("rows = load.run(app.endpoints, loop='open', rate=20, seconds=100)", interrupt_at="/2000")
    assert not cell.error
    assert kernel.value("rows.note").startswith("stopped after")
    assert kernel.value(OURS) == "[]"


def test_an_interrupted_deployment_is_completed_by_running_the_cell_again(kernel: Kernel) -> None:
    cell = kernel.run("app.deploy(api=1, worker=2)", interrupt_at="app-worker-2: created")
    assert cell.error in ("Interrupted", "KeyboardInterrupt"), cell  # in a wait or a call; or between two
    assert not kernel.run("app.deploy(api=1, worker=2)").error
    assert kernel.value("sorted(app.servers)") == "['app-api-1', 'app-services', 'app-worker-1', 'app-worker-2']"


def test_a_closed_panel_leaves_no_thread(kernel: Kernel) -> None:
    assert not kernel.run("board = widgets.dashboard(app); panel = widgets.load_panel(app)").error
    assert not kernel.run("board.order(50); panel._number.value = 10_000; panel.start()").error
    wait_for("the load to be under way", lambda: "load sender" in kernel.value(OURS))
    assert not kernel.run("board.close(); panel.close()").error
    wait_for("the threads to end", lambda: kernel.value(OURS) == "[]")


@pytest.mark.parametrize("now", [False, True], ids=["shut down", "killed"])
def test_the_kernel_takes_its_panels_along(kernel: Kernel, now: bool) -> None:
    servers = kernel.value("len(app.servers)")
    other = Kernel()
    try:
        connect = SETUP.replace(".deploy(api=1, worker=1)", ".refresh()")
        assert not other.run(connect).error
        assert not other.run("board = widgets.dashboard(app); panel = widgets.load_panel(app)").error
        assert not other.run("panel._number.value = 10_000; panel.start()").error
        wait_for("the load to be under way", lambda: "load sender" in other.value(OURS))
        processes = [other.process, *other.process.children(recursive=True)]
    finally:
        other.end(now)
    wait_for("the end", lambda: not [p for p in processes if p.is_running() and p.status() != psutil.STATUS_ZOMBIE])
    assert kernel.value("len(app.refresh().servers)") == servers  # the cloud is not the kernel's: it stays
