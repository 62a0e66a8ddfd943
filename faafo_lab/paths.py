"""Where the lab keeps what it must remember: its embedded cloud, its SSH key, the host keys it has seen.

FAAFO_LAB_HOME          default: $XDG_STATE_HOME/faafo-lab, or ~/.local/state/faafo-lab
├── embedded/           the embedded cloud's state
├── id_ed25519          the lab's private SSH key (mode 0600)
├── known_hosts         the servers' host keys, by cloud and server id
└── secret              what application secrets are derived from (mode 0600)
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path


def home(environ: Mapping[str, str] = os.environ) -> Path:
    """The lab's directory, absolute. It need not exist yet: see `make_home`."""
    if chosen := environ.get("FAAFO_LAB_HOME"):
        return Path(chosen).expanduser().absolute()
    state = environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(state).expanduser().absolute() / "faafo-lab"


def make_home(environ: Mapping[str, str] = os.environ) -> Path:
    """The lab's directory, created (mode 0700) where it was missing."""
    path = home(environ)
    make_private(path)
    return path


def make_private(directory: Path) -> None:
    """Make a directory where it is missing, and those above it, for the user alone, whatever the umask. Raises OSError.

    (The modes of the parents that `Path.mkdir` makes are the umask's.)
    """
    for each in (*reversed(directory.parents), directory):
        each.mkdir(mode=0o700, exist_ok=True)


def embedded_state_dir(environ: Mapping[str, str] = os.environ) -> Path:
    """The embedded cloud's state directory, unless told otherwise."""
    return home(environ) / "embedded"
