"""How the application reaches servers whose image lacks it.

The lab makes a wheel of itself. A server fetches it from the project's object store, by a temporary URL; if the cloud
has none that servers reach, it waits for the lab to upload the wheel over SSH. Either way it accepts only the file with
this SHA-256. FAAFO_LAB_PACKAGE names another package for the server's pip: a name, or a URL.
"""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from faafo_lab.cloud import direct, keys
from faafo_lab.cloud.base import Cloud
from faafo_lab.cloud.config import EMBEDDED
from faafo_lab.cloud.errors import NotFound
from faafo_lab.cloud.marks import NAME_PREFIX
from faafo_lab.cloud.model import Image, Server
from faafo_lab.topology import wheel

VARIABLE = "FAAFO_LAB_PACKAGE"
OBJECT = "application.whl"
URL_SECONDS = 6 * 3600  # the servers of a deployment fetch it at their first boot
PIP_SECONDS = 120
SCRIPT = Path(__file__).with_name("package.sh")
WITH_PYTHON = {"debian": 12.0, "ubuntu": 23.04}  # since which release it is new enough
OLD_NAMES = re.compile(r"\b(stretch|buster|bullseye|bionic|focal|jammy)\b")


class Package:
    """The application's package on one cloud."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._override = os.environ.get(VARIABLE, "")
        self._awaiting: list[str] = []  # the ids of servers that need an upload
        self._container = (
            NAME_PREFIX + keys.derive_secret("object store")[:8]
        )  # another lab's container has another key

    def script(self, url: str = "") -> str:
        """The user data lines that fetch the package, and so provide the command `faafo-install`.

        `url` is the wheel's address, "" if it is uploaded.
        """
        if self._override:
            given = {"package": self._override}
        else:
            made = wheel.build()
            given = {"name": made.name, "sha256": made.sha256, "url": url}
        settings = "".join(f"{name}={shlex.quote(value)}\n" for name, value in given.items())
        return settings + SCRIPT.read_text(encoding="utf-8")

    def offer(self) -> str:
        """Put the wheel into the object store; returns its temporary URL, "" if an upload is needed or there is no
        wheel."""
        if self._override:
            return ""
        try:
            self._cloud.create_container(self._container)
            self._cloud.upload_object(self._container, OBJECT, wheel.build().data)
            url = self._cloud.temporary_url(self._container, OBJECT, URL_SECONDS)
        except NotFound:
            url = ""
        # A server would look for this machine's address on itself.
        if url and (self._cloud.name == EMBEDDED or not direct.is_local(url)):
            return url
        self.withdraw()
        return ""

    def upload(self, servers: Iterable[Server], there: Iterable[Server]) -> None:
        """Upload the wheel to these servers without a URL, and to earlier ones that could not be reached.

        One of the servers `there` must have a floating IP, to reach the others through; until then they
        wait.
        """
        if self._override:
            return
        known = {server.id: server for server in there}
        self._awaiting += [server.id for server in servers]
        if any(server.floating_addresses for server in known.values()):
            awaiting, self._awaiting = [known[id] for id in self._awaiting if id in known], []
            path = f"/tmp/{wheel.build().name}"  # noqa: S108
            for server in sorted(awaiting, key=lambda server: not server.floating_addresses):
                self._cloud.upload(server, wheel.build().data, path)

    def withdraw(self) -> bool:
        """Delete the wheel from the object store; returns whether it was there."""
        with suppress(NotFound):
            if self._container in self._cloud.containers():
                self._cloud.delete_object(self._container, OBJECT)
                self._cloud.delete_container(self._container)
                return True
        return False

    def missing(self, image: Image) -> list[str]:
        """One sentence for each reason why the package would fail on this image, as far as known before the build."""
        found = []
        if old := _old(image):
            found.append(
                f"Image {image.name!r} is {old}, whose Python is older than the application's 3.11: choose "
                f"Debian 12, Ubuntu 24.04 or newer."
            )
        if self._override and (why := _refused_by_pip(self._override)):
            found.append(
                f"{VARIABLE} is {self._override!r}, which pip can't install: {why}. Correct it; unset, the lab "
                f"brings its own package."
            )
        return found


def _old(image: Image) -> str:
    """The image's release if it is too old, by its properties or its name; "" if it is not, or unknown."""
    name = image.name.lower()
    distro, version = image.properties.get("os_distro", ""), image.properties.get("os_version", "")
    if not (distro and version) and (told := re.search(r"(debian|ubuntu)\D{0,3}(\d+(?:\.\d+)?)", name)):
        distro, version = told.groups()
    if number := re.match(r"\d+(\.\d+)?", version):
        return f"{distro} {version}" if float(number[0]) < WITH_PYTHON.get(distro, 0) else ""
    old = OLD_NAMES.search(version.lower() or name)
    return f"{distro} {old[0]}".strip() if old else ""


def _refused_by_pip(package: str) -> str:
    """Why pip on this machine would not install it; "" if it would, or there is no pip."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--no-input", "--quiet"]
    try:
        asked = subprocess.run(
            [*pip, "--dry-run", "--no-deps", "--ignore-installed", "--", package],
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=PIP_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return ""
    errors = [line.removeprefix("ERROR: ") for line in asked.stderr.splitlines() if line.startswith("ERROR: ")]
    return errors[-1].rstrip(".") if asked.returncode and errors else ""
