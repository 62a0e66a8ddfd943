"""Live controls for the notebook: look at the application, scale it, break it, load it.

    dashboard(app)        the servers as a picture, the queue, fractals per second; buttons that change them
    load_panel(app)       requests in an open or a closed loop; `panel.rows` has a row for each
    gallery(app)          the newest fractals, and who made them

Each works in the background while cells run (`panel.py` says how), uses its own connection to the cloud, and ends with
its Close button, `.close()`, or the kernel. A session learns of servers that a button added by `app.refresh()`.
The kernel hears of a button when no cell runs: one pressed during a long cell takes effect after it. What a button
does, a method does too (`board.add("worker")`).
"""

from __future__ import annotations

import base64
import html
import io
import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ipywidgets
import requests

from faafo_lab import load, picture
from faafo_lab.cloud.errors import CloudError
from faafo_lab.live import Watch, first_line, in_thread
from faafo_lab.panel import BANNER, FAINT, TEXT, Closed, Job, Panel, button, row
from faafo_lab.rows import Rows, human
from faafo_lab.runner import Run
from faafo_lab.topology import Topology, TopologyError, numbered

LOOK_PAUSE_SECONDS = 1.0
LOAD_LOOK_PAUSE_SECONDS = 0.5
WORKERS_LIMIT_SECONDS = 120.0  # how long after a run its fractals' makers are asked for
WORKERS_PAUSE_SECONDS = 2.0
FRACTALS_MOST = 500  # at one press
REQUESTS_MOST = 10_000
GALLERY_PAGE, GALLERY_PAGES = 50, 4  # how far back finished fractals are looked for
GALLERY_LIMIT_SECONDS = 20.0
THUMBNAIL_PIXELS = (180, 135)
THUMBNAIL_COLOURS = 64
MEASURES = (("latency", "from when it was due"), ("service_time", "from when it was sent"))
SIZES = (
    ("read the list of fractals", None),
    ("order small fractals, 320 × 200", (320, 200)),
    ("order fractals, 720 × 480", (load.WIDTH_PIXELS, load.HEIGHT_PIXELS)),
    ("order large fractals, 1440 × 960", (1440, 960)),
)


def dashboard(topology: Topology) -> Dashboard:
    """The application as a picture that follows it, about once a second, with buttons to change it."""
    return Dashboard(topology)


def load_panel(topology: Topology) -> LoadPanel:
    """Send requests to the application's APIs, and see how long they take."""
    return LoadPanel(topology)


def gallery(topology: Topology, newest: int = 10) -> Gallery:
    """The newest finished fractals, small, and which worker made each."""
    return Gallery(topology, newest)


