"""The loops of the Julia set, as machine code for the processor that they run on.

LLVM makes it of what `llvm` says: in a learner's processes when a worker needs it first, through llvmlite. On a server
of a real cloud llvmlite, with its 170 MB, would be most of the installation; the lab's wheel for servers brings the
machine code instead, in the directory ``machine_code``, a file for each kind of processor. Code and constants are in
one page, at fixed distances from each other: the file is mapped and called as it is, wherever it comes to lie.
"""

import ctypes
import math
import mmap
import os
from pathlib import Path
from typing import Protocol

from faafo_lab.app.errors import SettingsError
from faafo_lab.app.processors import ROWS, file_name, this_processor

MACHINE_CODE = Path(__file__).with_name("machine_code")  # of a server's installation alone
PROTOTYPE = ctypes.CFUNCTYPE(  # releases the interpreter's lock
    None, ctypes.c_void_p, *[ctypes.c_int64] * 4, *[ctypes.c_double] * 8
)


class Kernel(Protocol):
    """Writes rows of a picture into memory; other threads run meanwhile."""

    def __call__(
        self,
        address: int,
        top: int,
        rows: int,
        width: int,
        iterations: int,
        x_span: float,
        x_steps: float,
        xa: float,
        y_span: float,
        y_steps: float,
        ya: float,
        cx: float,
        cy: float,
        /,
    ) -> None:
        """Write ``rows`` rows from row ``top`` on, each a byte 0 and ``width`` palette indices (last step mod 32).

        A row starts ``width + 1`` bytes after the one before. The memory has to hold ``buffer_bytes(width, rows)``:
        what is behind the last row is scratch.
        """


class Compiled:
    """The kernel, compiled for the processor at hand.

    ``columns``: how many pixels make a vector (default: a register). Not ``returning``: for orbits that are escaped
    for good, of coordinates that are numbers (see ``escape_for_good``). Raises SettingsError where there is neither
    machine code for this processor nor llvmlite.
    """

    def __init__(self, returning: bool = True, columns: int | None = None):
        if MACHINE_CODE.is_dir():
            processor = this_processor()
            self.columns = processor.columns
            address = _mapped(MACHINE_CODE / file_name(processor, returning))
        else:
            from faafo_lab.app import llvm

            self._engine, address, self.columns = llvm.translated(returning, columns)
        self.kernel: Kernel = PROTOTYPE(address)

    def buffer_bytes(self, width: int, rows: int) -> int:
        """What the kernel needs for ``rows`` rows: whole tiles, the last of which ends a vector behind its row."""
        return -(-rows // ROWS) * ROWS * (width + 1) + self.columns


def escape_for_good(cx: float, cy: float, *spans: float) -> bool:
    """Whether no orbit comes back to |z| ≤ 2, and all start at numbers, though they may be infinite.

    From |z| > 2 on, |z² + c| ≥ |z|² - |c| > |z| where |c| ≤ 2: a little less, so that rounding does not matter.
    """
    return math.hypot(cx, cy) < 1.99 and all(map(math.isfinite, spans))


def _mapped(path: Path) -> int:
    """Where a file's code is in memory, executable, until the process ends. (Python's mmap does not tell where.)"""
    library = ctypes.CDLL(None, use_errno=True)
    library.mmap.restype = ctypes.c_void_p
    library.mmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long)
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        address = library.mmap(None, size, mmap.PROT_READ | mmap.PROT_EXEC, mmap.MAP_PRIVATE, file.fileno(), 0)
    if address == ctypes.c_void_p(-1).value:
        number = ctypes.get_errno()
        raise SettingsError(f"{path} can't be run: {os.strerror(number)}. Its file system must not be mounted noexec.")
    return int(address)
