"""Pictures that exist already move to another place: `faafo move-images` on the APIs, over SSH.

    app.move_images("database")      # Moved: 40 pictures, 1.2 MB in 3.1 s; 0 already there

Each API moves what only it reaches (its own disk); the first one moves the rest. All pictures can be read meanwhile. A
call that was interrupted is repeated: it goes on.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass

from faafo_lab.cloud import ssh
from faafo_lab.cloud.errors import CommandFailed
from faafo_lab.cloud.model import Server
from faafo_lab.cloud.waiting import Look
from faafo_lab.topology import objects
from faafo_lab.topology.api import healthy
from faafo_lab.topology.application import Application
from faafo_lab.topology.errors import TopologyError
from faafo_lab.topology.objects import OBJECTS

LIMIT_SECONDS = 3600.0  # for all pictures of one API
BAD_IMAGES = 3  # the command's exit code for pictures that are missing or damaged
# The place may have a secret in it: by standard input, not in the arguments, which everybody on the server sees.
COMMAND = (
    "IFS= read -r FAAFO_MOVE_TO && export FAAFO_MOVE_TO && "
    "exec sudo -n --preserve-env=FAAFO_MOVE_TO faafo move-images --lines"
)


@dataclass(frozen=True)
class Moved:
    """What was moved. `missing` and `damaged`: the uuids of fractals whose pictures could not be moved."""

    number: int = 0
    bytes: int = 0
    seconds: float = 0.0
    already: int = 0
    missing: tuple[str, ...] = ()
    damaged: tuple[str, ...] = ()

    def __repr__(self) -> str:
        words = f"{self.number} pictures, {self.bytes} bytes in {self.seconds:.1f} s; {self.already} already there"
        for uuids, what in ((self.missing, "missing"), (self.damaged, "damaged")):
            words += f"; {what}: {', '.join(uuids)}" if uuids else ""
        return f"<Moved: {words}>"


def move(app: Application, to: str) -> Moved:
    """Move all pictures to a place: "database", "objects", or a URL as `FAAFO_IMAGES_URL` has it.

    Pictures on the disk of a server that no longer exists are lost, and count as `missing`. Raises TopologyError with
    the mover's own words.
    """
    fractals = [fractal for fractal in app.fractals() if fractal["image_at"]]
    at = {str(fractal["image_at"]) for fractal in fractals}
    first, *others = app.apis
    # The first one moves what all of them reach.
    servers = [first, *(server for server in others if f"file://{server.name}" in at)]
    moved = on_servers(app, servers, to)
    disks = {f"file://{server.name}" for server in app.apis}
    gone = [f["uuid"] for f in fractals if str(f["image_at"]).startswith("file://") and f["image_at"] not in disks]
    return Moved(moved.number, moved.bytes, moved.seconds, moved.already, (*moved.missing, *gone), moved.damaged)


def rescue(app: Application, servers: Sequence[Server], to: str) -> Moved:
    """Move the pictures on these APIs' own disks to a shared place, "database" or "objects", and stop the APIs so that
    no more come there.

    Raises TopologyError if a picture is damaged; those that are missing from the disk are lost already.
    """
    on_servers(app, servers, to)
    ssh.run_all(app.cloud, [(server, "sudo -n systemctl stop faafo-api") for server in servers], check=True)
    moved = on_servers(app, servers, to)  # what came in between
    if moved.damaged:
        raise TopologyError(
            f"{len(moved.damaged)} pictures are damaged and can't be moved before their API is replaced: "
            f"app.api.delete({list(moved.damaged)}) deletes their fractals; then run this again."
        )
    return moved


def restart(app: Application, servers: Sequence[Server]) -> None:
    """Start these servers' APIs again, and wait until they are healthy."""
    ssh.run_all(app.cloud, [(server, "sudo -n systemctl start faafo-api") for server in servers], check=True)
    urls = {server.name: app.endpoints[server.name] for server in servers if server.name in app.endpoints}

    def look() -> Look:
        late = [name for name, url in urls.items() if not healthy(url)]
        return Look(len(urls) - len(late), len(urls), ", ".join(late))

    app.cloud.wait_until(look, "APIs healthy")


def on_servers(app: Application, servers: Sequence[Server], to: str) -> Moved:
    """Run the mover on these servers, one after the other: the first one moves what the next would find, too."""
    started, answers = time.monotonic(), []
    place = objects.url(app.cloud) if to == OBJECTS else to
    for server in servers:
        [result] = ssh.run_all(
            app.cloud,
            [(server, COMMAND)],
            timeout_seconds=LIMIT_SECONDS,
            what=f"APIs whose pictures were moved ({server.name})",
            inputs=[f"{place}\n"],
        )
        if result.exit_code not in (0, BAD_IMAGES):
            words = (result.stderr.strip() or f"exit code {result.exit_code}").splitlines()[-1]
            raise TopologyError(
                f"The pictures of {server.name} were not all moved: {words} Run this again: it goes on."
            )
        try:
            answers.append(json.loads(result.stdout.splitlines()[-1]))
        except (ValueError, IndexError):
            raise CommandFailed(f"The mover on {server.name} said nothing: {result.stdout[:200]!r}.") from None
    return Moved(
        sum(answer["moved"] for answer in answers),
        sum(answer["bytes"] for answer in answers),
        time.monotonic() - started,
        answers[0]["already"] if answers else 0,
        tuple(uuid for answer in answers for uuid in answer["missing"]),
        tuple(uuid for answer in answers for uuid in answer["damaged"]),
    )
