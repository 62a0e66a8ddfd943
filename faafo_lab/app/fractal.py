"""The Julia set in NumPy, and its PNG: the worker's work. The definition is in ``julia``."""

import io
import os
from typing import IO

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # unused, but each of its threads takes memory
import numpy as np
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin  # noqa: F401  (the plugin, so that Pillow loads no other)

from faafo_lab.app.julia import COLOURS, Task, constant

BLOCK_PIXELS = 16_384  # what fits into a core's cache
PALETTE = bytes(part for colour in COLOURS for part in colour)
PNG_COMPRESSION = 3  # 2 ms for a usual fractal; 6 takes 5 ms and saves a sixth


def indices(task: Task) -> NDArray[np.uint8]:
    """The palette index (last step's index mod 32) of each pixel, shape (height, width)."""
    cx, cy = constant(task)
    columns = np.arange(task.width) * (task.xb - task.xa) / max(task.width - 1, 1) + task.xa
    rows = np.arange(task.height) * (task.yb - task.ya) / max(task.height - 1, 1) + task.ya
    result = np.full(task.width * task.height, (task.iterations - 1) % 32, dtype=np.uint8)
    for start in range(0, result.size, BLOCK_PIXELS):
        pixel = np.arange(start, min(start + BLOCK_PIXELS, result.size))
        row, column = np.divmod(pixel, task.width)
        _escape(result, pixel, columns[column], rows[row], cx, cy, task.iterations)
    return result.reshape(task.height, task.width)


def _escape(
    result: NDArray[np.uint8],
    pixel: NDArray[np.int64],
    zx: NDArray[np.float64],
    zy: NDArray[np.float64],
    cx: float,
    cy: float,
    iterations: int,
) -> None:
    """Iterate one block; a pixel that escapes is written to ``result`` and leaves the arrays."""
    for i in range(iterations):
        xx, yy = zx * zx, zy * zy
        inside = xx + yy <= 4.0
        if not inside.all():
            result[pixel[~inside]] = i % 32
            pixel, zx, zy, xx, yy = pixel[inside], zx[inside], zy[inside], xx[inside], yy[inside]
            if not pixel.size:
                return
        zy = (zx + zx) * zy + cy
        zx = xx - yy + cx


def png(task: Task) -> bytes:
    """The picture as a PNG with a palette of 32 colours."""
    image = Image.frombytes("P", (task.width, task.height), indices(task).tobytes())
    image.putpalette(PALETTE)
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=PNG_COMPRESSION)
    return file.getvalue()


def write_png(task: Task, sink: IO[bytes]) -> None:
    """Write the picture to a file."""
    sink.write(png(task))
