"""Through which libraries the slow tests go: through each, or in turn, as in `make test`.

In turn, a module whose tests have a home for each library goes through one; a chapter is solved through one, and
compared through the next. The verbs that all of it stands on are tried through each in any case (`tests/cloud`).

make test ARGS=--libraries=each
"""

import pytest

from faafo_lab.cloud import BACKENDS

LIBRARIES = tuple(BACKENDS)
EACH, IN_TURN = "each", "in-turn"


def is_in_turn(item: pytest.Item) -> bool:
    """Whether a test runs where the libraries go in turn."""
    values = item.callspec.params if hasattr(item, "callspec") else {}
    if {"book", "backend"} <= set(values):
        return values["backend"] == _turn(int(values["book"].stem[:2]) + 1)
    if "backend_home" not in values:
        return True
    # A module's number is made of its name: any would do that stays the same
    number = int(values["chapter"]) if "chapter" in values else sum(item.path.stem.encode())
    return values["backend_home"] == _turn(number)


def _turn(number: int) -> str:
    return LIBRARIES[number % len(LIBRARIES)]
