"""Waiting for a condition, with a generous limit."""

import time
from collections.abc import Callable
from typing import TypeVar

import pytest

T = TypeVar("T")

LIMIT_SECONDS = 60.0  # of any wait: generous, the machine may be busy


def wait_for(what: str, condition: Callable[[], T], limit: float = LIMIT_SECONDS) -> T:
    """Poll until the condition is true (or fail, saying what was awaited); its value."""
    deadline = time.monotonic() + limit
    while True:
        if value := condition():
            return value
        if time.monotonic() > deadline:
            pytest.fail(f"waited {limit} s in vain for: {what}")
        time.sleep(0.05)
