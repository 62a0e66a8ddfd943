"""An instance's disk: unpacked from its image at first boot, then its own; and the environment it makes.

DiskError    the image cannot be unpacked, or the disk cannot be written
"""

from __future__ import annotations

import gzip
import json
import os
import shlex
import shutil
import sys
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import yaml

from faafo_lab.cloud.emulator.machinery.guest.relocation import relocate, restore_links
from faafo_lab.cloud.emulator.machinery.hypervisor.client import Guest
from faafo_lab.cloud.emulator.system import tree

if not hasattr(tarfile, "data_filter"):  # Python before 3.11.4, such as Debian 12's
    from backports import tarfile  # type: ignore[no-redef]

USER = "ubuntu"

_DIRECTORIES = (
    "bin",
    "etc/cloud/cloud.cfg.d",
    "etc/systemd/system",
    f"home/{USER}",
    "run",
    "tmp",
    "var/lib/cloud",
    "var/log",
)
_SHELL_COMMANDS = ("cloud-init-per", "hostname", "journalctl", "sudo", "uptime")
_INIT_COMMANDS = ("cloud-init", "poweroff", "reboot", "shutdown", "systemctl")
_IMAGE_BYTES_MAX = 4 << 30
_HOST_PATH = "/usr/local/bin:/usr/bin:/bin"
_PRIVATE = 0o700


class DiskError(Exception):
    """What is wrong with the disk or its image, in one clear sentence."""


def prepare(guest: Guest) -> Path:
    """Unpack the image where there is no disk yet, and put in place what every boot needs. Returns the disk.

    Raises DiskError.
    """
    disk = (Path(guest.directory) / "disk").resolve()  # where it is a volume, programs know it by the volume's place
    try:
        if not disk.is_dir() or not any(disk.iterdir()):
            unpack(Path(guest.image_path), disk)
        disk.chmod(_PRIVATE)
        for name in _DIRECTORIES:
            (disk / name).mkdir(parents=True, exist_ok=True)
        _write_keys(disk, guest)
        _write_metadata(disk, guest)
        _write_commands(disk)
        (Path(guest.directory) / "volumes").mkdir(mode=_PRIVATE, exist_ok=True)
        restore_links(disk)
        ports = Path(guest.ports)
        shutil.rmtree(ports, ignore_errors=True)  # sockets of a former boot: nobody listens there
        ports.mkdir(mode=_PRIVATE, parents=True)
    except OSError as error:
        raise DiskError(f"The disk of {guest.name} cannot be prepared: {error}.") from error
    return disk


def environment(guest: Guest, disk: Path, state_dir: str) -> dict[str, str]:
    """The environment of the instance's programs: nothing of the hypervisor's leaks into it.

    INSTANCE_ROOT is the disk, INSTANCE_VOLUMES has a directory for each attached volume (vdb, vdc, …), and a service
    listens in INSTANCE_PORTS.
    """
    return {
        "FAAFO_LAB_BIN": str(Path(sys.executable).parent),  # where the image's own commands find theirs
        "HOME": str(disk / "home" / USER),
        "HOSTNAME": guest.name,
        "INSTANCE_PORTS": guest.ports,
        "INSTANCE_ROOT": str(disk),
        "INSTANCE_VOLUMES": str(Path(guest.directory) / "volumes"),
        "LANG": "C.UTF-8",
        "LOGNAME": USER,
        "METADATA_URL": guest.metadata_url,
        "PATH": f"{disk / 'bin'}:{_HOST_PATH}",
        "PROCFS": str(Path(guest.directory) / "procfs"),
        "SHELL": shell(),
        "TMPDIR": str(disk / "tmp"),
        "USER": USER,
        tree.INSTANCE_VARIABLE: guest.id,
        tree.STATE_VARIABLE: state_dir,
    }


def shell() -> str:
    """The login shell."""
    return shutil.which("bash", path=_HOST_PATH) or "/bin/sh"


def unpack(image: Path, disk: Path) -> None:
    """Unpack beside the disk first: a disk is there whole or not at all. Raises DiskError, OSError."""
    partial = disk.with_name(disk.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        with tarfile.open(image, "r:*") as archive:
            for member in _safe_members(archive, partial):
                archive.extract(member, partial, filter="fully_trusted")  # the filter has been
    except (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise DiskError(f"The image {image.name} cannot be unpacked: {error}.") from error
    relocate(partial, disk)
    if disk.is_dir():
        disk.rmdir()
    partial.rename(disk)


def _safe_members(archive: tarfile.TarFile, place: Path) -> Iterator[tarfile.TarInfo]:
    total = 0
    for member in archive:
        total += member.size
        if total > _IMAGE_BYTES_MAX:
            raise DiskError(f"The image unpacks to more than {_IMAGE_BYTES_MAX >> 30} GB: use a smaller one.")
        if (safe := tarfile.data_filter(member, str(place))) is not None:
            yield safe


def _write_keys(disk: Path, guest: Guest) -> None:
    directory = disk / "home" / USER / ".ssh"
    directory.mkdir(mode=_PRIVATE, exist_ok=True)
    keys = directory / "authorized_keys"
    known = keys.read_text(encoding="utf-8", errors="surrogateescape").splitlines() if keys.exists() else []
    missing = [key.strip() for key in guest.public_keys if key.strip() not in known]
    if missing or not keys.exists():
        text = "".join(f"{key}\n" for key in (*known, *missing))
        keys.write_text(text, encoding="utf-8", errors="surrogateescape")
        keys.chmod(0o600)


def _write_metadata(disk: Path, guest: Guest) -> None:
    directory = disk / "var/lib/cloud/instances" / guest.id
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "meta_data.json").write_text(json.dumps(guest.metadata, indent=1) + "\n", encoding="utf-8")
    link = disk / "var/lib/cloud/instance"
    if not link.is_symlink() or os.readlink(link) != f"instances/{guest.id}":
        link.unlink(missing_ok=True)
        link.symlink_to(f"instances/{guest.id}")
    (disk / "etc/hostname").write_text(guest.name + "\n", encoding="utf-8")
    # Where cloud-init looks for the address of its metadata, where that is not the link-local one.
    source = {"datasource_list": ["OpenStack"], "datasource": {"OpenStack": {"metadata_urls": [guest.metadata_url]}}}
    (disk / "etc/cloud/cloud.cfg.d/90_datasource.cfg").write_text(
        yaml.safe_dump(source, sort_keys=False), encoding="utf-8"
    )


def _write_commands(disk: Path) -> None:
    """The guest's commands, new at every boot: they belong to the cloud, not to the image."""
    source = Path(__file__).with_name("bin")
    for name in _SHELL_COMMANDS:
        _write_command(disk / "bin" / name, (source / name).read_bytes())
    ask = f"exec {shlex.quote(sys.executable)} -IS {shlex.quote(str(source / 'ask.py'))}"
    for name in _INIT_COMMANDS:
        _write_command(disk / "bin" / name, os.fsencode(f'#!/bin/sh\n{ask} {name} "$@"\n'))


def _write_command(place: Path, text: bytes) -> None:
    if place.is_symlink() or not place.exists() or place.read_bytes() != text:
        place.unlink(missing_ok=True)
        place.write_bytes(text)
        place.chmod(0o755)
