"""What is ordered: fractals, the same ones for two runs that are compared, or new ones without end."""

import uuid
from collections.abc import Iterator, Mapping
from typing import Any

Task = Mapping[str, Any]

# A fractal that keeps a quarter of a core busy for about a third of a second.
WIDTH_PIXELS, HEIGHT_PIXELS, ITERATIONS = 1440, 960, 320
BOX = {"xa": -0.8, "xb": -0.5, "ya": -0.1, "yb": 0.1}  # of the plane: most of what is there takes many steps
SEED = 391  # of those tried, the one whose groups of fifteen and of twenty fractals cost most alike


def same_tasks(
    number: int,
    *,
    width: int = WIDTH_PIXELS,
    height: int = HEIGHT_PIXELS,
    iterations: int = ITERATIONS,
    seed: int = SEED,
) -> list[Task]:
    """`number` fractals of this size (pixels): the same ones for the same seed, so that two runs do equal work.

    Of another size, or with other `iterations`, they are other fractals: their uuids have nothing in common.
    """
    space = uuid.uuid5(uuid.NAMESPACE_URL, f"faafo-lab/{seed}/{width}/{height}/{iterations}")
    return [_task(uuid.uuid5(space, str(index)), width, height, iterations) for index in range(number)]


def new_tasks(
    *, width: int = WIDTH_PIXELS, height: int = HEIGHT_PIXELS, iterations: int = ITERATIONS
) -> Iterator[Task]:
    """Fractals of this size (pixels) that nobody ordered before, without end."""
    while True:
        yield _task(uuid.uuid4(), width, height, iterations)


def _task(name: uuid.UUID, width: int, height: int, iterations: int) -> Task:
    return {
        "uuid": str(name),
        "width": width,
        "height": height,
        "iterations": iterations,
        **BOX,
    }
