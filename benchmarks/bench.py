"""Measure the project's promises, side by side in one run: a table for each part, and build/bench.json.

python benchmarks/bench.py [PART …]      all parts, or those that are named
"""

import argparse
import sys
from importlib import import_module
from pathlib import Path

from measure import keep

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # parts use the tests' servers, which are real ones

PARTS = (
    "kernel",
    "install",
    "binder",
    "scaling",
    "api",
    "growth",
    "large",
    "cloud",
    "balancing",
    "losing",
    "moving",
    "autoscaling",
    "simulating",
    "recovering",
    "backups",
    "living",
    "workbook",
)


def main() -> int:
    """Run the parts; returns the exit status. A part is a module with a function `figures`."""
    parser = argparse.ArgumentParser(description="Measure the project's promises; the figures go to build/bench.json.")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)} (default: all)")
    parts = parser.parse_args().parts or PARTS
    if unknown := sorted(set(parts) - set(PARTS)):
        parser.error(f"there is no part {unknown[0]!r}: the parts are {', '.join(PARTS)}")
    for part in parts:
        keep(import_module(part).figures())
    return 0


if __name__ == "__main__":
    sys.exit(main())
