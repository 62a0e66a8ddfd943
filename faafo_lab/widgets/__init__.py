"""Live controls for the notebook: look at the application, scale it, break it, load it.

    dashboard(app)        the application as it moves: requests, tasks, leases; menus that scale and break it
    load_panel(app)       requests in an open or a closed loop; `panel.rows` has a row for each
    gallery(app)          the newest fractals, and who made them

Each works in the background while cells run (`panel.py` says how), uses its own connection to the cloud, and ends with
its Close button, `.close()`, or the kernel. After a button added or removed servers, `app.refresh()` updates the
session. What a button does, a method does too (`board.add("worker")`).

Its rooms:

    dashboard, load_panel, gallery   the three panels; the functions of these names make them
    panel      what they have in common: work in the background, and a form for every kind of reader
    actions    what the dashboard's menus do to servers
    moving     the picture that moves, as a widget: what the page is sent, and what its menus ask for
    replay     recordings, which play without any cloud: `faafo_lab.replay`

What the picture is drawn from, and its module of the page, is in `faafo_lab.living`.
"""

from faafo_lab.topology import Topology
from faafo_lab.widgets.dashboard import Dashboard
from faafo_lab.widgets.gallery import Gallery, Thumbnail
from faafo_lab.widgets.load_panel import LoadPanel
from faafo_lab.widgets.panel import Panel

__all__ = ["Dashboard", "Gallery", "LoadPanel", "Panel", "Thumbnail", "dashboard", "gallery", "load_panel"]


def dashboard(topology: Topology) -> Dashboard:
    """The application as a picture that moves: every request, task and lease, with menus to scale and break it."""
    return Dashboard(topology)


def load_panel(topology: Topology) -> LoadPanel:
    """Send requests to the application's APIs, and see how long they take."""
    return LoadPanel(topology)


def gallery(topology: Topology, newest: int = 10) -> Gallery:
    """The newest finished fractals, small, and which worker made each."""
    return Gallery(topology, newest)
