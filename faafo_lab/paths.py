"""Where the lab keeps its state: the embedded cloud, the SSH key, the known host keys.

FAAFO_LAB_HOME          default: $XDG_STATE_HOME/faafo-lab, or ~/.local/state/faafo-lab
├── embedded/           the embedded cloud's state
├── workbook/           the learner's copies of the chapters
├── id_ed25519          the lab's private SSH key (mode 0600)
├── known_hosts         the servers' host keys, by cloud and server id
├── ssh_users           the users that servers let in, by cloud and image id
└── secret              the source of the application's secrets (mode 0600)
"""

from __future__ import annotations

import os
import pwd
import threading
from collections.abc import Mapping
from pathlib import Path


def home(environ: Mapping[str, str] = os.environ) -> Path:
    """The lab's directory, absolute. Need not exist yet: see `make_home`. Raises ConfigError."""
    chosen = environ.get("FAAFO_LAB_HOME") or (environ.get("XDG_STATE_HOME") or "~/.local/state") + "/faafo-lab"
    try:
        return Path(chosen).expanduser().absolute()
    except RuntimeError:  # in a container, under a user id without an account
        from faafo_lab.cloud.errors import ConfigError

        raise ConfigError(
            "There is no home directory (HOME is not set, and this user has no account): "
            "set FAAFO_LAB_HOME to a directory of your own."
        ) from None


def make_home(environ: Mapping[str, str] = os.environ) -> Path:
    """The lab's directory, created (mode 0700) if missing. Raises ConfigError."""
    path = home(environ)
    make_private(path)
    return path


def make_private(directory: Path) -> None:
    """Make a directory and its missing parents, readable by the user alone, whatever the umask. Raises OSError.

    (The modes of the parents that `Path.mkdir` makes are the umask's.)
    """
    for each in (*reversed(directory.parents), directory):
        each.mkdir(mode=0o700, exist_ok=True)


def name_a_stranger() -> None:
    """Give a user id without an account, as in containers, the name and home (environment variables) that openstacksdk
    and asyncssh require; values that are set already stay."""
    try:
        pwd.getpwuid(os.geteuid())
    except KeyError:
        os.environ.setdefault("LOGNAME", "faafo-lab")
        os.environ.setdefault("HOME", str(make_home()))


def embedded_state_dir(environ: Mapping[str, str] = os.environ) -> Path:
    """The embedded cloud's default state directory: "embedded" in the lab's home."""
    return home(environ) / "embedded"


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file as a whole: a reader, or an interrupt, meets the old one or the new one. Raises OSError."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    partial.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
    partial.replace(path)
