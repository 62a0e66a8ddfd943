"""The Julia set's definition, in plain Python.

Pixel (x, y) starts at z = zx + i·zy, zx = x(xb−xa)/(width−1)+xa, zy = y(yb−ya)/(height−1)+ya; z ← z²+c until
|z| > 2 or ``iterations`` steps. With i the last step's index (iterations−1 where it never escapes), the colour is
(i%8·32, i%16·16, i%32·8). In a picture one pixel wide, zx is xa; one pixel high, zy is ya.

``fractal`` computes the same faster. Real and imaginary parts are kept apart, so that each operation rounds once,
and both come to the same pixels, bit for bit. |z| > 2 is tested as zx²+zy² > 4.
"""

import functools
import random
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

COLOURS = tuple((i % 8 * 32, i % 16 * 16, i % 32 * 8) for i in range(32))

C_ESCAPES_AFTER, C_ESCAPES_BEFORE = 10, 100  # steps
C_DRAWS = 10_000  # where the box has no such c (nearly): draw in the box around the Mandelbrot set
MANDELBROT_BOX = (-2.0, 1.0, -1.5, 1.5)


@dataclass(frozen=True)
class Task:
    """One fractal to make: what the queue's messages say."""

    uuid: str
    width: int
    height: int
    iterations: int
    xa: float
    xb: float
    ya: float
    yb: float

    def as_dict(self) -> dict[str, Any]:
        """The message's body."""
        return dict(vars(self))


class Order(NamedTuple):
    """A task as it was ordered; a uuid that is deleted and ordered anew has another generation, a higher one.

    0 where nobody says it: in a message that another version of the API has sent.
    """

    task: Task
    generation: int


def steps(zx: float, zy: float, cx: float, cy: float, iterations: int) -> int:
    """The index of the step at which z escapes, ``iterations - 1`` where it does not."""
    for i in range(iterations):
        if zx * zx + zy * zy > 4.0:
            return i
        zx, zy = zx * zx - zy * zy + cx, (zx + zx) * zy + cy
    return iterations - 1


@functools.lru_cache(maxsize=16)  # a worker needs it twice: to compute, and to report
def constant(task: Task) -> tuple[float, float]:
    """The c of a fractal: drawn in its box until c's own orbit escapes at 10 < i < 100.

    It follows from the uuid, so a task that is done again gives the same picture.
    """
    generator = random.Random(UUID(task.uuid).int)
    boxes = ((task.xa, task.xb, task.ya, task.yb), MANDELBROT_BOX)
    for xa, xb, ya, yb in boxes:
        for _ in range(C_DRAWS):
            cx = generator.random() * (xb - xa) + xa
            cy = generator.random() * (yb - ya) + ya
            # one step more than allowed: what has not escaped by then counts as never escaping
            if C_ESCAPES_AFTER < steps(cx, cy, cx, cy, C_ESCAPES_BEFORE + 1) < C_ESCAPES_BEFORE:
                return cx, cy
    raise AssertionError("no c in the box around the Mandelbrot set")


def pixels(task: Task) -> list[list[int]]:
    """The step index of each pixel, row by row: slow, for tests to hold ``fractal`` against."""
    cx, cy = constant(task)
    columns, rows = max(task.width - 1, 1), max(task.height - 1, 1)
    return [
        [
            steps(
                x * (task.xb - task.xa) / columns + task.xa,
                y * (task.yb - task.ya) / rows + task.ya,
                cx,
                cy,
                task.iterations,
            )
            for x in range(task.width)
        ]
        for y in range(task.height)
    ]