class Dashboard(Panel):
    """See `dashboard`. `moment` is what it saw last."""

    def __init__(self, topology: Topology) -> None:
        super().__init__(topology.cloud.name)
        self._topology = topology
        self._watch = Watch(topology)
        self._picture, self._numbers = ipywidgets.HTML(), ipywidgets.HTML()
        self._victim = ipywidgets.Dropdown(options=[], layout={"width": "150px"})
        self._count = ipywidgets.BoundedIntText(value=30, min=1, max=FRACTALS_MOST, layout={"width": "80px"})
        self.moment = self._watch.look()
        self._show()
        buttons = row(
            button("Add a worker", "plus", lambda: self.add("worker")),
            button("Remove a worker", "minus", lambda: self.remove("worker"), "Drain the last worker, then delete it"),
            button("Add an API", "plus", lambda: self.add("api")),
            button("Remove an API", "minus", lambda: self.remove("api"), "Delete the last API server"),
        )
        more = row(
            button("Order fractals:", "paper-plane", lambda: self.order(self._count.value), style="primary"),
            self._count,
            button("Delete at once:", "bolt", lambda: self.delete(str(self._victim.value or "")), style="danger"),
            self._victim,
            self._close_button,
        )
        self._open(ipywidgets.VBox([self._picture, self._numbers, buttons, more, self._log]))
        self._in_background(self._follow, "dashboard")

    # -- what the buttons do ---------------------------------------------------------------------------------------

    def add(self, role: str) -> None:
        """Add a server of this role ("worker" or "api"), and wait until it serves. Returns at once."""

        def work(job: Job) -> str:
            app = in_thread(self._topology).refresh()
            name, place = self._free_place(app, role)
            job.what = f"add {name}"
            app.check(servers=1, addresses=int(role == "api"))
            if role == "api":
                app.add_apis(place)
            else:
                app.add_workers(place)
            self._watch.look_closer()
            app.wait_serving()
            return f"{name} serves"

        self._act(f"add {_a(role)}", work, in_turn=True)

    def remove(self, role: str) -> None:
        """Remove the last server of this role; a worker finishes first what it has in hand. Returns at once."""

        def work(job: Job) -> str:
            app = in_thread(self._topology).refresh()
            servers = app.of_role(role)
            if not servers:
                raise TopologyError(f"There is no {role} server to remove.")
            if role == "api" and len(servers) == 1:
                raise TopologyError("The last API server stays: without it nothing could be asked.")
            name = servers[-1].name
            job.what = f"remove {name}"
            words = "deleted"
            if role == "worker":
                try:
                    app.drain([name])
                    words = "drained and deleted"
                except CloudError as error:
                    words = f"deleted, but not drained ({first_line(error)})"
            app.cloud.delete_servers([name])
            self._watch.look_closer()
            return words

        self._act(f"remove {_a(role)}", work, in_turn=True)

    def delete(self, name: str) -> None:
        """Delete this server at once, with all that it has in hand. Returns at once."""

        def work(job: Job) -> str:
            if not name:
                raise TopologyError("There is no server to delete.")
            app = in_thread(self._topology).refresh()
            if name not in app.servers:
                raise TopologyError(f"There is no server {name} any more.")
            app.cloud.delete_servers([app.servers[name]])
            self._watch.look_closer()
            return "gone; the tasks it had in hand go back to the queue"

        self._act(f"delete {name} the hard way", work)

    def order(self, number: int) -> None:
        """Order so many new fractals from the APIs in turn. Returns at once."""

        def work(job: Job) -> str:
            endpoints = dict(self.moment.endpoints or {})
            size = (load.WIDTH_PIXELS, load.HEIGHT_PIXELS)
            with load.start(endpoints, number=number, size=size) as run:
                while run.running:
                    job.seen = f"{run.ended} of {number}"
                    self._show_jobs()
                    if self._stop.wait(LOAD_LOOK_PAUSE_SECONDS / 2):
                        raise Closed
                accepted = sum(request.ok for request in run.rows)
            if accepted < number:
                raise TopologyError(f"{accepted} of {number} were accepted: {run.rows.summary()}")
            return f"all accepted within {run.elapsed:.1f} s"

        self._act(f"order {number} fractal{'s' * (number != 1)}", work)

    def _free_place(self, app: Topology, role: str) -> tuple[str, int]:
        """The name and the number of the next server of this role: the first number that is free."""
        if not app.servers:
            raise TopologyError("There is no application to scale: deploy it first, for instance by app.deploy().")
        if role == "api" and not app.of_role("services"):
            raise TopologyError("This small application has a controller: app.deploy() makes one with API servers.")
        taken = {numbered(server.name)[1] for server in app.of_role(role)}
        place = next(number for number in itertools.count(1) if number not in taken)
        return f"app-{role}-{place}", place

    # -- what it shows ---------------------------------------------------------------------------------------------

    def _follow(self) -> None:
        """Look about once a second until the panel is closed."""
        try:
            while not self._stop.wait(LOOK_PAUSE_SECONDS):
                self.moment = self._watch.look()
                self._show()
                if any(job.running for job in self.jobs):
                    self._show_jobs()
        finally:
            self._watch.close()

    def _show(self) -> None:
        self._picture.value = self._picture_html()
        self._numbers.value = self._numbers_html()
        names = tuple(machine.name for machine in self.moment.machines if machine.role in ("api", "worker"))
        if names != tuple(self._victim.options):
            chosen = self._victim.value
            self._victim.options = names
            self._victim.value = chosen if chosen in names else next(reversed(names), None)

    def _picture_html(self) -> str:
        banner = ""
        if self.moment.problem:
            banner = f'<div role="status" style="{TEXT};{BANNER}">{html.escape(self.moment.problem)}</div>'
        return f"<div>{banner}{picture.topology(self.moment)}</div>"

    def _numbers_html(self) -> str:
        moment = self.moment
        numbers = [
            ("waiting", moment.waiting),
            ("in work", moment.working),
            ("done", moment.done),
            ("fractals/s", None if moment.rate is None else f"{moment.rate:.1f}"),
        ]
        tiles = "".join(
            f'<div style="min-width:70px"><div style="font-size:24px;line-height:1.2">'
            f'{"–" if number is None else number}</div><div style="{FAINT}">{name}</div></div>'
            for name, number in numbers
        )
        return (
            f'<div style="{TEXT};display:flex;flex-wrap:wrap;gap:8px 20px;align-items:center">'
            f"{tiles}<div>{picture.throughput(moment)}</div></div>"
        )

    def html(self) -> str:
        """The picture, the numbers and the last jobs, as they are now."""
        words = f'<p style="{TEXT};{FAINT}">{html.escape(str(self.moment))}</p>'
        return f"<div>{self._picture_html()}{self._numbers_html()}{self._jobs_html()}{words}</div>"

    def __str__(self) -> str:
        lines = [f"Dashboard: {self.moment}"]
        for machine in self.moment.machines:
            load_ = "" if machine.cpu_percent is None else f"CPU {machine.cpu_percent:.0f} %"
            lines.append(f"  {machine.name:15} {machine.address:15} {load_:10} {machine.words}".rstrip())
        return "\n".join([*lines, *(f"  {job}" for job in self.jobs)])


