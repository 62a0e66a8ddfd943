"""Live controls for the notebook: look at the application, scale it, break it, load it.

    dashboard(app)        the servers as a picture, the queue, fractals per second; buttons that change them
    load_panel(app)       requests in an open or a closed loop; `panel.rows` has a row for each
    gallery(app)          the newest fractals, and who made them

Each works in the background while cells run (`panel.py` says how), uses its own connection to the cloud, and ends with
its Close button, `.close()`, or the kernel. After a button added or removed servers, `app.refresh()` updates the
session. What a button does, a method does too (`board.add("worker")`).

Its rooms:

    dashboard, load_panel, gallery   the three panels; the functions of these names make them
    panel      what they have in common: work in the background, and a form for every kind of reader
    picture    the application, and its last minute, as SVG
"""

from faafo_lab.topology import Topology
from faafo_lab.widgets.dashboard import Dashboard
from faafo_lab.widgets.gallery import Gallery, Thumbnail
from faafo_lab.widgets.load_panel import LoadPanel
from faafo_lab.widgets.panel import Panel

__all__ = ["Dashboard", "Gallery", "LoadPanel", "Panel", "Thumbnail", "dashboard", "gallery", "load_panel"]


def dashboard(topology: Topology) -> Dashboard:
    """The application as a picture that follows it, about once a second, with buttons to change it."""
    return Dashboard(topology)


def load_panel(topology: Topology) -> LoadPanel:
    """Send requests to the application's APIs, and see how long they take."""
    return LoadPanel(topology)


def gallery(topology: Topology, newest: int = 10) -> Gallery:
    """The newest finished fractals, small, and which worker made each."""
    return Gallery(topology, newest)
