"""Measure a real cloud server's installation: the lab's wheel and its requirements, as install.sh installs them.

server_install_mb       /opt/faafo of each role with a part of the application; database and queue alone come by apt
server_install_seconds  from the package index, to the last byte
"""

import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter

from measure import Figures

from faafo_lab.app.install import SCRIPT
from faafo_lab.topology import wheel


def figures() -> Figures:
    """All of it, by name."""
    with tempfile.TemporaryDirectory() as name:
        place, made = Path(name, "faafo"), Path(name, wheel.build().name)
        made.write_bytes(wheel.build().data)
        pip = [place / "bin/pip", "--disable-pip-version-check"]
        started = perf_counter()
        for words in (
            [sys.executable, "-m", "venv", place],
            [*pip, "install", "-q", "--no-deps", "--require-hashes", "-r", SCRIPT.with_name("requirements.txt")],
            [*pip, "install", "-q", "--no-deps", made],
            [*pip, "uninstall", "-q", "-y", "setuptools", "pip"],
        ):
            subprocess.run(words, check=True)
        seconds = perf_counter() - started
        megabytes = int(subprocess.check_output(["du", "-sm", place]).split()[0])
    print(f"a server's /opt/faafo: {megabytes} MB in {seconds:.0f} s")
    return {"server_install_mb": (megabytes, "MB"), "server_install_seconds": (seconds, "s")}
