"""A fractal's picture: the worker's work. The definition is in ``julia``, the loops are in ``kernel``.

The picture is made and written strip by strip: the kernel lays out a strip's rows as in a PNG, that very memory is
compressed, and what comes of it goes to the file. So a picture of any size needs the memory of one strip.
"""

import ctypes
import functools
from collections.abc import Iterator
from typing import IO

from faafo_lab.app import png
from faafo_lab.app.julia import COLOURS, Task, constant
from faafo_lab.app.kernel import Compiled, escape_for_good

STRIP_BYTES = 128 * 1024  # it stays in a core's cache from the kernel to the compression
PALETTE = bytes(part for colour in COLOURS for part in colour)

this_machine = functools.cache(Compiled)  # made when it is needed first; the returning one hardly ever is


def strips(task: Task, machine: Compiled | None = None) -> Iterator[memoryview]:
    """The picture's rows from the top, some at a time: each a byte 0 and ``width`` palette indices (last step mod 32).

    It is the same memory each time, written anew.
    """
    cx, cy = constant(task)
    x_axis = task.xb - task.xa, max(task.width - 1, 1), task.xa
    y_axis = task.yb - task.ya, max(task.height - 1, 1), task.ya
    machine = machine or this_machine(not escape_for_good(cx, cy, x_axis[0], y_axis[0]))
    row_bytes = task.width + 1
    rows_at_once = min(max(STRIP_BYTES // row_bytes, 1), task.height)
    memory = ctypes.create_string_buffer(machine.buffer_bytes(task.width, rows_at_once))
    for top in range(0, task.height, rows_at_once):
        rows = min(rows_at_once, task.height - top)
        machine.kernel(ctypes.addressof(memory), top, rows, task.width, task.iterations, *x_axis, *y_axis, cx, cy)
        yield memoryview(memory).cast("B")[: rows * row_bytes]


def write_png(task: Task, sink: IO[bytes]) -> None:
    """Write the picture to a file, as a PNG with a palette of 32 colours."""
    png.write(sink, task.width, task.height, PALETTE, strips(task))
