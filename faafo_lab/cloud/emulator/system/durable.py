"""Files that are at their place whole or not at all; those of `writing` outlast a power cut, too: a new name is only on
the disk when its directory is."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


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


@contextmanager
def writing(place: Path) -> Iterator[BinaryIO]:
    """Write a file; where the block is left by an exception, nothing is left of it. Raises OSError."""
    partial = place.with_suffix(".partial")
    try:
        with partial.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        move(partial, place)
    finally:
        partial.unlink(missing_ok=True)


def write_private(place: Path, text: str) -> None:
    """Write a small file that only its user may read. Raises OSError."""
    partial = place.with_name(f"{place.name}.partial")
    partial.unlink(missing_ok=True)
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    partial.replace(place)
