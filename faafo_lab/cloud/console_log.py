"""A server's console log in readable form.

readable(log)              without terminal codes; readable(log, 12): its last lines
length(12)                 what Nova is asked for, to get so many lines
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


def length(lines: int | None) -> int | None:
    """What Nova is asked for, to get so many lines: for it, what follows the last line's end is one, too."""
    return None if lines is None else lines + 1


def readable(log: str, lines: int | None = None) -> str:
    """The log, or its last `lines` lines, without escape codes and other control characters; an overwritten line has
    its last form."""
    whole = (line.rstrip("\r").rpartition("\r")[2] for line in ESCAPE.sub("", log).split("\n"))
    text = "\n".join(CONTROL.sub("", line) for line in whole)
    if lines is None:
        return text
    ended = text.endswith("\n")
    return "\n".join(text.removesuffix("\n").split("\n")[-lines:] if lines else []) + "\n" * (ended and lines > 0)


def tail(log: str, lines: int, end: int | None = None) -> str:
    """The last informative lines of a readable log, or of the part before `end` (with the rest of that line)."""
    if end is not None:
        log = log[:end] + log[end:].partition("\n")[0]
    telling = [line for line in HOST_KEYS.sub("", log).split("\n") if not NOISE.search(line)]
    return "\n".join(telling[-lines:])
