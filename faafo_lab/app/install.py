"""The command ``faafo-install``: runs ``install.sh``, which comes with the package, with the same arguments."""

import os
import sys
from pathlib import Path
from typing import NoReturn

SCRIPT = Path(__file__).with_name("install.sh")


def main() -> NoReturn:
    """Become ``bash install.sh``."""
    try:
        os.execvp("bash", ["bash", str(SCRIPT), *sys.argv[1:]])  # noqa: S606
    except FileNotFoundError:
        print("faafo-install: there is no bash on this machine: install it.", file=sys.stderr)
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
