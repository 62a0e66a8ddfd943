"""How the lab marks what it makes on a cloud, so that it finds it again, and touches nothing else."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

from faafo_lab.paths import make_home

KEY_PAIR_NAME = "faafo-lab"
ROLE_KEY = "faafo-lab"  # the metadata key of its servers
DESCRIPTION = "faafo-lab: "  # how the descriptions of its security groups begin
CONTAINER_PREFIX = "faafo-lab-"  # how the names of its containers in the object store begin


def allocated_file(cloud_name: str) -> Path:
    """The file with the ids of the floating addresses that this lab allocated: those can't be marked on the cloud."""
    return file_of(cloud_name, "floating-ips")


def allocated(cloud_name: str) -> list[str]:
    """The ids of the floating addresses that this lab allocated."""
    path = allocated_file(cloud_name)
    return path.read_text(encoding="utf-8").split() if path.exists() else []


def note_allocated(cloud_name: str, address_id: str) -> None:
    """Note that the lab allocated this floating address."""
    with allocated_file(cloud_name).open("a", encoding="utf-8") as file:
        file.write(f"{address_id}\n")


def forget_allocated(cloud_name: str, address_id: str) -> None:
    """Note that this floating address is the lab's no more."""
    ids = allocated(cloud_name)
    if address_id in ids:
        left = "".join(f"{id}\n" for id in ids if id != address_id)
        allocated_file(cloud_name).write_text(left, encoding="utf-8")


def file_of(cloud_name: str, what: str) -> Path:
    """The file in the lab's home that has something of one cloud, whose name may have any characters."""
    return make_home() / f"{what}.{quote(cloud_name, safe='')}"
