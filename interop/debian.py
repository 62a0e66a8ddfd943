"""Programs out of Debian's packages, unpacked below build: they need no root and nothing installed."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from .place import OUT

APT_SECONDS = 300


class NotToBeHadError(Exception):
    """A program cannot be had on this machine: the message says why."""


@dataclass(frozen=True)
class Package:
    """A Debian package with one program of the same name, and the version that a suite was written for."""

    name: str
    version: str

    def program(self) -> Path:
        """The program: of this version, or of the one that this machine's Debian has instead.

        Debian's mirrors keep a release's newest version alone, and apt checks its signature; where a newer one is
        taken, it is said. Raises `NotToBeHadError`.
        """
        directory = OUT / "debian" / f"{self.name}_{self.version}"
        program = directory / "usr" / "bin" / self.name
        if program.exists():
            return program
        if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
            raise NotToBeHadError(f"{self.name} is a package of Debian's, and this machine has no apt-get and dpkg-deb")
        print(f"Fetching Debian's {self.name} …", flush=True)
        with tempfile.TemporaryDirectory() as temporary:
            archive = self._fetched(Path(temporary))
            if archive.name.split("_")[1] != self.version.replace(":", "%3a"):
                print(f"Debian has {archive.name} instead of version {self.version}.", flush=True)
            unpacked = Path(temporary) / "unpacked"
            _run("dpkg-deb", "--extract", archive, unpacked)
            shutil.rmtree(directory, ignore_errors=True)
            directory.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(unpacked, directory)
        return program

    def _fetched(self, directory: Path) -> Path:
        """Download the package into `directory`: of this version or, where there is none, of any.

        Where the machine's own lists of packages are missing or old, which only root may renew, lists are fetched into
        the directory.
        """
        for part in ("lists/partial", "cache/archives/partial"):
            (directory / part).mkdir(parents=True)
        settings = (f"Dir::State::lists={directory}/lists", f"Dir::Cache={directory}/cache", "APT::Sandbox::User=")
        own = [word for setting in settings for word in ("-o", setting)]
        wanted = f"{self.name}={self.version}"
        for command in (
            ["download", wanted],
            [*own, "update"],
            [*own, "download", wanted],
            [*own, "download", self.name],
        ):
            with contextlib.suppress(NotToBeHadError) if command[-1] != self.name else contextlib.nullcontext():
                _run("apt-get", *command, cwd=directory)
            if found := next(directory.glob(f"{self.name}_*.deb"), None):
                return found
        raise NotToBeHadError(f"apt-get download {self.name}: there is no such file")


def _run(*command: str | Path, cwd: Path | None = None) -> None:
    """Run a command. Raises `NotToBeHadError` with its last line."""
    words = " ".join(map(str, [command[0], *command[-2:]]))
    try:
        done = subprocess.run(
            command, cwd=cwd, capture_output=True, text=True, timeout=APT_SECONDS, start_new_session=True
        )
    except subprocess.TimeoutExpired as error:
        raise NotToBeHadError(f"{words}: has not ended within {APT_SECONDS} s") from error
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.startswith("E: ")] or [f"exit {done.returncode}"]
        raise NotToBeHadError(f"{words}: {lines[-1].removeprefix('E: ')}")
