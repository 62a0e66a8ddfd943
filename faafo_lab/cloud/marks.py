"""How the lab marks its resources on a cloud, so that it finds them again and touches no others."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

from faafo_lab.paths import make_home

KEY_PAIR_NAME = "faafo-lab"
ROLE_KEY = "faafo-lab"  # the metadata key of its servers
DESCRIPTION = "faafo-lab: "  # how the descriptions of its security groups, floating IPs, volumes … begin
ALLOCATED = f"{DESCRIPTION}allocated by the lab"
CREATED = f"{DESCRIPTION}created by the lab"
NAME_PREFIX = "faafo-lab-"  # how the names of its own containers and application credentials begin
IMAGES_CONTAINER = "faafo-images"  # where the application keeps its images in the object store
BACKUPS_CONTAINER = "faafo-backups"  # and the backups of its database


def file_of(cloud_name: str, what: str) -> Path:
    """The file `what` for one cloud in the lab's home; the cloud's name may have any characters."""
    return make_home() / f"{what}.{quote(cloud_name, safe='')}"
