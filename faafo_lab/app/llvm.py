"""The kernel's loops in LLVM's language, and what llvmlite, the binding that Numba uses, makes of them.

Numba would do it from Python code, but takes a second of CPU to load: four seconds on a quarter of a core. This takes
0.1 s to load and 0.02 s to translate, so that nothing has to be kept on disk, where it could be stale or damaged.

    translated(returning, columns)    in this process, for its own processor
    files()                           for servers, which are spared llvmlite's 170 MB: what `kernel` maps there

A tile of ``ROWS`` rows is computed at a time, each row a vector of as many pixels as a register of the processor holds.
A pixel that has escaped goes on with the others of its tile, but its steps count no more: as a rule it can't come back,
and where it can (``escape_for_good``), it is remembered, which takes one operation of eleven. LLVM keeps to IEEE 754
and contracts no operations into one unless it is told to: the pixels are those of ``julia.steps``, bit for bit.
"""

import struct
from typing import Any

from llvmlite import binding, ir

from faafo_lab.app.processors import PROCESSORS, ROWS, file_name

COLOURS = 32
STEPS = 2  # between two looks whether any pixel of the tile is still inside
BYTE, WHOLE, REAL, POINTER = ir.IntType(8), ir.IntType(64), ir.DoubleType(), ir.PointerType()
AXIS = (REAL, REAL, REAL)  # coordinate = index · span / steps + start
ARGUMENTS = (POINTER, WHOLE, WHOLE, WHOLE, WHOLE, *AXIS, *AXIS, REAL, REAL)

PAGE_BYTES = 4096
CONTENT, SYMBOL_TABLE, RELOCATIONS = 1, 2, 4  # of ELF: types of sections, …
ALLOCATED = 2  # … a section that is there when the program runs, …
X86_PC32 = 2  # … and types of relocations
ARM_PAGE, ARM_LOW_BITS_OF_16 = 275, 299


def translated(returning: bool, columns: int | None) -> tuple[Any, int, int]:
    """For the processor at hand: what keeps the code in memory, its address, and the vector's columns."""
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    features = binding.get_host_cpu_features()
    columns = columns or (8 if features.get("avx512f") else 4 if features.get("avx2") else 2)
    target = binding.Target.from_default_triple().create_target_machine(
        cpu=binding.get_host_cpu_name(), features=features.flatten(), opt=3
    )
    engine = binding.create_mcjit_compiler(binding.parse_assembly(source(columns, returning)), target)
    engine.finalize_object()
    return engine, engine.get_function_address("strip"), columns


def files() -> dict[str, bytes]:
    """Machine code for every processor that `kernel` knows, by file name: the same bytes on every machine."""
    binding.initialize_all_targets()
    binding.initialize_all_asmprinters()
    made = {}
    for processor in PROCESSORS:
        target = binding.Target.from_triple(f"{processor.machine}-unknown-linux-gnu").create_target_machine(
            cpu=processor.llvm_name, opt=3, reloc="pic", codemodel="small"
        )
        for returning in (True, False):
            module = binding.parse_assembly(source(processor.columns, returning))
            module.triple = target.triple
            made[file_name(processor, returning)] = linked(target.emit_object(module))
    return made


def linked(elf: bytes) -> bytes:
    """The code of an ELF object file and the constants behind it, to be mapped where a page begins and called there."""
    (table,) = struct.unpack_from("<Q", elf, 40)
    (count,) = struct.unpack_from("<H", elf, 60)
    sections = [struct.unpack_from("<IIQQQQIIQQ", elf, table + 64 * number) for number in range(count)]
    image, places = bytearray(), {}
    for number, (_, kind, flags, _, at, size, _, _, alignment, _) in enumerate(sections):
        if kind == CONTENT and flags & ALLOCATED:  # the code is first, and has one function
            image += bytes(-len(image) % alignment)
            places[number] = len(image)
            image += elf[at : at + size]
    if len(image) > PAGE_BYTES:
        raise RuntimeError(f"The kernel's machine code is {len(image)} bytes long: a page is {PAGE_BYTES}.")
    symbols = next(section[4] for section in sections if section[1] == SYMBOL_TABLE)
    for _, kind, _, _, at, size, *_ in sections:
        if kind != RELOCATIONS:  # all of them are the code's
            continue
        for entry in range(at, at + size, 24):
            place, info, addend = struct.unpack_from("<QQq", elf, entry)
            _, _, _, home, value, _ = struct.unpack_from("<IBBHQQ", elf, symbols + 24 * (info >> 32))
            _relocate(image, place, info & 0xFFFFFFFF, places[home] + value + addend)
    return bytes(image)


def _relocate(image: bytearray, place: int, kind: int, meant: int) -> None:
    """Put into the instruction at `place` where the constant is that it means."""
    if kind == X86_PC32:
        struct.pack_into("<i", image, place, meant - place)
    elif kind == ARM_LOW_BITS_OF_16:
        (instruction,) = struct.unpack_from("<I", image, place)
        struct.pack_into("<I", image, place, instruction | meant // 16 << 10)
    elif kind != ARM_PAGE:  # in which page: the instruction's own, as it says already
        raise RuntimeError(f"The kernel's machine code has a relocation of type {kind}: nothing here knows it.")


def source(columns: int, returning: bool) -> str:
    """The kernel in LLVM's language: bands of ``ROWS`` rows, tiles of ``columns`` columns, steps."""
    module = ir.Module("julia")
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), ARGUMENTS), "strip")
    function.attributes.add("nounwind")  # so that there are no tables for unwinding beside the code
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
