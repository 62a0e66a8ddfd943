"""What all tests share: a home of the lab's own, whose embedded cloud is stopped at the end whatever happens."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from faafo_lab.workbook import own_home

BACKENDS = ("shade", "libcloud")


@pytest.fixture(scope="module", params=BACKENDS)
def backend_home(request: pytest.FixtureRequest) -> Iterator[tuple[str, Path]]:
    """Each backend in turn, with a home of its own."""
    with own_home(FAAFO_LAB_BACKEND=request.param, FAAFO_LAB_CLOUD="embedded") as home:
        yield request.param, home
