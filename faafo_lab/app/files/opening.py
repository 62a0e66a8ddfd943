"""Which place a URL names: ``file:///DIRECTORY``, ``swift://…``, ``s3://…``, ``local://…`` (see `images`)."""

import os
from pathlib import Path
from urllib.parse import unquote, urlsplit

from faafo_lab.app import settings
from faafo_lab.app.errors import SettingsError
from faafo_lab.app.files.base import Files
from faafo_lab.app.files.directory import DirectoryFiles


def open_files(url: str, host: str, setting: str, *others: str) -> Files:
    """The place that ``url`` names; ``host`` is this machine's name, ``setting`` the variable that the URL is from.

    ``others`` are what that may begin with besides. Raises ``SettingsError``, without a password in it.
    """
    scheme = url.partition(":")[0]
    if scheme == "file":
        return DirectoryFiles(_directory(url, setting), host)
    from faafo_lab.app.files.objects import SCHEMES, ObjectFiles  # libcloud takes memory

    if scheme not in SCHEMES:
        raise SettingsError(f"{setting} must begin with one of {', '.join((*others, 'file', *SCHEMES))}.")
    return ObjectFiles(url, setting)


def _directory(url: str, setting: str) -> Path:
    """The directory, made where it is missing; an instance's disk begins at its INSTANCE_ROOT."""
    parts = urlsplit(url)
    path = unquote(parts.path)
    if parts.netloc not in ("", "localhost") or path.strip("/") == "":
        raise SettingsError(f"{setting} must be file:///DIRECTORY with three slashes: got '{url}'.")
    directory = settings.root() / path.lstrip("/")
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"The directory {path} of {setting} cannot be made: {error.strerror}.") from None
    if not os.access(directory, os.W_OK | os.X_OK):
        raise SettingsError(f"The directory {path} of {setting} cannot be written to by this user.")
    return directory
