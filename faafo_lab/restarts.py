"""A kernel that was restarted knows no names: this says in one sentence which cell of the chapter to run first.

`make lab` and Binder have each kernel call `watch` when it starts: `install` writes the file that IPython then runs.
"""

import json
import os
import re
import symtable
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

HEADING = re.compile(r"^#+ +(.+)$", re.MULTILINE)
STARTUP = """\
try:
    __import__("faafo_lab.restarts").restarts.watch(get_ipython())
except ImportError:  # another kernel than the lab's
    pass
"""


def install(ipython_dir: Path) -> None:
    """Have the kernels that keep their files in this directory (IPYTHONDIR) call `watch`. Raises OSError."""
    folder = ipython_dir / "profile_default" / "startup"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "50-faafo-lab.py").write_text(STARTUP, encoding="utf-8")


def watch(shell: Any) -> None:
    """Show `advice` in place of a NameError of a cell's own, where there is any."""

    def show(shell: Any, kind: type, error: NameError, traceback: TracebackType, tb_offset: int | None = None) -> None:
        while traceback.tb_next:
            traceback = traceback.tb_next
        if kind is NameError and error.name and traceback.tb_frame.f_globals is shell.user_ns:
            path = Path(os.environ.get("JPY_SESSION_NAME", ""))  # which Jupyter's server sets
            if says := advice(path, error.name, shell):
                error._render_traceback_ = lambda: [says]  # type: ignore[attr-defined]
        shell.showtraceback((kind, error, error.__traceback__), tb_offset=tb_offset)

    shell.set_custom_exc((NameError,), show)


def advice(notebook: Path, name: str, shell: Any) -> str:
    """Which cell to run first, in a sentence; nothing where no other cell of the notebook defines the name."""
    try:
        cells = [cell for cell in _cells(notebook, shell) if cell[0] != shell.user_ns["In"][-1].strip()]
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    found = next((cell for cell in cells if name in cell[2]), None)
    if found is None:
        return ""
    start = next(cell for cell in cells if cell[2])
    new = not start[2] <= shell.user_ns.keys()
    source, heading, _ = start if new else found
    begins = f"first (it begins with `{source.splitlines()[0]}`)"
    if new:
        return f"The kernel is new, or was restarted: run the chapter's first code cell {begins}."
    return f"Run the cell {f'under “{heading}”' if heading else 'at the top'} {begins}: it defines `{name}`."


def _cells(notebook: Path, shell: Any) -> Iterator[tuple[str, str, set[str]]]:
    """Of each code cell its text, the last heading above it, and the names that it assigns or imports."""
    heading = ""
    for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]:
        source, names = "".join(cell["source"]), set()
        if cell["cell_type"] == "markdown":
            heading = (HEADING.findall(source) or [heading])[-1]
        elif source.strip():
            with suppress(SyntaxError):
                symbols = symtable.symtable(shell.transform_cell(source), "cell", "exec").get_symbols()
                names = {each.get_name() for each in symbols if each.is_assigned() or each.is_imported()}
            yield source.strip(), heading, names
