"""The kinds of processor that the kernel has machine code for, in which files, and the shape of its tiles."""

import platform
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from faafo_lab.app.errors import SettingsError

ROWS = 4  # independent of each other, so that one's operations fill the time in which another's are under way


class Processor(NamedTuple):
    """A kind of processor that there is machine code for."""

    machine: str  # as `uname -m` says
    llvm_name: str
    columns: int  # how many numbers a register holds
    needs: frozenset[str] = frozenset()  # flags of /proc/cpuinfo


_V3 = frozenset(["avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "abm", "movbe"])
PROCESSORS = (  # the best first
    Processor("x86_64", "x86-64-v4", 8, _V3 | frozenset(["avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"])),
    Processor("x86_64", "x86-64-v3", 4, _V3),
    Processor("x86_64", "x86-64", 2),
    Processor("aarch64", "generic", 2),
)


def this_processor(machine: str = "", flags: Iterable[str] = ()) -> Processor:
    """The best of PROCESSORS that this one is. Raises SettingsError where it is none of them."""
    machine = machine or platform.machine()
    flags = flags or Path("/proc/cpuinfo").read_text(encoding="utf-8").split()
    for processor in PROCESSORS:
        if processor.machine == machine and processor.needs.issubset(flags):
            return processor
    raise SettingsError(
        f"There is no machine code for a processor of the kind {machine!r}: run workers on x86_64 or aarch64."
    )


def file_name(processor: Processor, returning: bool) -> str:
    """The file with the machine code for this kind of processor."""
    return f"{processor.machine}.{processor.llvm_name}.{'returning' if returning else 'escaped'}"
