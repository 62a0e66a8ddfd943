"""A clean environment, as a hub or a code space makes it: a copy of the checkout as the home, a new virtual environment
with the locked packages, an ordinary user, one core, and nothing of this process's settings.

with clean_environment() as place:
    place.run("binder/postBuild")
"""

import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import pytest
import requests

from faafo_lab.workbook import ROOT

ORDINARY_USER = "nobody"  # whom the steps run as, where the tests run as root
PASSED_ON = re.compile(r"(PIP|UV)_\w+|\w+_proxy|\w+_PROXY|SSL_CERT_\w+|REQUESTS_CA_BUNDLE")  # how packages are reached
STEP_SECONDS = 300
END_SECONDS = 30


@dataclass(frozen=True)
class Place:
    """A clean environment: `base` has all of it, `home` the checkout, `venv` the packages."""

    base: Path
    home: Path
    venv: Path
    as_user: tuple[str, ...]  # the words before a command
    environment: dict[str, str]

    def run(self, *words: str) -> str:
        """A program's output, run as the user in the home; where it fails, so does the test."""
        return run([*self.as_user, *words], self.environment, self.home)

    def start(self, *words: str, output: BinaryIO) -> subprocess.Popen[bytes]:
        """Start a program as the user in the home, in a process group of its own."""
        return subprocess.Popen(
            [*self.as_user, *words],
            cwd=self.home,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )


@contextmanager
def clean_environment(*, requirements: bool = True, compiled: bool = False, **settings: str) -> Iterator[Place]:
    """A clean environment, with the locked packages unless `requirements` is false, and these environment variables.

    `compiled`: with the packages' bytecode, as pip installs them. The embedded cloud that runs there is stopped at the
    end.
    """
    base = Path(tempfile.mkdtemp(prefix="faafo-clean-"))
    as_user = ordinary_user()
    home, venv = base / "home", base / "venv"
    place = None
    try:
        copy_checkout(home)  # on Binder, too, the checkout is the home
        run([str(reachable_python(as_user)), "-m", "venv", str(venv)], {}, base)
        if requirements:
            uv = str(Path(sys.executable).parent / "uv")
            install = [uv, "pip", "install", "--quiet", "--link-mode=copy", "--require-hashes", "--python", str(venv)]
            install += ["--compile-bytecode"] if compiled else []
            run([*install, "-r", str(home / "binder" / "requirements.txt")], dict(os.environ), base)
        if as_user:
            base.chmod(0o755)
            run(["chown", "-R", f"{ORDINARY_USER}:", str(home), str(venv)], dict(os.environ), base)
        environment = {
            **{name: value for name, value in os.environ.items() if PASSED_ON.fullmatch(name)},
            "PATH": f"{venv / 'bin'}:/usr/local/bin:/usr/bin:/bin",
            "HOME": str(home),
            "LANG": "C.UTF-8",
            **settings,
        }
        one_core = ["taskset", "--cpu-list", str(min(os.sched_getaffinity(0)))]
        place = Place(base, home, venv, (*as_user, *one_core), environment)
        yield place
    finally:
        if place and (venv / "bin" / "faafo-lab").exists():
            place.run("faafo-lab", "cloud", "stop")
        shutil.rmtree(base)


def ordinary_user() -> list[str]:
    """The words before a command that make it run as an ordinary user; none where this is one."""
    if os.geteuid() != 0:
        return []
    group = str(pwd.getpwnam(ORDINARY_USER).pw_gid)
    return ["setpriv", f"--reuid={ORDINARY_USER}", f"--regid={group}", "--clear-groups"]


def reachable_python(as_user: list[str]) -> Path:
    """A Python that the ordinary user can run: this one's base, else the system's; the test is skipped without one."""
    own = Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info.minor}"
    for python in (own, *(Path(folder) / own.name for folder in ("/usr/local/bin", "/usr/bin"))):
        tries = (["test", "-x", str(python)], [str(python), "-c", "import ensurepip"])
        if all(subprocess.run([*as_user, *words], check=False, cwd="/").returncode == 0 for words in tries):
            return python
    pytest.skip(f"other users than root cannot run {own}, and the system has no {own.name} with venv")


def copy_checkout(target: Path) -> None:
    """The files that a clone would have, as they are now."""
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    for name in filter(None, run(listing, dict(os.environ), ROOT).split("\0")):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, target / name)


def run(words: list[str], environment: dict[str, str], folder: Path) -> str:
    """A program's output; where it fails, so does the test, with all that it said."""
    done = subprocess.run(
        words, env=environment, cwd=folder, capture_output=True, text=True, timeout=STEP_SECONDS, check=False
    )
    assert done.returncode == 0, f"{words} ended with {done.returncode}:\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done.stdout


def end(program: subprocess.Popen[bytes]) -> None:
    """End a started program and its process group: by SIGTERM, and by SIGKILL where that does not help."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if program.poll() is None:
            os.killpg(program.pid, number)
            try:
                program.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                continue


def answers(get: Callable[[], requests.Response], text: str = "") -> bool:
    """Whether a server listens, and what this gets of it is a page with this text."""
    try:
        answer = get()
    except requests.ConnectionError:
        return False
    return answer.ok and text in answer.text


def free_port() -> int:
    """A TCP port that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
