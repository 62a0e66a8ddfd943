"""Volumes on disk: directories that are copied, packed, unpacked and removed; all of it in threads.

A copy is cheap where the file system shares blocks (Btrfs, XFS: one `FICLONE` a file). What is no file, directory or
symbolic link (a database's socket) is left out, and so is a file that vanishes meanwhile.

Stopped      the cloud ends; the work is done again at its next start
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import stat
import tarfile
import threading
from pathlib import Path

if not hasattr(tarfile, "tar_filter"):  # Python before 3.11.4, such as Debian 12's
    from backports import tarfile  # type: ignore[no-redef]

_FICLONE = 0x40049409  # ioctl_ficlone(2)
_PIECE_BYTES = 1 << 20
_PRIVATE = 0o700


class Stopped(Exception):
    """The work was given up half done, because the cloud ends."""


def empty(place: Path) -> None:
    """Make an empty volume."""
    place.mkdir(mode=_PRIVATE, parents=True)


def copy(source: Path, place: Path, stop: threading.Event) -> None:
    """Copy a directory with all that is in it. Raises OSError, Stopped."""

    def copy_file(from_: str, to: str) -> None:
        if stop.is_set():
            raise Stopped
        with contextlib.suppress(FileNotFoundError):
            if stat.S_ISREG(os.lstat(from_).st_mode):
                _copy_file(Path(from_), Path(to), stop)

    try:
        shutil.copytree(source, place, symlinks=True, copy_function=copy_file)
    except shutil.Error as error:
        if any(os.path.lexists(from_) for from_, _, _ in error.args[0]):  # else it has vanished meanwhile
            raise


def _copy_file(source: Path, target: Path, stop: threading.Event) -> None:
    with source.open("rb") as from_, target.open("xb") as to:
        try:
            fcntl.ioctl(to, _FICLONE, from_.fileno())
        except OSError:
            while piece := from_.read(_PIECE_BYTES):
                if stop.is_set():
                    raise Stopped from None
                to.write(piece)
    shutil.copystat(source, target)


def pack(source: Path, archive: Path, stop: threading.Event, *, image: bool = True) -> None:
    """Pack a directory's content: a tar.gz. Raises OSError, Stopped.

    Of an `image`, symbolic links that leave the directory are left out: none may have them.
    """

    def fit(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
        if stop.is_set():
            raise Stopped
        if image and member.issym() and _leaves(member.name, member.linkname):
            return None
        return member if member.isreg() or member.isdir() or member.issym() or member.islnk() else None

    with tarfile.open(archive, "w:gz", compresslevel=1) as tar:
        for name in sorted(os.listdir(source)):
            tar.add(source / name, arcname=name, filter=fit)


def _leaves(name: str, target: str) -> bool:
    return os.path.isabs(target) or os.path.normpath(os.path.join(os.path.dirname(name), target)).startswith("..")


def unpack(archive: Path, place: Path) -> None:
    """Unpack what `pack` has packed, as it was, and nothing beside the place. Raises OSError, tarfile.TarError."""

    def inside(member: tarfile.TarInfo, path: str) -> tarfile.TarInfo:
        return tarfile.tar_filter(member, path).replace(mode=member.mode & 0o777, deep=False)

    empty(place)
    with tarfile.open(archive, "r:gz") as tar:
        tar.extractall(place, filter=inside)


def remove(place: Path) -> None:
    """Remove a directory at once: moved out of the way first, so that a half-removed one is never used again."""
    grave = place.with_name(f"{place.name}.deleted")
    with contextlib.suppress(FileNotFoundError):
        place.rename(grave)
    clear(grave)


def clear(place: Path) -> None:
    """Remove whatever is there, directories that may not be written to too. Raises OSError."""

    def open_up(function: object, path: str, error: object) -> None:
        os.chmod(os.path.dirname(path), _PRIVATE)
        with contextlib.suppress(OSError):
            os.chmod(path, _PRIVATE, follow_symlinks=False)
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path)
        else:
            os.unlink(path)

    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place, onerror=open_up)
    else:
        place.unlink(missing_ok=True)
