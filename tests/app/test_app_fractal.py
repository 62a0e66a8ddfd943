"""The Julia set: the kernel against the definition, bit for bit, and its PNG against Pillow."""

import ctypes
import functools
import hashlib
import io
import threading
import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from faafo_lab.app import fractal, kernel
from faafo_lab.app.julia import COLOURS, MANDELBROT_BOX, Task, constant, pixels
from faafo_lab.app.validation import COORDINATE_MAX, ITERATIONS_MAX

UUID = "0b8a1f2e-3c4d-4e5f-8a9b-1c2d3e4f5a6b"
FAR = st.floats(-COORDINATE_MAX, COORDINATE_MAX)
NEAR = st.floats(-2.0, 2.0)


def task(width: int = 40, height: int = 30, iterations: int = 200, uuid: str = UUID, **box: float) -> Task:
    return Task(uuid, width, height, iterations, **{"xa": -2.3, "xb": 1.9, "ya": -1.4, "yb": 1.7} | box)


def rows(wanted: Task, by: kernel.Compiled | None = None) -> list[list[int]]:
    """The kernel's rows, without their filter bytes, all of which have to be 0."""
    flat = b"".join(bytes(strip) for strip in fractal.strips(wanted, by))
    assert len(flat) == wanted.height * (wanted.width + 1)
    whole = [list(flat[start : start + wanted.width + 1]) for start in range(0, len(flat), wanted.width + 1)]
    assert {row.pop(0) for row in whole} == {0}
    return whole


def defined(wanted: Task) -> list[list[int]]:
    return [[step % 32 for step in row] for row in pixels(wanted)]


def png(wanted: Task) -> bytes:
    file = io.BytesIO()
    fractal.write_png(wanted, file)
    return file.getvalue()


@functools.cache
def machine(returning: bool, columns: int) -> kernel.Compiled:
    return kernel.Compiled(returning, columns)


@pytest.mark.parametrize("returning", [True, False])
@pytest.mark.parametrize("columns", [1, 2, 4, 8])  # as other processors have them: LLVM makes of it what this one can
@pytest.mark.parametrize("iterations", [1, 2, 3, 11, 12, 33, 300])
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (2, 2), (7, 5), (41, 23), (64, 64)])
def test_the_kernel_gives_the_definitions_pixels(
    size: tuple[int, int], iterations: int, columns: int, returning: bool
) -> None:
    wanted = task(*size, iterations)
    assert rows(wanted, machine(returning, columns)) == defined(wanted)


@settings(deadline=None, max_examples=100)
@given(
    uuid=st.uuids().map(str),
    size=st.tuples(st.integers(1, 40), st.integers(1, 14)),
    iterations=st.integers(1, 260),
    box=st.tuples(*[st.one_of(NEAR, NEAR, FAR)] * 4),
    strip_bytes=st.sampled_from([1, 50, 200, fractal.STRIP_BYTES]),
)
@example(UUID, (16, 4), ITERATIONS_MAX, (-0.1, 0.1, -0.1, 0.1), fractal.STRIP_BYTES)
@example(UUID, (16, 4), ITERATIONS_MAX, (-1e-300, 1e-300, -5e-324, 5e-324), fractal.STRIP_BYTES)
@example(UUID, (5, 5), 100, (0.0, 0.0, 0.0, 0.0), fractal.STRIP_BYTES)
@example(UUID, (5, 5), 100, (2.0, -2.0, 2.0, -2.0), fractal.STRIP_BYTES)
@example(UUID, (9, 9), 100, (-1e308, 1e308, -1e308, 1e308), fractal.STRIP_BYTES)  # neither inside nor outside
def test_the_kernel_gives_the_definitions_pixels_whatever_the_box(
    uuid: str, size: tuple[int, int], iterations: int, box: tuple[float, ...], strip_bytes: int
) -> None:
    xa, xb, ya, yb = box
    wanted = task(*size, iterations, uuid, xa=xa, xb=xb, ya=ya, yb=yb)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fractal, "STRIP_BYTES", strip_bytes)
        assert rows(wanted) == defined(wanted)


def test_a_point_that_comes_back_after_its_escape_has_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fractal, "constant", lambda _: (-6.0, 0.0))  # 3 → 3 → 3, 2.9 → 2.41 → -0.19
    assert rows(task(4, 1, 100, xa=2.3, xb=2.9, ya=0.0)) == [[0, 0, 0, 0]]


def test_what_does_not_come_back_is_told_from_what_does() -> None:
    box = (3.0, 2.0)  # as wide and as high as that
    assert kernel.escape_for_good(*constant(task()), *box)
    assert kernel.escape_for_good(-1.98, 0.1, *box)
    assert not kernel.escape_for_good(-2.0, 0.0, *box)
    assert not kernel.escape_for_good(-6.0, 0.0, *box)
    assert not kernel.escape_for_good(0.1, 0.1, float("inf"), 1.0)


def test_the_kernel_writes_nothing_outside_its_memory() -> None:
    ours = fractal.this_machine(False)
    for width in range(1, 20):
        for height in range(1, 10):
            size = ours.buffer_bytes(width, height)
            memory = ctypes.create_string_buffer(b"?" * (size + 64), size + 64)
            ours.kernel(ctypes.addressof(memory), 0, height, width, 9, 1.0, 1.0, 0.0, 1.0, 1.0, 0.0, 0.1, 0.1)
            assert memory.raw[size:] == b"?" * 64


def test_other_threads_run_while_the_kernel_does() -> None:
    fractal.this_machine(False)
    beats: list[float] = []
    done = threading.Event()

    def beat() -> None:
        while not done.is_set():
            beats.append(time.monotonic())
            time.sleep(0.001)

    thread = threading.Thread(target=beat)
    thread.start()
    try:
        started = time.monotonic()
        next(fractal.strips(task(2000, 60, ITERATIONS_MAX, xa=-1e-3, xb=1e-3, ya=-1e-3, yb=1e-3)))
        ended = time.monotonic()
    finally:
        done.set()
        thread.join()
    assert len([beat for beat in beats if started < beat < ended]) > 3


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


@pytest.mark.parametrize("size", [(1, 1), (1, 30), (40, 1), (40, 30), (701, 300)])  # the last: more than one strip
def test_the_png_shows_the_colours_of_the_definition(size: tuple[int, int]) -> None:
    wanted = task(*size, 50)
    image = Image.open(io.BytesIO(png(wanted)))
    assert (image.format, image.mode, image.size) == ("PNG", "P", size)
    colours = [COLOURS[index] for row in defined(wanted) for index in row]
    assert image.convert("RGB").tobytes() == bytes(part for colour in colours for part in colour)
    assert len(set(COLOURS)) == 32
    assert tuple((i % 8 * 32, i % 16 * 16, i % 32 * 8) for i in range(32)) == COLOURS


def test_the_png_is_whole_and_its_chunks_have_their_checksums() -> None:
    wanted = task(701, 300)
    content = png(wanted)
    Image.open(io.BytesIO(content)).verify()
    for damaged in (content[:-20], content[:200] + bytes([content[200] ^ 1]) + content[201:]):
        with pytest.raises((SyntaxError, OSError)):
            Image.open(io.BytesIO(damaged)).verify()


def test_the_same_task_gives_the_same_checksum() -> None:
    first, second = (hashlib.sha256(png(task())).hexdigest() for _ in range(2))
    assert first == second
    assert hashlib.sha256(png(task(uuid=UUID.replace("0b", "1b")))).hexdigest() != first
