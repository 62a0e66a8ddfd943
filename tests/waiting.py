"""The one way in which tests wait: for a condition, with a generous limit, and never for a guessed time."""

import time
from collections.abc import Callable
from typing import TypeVar

import pytest

T = TypeVar("T")

LIMIT_SECONDS = 90.0  # of any wait: generous, the machine may be busy
LOOK_SECONDS = 0.03  # between two looks


def wait_for(what: str, condition: Callable[[], T], limit_seconds: float = LIMIT_SECONDS) -> T:
    """Look until the condition is true (or fail, saying what was awaited); its value."""
    deadline = time.monotonic() + limit_seconds
    while not (seen := condition()):
        if time.monotonic() > deadline:
            pytest.fail(f"timed out after {limit_seconds:.0f} s: {what}")
        time.sleep(LOOK_SECONDS)
    return seen