class LoadPanel(Panel):
    """See `load_panel`. `rows`: the requests of the last run, also while it runs."""

    def __init__(self, topology: Topology) -> None:
        super().__init__(topology.cloud.name)
        self._topology = topology
        self._run: Run | None = None
        self.rows = Rows()
        self._loop = ipywidgets.ToggleButtons(
            options=[("closed loop", "closed"), ("open loop", "open")],
            tooltips=["each client waits for its answer, then sends the next", "requests come by the clock"],
            style={"button_width": "110px"},
        )
        narrow = {"width": "170px"}
        self._at_once = ipywidgets.BoundedIntText(value=4, min=1, max=64, description="clients", layout=narrow)
        self._rate = ipywidgets.BoundedFloatText(value=20, min=0.1, max=1000, description="rate (1/s)", layout=narrow)
        self._number = ipywidgets.BoundedIntText(
            value=200, min=1, max=REQUESTS_MOST, description="requests", layout=narrow
        )
        self._size = ipywidgets.Dropdown(options=SIZES, layout={"width": "250px"})
        self._start_button = button("Start", "play", self.start, style="primary")
        self._stop_button = button("Stop", "stop", self.stop)
        self._stop_button.disabled = True
        self._bar = ipywidgets.IntProgress(value=0, max=1, layout={"width": "200px"}, style={"bar_color": picture.BLUE})
        self._results = ipywidgets.HTML()
        self._loop.observe(lambda _: self._suit_loop(), "value")
        self._suit_loop()
        self._show()
        self._open(
            ipywidgets.VBox(
                [
                    row(self._loop, self._size),
                    row(self._at_once, self._rate, self._number),
                    row(
                        self._start_button,
                        self._stop_button,
                        self._bar,
                        button("Save as CSV", "download", self._save, "Write every request to a file"),
                        self._close_button,
                    ),
                    self._log,
                    self._results,
                ]
            )
        )

    def start(self) -> None:
        """Start a run with the values that are set; `rows` fill as answers come. Returns at once."""
        if self._run is not None or self.closed:
            return
        is_open, number, size = self._loop.value == "open", int(self._number.value), self._size.value
        self._start_button.disabled, self._stop_button.disabled = True, False
        speed = (
            f"open loop, {self._rate.value:g} a second" if is_open else f"closed loop, {self._at_once.value} clients"
        )

        def work(job: Job) -> str:
            app = in_thread(self._topology).refresh()
            self._run = run = load.start(
                app.endpoints,
                loop="open" if is_open else "closed",
                rate=float(self._rate.value) if is_open else None,
                at_once=None if is_open else int(self._at_once.value),
                number=number,
                size=size,
            )
            with run:
                self._bar.max = number
                while run.running:
                    self._look(run, job, number)
                    if self._stop.wait(LOAD_LOOK_PAUSE_SECONDS):
                        break
            self._look(run, job, number)
            if self.closed:
                raise Closed
            if size is not None:
                self._in_background(lambda: self._find_workers(self.rows, app.endpoint), "who made what")
            return self.rows.note or "finished"

        def work_and_reset(job: Job) -> str:
            try:
                return work(job)
            finally:
                self._run = None
                self._start_button.disabled, self._stop_button.disabled = self.closed, True

        self._act(f"{number} requests, {speed}", work_and_reset)

    def stop(self) -> None:
        """Stop the run; its rows stay. Returns at once."""
        if run := self._run:
            self._in_background(lambda: void(run.stop()), "stop the load")

    def save(self, path: str | Path | None = None) -> Path:
        """Write the rows to this CSV file (default: a new one, named by the time); returns its path."""
        return self.rows.to_csv(path or time.strftime("load-%Y%m%d-%H%M%S.csv"))

    @property
    def running(self) -> bool:
        """Whether a run goes on."""
        return self._run is not None

    def _save(self) -> None:
        def work(job: Job) -> str:
            if not self.rows:
                raise load.LoadError("There is no request to save yet: start a run first.")
            return f"{len(self.rows)} rows in {self.save()}"

        self._act("save as CSV", work)

    def _look(self, run: Run, job: Job, number: int) -> None:
        self.rows = run.rows
        self._bar.value = len(self.rows)
        job.seen = f"{len(self.rows)} of {number} answered, {run.in_flight} under way"
        self._show_jobs()
        self._show()

    def _find_workers(self, rows: Rows, endpoint: str) -> None:
        """Fill in who made the fractals that were ordered, as they get done."""
        end = time.monotonic() + WORKERS_LIMIT_SECONDS
        while rows is self.rows and time.monotonic() < end:
            try:
                load.workers_of(rows, endpoint)
            except requests.RequestException:
                return  # the table says that nobody is known
            self._show()
            if all(request.worker for request in rows if request.ok) or self._stop.wait(WORKERS_PAUSE_SECONDS):
                return

    def _suit_loop(self) -> None:
        """Show the values that the chosen loop has."""
        is_open = self._loop.value == "open"
        self._rate.layout.display = "" if is_open else "none"
        self._at_once.layout.display = "none" if is_open else ""

    def _show(self) -> None:
        self._results.value = self._results_html()

    def _results_html(self) -> str:
        """The summary by both clocks, and the first and last rows."""
        if not self.rows:
            return f'<p style="{TEXT};{FAINT}">No request was sent yet.</p>'
        head = "<th></th><th>p50</th><th>p95</th><th>p99</th><th>worst</th>"
        body = ""
        for measure, words in MEASURES:
            summary = self.rows.summary(measure)  # type: ignore[arg-type]
            times = (summary.p50, summary.p95, summary.p99, summary.worst)
            cells = "".join(f"<td>{human(seconds)}</td>" for seconds in times)
            body += f'<tr><td style="text-align:left">{measure.replace("_", " ")}, {words}</td>{cells}</tr>'
        tables = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{self.rows._repr_html_()}"
        tables = tables.replace("<table>", '<table style="margin-left:0">')  # JupyterLab centres them
        return f'<div class="jp-RenderedHTMLCommon" style="{TEXT};padding:0;overflow-x:auto">{tables}</div>'

    def html(self) -> str:
        """The last run's summary and rows."""
        return f"<div>{self._jobs_html()}{self._results_html()}</div>"

    def __str__(self) -> str:
        if not self.rows:
            return "Load panel: no request was sent yet."
        return f"Load panel: {self.rows.summary()}" + (f" ({self.rows.note})" if self.rows.note else "")


