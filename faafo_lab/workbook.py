"""Run the workbook: from the first cell to the last, on a cloud of its own, through each backend.

python -m faafo_lab.workbook run [BACKEND …]        executed copies in build/, and a summary; nothing stays running
python -m faafo_lab.workbook store                  run every notebook and store its outputs in it
python -m faafo_lab.workbook lab                    JupyterLab on the learner's copy of the first chapter
python -m faafo_lab.workbook copies                 make those copies, or renew them (see `faafo_lab.chapters`)
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from base64 import b64decode
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from faafo_lab import chapters, restarts
from faafo_lab.chapters import NOTEBOOKS, ROOT
from faafo_lab.cloud import BACKENDS
from faafo_lab.interpreter import environment, start_again
from faafo_lab.paths import embedded_state_dir, make_home

BUILD = ROOT / "build"
MAIN_NOTEBOOK = "03_scaling_out.ipynb"
SUMMARY_TAG = "summary"
PICTURE_TAG = "picture-"  # picture-NAME: what the cell draws is pictures/NAME.png, too
PAGE_TAG = "page-"  # page-NAME: what the cell replays is docs/NAME.html, too, and a still of it docs/NAME.svg
PAGES = ROOT / "docs"
CELL_LIMIT_SECONDS = 600
ERROR_LINES = 30
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
ANSI_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    if arguments is None:
        start_again()
    parser = argparse.ArgumentParser(prog="python -m faafo_lab.workbook", description="Run the workbook.")
    commands = parser.add_subparsers(dest="command", required=True)
    run_parser = commands.add_parser("run", help="run the scaling-out notebook through each backend")
    run_parser.add_argument("backends", nargs="*", metavar="|".join(BACKENDS), default=list(BACKENDS))
    commands.add_parser("store", help="run every notebook and store its outputs in it")
    commands.add_parser("lab", help="open JupyterLab on your copy of the first chapter")
    commands.add_parser("copies", help="make your copies of the chapters, or renew those that you have not changed")
    options = parser.parse_args(arguments)
    if options.command == "lab":
        return lab()
    if options.command == "copies":
        make_copies()
        return 0
    if options.command == "store":
        jobs = [(notebook, "shade", notebook) for notebook in sorted(NOTEBOOKS.glob("*.ipynb"))]
    else:
        source = NOTEBOOKS / MAIN_NOTEBOOK
        jobs = [(source, backend, BUILD / f"{source.stem}.{backend}.ipynb") for backend in options.backends]
    BUILD.mkdir(exist_ok=True)
    return max(run(*job) for job in jobs)


def run(source: Path, backend: str, target: Path) -> int:
    """Execute one notebook on an embedded cloud of its own; write the executed copy; print its summary."""
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

    print(f"{source.stem} through {backend}:", flush=True)
    notebook = nbformat.read(source, as_version=4)  # type: ignore[no-untyped-call]
    started = time.monotonic()
    with own_home(FAAFO_LAB_BACKEND=backend, FAAFO_LAB_CLOUD="embedded"):
        steps = [cell for cell in notebook.cells if cell.cell_type == "code"]

        def show(cell: Any, cell_index: int) -> None:
            if sys.stdout.isatty() and cell.cell_type == "code":
                print(f"\r  cell {steps.index(cell) + 1} of {len(steps)}\033[K", end="", flush=True)

        client = NotebookClient(
            notebook,
            timeout=CELL_LIMIT_SECONDS,
            resources={"metadata": {"path": str(source.parent)}},
            on_cell_start=show,
            record_timing=False,
            extra_arguments=["--log-level=ERROR"],
        )
        failed = ""
        try:
            client.execute()
        except CellExecutionError as error:
            failed = "\n".join(ANSI_COLOUR.sub("", str(error)).rstrip().splitlines()[-ERROR_LINES:])
        except (CellTimeoutError, DeadKernelError) as error:
            failed = str(error)
    if sys.stdout.isatty():
        print("\r\033[K", end="")
    forget_machine(notebook)
    if not failed or target != source:
        nbformat.write(notebook, target)  # type: ignore[no-untyped-call]
    if not failed and target == source:
        keep_pictures(notebook, source.parent / "pictures")
        keep_pages(notebook, PAGES)
    if failed:
        print(f"  a cell failed:\n{failed}\n  (the notebook so far: {target.relative_to(ROOT)})")
        return 1
    for line in summary(notebook):
        print(f"  {line}")
    print(f"  took {time.monotonic() - started:.0f} s; executed copy: {target.relative_to(ROOT)}", flush=True)
    return 0


def keep_pictures(notebook: Any, folder: Path) -> None:
    """Write what cells tagged `picture-NAME` drew to NAME.png in this folder, for the README."""
    for name, png in pictures(notebook).items():
        (folder / f"{name}.png").write_bytes(png)


def pictures(notebook: Any) -> dict[str, bytes]:
    """The PNGs that cells tagged `picture-NAME` drew, by name."""
    return {name: b64decode(png) for name, png in shown(notebook, PICTURE_TAG, "image/png")}


def keep_pages(notebook: Any, folder: Path) -> None:
    """Write what cells tagged `page-NAME` replay to NAME.html in this folder, a page that plays in any browser, and a
    still of it to NAME.svg, for the README."""
    from faafo_lab.living import page

    for name, html in replays(notebook).items():
        folder.mkdir(exist_ok=True)
        panes, label = page.unpacked(html)
        (folder / f"{name}.html").write_text(page.page(panes, label), encoding="utf-8")
        (folder / f"{name}.svg").write_text(page.still_picture(panes), encoding="utf-8")


def replays(notebook: Any) -> dict[str, str]:
    """The HTML that cells tagged `page-NAME` show of their recordings, by name."""
    return dict(shown(notebook, PAGE_TAG, "text/html"))


def shown(notebook: Any, tag: str, kind: str) -> Iterator[tuple[str, str]]:
    """What cells with tags that begin so have shown in this form: the rest of the tag, and the output."""
    for cell in notebook.cells:
        for name in cell.metadata.get("tags", []):
            for output in cell.get("outputs", []):
                if name.startswith(tag) and kind in output.get("data", {}):
                    yield name.removeprefix(tag), output["data"][kind]


def summary(notebook: Any) -> list[str]:
    """What the cells tagged `summary` printed, line by line."""
    return [
        line
        for cell in notebook.cells
        if SUMMARY_TAG in cell.metadata.get("tags", [])
        for output in cell.get("outputs", [])
        for line in output.get("text", "").splitlines()
    ]


def forget_machine(notebook: Any) -> None:
    """Take out of a stored notebook what identifies its machine, and its kernel's widgets."""
    notebook.metadata["kernelspec"] = {
        "display_name": "Python 3 (ipykernel)",
        "language": "python",
        "name": "python3",
    }
    notebook.metadata.get("language_info", {}).pop("version", None)
    notebook.metadata.pop("widgets", None)
    forget_widgets(notebook)


