"""Seeds of the tests in which chance decides what breaks, and when.

FAAFO_CHAOS_SEED=7 runs what this seed decides again, FAAFO_CHAOS_SEEDS=50 runs so many seeds; and so for each test that
has a name.
"""

import os
import secrets

LIMIT = 1_000_000


def seeds(name: str) -> list[int]:
    """The seeds of a test: one, unless the environment says otherwise.

    Call it in a module's first lines: the tests' environment has no such variables. A test's parameter is a seed's
    place in this list, as processes side by side must know a test by the same name.
    """
    first = int(os.environ.get(f"FAAFO_{name}_SEED") or secrets.randbelow(LIMIT))
    return [first] + [secrets.randbelow(LIMIT) for _ in range(int(os.environ.get(f"FAAFO_{name}_SEEDS") or 1) - 1)]
