"""Files that outlast a power cut: a new name is only on the disk when its directory is."""

from __future__ import annotations

import os
from pathlib import Path


def keep_names(directory: Path) -> None:
    """Write a directory's names to the disk. Raises OSError."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def move(partial: Path, place: Path) -> None:
    """Move a complete file or directory to its place beside it, and keep its name. Raises OSError."""
    partial.replace(place)
    keep_names(place.parent)
