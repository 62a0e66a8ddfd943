"""How fast existing pictures move from the disk of an API into the object store, checksums compared.

images_moved_per_second   pictures of the default size, by `app.move_images`
"""

from measure import Figures

import faafo_lab
from faafo_lab import load
from faafo_lab.topology import Topology
from faafo_lab.workbook import own_home

PICTURES = 200


def figures() -> Figures:
    """It, by name."""
    with own_home(FAAFO_LAB_CLOUD="embedded"):
        app = Topology(faafo_lab.connect(), say=lambda line: None)
        app.deploy(api=1, worker=1, images="file:///var/lib/faafo/images")
        load.create(app.endpoints, load.same_tasks(PICTURES), progress=False)
        load.watch(app, done=PICTURES)
        moved = app.move_images("objects")
    if moved.number != PICTURES:
        raise RuntimeError(f"{PICTURES} pictures were made, and moved were: {moved!r}")
    words = f"pictures/s, of {moved.bytes / moved.number / 1000:.0f} kB each"
    return {"images_moved_per_second": (moved.number / moved.seconds, words)}
