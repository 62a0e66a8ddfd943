"""A server's console log in readable form.

readable(log)              without terminal codes
tail(log, 12)              its last lines, without every boot's usual ones
tail(log, 12, match.end()) those up to a place in it
"""

from __future__ import annotations

import re

ESCAPE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[ -/]*[0-~])")  # ECMA-48
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
# Lines of every boot, successful or not: host keys; cloud-init's tables, units that started, the login prompt.
HOST_KEYS = re.compile(r"^[^\n]*-BEGIN SSH HOST KEY (\w+)-.*?-END SSH HOST KEY \1-+$", re.DOTALL | re.MULTILINE)
NOISE = re.compile(r"\bci-info:|#{20,}$|^\[ *OK *\]| login: *$|^(?:<\d+>.* cloud-init:)?\s*$")


def readable(log: str) -> str:
    """The log without escape codes and other control characters; an overwritten line has its last form."""
    lines = (line.rstrip("\r").rpartition("\r")[2] for line in ESCAPE.sub("", log).split("\n"))
    return "\n".join(CONTROL.sub("", line) for line in lines)


def tail(log: str, lines: int, end: int | None = None) -> str:
    """The last informative lines of a readable log, or of the part before `end` (with the rest of that line)."""
    if end is not None:
        log = log[:end] + log[end:].partition("\n")[0]
    telling = [line for line in HOST_KEYS.sub("", log).split("\n") if not NOISE.search(line)]
    return "\n".join(telling[-lines:])
