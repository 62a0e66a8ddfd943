"""Programs of the machine that some tests use: a test brings what it needs, or is skipped with a word."""

import os
import shutil
import subprocess

import pytest

PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"  # servers are there, and not every user looks there


def program(name: str) -> str | None:
    """Where a program is on this machine; None where it is not installed."""
    return shutil.which(name, path=PATH)


def need(*names: str) -> None:
    """Skip the test where one of these programs is not installed."""
    if missing := [name for name in names if program(name) is None]:
        pytest.skip(f"not installed: {', '.join(missing)}")


def possible(*words: str) -> bool:
    """Whether this machine has the first word's program and lets us run it with the others."""
    return program(words[0]) is not None and not subprocess.run(words, capture_output=True, check=False).returncode