def forget_widgets(notebook: Any) -> bool:
    """Remove widgets with a static form from a notebook whose kernel has ended; returns whether it had any."""
    shown = [output.get("data", {}) for cell in notebook.cells for output in cell.get("outputs", [])]
    dead = [data for data in shown if WIDGET_VIEW in data and "text/html" in data]
    for data in dead:
        del data[WIDGET_VIEW]
    return bool(dead)


@contextmanager
def own_home(**environment: str) -> Iterator[Path]:
    """A new, empty home for the lab, with nothing of the user's; its embedded cloud is stopped at the end.

    The environment variables are set inside the block and restored after it.
    """
    home = Path(tempfile.mkdtemp(prefix="faafo-lab-"))
    set_here = {"FAAFO_LAB_HOME": str(home), **settings_in(home), **environment}
    before = {name: os.environ.get(name) for name in set_here}
    os.environ.update(set_here)
    try:
        yield home
    finally:
        stop_cloud()
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
        shutil.rmtree(home, ignore_errors=True)


def settings_in(home: Path) -> dict[str, str]:
    """Environment variables by which Jupyter, IPython and matplotlib write their files into this directory."""
    return {
        "JUPYTER_CONFIG_DIR": str(home / "jupyter"),
        "JUPYTER_DATA_DIR": str(home / "jupyter"),
        "IPYTHONDIR": str(home / "ipython"),
        "MPLCONFIGDIR": os.environ.get("MPLCONFIGDIR", str(home / "matplotlib")),
    }


def stop_cloud() -> bool:
    """Stop this home's embedded cloud; returns whether it ran."""
    from faafo_lab.cloud.emulator import control

    return control.stop(embedded_state_dir(os.environ))


def make_copies() -> None:
    """Make or renew the learner's copies, print what is new, and prepare the kernels that run them.

    Their kernels have ended: of each widget the static form remains, which pages without a kernel show.
    """
    for line in chapters.update():
        print(line, flush=True)
    restarts.install(Path(settings_in(make_home())["IPYTHONDIR"]))
    for path in sorted(chapters.folder().rglob("*.ipynb")):
        if WIDGET_VIEW in path.read_text(encoding="utf-8", errors="replace"):
            _keep_static_forms(path)


def _keep_static_forms(path: Path) -> None:
    """Remove the widgets with a static form from a notebook whose kernel has ended; one that was trusted stays so."""
    import nbformat  # half a second, which no new copy needs
    from nbformat.sign import NotebookNotary

    notary: Any = NotebookNotary()  # type: ignore[no-untyped-call]
    try:
        notebook = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    except ValueError:
        return  # JupyterLab says what is wrong with it
    trusted = notary.check_signature(notebook)
    if forget_widgets(notebook):
        nbformat.write(notebook, path)  # type: ignore[no-untyped-call]
        if trusted:
            notary.sign(notebook)


def lab() -> int:
    """JupyterLab on the learner's copies; when it ends, its embedded cloud is stopped too (its state is kept).

    What Jupyter keeps, such as settings and the signatures of trusted notebooks, is beside them, not in the user's
    home. The user's own configuration of Jupyter's server applies.
    """
    from jupyter_core.paths import jupyter_config_dir

    config = filter(None, [str(ROOT / "binder"), os.environ.get("JUPYTER_CONFIG_PATH"), jupyter_config_dir()])
    # So `faafo-lab` is a command in JupyterLab's terminals, too
    programs = filter(None, [str(Path(sys.executable).parent), os.environ.get("PATH")])
    settings = {
        **settings_in(make_home()),
        "JUPYTER_CONFIG_PATH": os.pathsep.join(config),
        "PATH": os.pathsep.join(programs),
    }
    os.environ.update(settings)
    make_copies()
    command = [sys.executable, "-m", "jupyter", "lab", *(["--allow-root"] if os.geteuid() == 0 else [])]
    try:
        return subprocess.call(command, env=environment(), cwd=chapters.folder())
    except KeyboardInterrupt:
        return 0
    finally:
        if stop_cloud():
            print("The embedded cloud is stopped; the next `make lab` starts it again with its state.")


if __name__ == "__main__":
    sys.exit(main())
