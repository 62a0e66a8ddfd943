"""Measure what Binder builds and starts, without Docker: its steps in the clean environment of the tests, on one core.

binder_image_mb         what the lab adds to the image: packages with their bytecode, and the checkout after postBuild
binder_start_seconds    from binder/start until the first cell of chapter 00 has run, median of RUNS; JupyterLab answers
                        on the way
binder_connect_seconds  from there until the cell that connects to the cloud has run, too
binder_start_cpu        CPU time until JupyterLab answers, without the embedded cloud's: others hardly disturb it
"""

import json
import os
import statistics
import subprocess
from contextlib import closing
from pathlib import Path
from time import monotonic
from uuid import uuid4

import requests
import websocket
from measure import Figures

from tests.clean import Place, answers, clean_environment, end, free_port
from tests.waiting import wait_for

RUNS = 3
NOTEBOOK = "00_start_here.ipynb"
ANSWER_SECONDS = 120


def figures() -> Figures:
    """All of it, by name."""
    with clean_environment(compiled=True) as place:
        place.run("binder/postBuild")
        sizes = [int(subprocess.check_output(["du", "-sm", part]).split()[0]) for part in (place.venv, place.home)]
        print(f"packages: {sizes[0]} MB, checkout: {sizes[1]} MB", flush=True)
        runs = [launch(place) for _ in range(RUNS)]
    answered, cpu, ran, connected = (statistics.median(seconds) for seconds in zip(*runs, strict=True))
    print(f"JupyterLab answers after {answered:.1f} s, the first cell has run after {ran:.1f} s", flush=True)
    return {
        "binder_image_mb": (sum(sizes), "MB"),
        "binder_start_seconds": (ran, "s"),
        "binder_start_cpu": (cpu, "s"),
        "binder_connect_seconds": (connected - ran, "s"),
    }


def launch(place: Place) -> tuple[float, float, float, float]:
    """Start as Binder does: seconds until JupyterLab answers, of the wall clock and of CPU; until the first cell has
    run; until the cloud is connected."""
    token, port, log = uuid4().hex, free_port(), place.base / "jupyter.log"
    headers, url = {"Authorization": f"token {token}"}, f"127.0.0.1:{port}"
    options = ["--no-browser", "--ip=127.0.0.1", f"--port={port}", f"--IdentityProvider.token={token}"]
    started = monotonic()
    with log.open("wb") as output:
        server = place.start("binder/start", "jupyter", "lab", *options, output=output)
    try:

        def page() -> requests.Response:
            return requests.get(f"http://{url}/lab", headers=headers, timeout=ANSWER_SECONDS)

        wait_for("JupyterLab", lambda: answers(page))
        answered, cpu = monotonic(), cpu_seconds(server.pid)
        notebook = requests.get(f"http://{url}/api/contents/{NOTEBOOK}", headers=headers, timeout=ANSWER_SECONDS).json()
        cells = [cell["source"] for cell in notebook["content"]["cells"] if cell["cell_type"] == "code"]
        wanted = {"path": NOTEBOOK, "name": NOTEBOOK, "type": "notebook", "kernel": {"name": "python3"}}
        made = requests.post(f"http://{url}/api/sessions", headers=headers, json=wanted, timeout=ANSWER_SECONDS)
        made.raise_for_status()
        channels = f"ws://{url}/api/kernels/{made.json()['kernel']['id']}/channels"
        with closing(websocket.create_connection(channels, header=headers, timeout=ANSWER_SECONDS)) as kernel:
            run(kernel, cells[0])
            ran = monotonic()
            run(kernel, cells[1])
            connected = monotonic()
    finally:
        end(server)
        place.run("faafo-lab", "cloud", "stop")
    return answered - started, cpu, ran - started, connected - started


def cpu_seconds(pid: int) -> float:
    """The CPU that a process, and those of its children that have ended, have used (proc(5))."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def run(kernel: websocket.WebSocket, code: str) -> None:
    """Run a cell, and wait until the kernel says that it has."""
    name = uuid4().hex
    header = {"msg_id": name, "msg_type": "execute_request", "session": name, "username": "", "version": "5.3"}
    content = {"code": code, "silent": False, "store_history": True, "allow_stdin": False, "stop_on_error": True}
    message = {"header": header, "parent_header": {}, "metadata": {}, "content": content, "channel": "shell"}
    kernel.send(json.dumps(message))
    while True:
        reply = json.loads(kernel.recv())
        if reply["msg_type"] == "execute_reply" and reply["parent_header"].get("msg_id") == name:
            assert reply["content"]["status"] == "ok", reply["content"]
            return
