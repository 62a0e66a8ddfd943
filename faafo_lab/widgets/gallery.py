"""The newest finished fractals, small, and which worker made each."""

from __future__ import annotations

import base64
import contextlib
import html
import io
from collections.abc import Sequence
from dataclasses import dataclass

import ipywidgets

from faafo_lab.cloud import direct
from faafo_lab.cloud.errors import CloudError
from faafo_lab.load.rows import human
from faafo_lab.topology import Api, Topology, TopologyError, in_thread
from faafo_lab.topology.errors import Gone, first_line
from faafo_lab.widgets.panel import FAINT, TEXT, Job, Panel, button, row

LIMIT_SECONDS = 20.0
THUMBNAIL_PIXELS = (180, 135)
THUMBNAIL_COLOURS = 64


@dataclass(frozen=True)
class Thumbnail:
    """A finished fractal: who made it in how many seconds, and a small picture (PNG)."""

    uuid: str
    worker: str
    seconds: float
    width: int
    height: int
    png: bytes

    @property
    def alt(self) -> str:
        """What the picture shows, in words."""
        return f"Fractal {self.uuid[:8]}: a Julia set of {self.width} × {self.height} pixels, by {self.worker}"


class Gallery(Panel):
    """See `widgets.gallery`. `fractals`: those shown, the newest first."""

    def __init__(self, topology: Topology, newest: int) -> None:
        if newest < 1:
            raise ValueError(f"A gallery shows at least 1 fractal, not {newest}.")
        super().__init__(topology.cloud.name)
        self._topology, self.newest = topology, newest
        self.fractals: Sequence[Thumbnail] = ()
        self._problem = ""
        self._tiles = ipywidgets.HTML()
        try:
            self._load(topology)
        except CloudError as error:
            self._problem = first_line(error)
        self._show()
        again = button("Refresh", "refresh", self.refresh, "Look for newer ones")
        self._open(ipywidgets.VBox([row(again, self._close_button), self._tiles, self._log]))

    def refresh(self) -> None:
        """Load the newest fractals in the background. Returns at once."""

        def work(job: Job) -> str:
            try:
                self._load(in_thread(self._topology).refresh())
                self._problem = ""
            finally:
                self._show()
            return f"{len(self.fractals)} fractals"

        self._act("look for the newest fractals", work, in_turn=True)

    def _load(self, app: Topology) -> None:
        """Ask the first API that answers. Raises TopologyError where none does."""
        self.fractals = newest_fractals(app, self.newest)

    def _show(self) -> None:
        self._tiles.value = self.html()

    def html(self) -> str:
        """The fractals as they were loaded last, the pictures in the page itself."""
        if self._problem or not self.fractals:
            words = html.escape(self._problem or "No fractal is finished yet.")
            return f'<p style="{TEXT};{FAINT}">{words}</p>'
        width, height = THUMBNAIL_PIXELS
        tiles = "".join(
            f'<figure style="margin:0;width:{width}px">'
            f'<img src="data:image/png;base64,{base64.b64encode(item.png).decode()}" alt="{html.escape(item.alt)}" '
            f'title="{html.escape(item.alt)}" '
            f'style="width:{width}px;height:{height}px;object-fit:cover;border-radius:4px">'
            f'<figcaption style="line-height:1.35">{html.escape(item.worker)}'
            f'<span style="{FAINT}"> · {human(item.seconds)}<br>{item.uuid[:8]}</span></figcaption></figure>'
            for item in self.fractals
        )
        return f'<div style="{TEXT};display:flex;flex-wrap:wrap;gap:12px">{tiles}</div>'

    def __str__(self) -> str:
        if self._problem or not self.fractals:
            return f"Gallery: {self._problem or 'no fractal is finished yet.'}"
        lines = [f"  {item.uuid[:8]}  {item.worker:15} {human(item.seconds):>8}" for item in self.fractals]
        return "\n".join([f"Gallery: the newest {len(self.fractals)} fractals", *lines])


def newest_fractals(app: Topology, number: int) -> list[Thumbnail]:
    """The fractals that were finished last, the newest first, but for those that are replaced meanwhile.

    Raises TopologyError (after LIMIT_SECONDS, without an answering API, or for an answer that is not a picture).
    """
    with direct.Session() as session:
        api = Api(lambda: app.endpoints.values(), within_seconds=LIMIT_SECONDS, session=session)
        found = []
        for fractal in api.newest(number):
            with contextlib.suppress(Gone):  # deleted or ordered again since: the row describes another picture
                png = api.picture(fractal["uuid"], fractal["checksum"] or "")
                found.append(
                    Thumbnail(
                        fractal["uuid"],
                        fractal["generated_by"] or "",
                        fractal["duration"] or 0.0,
                        fractal["width"],
                        fractal["height"],
                        thumbnail(png),
                    )
                )
        return found


def thumbnail(png: bytes) -> bytes:
    """The same picture, at most twice THUMBNAIL_PIXELS (for fine screens), as a PNG. Raises TopologyError."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(png)) as image:
            small = image.convert("RGB")
    except OSError as error:
        raise TopologyError(f"The application's answer is not a picture ({first_line(error)}).") from None
    width, height = THUMBNAIL_PIXELS
    small.thumbnail((2 * width, 2 * height))
    buffer = io.BytesIO()
    small.quantize(THUMBNAIL_COLOURS).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
