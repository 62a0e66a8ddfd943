"""Run packer's OpenStack builder, and boot what it has built."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from ... import clouds, scripts
from ...debian import Package
from ...place import Place
from ...results import Results

HERE = Path(__file__).parent
PACKAGE = Package("packer", "1.6.6+ds2-1+b1")
SSH_PORT = 22
COMMANDS = """
validate() {{ packer validate -var image=none -var source=plain-linux "$@" {template}; }}
build() {{
    packer build -color=false -var port={port} -var source=plain-linux "$@" {template} |
        sed -nE -e 's/^--> (openstack: An image was created).*/\\1/p' \\
            -e "/^Build 'openstack' errored/{{s/[^:]*: /failed: /; s/ when accessing.*,/,/; p}}"
}}
cloud() {{ {python} {cloud} "$@"; }}
"""


def run(place: Place, results: Results) -> None:
    """Run the tests that `results` wants. Raises `OSError`."""
    entry = clouds.entries(place.clouds_yaml)["embedded"]
    port = SSH_PORT + entry["faafo_lab"]["published_ports"]["offset"]
    paths = {"template": HERE / "server.json", "python": sys.executable, "cloud": HERE / "cloud.py"}
    commands = place.home / "commands.sh"
    commands.write_text(COMMANDS.format(port=port, **{name: shlex.quote(str(path)) for name, path in paths.items()}))
    login = clouds.variables(place.clouds_yaml)
    own = {"BASH_ENV": str(commands), "CHECKPOINT_DISABLE": "1", "PACKER_CONFIG_DIR": str(place.home)}
    place.run([sys.executable, HERE / "cloud.py", "group"], login)
    scripts.run(place, results, HERE / "tests.txt", PACKAGE.program, {**login, **own})


def figures(results: Results) -> dict[str, int]:
    """How many tests failed."""
    return {"packer_failed": len(results.of("failed"))}