@dataclass(frozen=True)
class Fractal:
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
    """See `gallery`. `fractals`: those shown, the newest first."""

    def __init__(self, topology: Topology, newest: int) -> None:
        if newest < 1:
            raise ValueError(f"A gallery shows at least 1 fractal, not {newest}.")
        super().__init__(topology.cloud.name)
        self._topology, self.newest = topology, newest
        self.fractals: Sequence[Fractal] = ()
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
        """Look for newer ones. Returns at once."""

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
        if not app.endpoints:
            raise TopologyError("No API server is here to ask: deploy the application first.")
        problem = ""
        for url in app.endpoints.values():
            try:
                self.fractals = newest_fractals(url, self.newest)
                return
            except (requests.RequestException, ValueError, OSError) as error:
                problem = first_line(error)
        raise TopologyError(f"No API of the application answers ({problem}).")

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
            f'<span style="{FAINT}"> · {item.seconds:.2f} s<br>{item.uuid[:8]}</span></figcaption></figure>'
            for item in self.fractals
        )
        return f'<div style="{TEXT};display:flex;flex-wrap:wrap;gap:12px">{tiles}</div>'

    def __str__(self) -> str:
        if self._problem or not self.fractals:
            return f"Gallery: {self._problem or 'no fractal is finished yet.'}"
        lines = [f"  {item.uuid[:8]}  {item.worker:15} {item.seconds:6.2f} s" for item in self.fractals]
        return "\n".join([f"Gallery: the newest {len(self.fractals)} fractals", *lines])


