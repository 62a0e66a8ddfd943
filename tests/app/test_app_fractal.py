"""The Julia set: NumPy against the definition, bit for bit."""

import hashlib
import io

import numpy as np
import pytest
from PIL import Image

from faafo_lab.app import fractal
from faafo_lab.app.julia import COLOURS, MANDELBROT_BOX, Task, constant, pixels

UUID = "0b8a1f2e-3c4d-4e5f-8a9b-1c2d3e4f5a6b"


def task(width: int = 40, height: int = 30, iterations: int = 200, uuid: str = UUID, **box: float) -> Task:
    return Task(uuid, width, height, iterations, **{"xa": -2.3, "xb": 1.9, "ya": -1.4, "yb": 1.7} | box)


@pytest.mark.parametrize("iterations", [1, 2, 11, 12, 33, 300])
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (2, 2), (41, 23), (200, 100)])
def test_numpy_gives_the_definitions_pixels(size: tuple[int, int], iterations: int) -> None:
    wanted = task(*size, iterations)
    assert np.array_equal(fractal.indices(wanted), np.array(pixels(wanted)) % 32)


def test_blocks_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = fractal.indices(task())
    monkeypatch.setattr(fractal, "BLOCK_PIXELS", 7)
    assert np.array_equal(fractal.indices(task()), whole)


def test_the_definition_is_that_of_complex_numbers() -> None:
    wanted = task()
    c = complex(*constant(wanted))
    shown = pixels(wanted)
    for y in range(wanted.height):
        for x in range(wanted.width):
            zx = x * (wanted.xb - wanted.xa) / (wanted.width - 1) + wanted.xa
            zy = y * (wanted.yb - wanted.ya) / (wanted.height - 1) + wanted.ya
            z = zx + zy * 1j
            i = 0
            while abs(z) <= 2.0 and i < wanted.iterations - 1:
                z = z * z + c
                i += 1
            assert shown[y][x] == i


def test_c_follows_from_the_uuid_lies_in_the_box_and_escapes_between_10_and_100() -> None:
    seen = set()
    for number in range(50):
        wanted = task(uuid=f"0b8a1f2e-3c4d-4e5f-8a9b-{number:012x}")
        cx, cy = constant(wanted)
        assert constant(wanted) == (cx, cy)
        assert wanted.xa <= cx <= wanted.xb
        assert wanted.ya <= cy <= wanted.yb
        z = c = complex(cx, cy)
        i = 0
        while abs(z) <= 2.0:
            z = z * z + c
            i += 1
        assert 10 < i < 100
        seen.add((cx, cy))
    assert len(seen) == 50


def test_a_box_without_such_a_c_still_gets_one() -> None:
    cx, cy = constant(task(xa=5.0, xb=6.0, ya=5.0, yb=6.0))
    xa, xb, ya, yb = MANDELBROT_BOX
    assert xa <= cx <= xb
    assert ya <= cy <= yb


def test_the_png_shows_the_colours_of_the_definition() -> None:
    wanted = task()
    image = Image.open(io.BytesIO(fractal.png(wanted)))
    assert (image.format, image.mode, image.size) == ("PNG", "P", (wanted.width, wanted.height))
    colours = image.convert("RGB")
    for y, row in enumerate(pixels(wanted)):
        for x, i in enumerate(row):
            assert colours.getpixel((x, y)) == (i % 8 * 32, i % 16 * 16, i % 32 * 8)
    assert len(set(COLOURS)) == 32


def test_the_same_task_gives_the_same_checksum() -> None:
    first, second = (hashlib.sha256(fractal.png(task())).hexdigest() for _ in range(2))
    assert first == second
    assert hashlib.sha256(fractal.png(task(uuid=UUID.replace("0b", "1b")))).hexdigest() != first
