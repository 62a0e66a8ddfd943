"""Measure the whole workbook: every notebook, one after the other, as a learner opens them, on one embedded cloud.

workbook_seconds   from the first cell of the first notebook to the last cell of the last
workbook_pss_mb    memory (PSS) of all of it at its highest: the kernels, the embedded cloud and its servers

As in JupyterLab, a notebook's kernel runs on when the next is opened. The sum leaves out JupyterLab's own server (some
130 MB) and this process.
"""

import os
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from time import monotonic

import nbformat
from measure import Figures, peak, pss_mb
from nbclient import NotebookClient

from faafo_lab.cloud.emulator import control
from faafo_lab.paths import embedded_state_dir
from faafo_lab.workbook import CELL_LIMIT_SECONDS, NOTEBOOKS, own_home


def figures() -> Figures:
    """The workbook's figures, by name, with their unit. Raises nbclient's CellExecutionError where a cell fails."""
    clients: list[NotebookClient] = []
    with own_home(FAAFO_LAB_CLOUD="embedded"), ExitStack() as kernels, peak(lambda: memory_of(clients)) as memory:
        started = monotonic()
        for path in sorted(NOTEBOOKS.glob("*.ipynb")):
            begun = monotonic()
            run(path, clients, kernels)
            print(f"{path.stem}: {monotonic() - begun:.0f} s, so far {max(memory):.0f} MB at most", flush=True)
        seconds = monotonic() - started
    return {"workbook_seconds": (seconds, "s"), "workbook_pss_mb": (max(memory), "MB")}


def run(path: Path, clients: list[NotebookClient], kernels: ExitStack) -> None:
    """Run a notebook in a kernel of its own, which joins `clients` and ends with `kernels`."""
    notebook = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    where = {"metadata": {"path": str(path.parent)}}
    client = NotebookClient(
        notebook, timeout=CELL_LIMIT_SECONDS, resources=where, extra_arguments=["--log-level=ERROR"]
    )
    kernels.enter_context(client.setup_kernel())
    clients.append(client)
    for number, cell in enumerate(notebook.cells):
        client.execute_cell(cell, number)


def memory_of(clients: Sequence[NotebookClient]) -> float:
    """The memory of these notebooks' kernels and of the embedded cloud, which comes and goes meanwhile, in MB."""
    roots = [getattr(getattr(client.km, "provisioner", None), "pid", None) for client in clients]
    running = control.status(embedded_state_dir(os.environ))
    roots.append(running.pid if running else None)
    return sum(pss_mb(pid) for pid in roots if pid)