def newest_fractals(endpoint: str, number: int) -> list[Fractal]:
    """The fractals that were finished last, the newest first, as this API has them.

    Raises requests.RequestException (GALLERY_LIMIT_SECONDS over, or the API is away) and OSError (no PNG).
    """
    end = time.monotonic() + GALLERY_LIMIT_SECONDS
    with requests.Session() as session:

        def ask(path: str) -> requests.Response:
            left = end - time.monotonic()
            if left <= 0:
                raise requests.Timeout(f"the pictures took longer than {GALLERY_LIMIT_SECONDS:.0f} s")
            answer = session.get(endpoint + path, timeout=left)
            answer.raise_for_status()
            return answer

        found: list[dict[str, Any]] = []
        for page in range(1, GALLERY_PAGES + 1):  # the last ones ordered may still wait
            answer = ask(f"/v1/fractal?order=newest&results_per_page={GALLERY_PAGE}&page={page}").json()
            found += [item for item in answer["objects"] if item["completed_at"]]
            if len(found) >= number or page >= answer["total_pages"]:
                break
        found.sort(key=lambda item: str(item["completed_at"]), reverse=True)
        return [
            Fractal(
                item["uuid"],
                item["generated_by"],
                item["duration"],
                item["width"],
                item["height"],
                thumbnail(ask(f"/fractal/{item['uuid']}").content),
            )
            for item in found[:number]
        ]


def thumbnail(png: bytes) -> bytes:
    """The same picture, at most twice THUMBNAIL_PIXELS (for fine screens), as a PNG. Raises OSError for no picture."""
    from PIL import Image

    with Image.open(io.BytesIO(png)) as image:
        small = image.convert("RGB")
    width, height = THUMBNAIL_PIXELS
    small.thumbnail((2 * width, 2 * height))
    buffer = io.BytesIO()
    small.quantize(THUMBNAIL_COLOURS).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def void(_: object) -> None:
    """Forget a result."""


def _a(role: str) -> str:
    return "an API" if role == "api" else f"a {role}"
