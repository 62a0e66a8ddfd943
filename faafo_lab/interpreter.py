"""Python as the lab's own processes need it, whatever the user's environment makes of it: text is UTF-8, as the file
names are, and a warning is no error.

    start_again()                                 first of all in a command: runs it again, should the encoding be wrong
    subprocess.Popen(…, env=environment())        a child
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

_OTHERS = ("PYTHONINSPECT", "PYTHONIOENCODING", "PYTHONWARNINGS")
"""What would keep a process waiting at its end, change its text, or make its warnings errors."""


def environment(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The environment of a Python that is a process of the lab's own."""
    return {**{name: value for name, value in environ.items() if name not in _OTHERS}, "PYTHONUTF8": "1"}


def start_again() -> None:
    """Where this process's file names are not UTF-8, or its warnings are errors, run its program anew, without that."""
    if sys.getfilesystemencoding() != "utf-8" or "error" in os.environ.get("PYTHONWARNINGS", ""):
        sys.stdout.flush()
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment())  # noqa: S606
