"""The images that every embedded cloud starts with: a declarative table, packed the same way to the last bit.

An image's data is a tar.gz of an instance's initial disk. The application's commands are two lines of shell each: they
call the programs beside the Python that runs the emulator, whose place the guest has in FAAFO_LAB_BIN.
"""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass

_COMMAND = '#!/bin/sh\nexec "$FAAFO_LAB_BIN/{name}" "$@"\n'
_APP = ("faafo", "faafo-api", "faafo-database", "faafo-install", "faafo-messaging", "faafo-worker", "python3")
_RELEASE = """PRETTY_NAME="{title}"
NAME="{title}"
ID={id}
ID_LIKE=linux
VERSION_ID="1"
"""


@dataclass(frozen=True)
class BaseImage:
    """An image: its name, its properties, and the files of its disk (path: content)."""

    name: str
    properties: Mapping[str, str]
    files: Mapping[str, str]
    min_ram_mb: int
    min_disk_gb: int


def _image(name: str, title: str, motd: str, commands: tuple[str, ...]) -> BaseImage:
    files = {
        "etc/os-release": _RELEASE.format(title=title, id=name),
        "etc/motd": motd,
        **{f"bin/{command}": _COMMAND.format(name=command) for command in commands},
    }
    return BaseImage(name, {"os_distro": name, "os_type": "linux"}, files, min_ram_mb=256, min_disk_gb=1)


BASE_IMAGES = (
    _image(
        "faafo-lab",
        "faafo-lab",
        "A small instance of the embedded cloud. The Fractals application is installed: try faafo --help.\n",
        _APP,
    ),
    _image("plain-linux", "Plain Linux", "A small instance of the embedded cloud, with nothing installed.\n", ()),
)


def pack(image: BaseImage) -> bytes:
    """The image's data: a tar.gz with its files; those in bin/ are executable, nothing has a date or an owner."""
    buffer = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=buffer, mode="wb", mtime=0) as zipped,
        tarfile.open(fileobj=zipped, mode="w", format=tarfile.USTAR_FORMAT) as tar,
    ):
        for path, content in sorted(image.files.items()):
            entry = tarfile.TarInfo(path)
            data = content.encode()
            entry.size, entry.mtime = len(data), 0
            entry.mode = 0o755 if path.startswith("bin/") else 0o644
            tar.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()
