"""The loops of the Julia set, as machine code for the processor that they run on.

LLVM translates them when a worker needs them first, through llvmlite, the binding that Numba uses. Numba would do it
from Python code, but takes a second of CPU to load: four seconds on a quarter of a core. This takes 0.1 s to load and
0.02 s to translate, so that nothing has to be kept on disk, where it could be stale or damaged.

A tile of ``ROWS`` rows is computed at a time, each row a vector of as many pixels as a register of the processor holds.
A pixel that has escaped goes on with the others of its tile, but its steps count no more: as a rule it can't come back,
and where it can (``escape_for_good``), it is remembered, which takes one operation of eleven. LLVM keeps to IEEE 754
and contracts no operations into one unless it is told to: the pixels are those of ``julia.steps``, bit for bit.
"""

import ctypes
import math
from typing import Any, Protocol

from llvmlite import binding, ir

ROWS = 4  # independent of each other, so that one's operations fill the time in which another's are under way
STEPS = 2  # between two looks whether any pixel of the tile is still inside
COLOURS = 32

BYTE, WHOLE, REAL, POINTER = ir.IntType(8), ir.IntType(64), ir.DoubleType(), ir.PointerType()
AXIS = (REAL, REAL, REAL)  # coordinate = index · span / steps + start
ARGUMENTS = (POINTER, WHOLE, WHOLE, WHOLE, WHOLE, *AXIS, *AXIS, REAL, REAL)
IN_C = {POINTER: ctypes.c_void_p, WHOLE: ctypes.c_int64, REAL: ctypes.c_double}


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
    for good, of coordinates that are numbers (see ``escape_for_good``).
    """

    def __init__(self, returning: bool = True, columns: int | None = None):
        binding.initialize_native_target()
        binding.initialize_native_asmprinter()
        features = binding.get_host_cpu_features()
        self.columns = columns or (8 if features.get("avx512f") else 4 if features.get("avx2") else 2)
        target = binding.Target.from_default_triple().create_target_machine(
            cpu=binding.get_host_cpu_name(), features=features.flatten(), opt=3
        )
        self._engine = binding.create_mcjit_compiler(binding.parse_assembly(source(self.columns, returning)), target)
        self._engine.finalize_object()
        prototype = ctypes.CFUNCTYPE(None, *(IN_C[kind] for kind in ARGUMENTS))  # releases the interpreter's lock
        self.kernel: Kernel = prototype(self._engine.get_function_address("strip"))

    def buffer_bytes(self, width: int, rows: int) -> int:
        """What the kernel needs for ``rows`` rows: whole tiles, the last of which ends a vector behind its row."""
        return -(-rows // ROWS) * ROWS * (width + 1) + self.columns


def escape_for_good(cx: float, cy: float, *spans: float) -> bool:
    """Whether no orbit comes back to |z| ≤ 2, and all start at numbers, though they may be infinite.

    From |z| > 2 on, |z² + c| ≥ |z|² - |c| > |z| where |c| ≤ 2: a little less, so that rounding does not matter.
    """
    return math.hypot(cx, cy) < 1.99 and all(map(math.isfinite, spans))


def source(columns: int, returning: bool) -> str:
    """The kernel in LLVM's language: bands of ``ROWS`` rows, tiles of ``columns`` columns, steps."""
    module = ir.Module("julia")
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), ARGUMENTS), "strip")
    pixels, top, rows, width, iterations, x_span, x_steps, xa, y_span, y_steps, ya, cx, cy = function.args
    entry, band, tile, step, store, filters, end = (
        function.append_basic_block(name) for name in ("entry", "band", "tile", "step", "store", "filters", "end")
    )
    reals, wholes, bytes_ = (ir.VectorType(kind, columns) for kind in (REAL, WHOLE, BYTE))
    build = ir.IRBuilder(entry)

    def whole(value: int) -> ir.Constant:
        return ir.Constant(WHOLE, value)

    def same(value: float, kind: ir.VectorType = reals) -> ir.Constant:
        return ir.Constant(kind, [value] * columns)

    def spread(value: Any, kind: ir.VectorType = reals) -> Any:
        """A vector of one value."""
        undefined = ir.Constant(kind, ir.Undefined)
        first = build.insert_element(undefined, value, whole(0))
        return build.shuffle_vector(first, undefined, same(0, ir.VectorType(ir.IntType(32), columns)))

    def coordinate(index: Any, span: Any, steps: Any, start: Any) -> Any:
        return build.fadd(build.fdiv(build.fmul(index, span), steps), start)

    def x_coordinates(tile: Any) -> Any:
        first = spread(build.sitofp(build.mul(tile, whole(columns)), REAL))
        return coordinate(build.fadd(first, ir.Constant(reals, [float(lane) for lane in range(columns)])), *x_axis)

    def below(pointer: Any) -> Any:
        """The same place in the next row."""
        return build.gep(pointer, [row_bytes], source_etype=BYTE)

    row_bytes = build.add(width, whole(1))
    tiles = build.udiv(build.add(width, whole(columns - 1)), whole(columns))
    x_axis = [spread(value) for value in (x_span, x_steps, xa)]
    cxs, cys, last = spread(cx), spread(cy), spread(build.sub(iterations, whole(1)), wholes)
    # An aligned variable aligns the stack's frame, and so the vectors that are kept there for want of registers. LLVM
    # would not: where the caller's stack ended so that one of them lay across two pages, all took twice the time.
    variable = build.alloca(reals)
    variable.align = 64
    build.store(same(4.0), variable, align=8)
    four = build.load(variable, align=8)
    last_tile = build.sub(tiles, whole(1))
    zx_last = x_coordinates(last_tile)
    build.branch(band)

    build.position_at_end(band)
    y = build.phi(WHOLE)
    y.add_incoming(whole(0), entry)
    first_row = build.gep(pixels, [build.mul(y, row_bytes)], source_etype=BYTE)
    y_indices = [build.sitofp(build.add(build.add(top, y), whole(row)), REAL) for row in range(ROWS)]
    zys = [spread(coordinate(index, y_span, y_steps, ya)) for index in y_indices]
    build.branch(tile)

    # From right to left: what the last tile writes behind its rows, the next row's own tiles write over.
    build.position_at_end(tile)
    number, zx = build.phi(WHOLE), build.phi(reals)
    number.add_incoming(last_tile, band)
    zx.add_incoming(zx_last, band)
    x = build.mul(number, whole(columns))
    number_next = build.sub(number, whole(1))
    zx_next = x_coordinates(number_next)  # now, beside this tile's steps: the next one's need not wait for it
    build.branch(step)

    build.position_at_end(step)
    done = build.phi(WHOLE)
    done.add_incoming(whole(0), tile)
    counts, any_inside = [], same(0, wholes)
    states = [[build.phi(kind) for kind in (reals, reals, wholes, wholes)] for _ in range(ROWS)]
    for zy, before in zip(zys, states, strict=True):
        for variable, value in zip(before, (zx, zy, same(-1, wholes), same(0, wholes)), strict=True):
            variable.add_incoming(value, tile)
        re, im, inside, count = before
        for _ in range(STEPS):
            re2, im2 = build.fmul(re, re), build.fmul(im, im)
            size2 = build.fadd(re2, im2)
            if returning:  # what is no number counts as inside, but not where it has escaped before
                inside = build.and_(inside, build.sext(build.fcmp_unordered("<=", size2, four), wholes))
            else:
                inside = build.sext(build.fcmp_ordered("<=", size2, four), wholes)  # -1 where it is
            count = build.sub(count, inside)
            im = build.fadd(build.fmul(build.fadd(re, re), im), cys)
            re = build.fadd(build.fsub(re2, im2), cxs)
        for variable, value in zip(before, (re, im, inside, count), strict=True):
            variable.add_incoming(value, step)
        counts.append(count)
        any_inside = build.or_(any_inside, inside)
    done_now = build.add(done, whole(STEPS))
    done.add_incoming(done_now, step)
    bits = ir.IntType(WHOLE.width * columns)
    inside_yet = build.icmp_unsigned("!=", build.bitcast(any_inside, bits), ir.Constant(bits, 0))
    build.cbranch(build.and_(inside_yet, build.icmp_signed("<", done_now, iterations)), step, store)

    build.position_at_end(store)
    place = build.gep(first_row, [build.add(x, whole(1))], source_etype=BYTE)
    for count in counts:
        steps = build.select(build.icmp_signed("<", count, last), count, last)
        build.store(build.and_(build.trunc(steps, bytes_), same(COLOURS - 1, bytes_)), place, align=1)
        place = below(place)
    number.add_incoming(number_next, store)
    zx.add_incoming(zx_next, store)
    build.cbranch(build.icmp_signed("==", number, whole(0)), filters, tile)

    build.position_at_end(filters)
    place = first_row
    for _ in range(ROWS):
        build.store(ir.Constant(BYTE, 0), place)
        place = below(place)
    y_next = build.add(y, whole(ROWS))
    y.add_incoming(y_next, filters)
    build.cbranch(build.icmp_signed("<", y_next, rows), band, end)

    build.position_at_end(end)
    build.ret_void()
    return str(module)
