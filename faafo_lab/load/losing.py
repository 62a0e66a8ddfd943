"""What is lost when something dies: which pictures can still be read, before and after.

load.located(app)                     # for each finished fractal where its picture is; None: no API can show it
load.loss(app, lambda: cloud.delete_servers(["app-api-1"]))
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

from faafo_lab.load.errors import LoadError
from faafo_lab.load.tasks import new_tasks
from faafo_lab.load.timeline import finish
from faafo_lab.topology import Topology, TopologyError
from faafo_lab.topology.api import Fractal

PICTURES = 12  # of a drill: fewer, and chance decides on how many disks they are
SIZE_PIXELS = (240, 160)
READERS = 4


@dataclass(frozen=True)
class Loss:
    """What was lost when something died: `died` (the names of the servers that `kill` deleted), where pictures were
    kept (`images`), how many `pictures` could be read before, how many of them could be read no more afterwards
    (`lost`), and how many of those the application still listed as finished (`listed`)."""

    died: tuple[str, ...]
    images: str
    pictures: int
    lost: int
    listed: int

    @property
    def percent(self) -> float:
        """The lost part of the pictures."""
        return 100 * self.lost / self.pictures

    def __str__(self) -> str:
        died = ", ".join(self.died) or "no server"
        listed = f", {self.listed} of them still listed as finished" if self.lost else ""
        return f"pictures in {self.images}, {died} died: {self.lost} of {self.pictures} pictures lost{listed}"

    __repr__ = __str__


def located(app: Topology) -> dict[str, str | None]:
    """Read every finished fractal's picture, from whichever API has it: by uuid, the oldest order first, the place that
    the application names ("file://app-api-1"), or None where no API shows the picture whole (its SHA-256 differs).

    Raises NoAnswer where no API says what there is.
    """
    finished = [fractal for fractal in app.fractals() if fractal["completed_at"]]

    def place(fractal: Fractal) -> str | None:
        try:
            return fractal["image_at"] if app.api.shows(fractal) else None
        except TopologyError:
            return None

    with ThreadPoolExecutor(READERS, thread_name_prefix="reader") as pool:
        return dict(zip((fractal["uuid"] for fractal in finished), pool.map(place, finished), strict=True))


def loss(app: Topology, kill: Callable[[], object], *, pictures: int = PICTURES) -> Loss:
    """A drill: order `pictures` fractals and read them; call `kill`; build what is missing anew; read them again.

    The application must be one of `Topology.deploy`, which is also what builds it anew, with the same numbers of API
    servers and workers. Raises LoadError where nothing can be ordered or nothing could be read, and what `kill` raises.
    """
    app.refresh()
    apis, workers, images = len(app.of_role("api")), len(app.workers), app.images
    if not apis or not workers or pictures < 1:
        raise LoadError("The drill needs an API server, a worker and a picture at least: app.deploy(api=2, worker=2).")
    width, height = SIZE_PIXELS
    made = {done.uuid for done in finish(app, list(islice(new_tasks(width=width, height=height), pictures)))}
    before = {uuid for uuid, place in located(app).items() if uuid in made and place}
    if not before:
        raise LoadError(f"None of {pictures} new pictures could be read: nothing can be lost.")
    there = {server.id: server.name for server in app.servers.values()}
    kill()
    left = {server.id for server in app.refresh().servers.values()}
    app.deploy(api=apis, worker=workers)
    now = located(app)
    lost = {uuid for uuid in before if not now.get(uuid)}
    died = tuple(name for id, name in there.items() if id not in left)
    return Loss(died, images, len(before), len(lost), len(lost & now.keys()))
